"""The geometry of windows that move over images: shared by convolution and pooling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from xpnet.arrays import Array, namespace

__all__ = ["Window", "cropped", "framed"]


class Window(NamedTuple):
    """A window of kh rows and kw columns that moves over images by ``stride``.

    The images have a border of ``pad`` on every side.  All four are whole numbers of pixels.
    """

    kh: int
    kw: int
    stride: int
    pad: int

    @property
    def cells(self) -> int:
        """How many pixels it shows."""
        return self.kh * self.kw

    @property
    def is_tiling(self) -> bool:
        """Whether it is square and its positions lie side by side: no pixel is in two of them."""
        return self.kh == self.kw == self.stride and self.pad == 0

    def positions(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the rows and columns of its positions on images of shape (..., h, w)."""
        h, w = shape[-2:]
        rows = (h + 2 * self.pad - self.kh) // self.stride + 1
        return rows, (w + 2 * self.pad - self.kw) // self.stride + 1

    def views(self, rows: int, columns: int) -> Iterator[tuple[slice, slice, slice, slice]]:
        """Yield an index for each of its cells, in reading order.

        It selects from images (n, c, h, w), border included, the (n, c, rows, columns) pixels
        that the cell meets as the window moves.
        """
        every, stride = slice(None), self.stride
        for i in range(self.kh):
            down = slice(i, i + stride * (rows - 1) + 1, stride)
            for j in range(self.kw):
                yield every, every, down, slice(j, j + stride * (columns - 1) + 1, stride)


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
