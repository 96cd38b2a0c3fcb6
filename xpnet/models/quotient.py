"""Networks that divide: two inputs, two hidden units with a logarithm, one output with exp.

``y = exp(sum_j v_j log(sum_i x_i w_ij))`` is the quotient of the inputs where each hidden unit
sees one input and the output weights are +1 and -1, and their product where both are +1.  Three
ways to learn that: by real numbers and single pairs (:func:`log_exp_network` of real weights,
which fails), by complex numbers and clipped gradients (:func:`learn_clipped`, which succeeds
from some starts), and by a recipe that succeeds from nearly all (:func:`learn_operation`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnet.arrays import Array, is_complex, namespace, to_numpy
from xpnet.checks import one_of
from xpnet.devices import Device, device
from xpnet.initializers import Init, uniform
from xpnet.layers import Exp, Layer, Linear, Log, LogSquare, Sequential
from xpnet.losses import SquaredError
from xpnet.optimizers import SGD, Adam, Optimizer
from xpnet.random import Stream
from xpnet.schedules import Schedule, cosine

__all__ = [
    "OPERATIONS",
    "Clipped",
    "Learned",
    "learn_clipped",
    "learn_linear",
    "learn_operation",
    "log_exp_network",
    "quotient_pairs",
    "relative_error",
]

OPERATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "quotient": lambda a, b: a / b,
    "product": lambda a, b: a * b,
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
}
"""What can be learned of two numbers."""

POSITIVE = uniform(0, 1)
"""The initial hidden weights of the recipe: no argument of a logarithm is negative at first."""

LARGEST_RATIO = math.log(math.log(700))
"""The largest quotient that the clipped training is shown, about 1.88."""


def log_exp_network(
    *,
    real: bool = False,
    hidden: Init = POSITIVE,
    output: Init = "zeros",
    exp: bool = True,
    seed: int = 0,
) -> Sequential:
    """Return the network Linear(2), logarithm, Linear(1), Exp, without biases.

    Parameters
    ----------
    real : bool
        Whether to calculate in float64, with ``log(x^2)`` for the logarithm, rather than in
        complex128.
    hidden, output : str, float or function
        The initial weights, whose imaginary parts are zero.
    exp : bool
        Whether the last layer is there; without it the outputs are the results' logarithms.
    seed : int
        As that of :class:`~xpnet.layers.Sequential`.

    Notes
    -----
    Parameters ``"0.W"`` (2, 2), an input a row and a unit a column, and ``"2.W"`` (2, 1).
    """
    layers: list[Layer] = [
        Linear(2, bias=False, init=hidden),
        LogSquare() if real else Log(),
        Linear(1, bias=False, init=output),
    ]
    if exp:
        layers.append(Exp())
    dtype = "float64" if real else "complex128"
    return Sequential(layers, input_shape=(2,), seed=seed, dtype=dtype)


class Learned(NamedTuple):
    """A network that has learned an operation of two numbers.

    Attributes
    ----------
    net : Sequential
    error : float
        The median relative error on fresh pairs; infinite where the outputs are not finite.
    losses : list of float
        The training loss of each step.
    """

    net: Sequential
    error: float
    losses: list[float]


def learn_operation(
    operation: str = "quotient",
    seed: int = 0,
    *,
    steps: int = 3000,
    batch: int = 128,
    fresh: bool = False,
    real: bool = False,
    hidden: Init = POSITIVE,
    output: Init = "zeros",
    on_score: bool = True,
    optimizer: Optimizer | None = None,
    schedule: Schedule | None = None,
    where: str | Device = "cpu",
) -> Learned:
    """Teach the network of logarithms an operation, by default with the recipe that works.

    The recipe: complex weights; half the mean squared distance of the score before Exp from the
    logarithm of the result; one batch of pairs from U(.1, 10), the same at every step; Adam with
    a short memory of squares, its rate falling to zero along a cosine.

    Parameters
    ----------
    operation : str
        ``"quotient"`` or ``"product"`` (``"sum"`` and ``"difference"`` suit another network, see
        :func:`learn_linear`).
    seed : int
        Of weights and pairs.
    steps : int
        Updates.
    batch : int
        Pairs in the batch.
    fresh : bool
        Whether every step draws a new batch.
    real, hidden, output
        As those of :func:`log_exp_network`.
    on_score : bool
        Whether the loss compares logarithms; else it compares the results themselves.
    optimizer : Optimizer, optional
        By default ``Adam(lr=0.03, beta2=0.99)``.
    schedule : Schedule, optional
        By default ``cosine()``.
    where : str or Device

    Returns
    -------
    Learned
    """
    place, stream = device(where), Stream(seed, "pairs")
    dtype = "float64" if real else "complex128"
    learner = log_exp_network(real=real, hidden=hidden, output=output, exp=not on_score, seed=seed)
    learner.to(place)
    optimizer = optimizer or Adam(lr=0.03, beta2=0.99)
    schedule = schedule or cosine()
    loss, losses = SquaredError(), []
    for step in range(steps):
        if step == 0 or fresh:
            x = place.asarray(_spread_pairs(stream, batch, step), dtype)
            t = _results(operation, x)
            t = namespace(t).log(t) if on_score else t
        losses.append(loss.forward(learner.forward(x, train=True), t))
        learner.backward(loss.backward())
        optimizer.lr_factor = schedule(step, steps)
        optimizer.update(learner.params, learner.grads)
    net = log_exp_network(real=real, seed=seed).to(place)
    for name, weights in learner.params.items():
        net.params[name] = weights
    return Learned(net, relative_error(net, operation, seed), [float(value) for value in losses])


def learn_linear(
    operation: str = "sum",
    seed: int = 0,
    *,
    steps: int = 500,
    batch: int = 128,
    lr: float = 0.02,
    where: str | Device = "cpu",
) -> Learned:
    """Teach one Linear unit without bias an operation that is linear: the sum, the difference.

    Its squared error is convex, so that plain descent on one batch suffices.

    Parameters
    ----------
    operation : str
        One of ``OPERATIONS``.
    seed : int
        Of weights and pairs.
    steps, batch : int
    lr : float
    where : str or Device

    Returns
    -------
    Learned
    """
    place = device(where)
    unit = Linear(1, bias=False, init=uniform(-1, 1))
    net = Sequential([unit], input_shape=(2,), seed=seed, dtype="float64").to(place)
    x = place.asarray(_spread_pairs(Stream(seed, "pairs"), batch))
    t = _results(operation, x)
    loss, optimizer, losses = SquaredError(), SGD(lr), []
    for _ in range(steps):
        losses.append(loss.forward(net.forward(x, train=True), t))
        net.backward(loss.backward())
        optimizer.update(net.params, net.grads)
    return Learned(net, relative_error(net, operation, seed), [float(value) for value in losses])


def relative_error(net: Sequential, operation: str, seed: int = 0, pairs: int = 1000) -> float:
    """Return the median relative error of a network on fresh pairs from U(.1, 10).

    Parameters
    ----------
    net : Sequential
        Takes pairs, returns one number for each, real or complex.
    operation : str
        One of ``OPERATIONS``.
    seed : int
        Of the pairs, which differ from those of the training.
    pairs : int

    Returns
    -------
    float
        Infinite where half the outputs are not finite numbers.
    """
    x = net.device.asarray(_spread_pairs(Stream(seed, "fresh pairs"), pairs))
    t = _results(operation, x)
    errors = sorted(to_numpy(abs(net.forward(x) / t - 1))[:, 0].tolist(), key=_nan_last)
    middle = errors[len(errors) // 2]
    return middle if math.isfinite(middle) else math.inf


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _spread_pairs(stream: Stream, n: int, step: int = 0) -> Any:
    return stream.generator(step).uniform(0.1, 10, (n, 2))


def _results(operation: str, x: Array) -> Array:
    """Return the results of pairs (n, 2) as a column (n, 1)."""
    return OPERATIONS[one_of("operation", operation, OPERATIONS)](x[:, :1], x[:, 1:])


# By clipped gradients --------------------------------------------------------------------------


class Clipped(NamedTuple):
    """Networks that clipped descent has trained, one for each start.

    Attributes
    ----------
    hidden : array, float64, shape (starts, 2, 2)
        An input a row and a unit a column.
    output : array, float64, shape (starts, 2)
    path : array on the host, float64, shape (points, starts, 6)
        The hidden and output weights on the way, from the start to the end.
    """

    hidden: Array
    output: Array
    path: Any

    def solved(self, tolerance: float = 1e-6) -> Array:
        """Return which networks divide: booleans of shape (starts, 3), a column a condition.

        The output weights are +1 and -1; the unit of +1 sees nothing of the second input and that
        of -1 nothing of the first; what each does see, they see alike.  To within ``tolerance``.
        """
        xp, v = namespace(self.hidden), self.output
        ordered = v[:, 0] > v[:, 1]  # the first unit is the one of +1
        v = xp.where(ordered[:, None], v, xp.flip(v, axis=1))
        W = xp.where(ordered[:, None, None], self.hidden, xp.flip(self.hidden, axis=2))
        gaps = (
            xp.maximum(xp.abs(v[:, 0] - 1), xp.abs(v[:, 1] + 1)),
            xp.maximum(xp.abs(W[:, 1, 0]), xp.abs(W[:, 0, 1])),
            xp.abs(W[:, 0, 0] - W[:, 1, 1]),
        )
        return xp.stack(gaps, axis=1) < tolerance


def learn_clipped(
    starts: int = 40,
    steps: int = 200_000,
    *,
    lr: float = 0.1,
    seed: int = 0,
    start: tuple[Any, Any] | None = None,
    every: int = 1000,
    where: str | Device = "cpu",
) -> Clipped:
    """Teach networks to divide, one pair a step, by clipped gradients: the second attempt.

    Half the squared error of the result; the error, each layer's delta and the gradients are cut
    to +-700 and to their real parts; a gradient of 10 or more is divided by the power of ten of
    its magnitude.  Pairs are drawn from U(0, 10) until their quotient is at most log(log(700)).

    Parameters
    ----------
    starts : int
        Networks, trained side by side; nothing couples them.
    steps : int
        Updates of each.
    lr : float
    seed : int
        Of pairs and, where they are random, of weights.
    start : (array of shape (2, 2), array of shape (2,)), optional
        The hidden weights, an input a row and a unit a column, and the output weights that every
        network starts with: they then differ in their pairs alone.  By default each has hidden
        weights of its own from U(-1, 1), and output weights of zero.
    every : int
        Steps between two points of the weights' path.
    where : str or Device

    Returns
    -------
    Clipped
        Those of any start are the weights of a :func:`log_exp_network`.

    Raises
    ------
    ValueError
        The weights to start with have other shapes.

    Notes
    -----
    With everything cut to its real part the weights stay real: only the logarithm of a negative
    number, and what follows it forward, is complex.
    """
    place, stream = device(where), Stream(seed, "pairs")
    if start is None:
        W = place.asarray(Stream(seed, "hidden").uniform((starts, 2, 2), -1, 1))
        v = place.zeros((starts, 2), "float64")
        xp = namespace(W)
    else:
        W, v = (place.asarray(weights, "float64") for weights in start)
        if tuple(W.shape) != (2, 2) or tuple(v.shape) != (2,):
            raise ValueError(
                f"start: expected hidden weights (2, 2) and output weights (2,), got "
                f"{tuple(W.shape)} and {tuple(v.shape)}"
            )
        xp = namespace(W)
        W, v = xp.broadcast_to(W, (starts, 2, 2)), xp.broadcast_to(v, (starts, 2))
    path, chunk = [], 1000
    with place.scope():
        for step in range(steps):
            if step % every == 0:
                path.append(xp.concat([xp.reshape(W, (starts, 4)), v], axis=1))
            if step % chunk == 0:
                pairs = place.asarray(quotient_pairs(stream, (chunk, starts), step // chunk))
            x = pairs[step % chunk, ...]
            z = xp.sum(x[:, :, None] * W, axis=1)
            h = xp.log(xp.astype(z, xp.complex128))
            y = xp.exp(xp.sum(h * v, axis=1, keepdims=True))
            error = _tamed(y - x[:, :1] / x[:, 1:])
            dscore = _tamed(error * xp.conj(y))
            dv = _tamed(dscore * xp.conj(h))
            dz = _tamed(dscore * v / z)
            dW = _tamed(x[:, :, None] * dz[:, None, :])
            v = v - lr * _shrunk(dv)
            W = W - lr * _shrunk(dW)
        path.append(xp.concat([xp.reshape(W, (starts, 4)), v], axis=1))
        return Clipped(W, v, to_numpy(xp.stack(path)))


def quotient_pairs(stream: Stream, shape: tuple[int, ...], step: int = 0) -> Any:
    """Return pairs from U(0, 10) whose quotient is at most log(log(700)), float64 (*shape, 2)."""
    rng = stream.generator(step)
    pairs = rng.uniform(0, 10, (*shape, 2))
    while (large := pairs[..., 0] > LARGEST_RATIO * pairs[..., 1]).any():
        pairs[large] = rng.uniform(0, 10, (int(large.sum()), 2))
    return pairs


def _tamed(values: Array) -> Array:
    """Return the real parts, cut to +-700."""
    xp = namespace(values)
    return xp.clip(xp.real(values) if is_complex(values) else values, -700.0, 700.0)


def _shrunk(gradient: Array) -> Array:
    """Divide by the power of ten of the magnitude, where that is at least 10."""
    xp = namespace(gradient)
    size = xp.clip(xp.abs(gradient), 1.0, None)
    return gradient / 10.0 ** xp.floor(xp.log10(size))
