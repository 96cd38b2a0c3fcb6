"""The book's networks once more, in plain NumPy and by the longest way round: the tests' oracle."""

from __future__ import annotations

import numpy as np


def probabilities(scores):
    e = np.exp(scores - scores.max(axis=1)[:, None])
    return e / e.sum(axis=1)[:, None]


def error(p, labels):
    return -np.mean([np.log(row[label] + 1e-7) for row, label in zip(p, labels, strict=True)])


class Straight:
    """A network written as a list of steps such as ``("affine", 1)``; labels, not one-hot rows."""

    def __init__(self, params, steps, decay=0.0):
        self.params = {name: value.copy() for name, value in params.items()}
        self.steps, self.decay = steps, decay
        self.running = {}

    def scores(self, x, train=False):
        self.trail = []
        for kind, i, *how in self.steps:
            before = x
            kept = None
            if kind == "affine":
                x = x.reshape(len(x), -1)
                x, kept = x @ self.params[f"W{i}"] + self.params[f"b{i}"], x
            elif kind == "relu":
                x = np.where(x > 0, x, 0)
            elif kind == "sigmoid":
                x = 1 / (1 + np.exp(-x))
                kept = x
            elif kind == "bn":
                x, kept = self._normalise(x, i, train)
            elif kind == "dropout":
                (ratio,) = how
                if train:
                    kept = np.random.rand(*x.shape) > ratio  # noqa: NPY002
                    x = x * kept
                else:
                    x = x * (1 - ratio)
            elif kind == "conv":
                x = convolve(x, self.params[f"W{i}"], self.params[f"b{i}"], *how)
            elif kind == "pool":
                x = pool(x, *how)
            self.trail.append((kind, i, how, before, kept))
        return x

    def _normalise(self, x, i, train):
        mean, var = self.running.get(i, (0.0, 0.0))
        if not train:
            z = (x - mean) / np.sqrt(var + 1e-6)
            return self.params[f"gamma{i}"] * z + self.params[f"beta{i}"], None
        mu, sigma2 = x.mean(axis=0), x.var(axis=0)
        self.running[i] = (0.9 * mean + 0.1 * mu, 0.9 * var + 0.1 * sigma2)
        z = (x - mu) / np.sqrt(sigma2 + 1e-6)
        return self.params[f"gamma{i}"] * z + self.params[f"beta{i}"], (x, mu, sigma2, z)

    def loss(self, x, labels, train=False):
        value = error(probabilities(self.scores(x, train)), labels)
        weights = [W for name, W in self.params.items() if name[0] == "W"]
        return value + self.decay / 2 * sum((W * W).sum() for W in weights)

    def accuracy(self, x, labels):
        return float(np.mean([row.argmax() == k for row, k in zip(self.scores(x), labels)]))  # noqa: B905

    def gradient(self, x, labels):
        p = probabilities(self.scores(x, train=True))
        d = p.copy()
        for row, label in zip(d, labels, strict=True):
            row[label] -= 1
        d /= len(x)
        grads = {}
        for kind, i, how, before, kept in reversed(self.trail):
            if kind == "affine":
                grads[f"W{i}"] = kept.T @ d + self.decay * self.params[f"W{i}"]
                grads[f"b{i}"] = d.sum(axis=0)
                d = (d @ self.params[f"W{i}"].T).reshape(before.shape)
            elif kind == "relu":
                d = d * (before > 0)
            elif kind == "sigmoid":
                d = d * kept * (1 - kept)
            elif kind == "bn":
                xb, mu, sigma2, z = kept
                grads[f"gamma{i}"], grads[f"beta{i}"] = (d * z).sum(axis=0), d.sum(axis=0)
                dz, n, s = d * self.params[f"gamma{i}"], len(xb), np.sqrt(sigma2 + 1e-6)
                dvar = (dz * (xb - mu)).sum(axis=0) * -0.5 / s**3
                dmu = -dz.sum(axis=0) / s + dvar * -2 * (xb - mu).sum(axis=0) / n
                d = dz / s + dvar * 2 * (xb - mu) / n + dmu / n
            elif kind == "dropout":
                d = d * kept
            elif kind == "conv":
                d, grads[f"W{i}"], grads[f"b{i}"] = convolve_back(
                    d, before, self.params[f"W{i}"], *how
                )
            elif kind == "pool":
                d = pool_back(d, before, *how)
        return grads


def _spots(shape, kh, kw, stride, pad):
    h, w = shape[2] + 2 * pad, shape[3] + 2 * pad
    for p in range((h - kh) // stride + 1):
        for q in range((w - kw) // stride + 1):
            yield p, q, slice(p * stride, p * stride + kh), slice(q * stride, q * stride + kw)


def _wide(x, pad, value=0.0):
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=value)


def convolve(x, W, b, stride=1, pad=0):
    spots = list(_spots(x.shape, *W.shape[2:], stride, pad))
    out = np.zeros((len(x), len(W), spots[-1][0] + 1, spots[-1][1] + 1))
    for p, q, rows, cols in spots:
        out[:, :, p, q] = np.einsum("nchw,fchw->nf", _wide(x, pad)[:, :, rows, cols], W) + b
    return out


def convolve_back(d, x, W, stride=1, pad=0):
    wide, dW = _wide(x, pad), np.zeros(W.shape)
    dwide = np.zeros(wide.shape)
    for p, q, rows, cols in _spots(x.shape, *W.shape[2:], stride, pad):
        dW += np.einsum("nf,nchw->fchw", d[:, :, p, q], wide[:, :, rows, cols])
        dwide[:, :, rows, cols] += np.einsum("nf,fchw->nchw", d[:, :, p, q], W)
    return dwide[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dW, d.sum(axis=(0, 2, 3))


def pool(x, kh, kw, stride, pad=0):
    spots = list(_spots(x.shape, kh, kw, stride, pad))
    out = np.zeros((*x.shape[:2], spots[-1][0] + 1, spots[-1][1] + 1))
    for p, q, rows, cols in spots:
        out[:, :, p, q] = _wide(x, pad, -np.inf)[:, :, rows, cols].max(axis=(2, 3))
    return out


def pool_back(d, x, kh, kw, stride, pad=0):
    wide = _wide(x, pad, -np.inf)
    dwide = np.zeros(wide.shape)
    for p, q, rows, cols in _spots(x.shape, kh, kw, stride, pad):
        for n in range(x.shape[0]):
            for c in range(x.shape[1]):
                i, j = np.unravel_index(wide[n, c, rows, cols].argmax(), (kh, kw))
                dwide[n, c, rows.start + i, cols.start + j] += d[n, c, p, q]
    return dwide[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]]
