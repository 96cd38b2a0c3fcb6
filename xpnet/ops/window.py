"""The geometry of windows that move over images: shared by convolution and pooling."""

from __future__ import annotations

from collections.abc import Iterator

from xpnet.arrays import Array, namespace

__all__ = ["cropped", "framed", "output_size", "output_sizes", "window_cells"]


def output_size(size: int, window: int, stride: int, pad: int) -> int:
    """Return how many positions a window has along an axis of ``size`` pixels."""
    return (size + 2 * pad - window) // stride + 1


def output_sizes(
    x_shape: tuple[int, ...], kh: int, kw: int, stride: int, pad: int
) -> tuple[int, int]:
    """Return the rows and columns of positions a window has on images of shape (..., h, w)."""
    h, w = x_shape[-2:]
    return output_size(h, kh, stride, pad), output_size(w, kw, stride, pad)


def window_cells(
    kh: int, kw: int, stride: int, oh: int, ow: int
) -> Iterator[tuple[slice, slice, slice, slice]]:
    """Yield an index for each cell of the window, in reading order.

    It selects from images (n, c, h, w), padding included, the (n, c, oh, ow) pixels that the
    cell meets as the window moves.
    """
    every = slice(None)
    for i in range(kh):
        for j in range(kw):
            rows = slice(i, i + stride * (oh - 1) + 1, stride)
            yield every, every, rows, slice(j, j + stride * (ow - 1) + 1, stride)


def framed(x: Array, pad: int, value: float) -> Array:
    """Return images with a border of ``pad`` pixels of one value."""
    if pad == 0:
        return x
    xp = namespace(x)
    n, c, h, w = x.shape
    wide = xp.full((n, c, h + 2 * pad, w + 2 * pad), value, dtype=x.dtype, device=x.device)
    cropped(wide, pad)[...] = x
    return wide


def cropped(x: Array, pad: int) -> Array:
    """Return images without a border of ``pad`` pixels, as a view."""
    return x[:, :, pad : x.shape[2] - pad, pad : x.shape[3] - pad] if pad else x
