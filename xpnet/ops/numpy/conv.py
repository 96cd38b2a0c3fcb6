"""Convolutions in cache, a few samples at a time.

A convolution works on a few samples at a time, so that their columns stay in the processor's
cache, and makes the columns again for the backward pass rather than keep them: it is cheaper
than writing them to memory and reading them back.

Where max-pooling with windows that do not overlap follows, the columns are laid out in
*phases*: first all positions that are the top left cell of a pooling window, then all top right
cells, and so on.  Pooling is then the elementwise maximum of contiguous blocks.  A phase (a, b)
of a pool of p sees the image through slices that start at (a stride, b stride) and move by
p stride; a plain convolution is the case p = 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.conv import conv2d, conv2d_backward, conv_relu_pool, conv_relu_pool_backward
from xpnet.ops.numpy.dtypes import mixed
from xpnet.ops.window import Window, cropped, framed
from xpnet.threadpool import split, worth

CHUNK_BYTES = 4 * 2**20
"""Size of the columns made at a time: a few samples of a small network, in cache."""

# glibc's malloc returns a large array's memory to the system and takes fresh pages, zeroed by the
# kernel, for the next, until it has seen one of up to 32 MB freed: from then on it keeps memory
# of that size for reuse.  Untouched, this one costs nothing; the page faults that it saves were
# up to half of a convolutional network's step.
np.empty(2**25 - 2**16, np.uint8)


class _Kept(NamedTuple):
    """What a convolution keeps for its backward pass."""

    wide: Array  # the images with their frame of zeros
    pool: int
    winners: Array | None  # uint8 (n, f, rows cols): the phase of each pooled number
    y: Array | None  # the output, where a ReLU made it


def _columns(
    wide: Array, first: int, last: int, W: Array, stride: int, pool: int, rows: int, cols: int
) -> Iterator[Any]:
    """Yield (samples, their columns (m, c kh kw, pool^2 rows cols)) from the first to the last."""
    c = wide.shape[1]
    kh, kw = W.shape[2:]
    shape = (c, kh * kw, pool * pool, rows, cols)
    size = max(1, CHUNK_BYTES // (wide.itemsize * math.prod(shape)))
    buffer = np.empty((min(last - first, size), *shape), wide.dtype)
    for start in range(first, last, size):
        images = wide[start : min(start + size, last)]
        columns = buffer[: len(images)]
        for cell, phase, at in _positions(kh, kw, stride, pool, rows, cols):
            columns[:, :, cell, phase] = images[at]
        yield slice(start, start + len(images)), columns.reshape(len(images), c * kh * kw, -1)


def _convolve(
    x: Array, W: Array, b: Array | None, stride: int, pad: int, pool: int
) -> tuple[Array, _Kept]:
    """Convolve, then take the maximum of each pool x pool window."""
    n, f = len(x), len(W)
    kh, kw = W.shape[2:]
    oh, ow = Window(kh, kw, stride, pad).positions(x.shape)
    rows, cols = oh // pool, ow // pool
    wide, kernels = framed(x, pad, 0.0), W.reshape(f, -1)
    y = np.empty((n, f, rows * cols), x.dtype)
    winners = np.zeros(y.shape, np.uint8) if pool > 1 else None

    def share(start: int, stop: int) -> None:
        for part, columns in _columns(wide, start, stop, W, stride, pool, rows, cols):
            if winners is None:
                np.matmul(kernels, columns, out=y[part])
            else:
                z = np.matmul(kernels, columns).reshape(-1, f, pool * pool, rows * cols)
                _largest_phase(z, y[part], winners[part])

    split(share, n, worth(2.0 * n * W.size * oh * ow))
    if b is not None:
        y += b[:, None]
    return y.reshape(n, f, rows, cols), _Kept(wide, pool, winners, None)


def _largest_phase(z: Array, y: Array, winners: Array) -> None:
    """Write the maximum over phases into y and its first phase into winners (zeros at first)."""
    y[...] = z[:, :, 0]
    for phase in range(1, z.shape[2]):
        rival = z[:, :, phase]
        ahead = np.greater(rival, y).view(np.uint8)
        ahead *= np.uint8(phase)
        np.maximum(winners, ahead, out=winners)
        np.maximum(y, rival, out=y)


def _convolve_backward(
    dy: Array,
    kept: _Kept,
    W: Array,
    dW: Array,
    db: Array | None,
    stride: int,
    pad: int,
    need_dx: bool,
) -> Array | None:
    """Fill dW and db and return dx.

    With stride 1 dx is itself a convolution, of dz with the kernels turned round: cheaper than
    adding up overlapping columns unless there are many more filters than channels.
    """
    wide, pool, winners, _ = kept
    (n, f, rows, cols), (_, c, kh, kw) = dy.shape, W.shape
    h, w = wide.shape[2] - 2 * pad, wide.shape[3] - 2 * pad
    flat_shape = (n, f, rows * cols)
    dy, y = dy.reshape(flat_shape), None if kept.y is None else kept.y.reshape(flat_shape)
    turn = need_dx and stride == 1 and pad < min(kh, kw) and f <= 2 * c
    around = np.zeros((n, f, h + kh - 1, w + kw - 1), dy.dtype) if turn else None
    dwide = np.zeros_like(wide) if need_dx and not turn else None

    def share(start: int, stop: int) -> tuple[Array, Array]:
        own_dW, own_db = np.zeros(W.shape, W.dtype), np.zeros(f, W.dtype)
        for part, columns in _columns(wide, start, stop, W, stride, pool, rows, cols):
            dz = dy[part] if y is None else dy[part] * (y[part] > 0)
            own_db += np.add.reduce(dz, axis=(0, 2))
            if winners is not None:
                dz = _to_winners(dz, winners[part], pool * pool)
            flat = dz.reshape(len(dz), f, -1)
            products = np.matmul(flat, columns.transpose(0, 2, 1))
            own_dW += np.add.reduce(products, axis=0).reshape(W.shape)
            if around is not None:
                inner = around[part, :, kh - 1 - pad :, kw - 1 - pad :]
                _phases_to_image(flat, inner, pool, rows, cols)
            elif dwide is not None:
                np.matmul(W.reshape(f, -1).T, flat, out=columns)
                _add_columns(columns, dwide[part], kh, kw, stride, pool, rows, cols)
        return own_dW, own_db

    positions = rows * cols * pool * pool
    parts = split(share, n, worth(2.0 * n * W.size * positions))
    dW[...] = functools.reduce(np.add, (part[0] for part in parts))
    if db is not None:
        db[...] = functools.reduce(np.add, (part[1] for part in parts))
    if around is not None:
        turned = np.ascontiguousarray(W[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
        return _convolve(around, turned, None, 1, 0, 1)[0]
    return None if dwide is None else cropped(dwide, pad)


def _phases_to_image(z: Array, image: Array, pool: int, rows: int, cols: int) -> None:
    """Write (m, f, pool^2 rows cols) to the top left of an image (m, f, ...)."""
    z = z.reshape(*z.shape[:2], pool * pool, rows, cols)
    for phase, at in enumerate(Window(pool, pool, pool, 0).views(rows, cols)):
        image[at] = z[:, :, phase]


def _add_columns(
    columns: Array, dwide: Array, kh: int, kw: int, stride: int, pool: int, rows: int, cols: int
) -> None:
    """Add every column back to the pixels it was made of."""
    cells = _positions(kh, kw, stride, pool, rows, cols)
    columns = columns.reshape(*dwide.shape[:2], kh * kw, pool * pool, rows, cols)
    for cell, phase, at in cells:
        dwide[at] += columns[:, :, cell, phase]


def _positions(
    kh: int, kw: int, stride: int, pool: int, rows: int, cols: int
) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """Yield (cell of the kernel, phase of the pool, the pixels they meet)."""
    step = pool * stride
    for cell in range(kh * kw):
        for phase in range(pool * pool):
            top = cell // kw + phase // pool * stride
            left = cell % kw + phase % pool * stride
            yield (
                cell,
                phase,
                (
                    slice(None),
                    slice(None),
                    slice(top, top + step * (rows - 1) + 1, step),
                    slice(left, left + step * (cols - 1) + 1, step),
                ),
            )


def _to_winners(dy: Array, winners: Array, phases: int) -> Array:
    """Return (m, f, phases, positions): dy at the winning phase, zero at the others."""
    m, f, positions = dy.shape
    dz = np.empty((m, f, phases, positions), dy.dtype)
    for phase in range(phases):
        np.multiply(dy, winners == phase, out=dz[:, :, phase])
    return dz


@conv2d.register("numpy", precision="float32")
def _conv2d(
    x: Array, W: Array, b: Array | None, *, stride: int, pad: int, precision: str = "float32"
) -> tuple[Array, Any]:
    return NotImplemented if mixed(x, W) else _convolve(x, W, b, stride, pad, 1)


@conv2d_backward.register("numpy", precision="float32")
def _conv2d_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, stride: int, pad: int,
    need_dx: bool, precision: str = "float32",
) -> Array | None:  # fmt: skip
    if not isinstance(kept, _Kept):
        return NotImplemented
    return _convolve_backward(dy, kept, W, dW, db, stride, pad, need_dx)


@conv_relu_pool.register("numpy", precision="float32")
def _conv_relu_pool(
    x: Array, W: Array, b: Array | None, *, stride: int, pad: int, window: Window | None,
    precision: str = "float32",
) -> tuple[Array, Any]:  # fmt: skip
    pool = 1 if window is None else window.kh
    if mixed(x, W) or pool > 16 or not (window is None or window.is_tiling):
        return NotImplemented
    y, kept = _convolve(x, W, b, stride, pad, pool)
    np.maximum(y, 0, out=y)
    return y, kept._replace(y=y)


@conv_relu_pool_backward.register("numpy", precision="float32")
def _conv_relu_pool_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, stride: int, pad: int,
    window: Window | None, need_dx: bool, precision: str = "float32",
) -> Array | None:  # fmt: skip
    if not isinstance(kept, _Kept):
        return NotImplemented
    return _convolve_backward(dy, kept, W, dW, db, stride, pad, need_dx)
