"""The checks of arguments: one for each kind of argument, with one sentence for what is wrong.

A check takes an argument's name and value and returns the value as a plain Python one, whatever
library it came from (``numpy.float32(0.2)``, a 0-d array), or raises a ValueError that says what
was expected and what came.  Booleans, strings and NaN are no numbers.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar

__all__ = [
    "Constructible",
    "Hyperparameter",
    "arguments",
    "came",
    "check_call",
    "check_fields",
    "distinct_names",
    "file_path",
    "finite",
    "flag",
    "fraction",
    "function",
    "instance",
    "missing_attribute",
    "names_in",
    "nearest",
    "not_negative",
    "number",
    "one_length",
    "one_of",
    "pair",
    "plain",
    "positive",
    "takes_exactly",
    "whole_number",
]

LONGEST = 100
"""The characters of a value that a sentence shows."""

T = TypeVar("T")
S = TypeVar("S", bound=str)
P = ParamSpec("P")


def plain(value: Any) -> Any:
    """Return a number of any array library as Python's own; anything else as it is."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def came(value: Any) -> str:
    """Return how a sentence names a value that should not have come, in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}: write {value.__name__}(...) to make one"
    if inspect.isroutine(value):
        return f"the function {value.__name__}"
    kind = type(value).__name__
    if isinstance(value, (dict, list, set, tuple)) and len(value) > LONGEST:
        return f"{kind} of {len(value)} entries"  # whose repr may take all of the memory
    shown = repr(value)
    if len(shown) <= LONGEST and "\n" not in shown:
        return shown
    if getattr(value, "shape", ()):
        return f"{kind} of shape {tuple(value.shape)}"
    return f"{' '.join(shown.split())[:LONGEST]}..."


def number(name: str, value: Any, fits: Callable[[float], bool], expected: str) -> float:
    """Return a finite real number that fits.

    Parameters
    ----------
    fits : callable
        Whether a number is in range.
    expected : str
        The same in words, for the sentence of the ValueError.
    """
    result = _real(plain(value))
    if not math.isfinite(result) or not fits(result):
        raise ValueError(f"{name}: expected {expected}, got {came(value)}")
    return result


def _real(value: Any) -> float:
    """Return a real number as a float; NaN for what is none."""
    if isinstance(value, (bool, str, bytes)) or getattr(value, "shape", ()) != ():
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def finite(name: str, value: Any) -> float:
    """Return a finite real number."""
    return number(name, value, lambda x: True, "a finite number")


def positive(name: str, value: Any) -> float:
    """Return a number above zero."""
    return number(name, value, lambda x: x > 0, "a number above 0")


def not_negative(name: str, value: Any) -> float:
    """Return a number that is not below zero."""
    return number(name, value, lambda x: x >= 0, "a number >= 0")


def fraction(name: str, value: Any) -> float:
    """Return a number in [0, 1)."""
    return number(name, value, lambda x: 0 <= x < 1, f"0 <= {name} < 1")


def whole_number(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """Return a whole number of at least ``least`` and, if that is given, at most ``most``."""
    given = plain(value)
    try:
        result = None if isinstance(given, bool) else operator.index(given)
    except TypeError:
        result = None
    if result is None or result < least or (most is not None and result > most):
        bounds = f">= {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name}: expected a whole number {bounds}, got {came(value)}")
    return result


def pair(name: str, value: Any, least: int = 0) -> tuple[int, int]:
    """Return a size given as one whole number or as (height, width)."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{name}: expected one size or (height, width), got {came(value)}")
    return whole_number(name, both[0], least), whole_number(name, both[1], least)


def one_length(name: str, value: Any, least: int = 0) -> int:
    """Return a number of pixels that holds for height and width; a pair of equal ones will do."""
    if value == "same":
        raise ValueError(
            f"{name}: expected a whole number >= {least}, got 'same': an odd size keeps an image's "
            f"height and width with {name}=(size - 1) // 2"
        )
    one, other = pair(name, value, least)
    if one != other:
        raise ValueError(f"{name}: expected one number for height and width, got {value!r}")
    return one


