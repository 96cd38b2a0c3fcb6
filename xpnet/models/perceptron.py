"""Perceptrons: neurons that answer 0 or 1, and the logic gates that they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from xpnet import functions
from xpnet.arrays import Array, namespace, to_numpy
from xpnet.checks import one_of
from xpnet.devices import Device
from xpnet.layers import Linear, Sequential

__all__ = ["GATES", "INPUTS", "Perceptron", "logic_gate", "threshold_neuron", "truth_tables"]

INPUTS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
"""The inputs of a gate, in the order in which its answers are written."""

_AND = ([[0.5], [0.5]], [-0.7])
_NAND_OR = ([[-0.5, 0.5], [-0.5, 0.5]], [0.7, -0.2])

GATES: dict[str, tuple[tuple[Any, Any], ...]] = {
    "and": (_AND,),
    "nand": (([[-0.5], [-0.5]], [0.7]),),
    "or": (([[0.5], [0.5]], [-0.2]),),
    "xor": (_NAND_OR, _AND),
}
"""The weights (inputs, units) and biases (units,) of each layer of each gate."""


class Perceptron:
    """Layers of neurons, each of which answers 1 where its score is above 0, else 0.

    Forward, for each layer: ``y = step(x W + b)``.  There is no backward: the slope of a step is 0.

    Parameters
    ----------
    layers : sequence of (W, b)
        W of shape (inputs, units) and b of shape (units,), as arrays or nested numbers.
    dtype : str

    Attributes
    ----------
    layers : list of Sequential
        One Linear each, with these weights.

    Raises
    ------
    ValueError
        There are no layers, or the shapes do not fit one another.

    Notes
    -----
    F. Rosenblatt, "The perceptron", 1958.
    """

    def __init__(self, layers: Sequence[tuple[Any, Any]], *, dtype: str = "float32") -> None:
        if not layers:
            raise ValueError("Perceptron: expected at least one layer, got none")
        self.layers: list[Sequential] = []
        inputs = None
        for i, (W, b) in enumerate(layers):
            W, b = to_numpy(W).astype(dtype), to_numpy(b).astype(dtype)
            if W.ndim != 2 or b.shape != W.shape[1:] or inputs not in (None, W.shape[0]):
                wanted = "inputs" if inputs is None else inputs
                raise ValueError(
                    f"Perceptron: expected W ({wanted}, units) and b (units,) in layer {i}, "
                    f"got {W.shape} and {b.shape}"
                )
            net = Sequential([Linear(W.shape[1])], input_shape=(W.shape[0],), dtype=dtype)
            net.params["0.W"], net.params["0.b"] = W, b
            self.layers.append(net)
            inputs = W.shape[1]

    def to(self, where: str | Device) -> Self:
        """Move the weights to a device; return the perceptron itself."""
        for net in self.layers:
            net.to(where)
        return self

    def __call__(self, x: Array) -> Array:
        """Return the answers, 0 or 1.

        Parameters
        ----------
        x : array, shape (n, inputs)
            Of the perceptron's dtype, on its device.

        Returns
        -------
        array, shape (n, units of the last layer), dtype of x
        """
        for net in self.layers:
            x = functions.step(net.forward(x))
        return x

    def __repr__(self) -> str:
        sizes = [self.layers[0].input_shape, *(net.output_shape for net in self.layers)]
        return f"Perceptron({' -> '.join(str(size[0]) for size in sizes)})"


def logic_gate(name: str, *, dtype: str = "float32") -> Perceptron:
    """Return a logic gate of two inputs.

    Parameters
    ----------
    name : {"and", "nand", "or", "xor"}
        The first three are one neuron each; XOR is AND(NAND, OR), two layers.
    dtype : str

    Raises
    ------
    ValueError
        There is no such gate.
    """
    return Perceptron(GATES[one_of("logic_gate", name, GATES)], dtype=dtype)


def threshold_neuron(x: Array, w: Array, theta: float) -> Array:
    """Return 1 where ``x w > theta``, else 0: a neuron whose bias ``-theta`` stands on the right.

    Parameters
    ----------
    x : array, shape (n, inputs)
    w : array, shape (inputs,)
    theta : float

    Returns
    -------
    array, shape (n,)
    """
    return functions.step(x @ w - theta)


def truth_tables(values: Array) -> dict[str, int]:
    """Try every neuron ``step(w1 x1 + w2 x2 + b)`` on the four inputs of a gate.

    Parameters
    ----------
    values : array of floating-point numbers, shape (n,)
        What w1, w2 and b may be; all n^3 neurons are tried.

    Returns
    -------
    dict of str to int
        For each of the 16 truth tables, ``"0000"`` to ``"1111"`` in the order of ``INPUTS``, how
        many of the neurons compute it.

    Raises
    ------
    ValueError
        ``values`` is not one row of numbers.
    """
    if values.ndim != 1 or values.shape[0] == 0:
        raise ValueError(
            f"truth_tables: expected values of shape (n,), n >= 1, got {tuple(values.shape)}"
        )
    xp = namespace(values)
    w1, w2, b = values[:, None, None], values[None, :, None], values[None, None, :]
    number = 0
    for x1, x2 in INPUTS:  # the four answers of each neuron, read as a binary number
        number = 2 * number + functions.step(w1 * x1 + w2 * x2 + b)
    counts = [int(xp.count_nonzero(number == table)) for table in range(16)]
    return {f"{table:04b}": count for table, count in enumerate(counts)}
