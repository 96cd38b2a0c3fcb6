"""The book's layers (``common/layers.py``).

A layer uses the arrays it is given, keeps what its backward pass needs until the next forward
pass, and makes new arrays of its gradients (``dW``, ``db`` ...) in each backward pass.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from xpnet import functions as _functions
from xpnet import ops as _ops
from xpnet.arrays import Array, dtype_kind, dtype_name, namespace
from xpnet.book._globals import uniform as _uniform
from xpnet.book.functions import (
    EPS,
    as_floating,
    cross_entropy_error,
    identity_function,
    mean_squared_error,
    relu,
    relu_grad,
    right_classes,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
)
from xpnet.book.util import as_float64, col2im, im2col
from xpnet.devices import device_of
from xpnet.ops.window import framed as _framed

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


_FLOAT64 = np.dtype("float64")


def _alike(x: Array, W: Array) -> tuple[Array, Array]:
    """Return x and W as floating-point arrays of their common dtype."""
    if x.dtype is W.dtype is _FLOAT64:  # nearly always, and gradient checks come here often
        return x, W
    xp = namespace(W)
    dtype = _common(xp, x.dtype, W.dtype)
    if x.dtype != dtype:
        x = xp.astype(x, dtype)
    return x, W if W.dtype == dtype else xp.astype(W, dtype)


@functools.cache
def _common(xp: Any, of_x: Any, of_w: Any) -> Any:
    """Return the floating dtype of a product; whole numbers of x take that of W."""
    if dtype_kind(xp, of_w) == "exact":
        of_w = xp.float64
    return of_w if dtype_kind(xp, of_x) == "exact" else xp.result_type(of_x, of_w)


def _added(out: Array, b: Any) -> Array:
    """Return ``out + b``: in place where that gives the same dtype."""
    if getattr(b, "dtype", out.dtype) != out.dtype:
        return out + b
    out += b
    return out


def _masked(a: Array, mask: Array) -> Array:
    """Return a where the mask is true, else zero."""
    return namespace(a).where(mask, a, 0.0)


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
        return namespace(x).where(self.mask, 0, x)

    def backward(self, dout: Array) -> Array:
        """Return the gradient of x; dout stays as it is."""
        dx = _masked(dout, ~self.mask)
        dx += 0  # of a negative number the mask leaves -0.0
        return dx


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
        The last input, in its own dtype.
    original_x_shape : tuple of int
    """

    def __init__(self, W: Array, b: Any) -> None:
        self.W = W
        self.b = b
        self.x: Array = None
        self.original_x_shape: tuple[int, ...] | None = None
        self.dW: Array = None
        self.db: Array = None
        self._rows: Array = None  # x in the dtype of the product

    def forward(self, x: Array) -> Array:
        """Return ``x W + b``."""
        self.original_x_shape = shape = tuple(x.shape)
        self.x = x = x if len(shape) == 2 else namespace(x).reshape(x, (shape[0], -1))
        self._rows, W = _alike(x, self.W)
        return self._rows @ W + self.b

    def slopes(self, dout: Array) -> Array:
        """Make dW and db; return dout in the dtype of the product."""
        xp = namespace(dout)
        dout = xp.astype(dout, self._rows.dtype, copy=False)
        self.dW = self._rows.T @ dout
        self.db = xp.sum(dout, axis=0)
        return dout

    def backward(self, dout: Array) -> Array:
        """Make dW and db; return the gradient of x."""
        dout = self.slopes(dout)
        dx = dout @ _alike(self._rows, self.W)[1].T
        return namespace(dx).reshape(dx, self.original_x_shape)


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
        x = as_floating(x)
        if x.ndim != 2:
            self.y = softmax(x)
            self.loss = cross_entropy_error(self.y, t)
            return self.loss
        t = device_of(x).asarray(t)
        targets = t if t.shape == x.shape else right_classes(t, x)
        self.y, self.loss = _ops.loss.softmax_loss(x, targets, eps=EPS)
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        """Return the gradient of the scores, that of the loss being 1.

        As in the book dout is not looked at, and the loss's 1e-7 is not differentiated.
        """
        y = self.y
        xp, t = namespace(y), device_of(y).asarray(self.t)
        if math.prod(t.shape) == math.prod(y.shape):
            t = xp.astype(xp.reshape(t, y.shape), y.dtype, copy=False)
        else:
            t = right_classes(t, y if y.ndim == 2 else xp.reshape(y, (1, -1)))
            t = xp.reshape(_functions.one_hot(t, y.shape[-1], dtype_name(y)), y.shape)
        return (y - t) / (y.shape[0] if y.ndim > 1 else 1)


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
        return _masked(x, self.mask)

    def backward(self, dout: Array) -> Array:
        """Return the gradient of x: dout where the mask kept x, else zero."""
        return _masked(dout, self.mask)


