"""The book's layers (``common/layers.py``).

A layer uses the arrays it is given, keeps what its backward pass needs until the next forward
pass, and makes new arrays of its gradients (``dW``, ``db`` ...) in each backward pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet import functions as _functions
from xpnet import ops as _ops
from xpnet.arrays import Array, dtype_kind, dtype_name, namespace
from xpnet.book._globals import uniform as _uniform
from xpnet.book.functions import (
    as_floating,
    as_targets,
    cross_entropy_error,
    identity_function,
    mean_squared_error,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
)
from xpnet.book.util import col2im, im2col
from xpnet.devices import device_of

__all__ = [
    "Affine",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Pooling",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "col2im",
    "cross_entropy_error",
    "identity_function",
    "im2col",
    "mean_squared_error",
    "np",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
]


def _alike(x: Array, W: Array) -> tuple[Array, Array]:
    """Return x and W as floating-point arrays of their common dtype."""
    xp = namespace(W)
    if x.dtype == W.dtype and dtype_kind(xp, W.dtype) != "exact":
        return x, W
    W = as_floating(W)
    x = xp.astype(x, W.dtype) if xp.isdtype(x.dtype, "integral") else x
    dtype = xp.result_type(x.dtype, W.dtype)
    return xp.astype(x, dtype, copy=False), xp.astype(W, dtype, copy=False)


def _empty_like(a: Array, shape: tuple[int, ...]) -> Array:
    return namespace(a).empty(shape, dtype=a.dtype, device=a.device)


class Relu:
    """``max(x, 0)``.

    Attributes
    ----------
    mask : array of bool
        Where the last x was not positive.
    """

    def __init__(self) -> None:
        self.mask: Array = None

    def forward(self, x: Array) -> Array:
        """Return ``max(x, 0)``."""
        self.mask = x <= 0
        return relu(x)

    def backward(self, dout: Array) -> Array:
        """Return the gradient of x; dout stays as it is."""
        return namespace(dout).where(self.mask, 0.0, dout)


class Sigmoid:
    """``1 / (1 + exp(-x))``.

    Attributes
    ----------
    out : array
        The last output.
    """

    def __init__(self) -> None:
        self.out: Array = None

    def forward(self, x: Array) -> Array:
        """Return the sigmoid of x."""
        self.out = sigmoid(x)
        return self.out

    def backward(self, dout: Array) -> Array:
        """Return the gradient of x."""
        return dout * (1.0 - self.out) * self.out


class Affine:
    """``x W + b``, where x of any rank counts as rows.

    Parameters
    ----------
    W : array, shape (d, units)
    b : array, shape (units,), or a number

    Attributes
    ----------
    dW, db : array
        The gradients, from the first backward pass on.
    x : array, shape (n, d)
    original_x_shape : tuple of int
    """

    def __init__(self, W: Array, b: Any) -> None:
        self.W = W
        self.b = b
        self.x: Array = None
        self.original_x_shape: tuple[int, ...] | None = None
        self.dW: Array = None
        self.db: Array = None
        self._kept: Any = None

    def forward(self, x: Array) -> Array:
        """Return ``x W + b``."""
        self.original_x_shape = tuple(x.shape)
        self.x, W = _alike(namespace(x).reshape(x, (x.shape[0], -1)), self.W)
        out, self._kept = _ops.linear.linear(self.x, W, None)
        return out + self.b

    def backward(self, dout: Array) -> Array:
        """Make dW and db; return the gradient of x."""
        x, W = _alike(self.x, self.W)
        xp = namespace(x)
        dW, db = _empty_like(x, tuple(W.shape)), _empty_like(x, (W.shape[1],))
        dout = xp.astype(dout, x.dtype, copy=False)
        dx = _ops.linear.linear_backward(dout, self._kept, W, dW, db, need_dx=True)
        self.dW, self.db = dW, db
        return xp.reshape(dx, self.original_x_shape)


class SoftmaxWithLoss:
    """Softmax, then the cross-entropy error.

    Attributes
    ----------
    loss : 0-d array or number
    y : array, shape (n, k)
        The probabilities.
    t : array
        The targets, labels or one-hot.
    """

    def __init__(self) -> None:
        self.loss: Array = None
        self.y: Array = None
        self.t: Array = None

    def forward(self, x: Array, t: Array) -> Array:
        """Return the loss of scores x."""
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, t)
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        """Return the gradient of the scores, that of the loss being 1.

        As in the book dout is not looked at, and the loss's 1e-7 is not differentiated.
        """
        t = as_targets(self.t, self.y)
        if t.shape != self.y.shape:
            t = _functions.one_hot(t, self.y.shape[-1], dtype_name(self.y))
        samples = self.y.shape[0] if self.y.ndim > 1 else 1
        return (self.y - namespace(t).astype(t, self.y.dtype, copy=False)) / samples


class Dropout:
    """Numbers zeroed at random in training, all of them scaled down at inference.

    The book's definition: the mask is drawn from NumPy's global generator, and it is the
    inference that makes up for the zeros.

    Parameters
    ----------
    dropout_ratio : float
        The share of zeros.

    Attributes
    ----------
    mask : array of bool
        What the last training pass kept.
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        self.dropout_ratio = dropout_ratio
        self.mask: Array = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Return x, thinned out in training."""
        if not train_flg:
            return x * (1.0 - self.dropout_ratio)
        self.mask = device_of(x).asarray(_uniform(tuple(x.shape)) > self.dropout_ratio)
        return namespace(x).where(self.mask, x, 0.0)

    def backward(self, dout: Array) -> Array:
        """Return the gradient of x: dout where the mask kept x, else zero."""
        return namespace(dout).where(self.mask, dout, 0.0)


class BatchNormalization:
    """Each column brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    The book's definition: images (n, c, h, w) count as n rows of c h w columns, the variance is
    the biased one everywhere, 1e-6 is added to it, and the running statistics start at zero.

    Parameters
    ----------
    gamma, beta : array, shape (d,), or number
    momentum : float
        The share of the running statistics that each batch leaves in place.
    running_mean, running_var : array, shape (d,), optional
        Not written to: each training pass makes new ones.

    Attributes
    ----------
    dgamma, dbeta : array
        The gradients, from the first backward pass on.
    """

    def __init__(
        self,
        gamma: Array,
        beta: Array,
        momentum: float = 0.9,
        running_mean: Array | None = None,
        running_var: Array | None = None,
    ) -> None:
        self.gamma = gamma
        self.beta = beta
        self.momentum = momentum
        self.running_mean = running_mean
        self.running_var = running_var
        self.input_shape: tuple[int, ...] | None = None
        self.std: Array = None
        self.xn: Array = None
        self.dgamma: Array = None
        self.dbeta: Array = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Return the normalised batch."""
        xp = namespace(x)
        shape = tuple(x.shape)
        x = xp.reshape(x, (shape[0], -1))
        if self.running_mean is None or self.running_var is None:
            self.running_mean = self.running_var = xp.zeros_like(x[0, ...])
        if train_flg:
            mean = xp.mean(x, axis=0)
            centred = x - mean
            var = xp.mean(centred**2, axis=0)
            self.input_shape, self.std = shape, xp.sqrt(var + 1e-6)
            self.xn = xn = centred / self.std
            m = self.momentum
            self.running_mean = m * self.running_mean + (1 - m) * mean
            self.running_var = m * self.running_var + (1 - m) * var
        else:
            xn = (x - self.running_mean) / xp.sqrt(self.running_var + 1e-6)
        return xp.reshape(self.gamma * xn + self.beta, shape)

    def backward(self, dout: Array) -> Array:
        """Make dgamma and dbeta; return the gradient of x."""
        xp = namespace(dout)
        dout = xp.reshape(dout, (dout.shape[0], -1))
        self.dbeta = xp.sum(dout, axis=0)
        self.dgamma = xp.sum(self.xn * dout, axis=0)
        n = dout.shape[0]
        dx = self.gamma / self.std * (dout - self.dbeta / n - self.xn * (self.dgamma / n))
        return xp.reshape(dx, self.input_shape)


