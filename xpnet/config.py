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

    remakes: ClassVar[bool] = True
    """Whether to make one costs next to nothing, so that :meth:`check_config` may."""

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

    def check_config(self) -> None:
        """Raise unless what :meth:`config` returns can be held, and makes the same again.

        Raises
        ------
        TypeError
            It lacks an argument, or holds what a file cannot; the message names it.
        ValueError
            The constructor makes something else of it.
        """
        kind, about = type(self), self.config()
        for name, value in about.items():
            if not _holdable(value):
                raise TypeError(
                    f"{kind.__name__}: {name} is {value!r}, which no file can hold: give numbers, "
                    f"texts, layers or lists of them, or define a config() that returns such"
                )
        try:
            inspect.signature(kind).bind(**about)
            parts = any(map(_has_parts, about.values()))
            again = kind(**about).config() if self.remakes and not parts else about
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{kind.__name__}: its constructor does not take what config() returns: {error}"
            ) from None
        for name, value in about.items():
            if again[name] != value:
                raise ValueError(
                    f"{kind.__name__}: made of {name}={value!r}, it has {name}={again[name]!r}: "
                    f"keep the argument itself as self.{name}, or define config()"
                )

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


def _holdable(value: Any) -> bool:
    """Return whether a file can hold an argument."""
    if isinstance(value, (list, tuple)):
        return all(map(_holdable, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_holdable, value.values()))
    return value is None or isinstance(value, (str, int, float, Configurable))


def _has_parts(value: Any) -> bool:
    """Return whether an argument is, or holds, what has arguments itself: not to be made twice."""
    if isinstance(value, (list, tuple)):
        return any(map(_has_parts, value))
    return isinstance(value, Configurable)
