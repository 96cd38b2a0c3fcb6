"""What a network's samples become: numbers in its dtype, unless its first layer takes integers."""

from __future__ import annotations

import math
import warnings

from xpnet.arrays import Array, dtype_kind, dtype_name, namespace, pieces, real_dtype, to_numpy
from xpnet.devices import device_of
from xpnet.layers.base import Layer
from xpnet.layers.shape import Rescale

__all__ = ["as_floats", "as_samples", "first_layer", "warn_of_scale"]

PIXELS = 0.1
"""A first layer that multiplies by less is there for pixels of 0 to 255."""

LONG = ("int32", "int64", "uint32", "uint64")
"""The dtypes of whole numbers that floats may not hold."""


def first_layer(net: Layer) -> Layer:
    """Return the innermost layer that samples reach first."""
    while (part := next(net.children(), None)) is not None:
        net = part[1]
    return net


def as_samples(net: Layer, x: Array, name: str = "x") -> Array:
    """Return samples as a network takes them, on the device they are on.

    Real numbers in the network's dtype; integers too, unless the first layer takes them as they
    are; a number for each sample as a row of one, where the network has one input.

    Raises
    ------
    ValueError
        There are whole numbers that the network's dtype cannot hold, or numbers past its range.
    """
    if x.ndim == 1 and net.input_shape == (1,):
        x = x[:, None]
    kind = dtype_kind(namespace(x), x.dtype)
    if kind == "exact":
        first = first_layer(net)
        if "exact" not in first.accepts:
            return as_floats(x, net.dtype, name)
        if isinstance(first, Rescale):
            _check_held(x, real_dtype(net.dtype), name)
    if kind == "real" and net.dtype.startswith("float"):
        return as_floats(x, net.dtype, name)
    return x


def as_floats(x: Array, dtype: str, name: str) -> Array:
    """Return real numbers in a floating dtype: that of the real parts, where it is complex.

    Raises
    ------
    ValueError
        There are whole numbers that the dtype cannot hold, or numbers past its range.
    """
    dtype = real_dtype(dtype)
    _check_held(x, dtype, name)
    return device_of(x).asarray(x, dtype)


def _check_held(x: Array, dtype: str, name: str) -> None:
    if dtype_name(x) == "float64" and dtype == "float32" and math.prod(x.shape):
        xp = namespace(x)
        peak = max(float(xp.max(x)), -float(xp.min(x)))
        if float(xp.finfo(xp.float32).max) < peak < math.inf:
            raise ValueError(
                f"{name}: expected numbers of at most 3.4e38, which float32 holds, got {peak:.3g}: "
                f'scale them, or build the network with dtype="float64"'
            )
    most = 2 ** (24 if dtype == "float32" else 53)
    if dtype_name(x) in LONG and math.prod(x.shape):
        host = to_numpy(x)
        largest = max(int(host.max()), -int(host.min()))
        if largest > most:
            wider = ', build the network with dtype="float64"' if dtype == "float32" else ""
            raise ValueError(
                f"{name}: expected whole numbers of at most {most}, up to which {dtype} holds them "
                f"all, got {largest}: subtract an origin{wider}, or round them by astype"
            )


def warn_of_scale(net: Layer, x: Array, name: str = "x") -> bool:
    """Warn where a network begins by dividing pixels that are in 0 to 1 already.

    Returns
    -------
    bool
        Whether it warned.
    """
    first = first_layer(net)
    if not (isinstance(first, Rescale) and 0 < abs(first.scale) < PIXELS):
        return False
    if dtype_kind(namespace(x), x.dtype) != "real" or not math.prod(x.shape):
        return False
    # pixels of 0 to 255 show themselves at once: only others are read whole
    if not (_peak(x[: min(100, x.shape[0]), ...]) <= 1 and _peaks_within_1(x)):
        return False
    warnings.warn(
        f"{name}: no number is above 1, and {first.label} multiplies by {first.scale:.3g} as if "
        f"they were pixels of 0 to 255: leave Rescale out, or give the pixels as they were",
        stacklevel=3,
    )
    return True


def _peaks_within_1(x: Array) -> bool:
    """Return whether numbers are of at most 1, and not all 0; NaN is neither."""
    highest = 0.0
    for _, piece in pieces(x):
        peak = _peak(piece)
        if not peak <= 1:
            return False
        highest = max(highest, peak)
    return highest > 0


def _peak(x: Array) -> float:
    xp = namespace(x)
    return float(xp.max(xp.abs(x)))