class Convolution:
    """2-D convolution of images.

    Parameters
    ----------
    W : array, shape (f, c, kh, kw)
    b : array, shape (f,), or a number
    stride, pad : int, pixels

    Attributes
    ----------
    dW, db : array
        The gradients, from the first backward pass on.
    x : array, shape (n, c, h, w)
        The last input.
    """

    def __init__(self, W: Array, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.x: Array = None
        self.dW: Array = None
        self.db: Array = None
        self._kept: Any = None

    def forward(self, x: Array) -> Array:
        """Return the images' convolution with each kernel, shape (n, f, oh, ow)."""
        self.x, W = _alike(x, self.W)
        out, self._kept = _ops.conv.conv2d(self.x, W, None, stride=self.stride, pad=self.pad)
        b = self.b
        return out + (b if getattr(b, "ndim", 0) == 0 else namespace(b).reshape(b, (-1, 1, 1)))

    def backward(self, dout: Array) -> Array:
        """Make dW and db; return the gradient of x."""
        x, W = _alike(self.x, self.W)
        dout = namespace(x).astype(dout, x.dtype, copy=False)
        dW, db = _empty_like(x, tuple(W.shape)), _empty_like(x, (W.shape[0],))
        dx = _ops.conv.conv2d_backward(
            dout, self._kept, W, dW, db, stride=self.stride, pad=self.pad, need_dx=True
        )
        self.dW, self.db = dW, db
        return dx


class Pooling:
    """The largest number of each window; padding never wins, of equal numbers the first does.

    Parameters
    ----------
    pool_h, pool_w, stride, pad : int, pixels

    Attributes
    ----------
    x : array, shape (n, c, h, w)
        The last input.
    """

    def __init__(self, pool_h: int, pool_w: int, stride: int = 1, pad: int = 0) -> None:
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad
        self.x: Array = None
        self._kept: Any = None

    def forward(self, x: Array) -> Array:
        """Return the windows' maxima, shape (n, c, oh, ow)."""
        self.x = as_floating(x)
        out, self._kept = _ops.pool.max_pool2d(self.x, self._window())
        return out

    def backward(self, dout: Array) -> Array:
        """Return the gradient of x: each dout goes to its window's winner."""
        dout = namespace(dout).astype(dout, self.x.dtype, copy=False)
        return _ops.pool.max_pool2d_backward(dout, self._kept, self._window())

    def _window(self) -> _ops.Window:
        return _ops.Window(self.pool_h, self.pool_w, self.stride, self.pad)
