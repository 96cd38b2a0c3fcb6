"""Gradients by differences, to hold backward passes against, and plain gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xpnet.arrays import Array, dtype_kind, dtype_name, is_complex, namespace, to_numpy
from xpnet.checks import finite, names_in, positive, whole_number
from xpnet.devices import device_of
from xpnet.layers import Layer, Network
from xpnet.losses import Loss
from xpnet.random import Stream

__all__ = ["gradient_check", "gradient_descent", "numerical_gradient"]


def numerical_gradient(f: Callable[[Array], Any], x: Array, h: float = 1e-4) -> Array:
    """Return the gradient of f at x by central differences, ``(f(x + h) - f(x - h)) / 2h``.

    Parameters
    ----------
    f : callable
        Takes an array like x, returns one real number.  It is called twice for each number in x.
    x : array of floating-point numbers, any shape
        Not changed; f sees copies.
    h : float
        The step.  The error is of order h^2, plus rounding of order eps / h.

    Returns
    -------
    array, shape, dtype and device of x; for complex x, dL/dRe + i dL/dIm
    """
    xp, place, h = namespace(x), device_of(x), positive("h", h)
    if dtype_kind(xp, x.dtype) == "exact":
        raise ValueError(f"numerical_gradient: expected floating-point x, got {dtype_name(x)}")
    host = to_numpy(x).copy()
    gradient = host.copy()
    gradient[...] = 0
    flat, slopes = host.reshape(-1), gradient.reshape(-1)
    for direction in (1, 1j) if is_complex(x) else (1,):
        for i in range(flat.size):
            kept = flat[i]
            ends = []
            for end in (h, -h):
                flat[i] = kept + end * direction
                ends.append(float(f(xp.asarray(place.asarray(host), copy=True))))
            flat[i] = kept
            slopes[i] += direction * (ends[0] - ends[1]) / (2 * h)
    return place.asarray(gradient)


def gradient_descent(
    f: Callable[[Array], Any], start: Array, lr: float = 0.01, steps: int = 100
) -> tuple[Array, list[Array]]:
    """Walk downhill along numerical gradients: ``x -= lr grad f(x)``.

    Parameters
    ----------
    f : callable
        Takes an array like ``start``, returns one real number.
    start : array
        Not changed.
    lr : float
    steps : int

    Returns
    -------
    x : array
        Where the walk ended.
    path : list of arrays
        Every point on the way, ``steps + 1`` of them, the start first.
    """
    x, path, lr = start, [start], finite("lr", lr)
    for _ in range(whole_number("steps", steps)):
        x = x - lr * numerical_gradient(f, x)
        path.append(x)
    return x, path


def gradient_check(
    layer: Layer,
    x: Array,
    loss: Loss | None = None,
    targets: Array | None = None,
    *,
    h: float = 1e-6,
    seed: int = 0,
) -> dict[str, float]:
    """Hold a layer's backward pass against differences, along one random direction for each array.

    For every parameter that is not frozen, and for x where it is floating-point, the slope of the
    loss along a random direction of unit length is measured by central differences and compared
    with the gradient's component in that direction.  The layer's state is saved and restored around
    every evaluation, so dropout repeats its mask and running statistics stay put.

    Parameters
    ----------
    layer : Layer
        Built; float64 or complex128, or the differences drown in rounding.
    x : array, shape (n, *input_shape), or a tuple of such arrays
    loss : Loss, optional
        By default the sum of the outputs, each times a fixed random number.
    targets : array, optional
        What the loss takes.
    h : float
        The step of the differences.
    seed : int
        Of the directions.

    Returns
    -------
    dict of str to float
        For each parameter's path, and ``"x"`` (``"x0"``, ``"x1"`` of a tuple), the difference of
        the two slopes, relative to the larger of them or, where both are next to nothing, to a
        thousandth of the largest gradient's norm.
    """
    if layer.dtype not in ("float64", "complex128"):
        raise ValueError(
            f"gradient_check: expected a layer of dtype float64 or complex128, got {layer.dtype}"
        )
    if not (loss is None or isinstance(loss, Loss)):
        raise TypeError(f"gradient_check: expected a loss, got {type(loss).__name__}")
    h = positive("h", h)
    inputs = x if isinstance(x, tuple) else (x,)
    rng = Stream(seed, "gradient_check")
    with _state_restored(layer):
        y = layer.forward(x, train=True)
    weights = _like(y, rng.child("dy"))
    if loss is None:
        dy = weights
    else:
        loss.forward(y, targets)
        dy = loss.backward()
    dx = layer.backward(dy, need_dx=True)
    frozen = layer.frozen if isinstance(layer, Network) else []
    gradients = {
        name: _copy(g) for name, g in layer.grads.items() if name.rpartition(".")[0] not in frozen
    }
    names = ["x"] if len(inputs) == 1 else [f"x{i}" for i in range(len(inputs))]
    for name, given, slope in zip(
        names, inputs, dx if isinstance(dx, tuple) else (dx,), strict=True
    ):
        if "float" in dtype_name(given) or is_complex(given):
            gradients[name] = slope

    def value(changed: Mapping[str, Array]) -> float:
        with _state_restored(layer):
            moved = tuple(changed.get(name, own) for name, own in zip(names, inputs, strict=True))
            y = layer.forward(moved if isinstance(x, tuple) else moved[0], train=True)
            layer.forget()
        if loss is None:
            return _inner(weights, y)
        return float(loss.forward(y, targets))

    floor = 1e-3 * max((_inner(g, g) ** 0.5 for g in gradients.values()), default=0.0)
    errors = {}
    for name, gradient in gradients.items():
        own = dict(zip(names, inputs, strict=True)).get(name)
        array = layer.params[name] if own is None else own
        direction = _like(array, rng.child(name))
        kept, ends = _copy(array), []
        for step in (h, -h):
            there = kept + step * direction
            if own is not None:
                ends.append(value({name: there}))
                continue
            layer.params[name] = there
            try:
                ends.append(value({}))
            finally:
                layer.params[name] = kept
        measured = (ends[0] - ends[1]) / (2 * h)
        claimed = _inner(gradient, direction)
        scale = max(abs(measured), abs(claimed), floor)
        errors[name] = abs(measured - claimed) / scale if scale else 0.0
    return errors


def _like(a: Array, rng: Stream) -> Array:
    """Return random numbers of unit length in the shape, dtype and place of an array."""
    shape = tuple(a.shape)
    values = rng.normal(shape)
    if is_complex(a):
        values = values + 1j * rng.child("imaginary").normal(shape)
    values = values / max((abs(values) ** 2).sum() ** 0.5, 1e-300)
    return device_of(a).asarray(values, dtype_name(a))


def _inner(a: Array, b: Array) -> float:
    """Return the inner product of two arrays as real vectors."""
    a, b = to_numpy(a), to_numpy(b)
    return float((a.real * b.real + a.imag * b.imag).sum())


def _copy(a: Array) -> Array:
    return namespace(a).asarray(a, copy=True)


@contextmanager
def _state_restored(layer: Layer) -> Iterator[None]:
    kept = {name: _copy(array) for name, array in layer.state.items()}
    try:
        yield
    finally:
        for name, array in kept.items():
            layer.state[name] = array


if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(__name__, __all__)
