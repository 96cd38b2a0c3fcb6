"""2-D convolution, plain and followed by ReLU and max-pooling; im2col and its transpose.

Images are (n, c, h, w).  A kernel of (kh, kw) that moves by ``stride`` over an image padded by
``pad`` zeros on every side makes an output of ``oh = (h + 2 pad - kh) // stride + 1`` rows.
"""

from __future__ import annotations

from typing import Any

from xpnet.arrays import Array, namespace
from xpnet.ops.dispatch import op
from xpnet.ops.pool import max_pool2d, max_pool2d_backward
from xpnet.ops.precision import as_operand
from xpnet.ops.window import Window, cropped, framed

__all__ = [
    "col2im",
    "conv2d",
    "conv2d_backward",
    "conv_relu_pool",
    "conv_relu_pool_backward",
    "im2col",
]


def im2col(x: Array, window: Window) -> Array:
    """Return every window of every image as one row.

    Parameters
    ----------
    x : array, shape (n, c, h, w)

    Returns
    -------
    array, shape (n * oh * ow, c * kh * kw)
    """
    xp = namespace(x)
    n, c = x.shape[:2]
    oh, ow = window.positions(x.shape)
    x = framed(x, window.pad, 0.0)
    columns = xp.empty((n, oh, ow, c, window.cells), dtype=x.dtype, device=x.device)
    for cell, seen in enumerate(window.views(oh, ow)):
        columns[..., cell] = xp.permute_dims(x[seen], (0, 2, 3, 1))
    return xp.reshape(columns, (n * oh * ow, c * window.cells))


def col2im(columns: Array, x_shape: tuple[int, ...], window: Window) -> Array:
    """Return the transpose of :func:`im2col`: every pixel is the sum over the windows it is in.

    Parameters
    ----------
    columns : array, shape (n * oh * ow, c * kh * kw)
    x_shape : (n, c, h, w)

    Returns
    -------
    array, shape (n, c, h, w)
    """
    xp = namespace(columns)
    n, c, h, w = x_shape
    oh, ow = window.positions(x_shape)
    columns = xp.reshape(columns, (n, oh, ow, c, window.cells))
    shape = (n, c, h + 2 * window.pad, w + 2 * window.pad)
    x = xp.zeros(shape, dtype=columns.dtype, device=columns.device)
    for cell, seen in enumerate(window.views(oh, ow)):
        x[seen] += xp.permute_dims(columns[..., cell], (0, 3, 1, 2))
    return cropped(x, window.pad)


@op
def conv2d(
    x: Array, W: Array, b: Array | None, *, stride: int, pad: int, precision: str = "float32"
) -> tuple[Array, Any]:
    """Return ``y[n, f, p, q] = b[f] + sum over cij of x[n, c, p s + i, q s + j] W[f, c, i, j]``.

    As in most libraries this is cross-correlation: the kernel is not flipped.

    Parameters
    ----------
    x : array, shape (n, c, h, w)
    W : array, shape (f, c, kh, kw)
    b : array, shape (f,), or None
    stride, pad : int, pixels
    precision : str
        That of the products: see :mod:`xpnet.ops.precision`.

    Returns
    -------
    y : array, shape (n, f, oh, ow)
    kept : what :func:`conv2d_backward` of the same library needs
    """
    xp = namespace(x)
    n, (f, _, kh, kw) = x.shape[0], W.shape
    window = Window(kh, kw, stride, pad)
    columns = as_operand(im2col(x, window), precision)
    y = xp.matmul(columns, as_operand(xp.reshape(W, (f, -1)), precision).T)
    if b is not None:
        y = y + b
    oh, ow = window.positions(x.shape)
    y = xp.permute_dims(xp.reshape(y, (n, oh, ow, f)), (0, 3, 1, 2))
    return y, (columns, x.shape)


@op
def conv2d_backward(
    dy: Array,
    kept: Any,
    W: Array,
    dW: Array,
    db: Array | None,
    *,
    stride: int,
    pad: int,
    need_dx: bool,
    precision: str = "float32",
) -> Array | None:
    """Write the gradients of :func:`conv2d` into ``dW`` and ``db``; return that of x.

    Parameters
    ----------
    dy : array, shape (n, f, oh, ow)
    kept : as :func:`conv2d` returned it
    W, dW : array, shape (f, c, kh, kw)
    db : array, shape (f,), or None

    Returns
    -------
    array, shape (n, c, h, w), or None where ``need_dx`` is False
    """
    xp = namespace(dy)
    columns, x_shape = kept
    f, _, kh, kw = W.shape
    rows = xp.reshape(xp.permute_dims(dy, (0, 2, 3, 1)), (-1, f))
    if db is not None:
        db[...] = xp.sum(rows, axis=0)
    rows = as_operand(rows, precision)
    dW[...] = xp.reshape(xp.matmul(rows.T, columns), W.shape)
    if not need_dx:
        return None
    slopes = xp.matmul(rows, as_operand(xp.reshape(W, (f, -1)), precision))
    return col2im(slopes, x_shape, Window(kh, kw, stride, pad))


@op
def conv_relu_pool(
    x: Array,
    W: Array,
    b: Array | None,
    *,
    stride: int,
    pad: int,
    window: Window | None,
    precision: str = "float32",
) -> tuple[Array, Any]:
    """Return the max-pooled ``max(conv2d(x), 0)``.

    Parameters
    ----------
    x, W, b, stride, pad, precision
        As those of :func:`conv2d`.
    window : Window of the pooling, or None for no pooling

    Returns
    -------
    y : array, shape (n, f, rows, columns)
    kept : what :func:`conv_relu_pool_backward` of the same library needs
    """
    y, columns = conv2d(x, W, b, stride=stride, pad=pad, precision=precision)
    y = namespace(y).where(y < 0, 0.0, y)
    if window is None:
        return y, (columns, y, None)
    pooled, winners = max_pool2d(y, window)
    return pooled, (columns, y, winners)


@op
def conv_relu_pool_backward(
    dy: Array,
    kept: Any,
    W: Array,
    dW: Array,
    db: Array | None,
    *,
    stride: int,
    pad: int,
    window: Window | None,
    need_dx: bool,
    precision: str = "float32",
) -> Array | None:
    """Take ``dy`` through pooling and ReLU, then as :func:`conv2d_backward`."""
    columns, y, winners = kept
    if window is not None:
        dy = max_pool2d_backward(dy, winners, window)
    dz = namespace(dy).where(y > 0, dy, 0.0)
    return conv2d_backward(
        dz, columns, W, dW, db, stride=stride, pad=pad, need_dx=need_dx, precision=precision
    )
