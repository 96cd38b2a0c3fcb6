"""What the programs of *Deep Learning from Scratch* compute, in plain NumPy: a yardstick.

It works as they do: float64 parameters in a dict, convolutions by columns, an update for each
parameter, the loss once more after each step.  Nothing is checked and nothing of xpnet is used.
The names are those of :mod:`xpnet.book`, so that one program runs with either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "Momentum",
    "MultiLayerNet",
    "MultiLayerNetExtend",
    "Nesterov",
    "RMSprop",
    "SimpleConvNet",
    "TwoLayerNet",
    "numerical_gradient",
]

Numbers: TypeAlias = Any
"""A NumPy array."""
Named: TypeAlias = dict[str, Any]

TINY = 1e-7


def numerical_gradient(f: Callable[[Numbers], Any], x: Numbers) -> Numbers:
    """Return the slopes of f at x by central differences, found one by one in place."""
    slopes, h = np.zeros_like(x), 1e-4
    places = np.nditer(x, flags=["multi_index"], op_flags=[("readwrite",)])
    while not places.finished:
        at = places.multi_index
        value = x[at]
        x[at] = float(value) + h
        right = f(x)
        x[at] = value - h
        left = f(x)
        slopes[at] = (right - left) / (2 * h)
        x[at] = value
        places.iternext()
    return slopes


def _softmax(x: Numbers) -> Numbers:
    x = x - np.max(x, axis=-1, keepdims=True)
    return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)


def _cross_entropy(y: Numbers, t: Numbers) -> Any:
    labels = t.argmax(axis=1) if t.size == y.size else t
    return -np.sum(np.log(y[np.arange(len(y)), labels] + TINY)) / len(y)


def _columns(x: Numbers, kh: int, kw: int, stride: int, pad: int) -> Numbers:
    n, c, h, w = x.shape
    rows, cols = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    wide = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    found = np.zeros((n, c, kh, kw, rows, cols))
    for i in range(kh):
        for j in range(kw):
            seen = wide[:, :, i : i + stride * rows : stride, j : j + stride * cols : stride]
            found[:, :, i, j] = seen
    return found.transpose(0, 4, 5, 1, 2, 3).reshape(n * rows * cols, -1)


def _image(
    columns: Numbers, shape: tuple[int, ...], kh: int, kw: int, stride: int, pad: int
) -> Numbers:
    n, c, h, w = shape
    rows, cols = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    cells = columns.reshape(n, rows, cols, c, kh, kw).transpose(0, 3, 4, 5, 1, 2)
    wide = np.zeros((n, c, h + 2 * pad + stride - 1, w + 2 * pad + stride - 1))
    for i in range(kh):
        for j in range(kw):
            at = np.s_[:, :, i : i + stride * rows : stride, j : j + stride * cols : stride]
            wide[at] += cells[:, :, i, j]
    return wide[:, :, pad : h + pad, pad : w + pad]


class _Relu:
    def forward(self, x: Numbers) -> Numbers:
        self.off = x <= 0
        y = x.copy()
        y[self.off] = 0
        return y

    def backward(self, dy: Numbers) -> Numbers:
        dy[self.off] = 0
        return dy


class _Sigmoid:
    def forward(self, x: Numbers) -> Numbers:
        self.y: Numbers = 1 / (1 + np.exp(-x))
        return self.y

    def backward(self, dy: Numbers) -> Numbers:
        return dy * (1.0 - self.y) * self.y


class _Affine:
    def __init__(self, params: Named, number: int) -> None:
        self.W, self.b = params[f"W{number}"], params[f"b{number}"]

    def forward(self, x: Numbers) -> Numbers:
        self.shape, self.x = x.shape, x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b

    def backward(self, dy: Numbers) -> Numbers:
        dx = np.dot(dy, self.W.T)
        self.dW = np.dot(self.x.T, dy)
        self.db = np.sum(dy, axis=0)
        return dx.reshape(*self.shape)


class _Convolution:
    def __init__(self, params: Named, number: int, stride: int, pad: int) -> None:
        self.W, self.b = params[f"W{number}"], params[f"b{number}"]
        self.stride, self.pad = stride, pad

    def forward(self, x: Numbers) -> Numbers:
        f, _, kh, kw = self.W.shape
        n, _, h, w = self.shape = x.shape
        rows = (h + 2 * self.pad - kh) // self.stride + 1
        cols = (w + 2 * self.pad - kw) // self.stride + 1
        self.columns = _columns(x, kh, kw, self.stride, self.pad)
        self.kernels = self.W.reshape(f, -1).T
        y = np.dot(self.columns, self.kernels) + self.b
        return y.reshape(n, rows, cols, -1).transpose(0, 3, 1, 2)

    def backward(self, dy: Numbers) -> Numbers:
        f, _, kh, kw = self.W.shape
        rows = dy.transpose(0, 2, 3, 1).reshape(-1, f)
        self.db = np.sum(rows, axis=0)
        self.dW = np.dot(self.columns.T, rows).transpose(1, 0).reshape(self.W.shape)
        slopes = np.dot(rows, self.kernels.T)
        return _image(slopes, self.shape, kh, kw, self.stride, self.pad)


class _Pooling:
    size = 2

    def forward(self, x: Numbers) -> Numbers:
        n, c, h, w = self.shape = x.shape
        columns = _columns(x, self.size, self.size, self.size, 0).reshape(-1, self.size**2)
        self.winners = np.argmax(columns, axis=1)
        y = np.max(columns, axis=1)
        return y.reshape(n, h // self.size, w // self.size, c).transpose(0, 3, 1, 2)

    def backward(self, dy: Numbers) -> Numbers:
        dy = dy.transpose(0, 2, 3, 1)
        slopes = np.zeros((dy.size, self.size**2))
        slopes[np.arange(self.winners.size), self.winners] = dy.flatten()
        columns = slopes.reshape(dy.shape[0] * dy.shape[1] * dy.shape[2], -1)
        return _image(columns, self.shape, self.size, self.size, self.size, 0)


class _Dropout:
    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def forward(self, x: Numbers, train: bool) -> Numbers:
        if not train:
            return x * (1.0 - self.ratio)
        self.on = np.random.rand(*x.shape) > self.ratio  # noqa: NPY002  (as the book draws)
        return x * self.on

    def backward(self, dy: Numbers) -> Numbers:
        return dy * self.on


class _BatchNorm:
    def __init__(self, gamma: Numbers, beta: Numbers) -> None:
        self.gamma, self.beta = gamma, beta
        self.mean, self.var = np.zeros(len(gamma)), np.zeros(len(gamma))

    def forward(self, x: Numbers, train: bool) -> Numbers:
        if not train:
            return self.gamma * ((x - self.mean) / np.sqrt(self.var + 1e-6)) + self.beta
        mean = x.mean(axis=0)
        self.centred = x - mean
        var = np.mean(self.centred**2, axis=0)
        self.deviation = np.sqrt(var + 1e-6)
        self.z = self.centred / self.deviation
        self.mean = 0.9 * self.mean + (1 - 0.9) * mean
        self.var = 0.9 * self.var + (1 - 0.9) * var
        return self.gamma * self.z + self.beta

    def backward(self, dy: Numbers) -> Numbers:
        n = len(dy)
        self.dbeta = dy.sum(axis=0)
        self.dgamma = np.sum(self.z * dy, axis=0)
        dz = self.gamma * dy
        dx = dz / self.deviation
        ddeviation = -np.sum((dz * self.centred) / (self.deviation * self.deviation), axis=0)
        dvar = 0.5 * ddeviation / self.deviation
        dx += (2.0 / n) * self.centred * dvar
        return dx - np.sum(dx, axis=0) / n


class _Net:
    def __init__(self) -> None:
        self.params: Named = {}
        self.layers: list[Any] = []
        self.decay = 0.0

    def _draw(self, number: int, scale: float, *shape: int) -> None:
        self.params[f"W{number}"] = scale * np.random.randn(*shape)  # noqa: NPY002
        self.params[f"b{number}"] = np.zeros(shape[0] if len(shape) == 4 else shape[1])

    def predict(self, x: Numbers, train: bool = False) -> Numbers:
        for layer in self.layers:
            if isinstance(layer, (_Dropout, _BatchNorm)):
                x = layer.forward(x, train)
            else:
                x = layer.forward(x)
        return x

    def loss(self, x: Numbers, t: Numbers, train: bool = False) -> Any:
        self.y, self.t = _softmax(self.predict(x, train)), t
        penalty = 0.0
        for name, W in self.params.items():
            if name[0] == "W" and not isinstance(self, (TwoLayerNet, SimpleConvNet)):
                penalty += 0.5 * self.decay * np.sum(W**2)
        return _cross_entropy(self.y, t) + penalty

    def gradient(self, x: Numbers, t: Numbers) -> Named:
        self.loss(x, t, train=True)
        n = len(x)
        if t.size == self.y.size:
            d = (self.y - t) / n
        else:
            d = self.y.copy()
            d[np.arange(n), t] -= 1
            d = d / n
        for layer in reversed(self.layers):
            d = layer.backward(d)
        grads: Named = {}
        weighted = (layer for layer in self.layers if hasattr(layer, "W"))
        for number, layer in enumerate(weighted, 1):
            grads[f"W{number}"], grads[f"b{number}"] = layer.dW, layer.db
            if not isinstance(self, (TwoLayerNet, SimpleConvNet)):
                grads[f"W{number}"] = layer.dW + self.decay * layer.W
        normed = (layer for layer in self.layers if isinstance(layer, _BatchNorm))
        for number, layer in enumerate(normed, 1):
            grads[f"gamma{number}"], grads[f"beta{number}"] = layer.dgamma, layer.dbeta
        return grads


class TwoLayerNet(_Net):
    """Affine, ReLU, affine."""

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, weight_init_std: float = 0.01
    ) -> None:
        super().__init__()
        self._draw(1, weight_init_std, input_size, hidden_size)
        self._draw(2, weight_init_std, hidden_size, output_size)
        self.layers = [_Affine(self.params, 1), _Relu(), _Affine(self.params, 2)]


class MultiLayerNetExtend(_Net):
    """Affine layers with activations between them, normalised and thinned out at will."""

    def __init__(
        self,
        input_size: int,
        hidden_size_list: list[int],
        output_size: int,
        activation: str = "relu",
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
    ) -> None:
        super().__init__()
        sizes = [input_size, *hidden_size_list, output_size]
        gain = 2.0 if activation == "relu" else 1.0
        for i in range(1, len(sizes)):
            self._draw(i, np.sqrt(gain / sizes[i - 1]), sizes[i - 1], sizes[i])
        for i, units in enumerate(hidden_size_list, 1):
            self.layers.append(_Affine(self.params, i))
            if use_batchnorm:
                self.params[f"gamma{i}"], self.params[f"beta{i}"] = np.ones(units), np.zeros(units)
                self.layers.append(_BatchNorm(self.params[f"gamma{i}"], self.params[f"beta{i}"]))
            self.layers.append(_Relu() if activation == "relu" else _Sigmoid())
            if use_dropout:
                self.layers.append(_Dropout(dropout_ration))
        self.layers.append(_Affine(self.params, len(sizes) - 1))


class MultiLayerNet(MultiLayerNetExtend):
    """Affine layers with activations between them."""


class SimpleConvNet(_Net):
    """Convolution, ReLU, pooling, affine, ReLU, affine."""

    def __init__(
        self,
        input_dim: tuple[int, int, int],
        conv_param: Mapping[str, int],
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
    ) -> None:
        super().__init__()
        filters, size = conv_param["filter_num"], conv_param["filter_size"]
        stride, pad = conv_param["stride"], conv_param["pad"]
        side = ((input_dim[1] + 2 * pad - size) // stride + 1) // 2
        self._draw(1, weight_init_std, filters, input_dim[0], size, size)
        self._draw(2, weight_init_std, filters * side * side, hidden_size)
        self._draw(3, weight_init_std, hidden_size, output_size)
        self.layers = [_Convolution(self.params, 1, stride, pad), _Relu(), _Pooling()]
        self.layers += [_Affine(self.params, 2), _Relu(), _Affine(self.params, 3)]


def _nothing(params: Named) -> Named:
    return {name: np.zeros_like(p) for name, p in params.items()}


class SGD:
    """``p -= lr g``."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: Named, grads: Named) -> None:
        """Move the parameters."""
        for name in params:
            params[name] -= self.lr * grads[name]


