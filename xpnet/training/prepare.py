"""A data set made ready for a network, or refused with a sentence."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from xpnet.arrays import Array, dtype_kind, namespace, pieces, real_dtype, to_numpy
from xpnet.checks import function, instance, not_negative
from xpnet.data import Dataset
from xpnet.data.datasets import as_labels
from xpnet.data.stored import mapped
from xpnet.devices import device_of
from xpnet.layers import Network
from xpnet.layers.fit import shape_cure
from xpnet.layers.inputs import as_floats, as_samples, warn_of_scale
from xpnet.losses import Answers, Loss
from xpnet.schedules import Schedule, constant

__all__ = [
    "answers",
    "check_dataset",
    "check_fit",
    "check_targets",
    "checked_after_backward",
    "checked_network",
    "checked_schedule",
    "not_finite",
    "prepared",
    "rate_factors",
]


def check_dataset(name: str, data: Any) -> None:
    """Raise one clear sentence unless data come as a Dataset."""
    if isinstance(data, Dataset):
        return
    if isinstance(data, tuple) and len(data) == 2:
        raise TypeError(f"{name}: expected a Dataset, got a tuple: write Dataset(x, t) of its two")
    if isinstance(data, float):
        raise TypeError(
            f"{name}: expected a Dataset, got {data}: write train, held_out = data.split({data})"
        )
    raise TypeError(
        f"{name}: expected a Dataset of samples and targets, got {type(data).__name__}: write "
        f"xpnet.data.Dataset(x, t), as in trainer.fit(Dataset(x, t), epochs=10)"
    )


def checked_network(name: str, net: Any) -> Network:
    """Return a network; raise one clear sentence unless it is one, built."""
    example = "Sequential([...], input_shape=(1, 28, 28))"
    checked: Network = instance(name, net, Network, example)
    if not checked.is_root:
        raise ValueError(f"{name}: expected a network, got layers without a shape: write {example}")
    return checked


def checked_schedule(name: str, given: Any) -> Schedule:
    """Return a schedule, the constant one for None."""
    if given is None:
        return constant()
    schedule: Schedule = function(name, given, "(step, total), such as xpnet.schedules.one_cycle()")
    return schedule


def checked_after_backward(name: str, given: Any) -> Any:
    """Return a function of the gradients, or None."""
    return given if given is None else function(name, given, "(grads)")


def rate_factors(schedule: Schedule, steps: range, total: int) -> list[float]:
    """Return what a schedule multiplies the rate by at some steps: numbers >= 0."""
    found = [schedule(k, total) for k in steps]
    return [
        factor  # of an epoch of thousands: looked at again only where it is not a plain one
        if type(factor) is float and 0 <= factor < math.inf
        else not_negative(f"schedule({k}, {total})", factor)
        for k, factor in zip(steps, found, strict=True)
    ]


def not_finite(data: Dataset) -> str | None:
    """Return the sentence about a number of a data set that is not finite; None for none."""
    try:
        data.check()
    except ValueError as error:
        return str(error)
    return None


def check_fit(net: Network, data: Dataset) -> None:
    """Raise one clear sentence unless a data set fits a network; warn of pixels scaled twice."""
    check_dataset("data", data)
    came, wanted = tuple(data.x.shape), net.input_shape
    if came[1:] != wanted and (came[1:], wanted) != ((), (1,)):
        raise ValueError(
            f"{data.name}: expected samples of shape {wanted}, got {came[1:]}"
            f"{shape_cure(came, wanted)}"
        )
    if _are_labels(net, data.t):
        k = net.output_shape[0]
        as_labels(data.t, k, data.name, f", one of the network's {k} outputs")
    elif _target_shape(net, data.t) != net.output_shape:
        raise ValueError(
            f"{data.name}: expected targets of shape {net.output_shape}, the network's output, "
            f"got {tuple(data.t.shape[1:])}"
        )
    if not data.warned and warn_of_scale(net, data.x, data.name):
        data.warned.add("scale")


def check_targets(net: Network, loss: Loss, data: Dataset) -> None:
    """Raise one clear sentence unless the numbers to come near to are such as a loss takes."""
    low, high = loss.targets_within
    if low == -math.inf or _are_labels(net, data.t):
        return
    if dtype_kind(namespace(data.t), data.t.dtype) == "complex":
        return
    for start, piece in pieces(data.t):
        host = to_numpy(piece)
        outside = (host < low) | (host > high)  # NaN is neither
        if outside.any():
            first = int(outside.argmax())
            expected = f"of {low:g} to {high:g}" if high < math.inf else f">= {low:g}"
            signs = high == 1 and all((abs(to_numpy(p)) == 1).all() for _, p in pieces(data.t))
            raise ValueError(
                f"{data.name}: expected targets {expected}, which {type(loss).__name__} takes, got "
                f"{host.flat[first]} of sample {start + first * len(host) // host.size}"
                f"{': write (t + 1) / 2' if signs else ''}"
            )


def prepared(net: Network, data: Dataset) -> Dataset:
    """Return a data set that fits a network, as the network and its loss take it.

    Samples are as :func:`xpnet.layers.inputs.as_samples` has them.  Labels are integers (n,);
    what are no labels is real numbers of the network's dtype in the shape of its output, but for
    whole numbers of a single output, which stay integers (n,).  Weights are real numbers of that
    dtype.  What is not in memory becomes that batch by batch, as it is read.

    Raises
    ------
    ValueError
        There are whole numbers that the network's dtype cannot hold.
    """
    x = mapped(partial(as_samples, net, name=f"{data.name}: x"), data.x)
    t = mapped(partial(_as_targets, net, name=data.name), data.t)
    weights = data.weights
    if weights is not None:
        weights = device_of(weights).asarray(weights, real_dtype(net.dtype))
    same = x is data.x and t is data.t and weights is data.weights
    return data if same else data.with_arrays(x, t, weights)


def answers(net: Network, loss: Loss, data: Dataset) -> Answers | None:
    """Return what a network's scores answer, as its loss says for the targets of prepared data."""
    return loss.answers(net.output_shape, data.t, data.classes)


def _are_labels(net: Network, t: Array) -> bool:
    """Return whether targets, one a sample, are labels: the outputs tell what a number means.

    Of several outputs it is the number of one; of a single output it is the very number.
    """
    scores, each = net.output_shape, tuple(t.shape[1:])
    real = dtype_kind(namespace(t), t.dtype) != "complex"
    return real and len(scores) == 1 and scores[0] > 1 and each in ((), (1,))


def _target_shape(net: Network, t: Array) -> tuple[int, ...]:
    each = tuple(t.shape[1:])
    return (1,) if each == () and net.output_shape == (1,) else each


def _as_targets(net: Network, t: Array, name: str) -> Array:
    kind, each = dtype_kind(namespace(t), t.dtype), tuple(t.shape[1:])
    has_labels = bool(namespace(t).isdtype(t.dtype, "integral")) and each == ()
    if _are_labels(net, t):
        return t if has_labels else as_labels(t, net.output_shape[0], name)
    numbers = t if kind == "complex" else as_floats(t, net.dtype, f"{name}: t")
    if has_labels:  # a single output's, that a loss may take for the classes 0 and 1
        return t
    return numbers if each == net.output_shape else numbers[:, None]
