"""The network and the optimizer that an estimator's settings stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xpnet import models, optimizers
from xpnet.checks import (
    came,
    fraction,
    instance,
    not_negative,
    one_of,
    positive,
    takes_exactly,
    whole_number,
)
from xpnet.layers import Network
from xpnet.optimizers import Optimizer

__all__ = ["RULES", "dense", "made_by", "optimizer"]

RULES: dict[str, type[Optimizer]] = {
    name.lower(): kind
    for name in optimizers.__all__
    if (kind := getattr(optimizers, name)) is not Optimizer
}
"""The optimizers by the names of their classes in lower case: "sgd", "adam" ..."""


def dense(
    hidden: Any, activation: str, dropout: float, input_shape: tuple[int, ...], outputs: int,
    seed: int, dtype: str,
) -> Network:  # fmt: skip
    """Return fully connected layers with an activation between each two."""
    return models.mlp(
        _sizes(hidden),
        outputs,
        input_shape=input_shape,
        activation=activation,
        dropout=fraction("dropout", dropout),
        rescale=None,
        seed=seed,
        dtype=dtype,
    )


def _sizes(hidden: Any) -> list[int]:
    """Return the units of each hidden layer; one number is that of a single one."""
    given = hidden.tolist() if hasattr(hidden, "tolist") else hidden
    sizes = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return [whole_number("hidden", units, 1) for units in sizes]


def made_by(
    net: Callable[..., Network], input_shape: tuple[int, ...], outputs: int, seed: int
) -> Network:
    """Return the network that a function of one's own makes, checked to fit."""
    wanted = "(input_shape, outputs, seed)"
    if not callable(net) or isinstance(net, Network):
        raise TypeError(
            f"net: expected a function of {wanted} that makes a network, got {came(net)}"
        )
    given = takes_exactly(net, 2, ["seed"])
    if given is not None:
        raise TypeError(f"net: expected a function of {wanted}, got one of {given}")
    made: Network = instance(
        "net(...)", net(input_shape, outputs, seed=seed), Network, "Sequential([...], input_shape)"
    )
    if not made.is_root or (made.input_shape, made.output_shape) != (input_shape, (outputs,)):
        shapes = f"{made.input_shape} -> {made.output_shape}" if made.is_root else "no shapes yet"
        raise ValueError(
            f"net(...): expected a network of {input_shape} -> ({outputs},), got {shapes}"
        )
    return made


def optimizer(given: Any, learning_rate: float | None, weight_decay: float | None) -> Optimizer:
    """Return an optimizer that has made no step.

    Parameters
    ----------
    given : str or Optimizer
        One of :data:`RULES`; or an optimizer, of which one is made with equal arguments.
    learning_rate, weight_decay : float, optional
        By default the optimizer's own.
    """
    if isinstance(given, Optimizer):
        made = type(given)(**given.config())
    else:
        made = RULES[one_of("optimizer", given, RULES)]()  # type: ignore[call-arg] # all have a rate
    if learning_rate is not None:
        made.lr = positive("learning_rate", learning_rate)
    if weight_decay is not None:
        made.weight_decay = not_negative("weight_decay", weight_decay)
    return made