class Momentum:
    """``v = m v - lr g``, ``p += v``."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr, self.m = lr, momentum
        self.v: Named | None = None

    def update(self, params: Named, grads: Named) -> None:
        """Move the parameters."""
        v = self.v = _nothing(params) if self.v is None else self.v
        for name in params:
            v[name] = self.m * v[name] - self.lr * grads[name]
            params[name] += v[name]


class Nesterov(Momentum):
    """``p += m^2 v - (1 + m) lr g``, then ``v = m v - lr g``."""

    def update(self, params: Named, grads: Named) -> None:
        """Move the parameters."""
        v = self.v = _nothing(params) if self.v is None else self.v
        for name in params:
            params[name] += self.m * self.m * v[name]
            params[name] -= (1 + self.m) * self.lr * grads[name]
            v[name] *= self.m
            v[name] -= self.lr * grads[name]


class AdaGrad:
    """``h += g^2``, ``p -= lr g / (sqrt(h) + 1e-7)``."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: Named | None = None

    def update(self, params: Named, grads: Named) -> None:
        """Move the parameters."""
        h = self.h = _nothing(params) if self.h is None else self.h
        for name in params:
            h[name] += grads[name] * grads[name]
            params[name] -= self.lr * grads[name] / (np.sqrt(h[name]) + TINY)


