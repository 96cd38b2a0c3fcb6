"""What is described by the arguments of its constructor."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from xpnet.checks import Constructible, plain

__all__ = ["Configurable"]


class Configurable(Constructible):
    """Base of what can be made again from its constructor's arguments.

    The constructor keeps each argument as an attribute of the same name.
    """

    _names: ClassVar[tuple[str, ...]]

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them (layers may be among them).

        A value that cannot be held so says by its attribute ``recorded`` what stands for it.

        Raises
        ------
        TypeError
            The constructor takes what is not kept as an attribute of that name.
        """
        values = {}
        for name in self._parameters():
            try:
                value = getattr(self, name)
            except AttributeError:
                raise TypeError(
                    f"{type(self).__name__}: its constructor takes {name!r}, but no attribute of "
                    f"that name keeps it: set self.{name.lstrip('*')} there, or define config()"
                ) from None
            values[name] = plain(getattr(value, "recorded", value))
        return values

    def __repr__(self) -> str:
        kept = (name for name in self._parameters() if hasattr(self, name))
        return f"{type(self).__name__}({', '.join(f'{k}={getattr(self, k)!r}' for k in kept)})"

    @classmethod
    def _parameters(cls) -> tuple[str, ...]:
        """Return the names of the constructor's parameters, with their stars."""
        if "_names" not in vars(cls):
            bare: Any = {"annotation": inspect.Parameter.empty, "default": inspect.Parameter.empty}
            parameters = inspect.signature(cls).parameters.values()
            cls._names = tuple(str(one.replace(**bare)) for one in parameters)
        return cls._names
