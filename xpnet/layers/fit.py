"""Whether an input fits a layer: one clear sentence where it does not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

from xpnet.arrays import Array, dtype_kind, dtype_name, library, namespace
from xpnet.checks import whole_number
from xpnet.layers.buffers import ITEMSIZE, Shape

__all__ = [
    "HOW_TO_BUILD",
    "SIZES",
    "check_built",
    "check_dtype",
    "check_input",
    "check_own_dtype",
    "checked_shape",
    "image_shape",
    "shape_cure",
    "with_batch",
]

HOW_TO_BUILD = "give its Sequential an input_shape, or call build(input_shape, rng, dtype)"

SIZES = "layers take sizes of what they make, never of what they receive"
"""What to say to those who give a layer a size too many."""


class Built(Protocol):
    """What is asked of a layer that x shall fit."""

    input_shape: Shape
    dtype: str

    @property
    def label(self) -> str:
        """The layer's name in messages."""

    @property
    def accepts(self) -> tuple[str, ...]:
        """The kinds of numbers that x may be of: "real", "complex", "exact"."""


def check_built(layer: Built) -> None:
    """Raise unless a layer is built."""
    if "output_shape" not in vars(layer):
        raise ValueError(f"{type(layer).__name__} is not built: {HOW_TO_BUILD}")


def check_input(layer: Built, x: Array, own: Iterable[Array]) -> None:
    """Raise unless x is of the library of a layer's own arrays, of its shape and of its dtype."""
    came = library(x)
    for array in own:
        if library(array) is not came:
            raise TypeError(
                f"{layer.label}: the parameters are {library(array).name} arrays, x is a "
                f"{came.name} array: move the network with net.to(...) or convert x"
            )
    if tuple(x.shape[1:]) != layer.input_shape:
        raise ValueError(
            f"{layer.label}: expected x of shape {with_batch(layer.input_shape)}, "
            f"got {tuple(x.shape)}{shape_cure(tuple(x.shape), layer.input_shape)}"
        )
    check_dtype(layer, x)


def shape_cure(came: Any, wanted: Any) -> str:
    """Return the end of a sentence: how x of a shape becomes samples of the wanted one."""
    if came == wanted:
        return ": one sample is a batch of one, x[None]"
    one = came[1:]
    if len(wanted) == 3 and one == (*wanted[1:], wanted[0]):
        return ": channels come first, np.moveaxis(x, -1, 1)"
    if not came or any(isinstance(length, tuple) for length in wanted):
        return ""
    if math.prod(one) == math.prod(wanted):
        return f": write x.reshape({', '.join(map(str, (-1, *wanted)))})"
    return ""


def check_dtype(layer: Built, x: Array) -> None:
    """Raise one clear sentence unless a layer works on numbers of x's dtype."""
    kind, real = dtype_kind(namespace(x), x.dtype), layer.dtype.startswith("float")
    exact = "exact" in layer.accepts
    if kind == "complex" and ("complex" not in layer.accepts or (exact and real)):
        raise ValueError(f"{layer.label}: expected real x, got {dtype_name(x)}")
    if exact:
        return
    if kind == "exact":
        raise ValueError(
            f"{layer.label}: expected floating-point x, got {dtype_name(x)}: "
            f"begin the network with Rescale, or convert x"
        )
    if kind == "real" and real and dtype_name(x) != layer.dtype:
        raise ValueError(
            f"{layer.label}: expected {layer.dtype} x, got {dtype_name(x)}: convert x, or build "
            f"the network with dtype={dtype_name(x)!r}"
        )


def check_own_dtype(layer: Built) -> None:
    """Raise unless a layer's own dtype is one that parameters have, and the layer works on."""
    if layer.dtype not in ITEMSIZE:
        *others, last = map(repr, ITEMSIZE)
        raise ValueError(
            f"{layer.label}: expected dtype {', '.join(others)} or {last}, got {layer.dtype!r}"
        )
    if layer.dtype.startswith("complex") and "complex" not in layer.accepts:
        raise ValueError(f"{layer.label}: works on real numbers only, got dtype {layer.dtype!r}")


def image_shape(layer: Built, input_shape: Shape) -> tuple[int, int, int]:
    """Return an input shape as (c, h, w), or raise naming the layer."""
    if len(input_shape) != 3:
        raise ValueError(
            f"{layer.label}: expected images (n, c, h, w), got {with_batch(input_shape)}"
        )
    return input_shape[0], input_shape[1], input_shape[2]


def checked_shape(label: str, shape: Any) -> Any:
    """Return a shape, or a shape for each of several inputs, as tuples of whole numbers >= 1."""
    if not isinstance(shape, (tuple, list)):
        raise ValueError(f"{label}: expected an input_shape such as (1, 28, 28), got {shape!r}")
    return tuple(
        checked_shape(label, length)
        if isinstance(length, (tuple, list))
        else whole_number(f"{label}: input_shape", length, 1)
        for length in shape
    )


def with_batch(shape: Any) -> str:
    """Return a shape as messages show it, its batch axis as n."""
    return f"({', '.join(['n', *map(str, shape)])})"