class RMSprop:
    """``h = r h + (1 - r) g^2``, ``p -= lr g / (sqrt(h) + 1e-7)``."""

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr, self.r = lr, decay_rate
        self.h: Named | None = None

    def update(self, params: Named, grads: Named) -> None:
        """Move the parameters."""
        h = self.h = _nothing(params) if self.h is None else self.h
        for name in params:
            h[name] *= self.r
            h[name] += (1 - self.r) * grads[name] * grads[name]
            params[name] -= self.lr * grads[name] / (np.sqrt(h[name]) + TINY)


class Adam:
    """``m += (1 - b1)(g - m)``, ``v += (1 - b2)(g^2 - v)``, ``p -= lr_t m / (sqrt(v) + 1e-7)``."""

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr, self.b1, self.b2, self.t = lr, beta1, beta2, 0
        self.m: Named | None = None
        self.v: Named = {}

    def update(self, params: Named, grads: Named) -> None:
        """Move the parameters."""
        if self.m is None:
            self.m, self.v = _nothing(params), _nothing(params)
        m, v = self.m, self.v
        self.t += 1
        rate = self.lr * np.sqrt(1.0 - self.b2**self.t) / (1.0 - self.b1**self.t)
        for name in params:
            m[name] += (1 - self.b1) * (grads[name] - m[name])
            v[name] += (1 - self.b2) * (grads[name] ** 2 - v[name])
            params[name] -= rate * m[name] / (np.sqrt(v[name]) + TINY)
