"""Normalisation layers."""

from __future__ import annotations

import math

from xpnet import ops
from xpnet.arrays import Array, namespace
from xpnet.checks import Hyperparameter, number, positive
from xpnet.initializers import constant
from xpnet.layers.base import Layer, Shape
from xpnet.layers.buffers import itemsize
from xpnet.random import Stream

__all__ = ["BatchNorm"]


class BatchNorm(Layer):
    """Each channel brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    Forward: ``y = gamma x_hat + beta``, ``x_hat = (x - mean) / sqrt(var + eps)``; in training
    with the batch's mean and biased variance, which also feed the running statistics, otherwise
    with the running ones.  Backward: ``dbeta = sum dy``, ``dgamma = sum dy x_hat``,
    ``dx = gamma / sqrt(var + eps) (dy - mean dy - x_hat mean(dy x_hat))``.  Frozen, it takes the
    running ones in training too, and leaves them: ``dx = gamma / sqrt(var + eps) dy``.

    Parameters
    ----------
    momentum : float
        The share of the running statistics that each batch leaves in place.
    eps : float
        Added to the variance.

    Notes
    -----
    Input (n, c) or (n, c, h, w): statistics for each c.  Parameters gamma and beta (c,), neither
    decayed; state mean and var (c,), var the unbiased running variance, as in PyTorch.  Kept for
    backward: x_hat, as many numbers as the input has.
    Ioffe and Szegedy, "Batch normalization", 2015.
    """

    momentum = Hyperparameter(number, lambda x: 0 <= x <= 1, "0 <= momentum <= 1")
    eps = Hyperparameter(positive)

    def __init__(self, momentum: float = 0.9, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Make gamma, beta and the running statistics."""
        if len(input_shape) not in (1, 3):
            raise ValueError(
                f"{self.label}: expected x of shape (n, c) or (n, c, h, w), "
                f"got a sample shape of {input_shape}"
            )
        zeros, ones = (constant(v)(rng, input_shape[:1], 1, 1) for v in (0.0, 1.0))
        self.add_param("gamma", ones)
        self.add_param("beta", zeros)
        self.add_state("mean", zeros)
        self.add_state("var", ones)
        return input_shape

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the normalised batch."""
        self.check(x)
        params, state = self.params, self.state
        gamma, beta, mean, var = params["gamma"], params["beta"], state["mean"], state["var"]
        if train and not self.is_frozen:
            if x.shape[0] * math.prod(x.shape[2:]) < 2:
                raise ValueError(
                    f"{self.label}: expected at least 2 numbers a channel in training, "
                    f"got x of shape {tuple(x.shape)} (drop_last leaves out a last, short batch)"
                )
            y, kept = ops.norm.batch_norm(
                x, gamma, beta, mean, var, momentum=self.momentum, eps=self.eps
            )
            self.keep(kept)
            return y
        xp = namespace(x)
        scale = gamma / xp.sqrt(var + self.eps)
        channels = (1, -1) + (1,) * (x.ndim - 2)
        shift, scale = xp.reshape(beta - mean * scale, channels), xp.reshape(scale, channels)
        if train:
            self.keep(scale)
        return x * scale + shift

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill dgamma and dbeta; return dx."""
        if self.is_frozen:
            scale = self.take()
            return dy * scale if need_dx else None
        grads = self.grads
        return ops.norm.batch_norm_backward(
            dy, self.take(), self.params["gamma"], grads["gamma"], grads["beta"], need_dx=need_dx
        )

    def flops(self) -> int:
        """Two for each number, at inference."""
        return 2 * math.prod(self.input_shape)

    def cache_bytes(self) -> int:
        """Count the normalised input."""
        return math.prod(self.input_shape) * itemsize(self.dtype)
