"""What a network's first step costs, paid beforehand."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator

from xpnet import ops
from xpnet.arrays import Array, is_complex, namespace
from xpnet.checks import whole_number
from xpnet.devices import device_of
from xpnet.layers import Network
from xpnet.layers.inputs import first_layer
from xpnet.losses import Loss
from xpnet.optimizers import Optimizer
from xpnet.training.stats import Stats

__all__ = ["warm_up"]

MANY = 100
"""Samples for which there are loops that fewer are not worth: predictions take up to 1000."""


def warm_up(
    net: Network,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    *,
    batch_size: int = 100,
) -> float:
    """Import and compile beforehand what predictions and training steps of a network need.

    Compiled loops are kept on disk: on a new machine this takes seconds, later some tenths of a
    second a process.  It works on copies; of the arguments no weight, state, counter or slot
    changes.

    Parameters
    ----------
    net : Network
    loss : Loss, optional
    optimizer : Optimizer, optional
        With their own loops; without, no loss is computed and no update made.
    batch_size : int
        That of the steps to come: small batches may have other loops.

    Returns
    -------
    float
        The seconds it took.
    """
    batch_size = whole_number("batch_size", batch_size, 1)
    began = time.perf_counter()
    net, loss, optimizer = copy.deepcopy((net, loss, optimizer))
    for n in {1, batch_size, MANY}:
        for x in _samples(net, n):
            net.predict(x)
    with net.threads():
        for x in _samples(net, max(batch_size, 2)):  # BatchNorm wants two
            y = net.forward(_gathered(net, x), train=True)
            dy = y if loss is None else _gradient(loss, y)
            net.backward(dy)
            if optimizer is not None:
                optimizer.update(net.params, net.grads)
    return time.perf_counter() - began


def _samples(net: Network, n: int) -> Iterator[Array]:
    """Yield a batch of each kind of numbers that a network takes."""
    for dtype in (net.dtype, *(["uint8"] if "exact" in first_layer(net).accepts else [])):
        yield net.device.zeros((n, *net.input_shape), dtype) + 2  # as pixels may be


def _gathered(net: Network, x: Array) -> Array:
    """Return samples as a batch has them."""
    order = net.device.zeros(x.shape[0], "int64")
    return ops.batch.gather_batch(x, order, order, 0, n=x.shape[0])[0]


def _gradient(loss: Loss, scores: Array) -> Array:
    """Return a gradient of the loss, computed from labels too where those may be targets."""
    xp = namespace(scores)
    if scores.ndim == 2 and not is_complex(scores):
        labels = xp.zeros_like(scores[:, 0], dtype=xp.int64)
        stats = Stats(device_of(scores), loss.answers(tuple(scores.shape[1:]), labels))
        stats.add(loss.forward(scores, labels), scores, labels)
    loss.forward(scores, xp.ones_like(scores))
    return loss.backward()