def flag(name: str, value: Any, hint: str = "") -> bool:
    """Return True or False; ``hint`` is what to say to those who gave something else."""
    given = plain(value)
    if not isinstance(given, bool):
        raise ValueError(
            f"{name}: expected True or False, got {came(value)}{f' ({hint})' if hint else ''}"
        )
    return given


def one_of(name: str, value: S, choices: Iterable[str]) -> S:
    """Return one of several names; the sentence suggests the nearest of them."""
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        *others, last = map(repr, known)
        expected = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name}: expected {expected}, got {came(value)}{nearest(value, known)}")
    return value


def distinct_names(name: str, value: Any) -> tuple[str, ...]:
    """Return names, at least one and each another, as a tuple; arrays of them will do."""
    given = value.tolist() if hasattr(value, "tolist") else value
    if (
        not isinstance(given, (list, tuple))
        or not given
        or not all(isinstance(one, str) for one in given)
    ):
        raise ValueError(f"{name}: expected names, such as ['cat', 'dog'], got {came(value)}")
    if len(set(given)) < len(given):
        repeated = Counter(given).most_common(1)[0][0]
        raise ValueError(f"{name}: expected names that differ, got {came(repeated)} twice")
    return tuple(map(str, given))


def nearest(value: Any, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return the end of a sentence that suggests the nearest known name, if one is near.

    Parameters
    ----------
    likeness : float
        From 0 to 1, for equal names.
    """
    from difflib import get_close_matches  # for a mistake alone: importing it takes a while

    by_lower = {choice.lower(): choice for choice in known}
    if not isinstance(value, str):
        return ""
    near = get_close_matches(value.lower(), by_lower, 1, likeness)
    near = near or [one for one in by_lower if len(value) > 2 and value.lower() in one]
    return f": did you mean {by_lower[near[0]]!r}?" if near else ""


def file_path(value: Any, name: str = "path") -> Path:
    """Return the path of a file."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name}: expected the path of a file, got {came(value)}")
    path = Path(value)
    if "\0" in str(path):
        raise ValueError(f"{name}: expected no null character in a path, got {came(str(path))}")
    return path


def function(name: str, value: Any, of: str) -> Any:
    """Return a function; ``of`` says what it takes: ``"(step, total)"``, or in other words."""
    if not callable(value) or isinstance(value, type):
        raise ValueError(f"{name}: expected a function of {of}, got {came(value)}")
    listed = of.startswith("(")
    given = takes_exactly(value, of.partition(")")[0].count(",") + 1) if listed else None
    if given is not None:
        raise ValueError(f"{name}: expected a function of {of}, got one of {given}")
    return value


def takes_exactly(value: Callable[..., Any], count: int, names: Iterable[str] = ()) -> str | None:
    """Return the parameters of a function that cannot be called with so many arguments, and names.

    None for one that can, and for one that does not tell.
    """
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*range(count), **dict.fromkeys(names))
    except TypeError:
        return f"({', '.join(signature.parameters)})"
    return None


