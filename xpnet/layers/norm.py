"""Normalisation layers."""

from __future__ import annotations

import math

from xpnet import ops
from xpnet.arrays import Array, namespace
from xpnet.checks import Hyperparameter, flag, number, positive
from xpnet.initializers import constant
from xpnet.layers.base import Layer, Shape
from xpnet.layers.buffers import itemsize
from xpnet.ops.norm import Gather
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
    sync : bool
        Whether the statistics are those of the whole batch, as those of PyTorch's SyncBatchNorm,
        in a run whose batches are cut into shards (:mod:`xpnet.parallel`); otherwise each shard is
        normalised by itself.  Elsewhere it changes nothing.  Set it before a fit begins.

    Attributes
    ----------
    gather : callable or None
        While the layer has a shard of a batch: takes a shard's sums and returns those of all, as
        :data:`xpnet.ops.norm.Gather` says.  Whoever runs the shards sets it.

    Notes
    -----
    Input (n, c) or (n, c, h, w): statistics for each c.  Parameters gamma and beta (c,), neither
    decayed; state mean and var (c,), var the unbiased running variance, as in PyTorch.  Kept for
    backward: x_hat, as many numbers as the input has.  With ``sync`` the shards of a batch wait for
    one another: each gives 2 c + 1 numbers in a forward pass, 2 c in a backward pass.
    Ioffe and Szegedy, "Batch normalization", 2015.
    """

    momentum = Hyperparameter(number, lambda x: 0 <= x <= 1, "0 <= momentum <= 1")
    eps = Hyperparameter(positive)
    sync = Hyperparameter(flag)

    gather: Gather | None = None

    def __init__(self, momentum: float = 0.9, eps: float = 1e-5, sync: bool = False) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.sync = sync

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
            arrays = (x, gamma, beta, mean, var)
            settings = {"momentum": self.momentum, "eps": self.eps}
            if self.gather is None:
                y, kept = ops.norm.batch_norm(*arrays, **settings)
            else:
                y, kept = ops.norm.sync_batch_norm(*arrays, **settings, gather=self.gather)
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
        arrays = (dy, self.take(), self.params["gamma"], grads["gamma"], grads["beta"])
        if self.gather is None:
            return ops.norm.batch_norm_backward(*arrays, need_dx=need_dx)
        return ops.norm.sync_batch_norm_backward(*arrays, need_dx=need_dx, gather=self.gather)

    def flops(self) -> int:
        """Two for each number, at inference."""
        return 2 * math.prod(self.input_shape)

    def cache_bytes(self) -> int:
        """Count the normalised input."""
        return math.prod(self.input_shape) * itemsize(self.dtype)