class BatchNormalization:
    """Each column brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    The book's definition: images (n, c, h, w) count as n rows of c h w columns, the variance is
    the biased one everywhere, 1e-6 is added to it, and the running statistics start at zero, in
    float64.

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
    input_shape : tuple of int
        The shape of the last input.
    batch_size : int
    xc, std, xn : array
        Of the last training pass: the centred rows, the columns' deviations, their quotient.
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
        self.batch_size: int | None = None
        self._shape: tuple[int, ...] | None = None  # of the last training pass
        self.xc: Array = None
        self.std: Array = None
        self.xn: Array = None
        self.dgamma: Array = None
        self.dbeta: Array = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Return the normalised batch."""
        xp = namespace(x)
        self.input_shape = shape = tuple(x.shape)
        if len(shape) != 2:
            x = xp.reshape(x, (shape[0], -1))
        if self.running_mean is None:
            self.running_mean = xp.zeros(x.shape[1], dtype=xp.float64, device=x.device)
        if self.running_var is None:
            self.running_var = xp.zeros(x.shape[1], dtype=xp.float64, device=x.device)
        if train_flg:
            mean = xp.mean(x, axis=0)
            xc = x - mean
            var = xp.mean(xc * xc, axis=0)
            self._shape, self.batch_size, self.xc = shape, shape[0], xc
            self.std = xp.sqrt(var + 1e-6)
            self.xn = xn = xc / self.std
            m = self.momentum
            self.running_mean = m * self.running_mean + (1 - m) * mean
            self.running_var = m * self.running_var + (1 - m) * var
        else:
            xn = (x - self.running_mean) / xp.sqrt(self.running_var + 1e-6)
        return xp.reshape(_added(self.gamma * xn, self.beta), shape)

    def backward(self, dout: Array) -> Array:
        """Make dgamma and dbeta; return the gradient of x."""
        xp, shape = namespace(dout), dout.shape
        if len(shape) != 2:
            dout = xp.reshape(dout, (shape[0], -1))
        self.dbeta = xp.sum(dout, axis=0)
        self.dgamma = xp.sum(self.xn * dout, axis=0)
        n = shape[0]
        dx = self.gamma / self.std * (dout - self.dbeta / n - self.xn * (self.dgamma / n))
        return xp.reshape(dx, self._shape)


class Convolution:
    """2-D convolution of images, in float64 whatever the dtype of x.

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
        self._col: Array = None
        self._seen: Any = None  # W, stride and pad of the last forward pass

    def forward(self, x: Array) -> Array:
        """Return the images' convolution with each kernel, shape (n, f, oh, ow)."""
        self.x, self._col = x, None
        self._seen = self.W, self.stride, self.pad
        out, self._kept = _ops.conv.conv2d(
            as_float64(x), as_float64(self.W), None, stride=self.stride, pad=self.pad
        )
        b = self.b
        return _added(out, namespace(b).reshape(b, (-1, 1, 1)) if getattr(b, "ndim", 0) else b)

    def slopes(self, dout: Array) -> None:
        """Make dW and db."""
        self._backward(dout, need_dx=False)

    def backward(self, dout: Array) -> Array:
        """Make dW and db; return the gradient of x."""
        return self._backward(dout, need_dx=True)

    def _backward(self, dout: Array, need_dx: bool) -> Array:
        W, stride, pad = self._seen
        xp, W = namespace(dout), as_float64(W)
        dW, db = xp.empty_like(W), xp.empty(W.shape[:1], dtype=W.dtype, device=W.device)
        dx = _ops.conv.conv2d_backward(
            as_float64(dout), self._kept, W, dW, db, stride=stride, pad=pad, need_dx=need_dx
        )
        self.dW, self.db = dW, db
        return dx

    @property
    def col(self) -> Array:
        """The windows of the last input as rows, made when they are asked for."""
        if self._col is None and self.x is not None:
            W, stride, pad = self._seen
            self._col = im2col(self.x, W.shape[2], W.shape[3], stride, pad)
        return self._col

    @property
    def col_W(self) -> Array:  # noqa: N802  (the book's name)
        """The kernels of the last forward pass as columns: a view of W."""
        if self._seen is None:
            return None
        W = self._seen[0]
        return namespace(W).reshape(W, (W.shape[0], -1)).T


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

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad
        self.x: Array = None
        self._kept: Any = None
        self._arg_max: Array = None
        self._window: Any = None  # of the last forward pass

    def forward(self, x: Array) -> Array:
        """Return the windows' maxima in float64, shape (n, c, oh, ow)."""
        self.x, self._arg_max = x, None
        self._window = _ops.Window(self.pool_h, self.pool_w, self.stride, self.pad)
        out, self._kept = _ops.pool.max_pool2d(as_float64(x), self._window)
        return out

    def backward(self, dout: Array) -> Array:
        """Return the gradient of x: each dout goes to its window's winner."""
        return _ops.pool.max_pool2d_backward(as_float64(dout), self._kept, self._window)

    @property
    def arg_max(self) -> Array:
        """The place of each window's winner in it, by (n, oh, ow, c), made when asked for."""
        if self._arg_max is None and self.x is not None:
            xp, window = namespace(self.x), self._window
            wide = _framed(as_float64(self.x), window.pad, -math.inf)
            rows = _ops.conv.im2col(wide, window._replace(pad=0))
            self._arg_max = xp.argmax(xp.reshape(rows, (-1, window.cells)), axis=1)
        return self._arg_max