def instance(name: str, value: Any, kind: type[Any], example: str) -> Any:
    """Return a value of a class; the sentence of the TypeError gives an example of one."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(
            f"{name}: expected {article} {kind.__name__}, such as {example}, got {came(value)}"
        )
    return value


def check_call(
    label: str,
    called: Callable[..., Any],
    args: Any,
    kwargs: Any,
    cure: str,
    elsewhere: Mapping[str, str] | None = None,
) -> None:
    """Raise a TypeError of one sentence unless a function or class takes the arguments given.

    Parameters
    ----------
    label : str
        What was called, for the sentence.
    cure : str
        How it is called rightly; may be empty.
    elsewhere : mapping, optional
        What the arguments are called here that other libraries call otherwise.
    """
    signature = inspect.signature(called)
    try:
        signature.bind(*args, **kwargs)
        return
    except TypeError as error:
        why = str(error)
    parameters = [one for name, one in signature.parameters.items() if name != "self"]
    by_position = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    given = len(args) - ("self" in signature.parameters)
    unknown = [name for name in kwargs if name not in signature.parameters]
    if given > len(by_position):
        positions = f"({', '.join(by_position)})" if by_position else "no arguments"
        names = f" and {', '.join(by_name)} by name" if by_name else ""
        why = f"expected {positions} by position{names}, got {given} by position"
    elif unknown:
        known = [*by_position, *by_name]
        here = (elsewhere or {}).get(unknown[0])
        near = f": here it is {here!r}" if here else nearest(unknown[0], known)
        others = f", but {', '.join(known)}" if known else ""
        why, cure = f"takes no argument {unknown[0]!r}{near or others}", "" if near else cure
    raise TypeError(f"{label}: {why}{f': {cure}' if cure else ''}")


def arguments(cure: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator: who calls a method wrongly is told how to call it.

    Parameters
    ----------
    cure : str
        How it is called rightly.
    """

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            check_call(method.__qualname__.removesuffix(".__init__"), method, args, kwargs, cure)
            return method(*args, **kwargs)

        return call

    return decorate


class Constructible:
    """Base of classes that tell who calls their constructor wrongly how to call it.

    Attributes
    ----------
    cure : str
        How it is called rightly.
    elsewhere : mapping
        What the arguments are called here that other libraries call otherwise.
    """

    cure: ClassVar[str] = ""
    elsewhere: ClassVar[Mapping[str, str]] = {}

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Check the constructor's arguments; copies, which are made without, pass."""
        if args or kwargs:
            check_call(cls.__name__, cls, args, kwargs, cls.cure, cls.elsewhere)
        return super().__new__(cls)


def missing_attribute(owner: Any, name: str, elsewhere: Mapping[str, str]) -> AttributeError:
    """Return what an object's ``__getattr__`` raises: it tells the nearest name.

    Parameters
    ----------
    elsewhere : mapping
        What to write instead of names that other libraries have.
    """
    kind = type(owner).__name__
    if name.startswith("_"):  # asked for by Python itself and by other libraries, all the time
        return AttributeError(f"{kind!r} object has no attribute {name!r}")
    public = (known for known in dir(owner) if not known.startswith("_"))
    cure = f": {elsewhere[name]}" if name in elsewhere else nearest(name, public)
    return AttributeError(f"{kind} has no {name!r}{cure}")


def names_in(module: str, public: Iterable[str], **elsewhere: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__``: it tells the nearest of the public names.

    Parameters
    ----------
    module : str
    public : iterable of str
    elsewhere : str
        What to write instead of names that other libraries have.
    """
    known = list(public)

    def missing(name: str) -> Any:
        cure = f": {elsewhere[name]}" if name in elsewhere else nearest(name, known)
        raise AttributeError(f"module {module!r} has no {name!r}{cure}")

    return missing


class Hyperparameter(Generic[T]):
    """An attribute that is checked each time it is set.

    Parameters
    ----------
    check : callable
        Of name and value, as those of this module.
    arguments
        What else it takes.

    Examples
    --------
    >>> class Dropout:
    ...     rate = Hyperparameter(fraction)
    """

    def __init__(
        self, check: Callable[Concatenate[str, Any, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        self._check: Callable[[str, Any], T] = lambda name, value: check(
            name, value, *args, **kwargs
        )

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)[self._name] = self._check(self._name, value)

    if TYPE_CHECKING:  # without a __get__ Python reads the instance's own value, at no cost

        def __get__(self, instance: Any, owner: Any = None) -> T: ...


def check_fields(instance: Any, **checks: Callable[[str, Any], Any]) -> None:
    """Put what their checks return in the place of a frozen dataclass's fields."""
    for name, check in checks.items():
        object.__setattr__(instance, name, check(name, getattr(instance, name)))
