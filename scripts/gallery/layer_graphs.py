"""Layers as graphs of small nodes: the number at every node, and the gradient on its way back."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.arrays import Array
from xpnet.layers import Add, Exp, Linear, Log, Multiply, ReLU, Rescale, Sequential, Sigmoid
from xpnet.random import Stream

ROWS = ("L4",)
TITLE = "Graphs of ReLU, sigmoid, affine, and softmax with cross-entropy: every node both ways"
TIMES = "\N{MULTIPLICATION SIGN}"
EXPONENTIALS = (3.0, 2.0, 5.0)  # of the scores: the probabilities are .3, .2 and .5
TARGET = (0.0, 1.0, 0.0)


class Graph:
    """Nodes that are layers of single numbers, and what passes along each edge both ways."""

    def __init__(self, demo: harness.Demo, inputs: dict[str, float]) -> None:
        self.demo = demo
        self.values: dict[str, Array] = {
            name: demo.device.asarray([number], "float64") for name, number in inputs.items()
        }
        self.gradients: dict[str, Array] = {}
        self.edges: list[tuple[str, str, float, float]] = []
        self._nodes: list[tuple[str, Any, tuple[str, ...]]] = []

    def node(self, name: str, kind: Callable[[], Any], *inputs: str) -> None:
        """Add a node and compute its number."""
        layer = kind()
        x = tuple(self.values[one] for one in inputs)
        layer.build(((),) * len(x) if len(x) > 1 else (), Stream(0), "float64")
        self.values[name] = layer.forward(x if len(x) > 1 else x[0], train=True)
        self._nodes.append((name, layer, inputs))

    def backward(self) -> None:
        """Send 1 back from the last node; gradients that meet are added."""
        self.gradients[self._nodes[-1][0]] = self.demo.device.asarray([1.0], "float64")
        for name, layer, inputs in reversed(self._nodes):
            dx = layer.backward(self.gradients[name])
            for one, slope in zip(inputs, dx if isinstance(dx, tuple) else (dx,), strict=True):
                known = self.gradients.get(one)
                self.gradients[one] = slope if known is None else known + slope
                self.edges.append(
                    (one, name, float(self.values[one][0]) + 0.0, float(slope[0]) + 0.0)
                )

    def check(self, title: str, nodes: Sequence[str], values: Any, gradients: Any) -> None:
        """Print what nodes hold beside what plain arithmetic says."""
        found = [[float(a[name][0]) for name in nodes] for a in (self.values, self.gradients)]
        expect(self.demo, f"{title}: value, gradient", found, [list(values), list(gradients)])


def expect(demo: harness.Demo, name: str, found: Any, expected: Any, most: float = 1e-14) -> None:
    """Print numbers beside what they should be."""
    host, wanted = (
        xpnet.to_numpy(a) if hasattr(a, "dtype") else np.array(a) for a in (found, expected)
    )
    passed = host.shape == wanted.shape and bool(abs(host - wanted).max() <= most)
    written = ", ".join(f"{one + 0.0:.6g}" for one in wanted.reshape(-1))  # no -0
    demo.figure(name, host + 0.0, written, passed)


def run(demo: harness.Demo) -> None:
    """Show the four graphs."""
    activations(demo)
    affine(demo)
    softmax(demo)


def activations(demo: harness.Demo, x: float = 2.0) -> None:
    """Show the graph of 1 / (1 + exp(-x)) with its layer, and ReLU on both sides of 0."""
    graph = Graph(demo, {"x": x, "minus": -1.0, "one": 1.0})
    graph.node("-x", Multiply, "x", "minus")
    graph.node("e", Exp, "-x")
    graph.node("1+e", Add, "e", "one")
    graph.node("y", reciprocal, "1+e")
    graph.backward()
    e = math.exp(-x)
    y = 1 / (1 + e)
    for title, name, value, gradient in (
        ("divide", "y", y, 1),
        ("plus one", "1+e", 1 + e, -y * y),
        ("exp", "e", e, -y * y),
        ("times -1", "-x", -x, -y * y * e),
        ("x", "x", x, y * y * e),
    ):
        graph.check(f"sigmoid, {title}", [name], [value], [gradient])
    measured = slope_of(lambda x: 1 / (1 + math.exp(-x)), x)
    expect(demo, "sigmoid's gradient by differences", graph.gradients["x"], [measured], 1e-9)
    edges = [*graph.edges, ("y", "out", y, 1.0)]
    places: dict[str, tuple[float, float, str]] = {
        "x": (0, 1, "input x"),
        "minus": (0, 0, "constant"),
        "-x": (1.3, 0.6, TIMES),
        "e": (2.5, 0.6, "exp"),
        "one": (2.5, -0.4, "constant"),
        "1+e": (3.9, 0.2, "+"),
        "y": (5.2, 0.2, "/"),
        "out": (6.4, 0.2, "sigmoid"),
    }
    layers: tuple[tuple[Any, float, float, float], ...] = (
        (Sigmoid, x, y, y * (1 - y)),
        (ReLU, 3.0, 3.0, 1.0),
        (ReLU, -2.0, 0.0, 0.0),
        (ReLU, 0.0, 0.0, 0.0),
    )
    for row, (kind, number, answer, gradient) in enumerate(layers):
        layer = Graph(demo, {f"in{row}": number})
        layer.node(f"layer{row}", kind, f"in{row}")
        layer.backward()
        name = f"the layer {kind.__name__} at {number:g}"
        layer.check(name, [f"in{row}", f"layer{row}"], (number, answer), (gradient, 1))
        edges += [*layer.edges, (f"layer{row}", f"out{row}", answer, 1.0)]
        places[f"in{row}"] = (0, -1.3 - row, "input x")
        places[f"layer{row}"] = (1.3, -1.3 - row, kind.__name__)
        places[f"out{row}"] = (2.5, -1.3 - row, "output")
    title = "Sigmoid as a graph and as a layer; ReLU above zero, below it, and at zero"
    _drawings.computation_graph(places, edges, demo.picture("layer_graph_activations"), title)


def affine(demo: harness.Demo) -> None:
    """Show x W + b for a batch of two: products and sums of whole numbers, by loops."""
    x, dy = np.array([[1.0, 2], [3, 5]]), np.array([[1.0, 2, 3], [4, 5, 6]])
    W, b = np.array([[1.0, 0, 2], [-1, 3, 1]]), np.array([1.0, 2, 3])
    y, dx, dW, db = np.zeros((2, 3)) + b, np.zeros((2, 2)), np.zeros((2, 3)), np.zeros(3)
    for n, i, j in np.ndindex(2, 2, 3):
        y[n, j] += x[n, i] * W[i, j]
        dx[n, i] += dy[n, j] * W[i, j]
        dW[i, j] += x[n, i] * dy[n, j]
    for n, j in np.ndindex(2, 3):
        db[j] += dy[n, j]
    net = Sequential([Linear(3)], input_shape=(2,), dtype="float64")
    net.params["0.W"], net.params["0.b"] = W, b
    net.to(demo.device)
    found = net.forward(demo.device.asarray(x), train=True)
    slopes = net.backward(demo.device.asarray(dy), need_dx=True)
    grads = net.grads
    for name, array, expected in (
        ("x W + b", found, y),
        ("gradient of x, dy W^T", slopes, dx),
        ("gradient of W, x^T dy", grads["0.W"], dW),
        ("gradient of b, the sum of dy", grads["0.b"], db),
    ):
        expect(demo, f"affine, {name}", array, expected)
    _drawings.marked_arrays(
        {
            "forward: x W + b, the bias for each sample": [
                (x, 1), "@", (W, 3), "+", (b, 2), "=", (found, 4),
            ],
            "backward: the gradient of x is dy times W transposed": [
                (dy, 4), "@", (W.T, 3), "=", (slopes, 1),
            ],
            "backward: the gradient of W is x transposed times dy": [
                (x.T, 1), "@", (dy, 4), "=", (grads["0.W"], 3),
            ],
            "backward: the gradient of b is the sum over the samples": [
                "sum", (dy, 4), "=", (grads["0.b"], 2),
            ],
        },
        demo.picture("layer_graph_affine"),
        title="An affine layer and a batch of two",
    )  # fmt: skip


def softmax(demo: harness.Demo) -> None:
    """Show the graph of softmax with cross-entropy: what comes back is y - t."""
    classes = range(3)
    scores = [math.log(e) for e in EXPONENTIALS]
    inputs = {f"a{k}": scores[k] for k in classes} | {f"t{k}": TARGET[k] for k in classes}
    graph = Graph(demo, {**inputs, "minus": -1.0})
    names: dict[str, list[str]] = {}

    def each(word: str, kind: Callable[[], Any], *inputs: str) -> None:
        names[word] = [f"{word}{k}" for k in classes]
        for k in classes:
            graph.node(f"{word}{k}", kind, *(one.format(k) for one in inputs))

    each("exp", Exp, "a{}")
    graph.node("sum", Add, *names["exp"])
    graph.node("1/sum", reciprocal, "sum")
    each("y", Multiply, "exp{}", "1/sum")
    each("log", Log, "y{}")
    each("t log", Multiply, "log{}", "t{}")
    graph.node("all", Add, *names["t log"])
    graph.node("loss", Multiply, "all", "minus")
    graph.backward()

    total = sum(EXPONENTIALS)
    y = [e / total for e in EXPONENTIALS]
    logs = [math.log(one) for one in y]
    loss = -sum(t * log for t, log in zip(TARGET, logs, strict=True))
    dy = [-t / one for t, one in zip(TARGET, y, strict=True)]
    dinverse = sum(d * e for d, e in zip(dy, EXPONENTIALS, strict=True))
    dsum = -dinverse / total**2
    y_less_t = [one - t for one, t in zip(y, TARGET, strict=True)]
    for title, nodes, values, gradients in (
        ("loss", ["loss"], [loss], [1]),
        ("plus", ["all"], [-loss], [-1]),
        ("times t", names["t log"], [t * a for t, a in zip(TARGET, logs, strict=True)], [-1] * 3),
        ("log", names["log"], logs, [-t for t in TARGET]),
        ("times 1 / S", names["y"], y, dy),
        ("divide", ["1/sum"], [1 / total], [dinverse]),
        ("plus, S", ["sum"], [total], [dsum]),
        ("exp", names["exp"], EXPONENTIALS, [d / total + dsum for d in dy]),
        ("scores: y - t", [f"a{k}" for k in classes], scores, y_less_t),
    ):
        graph.check(f"softmax, {title}", nodes, values, gradients)

    expect(demo, "y - t by differences", differences(scores), y_less_t, 1e-9)

    # a batch of two, far from zero: the layer must not overflow, and divides by 2
    x = np.array([scores, scores[::-1]]) + 1000
    labels = demo.device.asarray([TARGET.index(1)] * 2, "int64")
    layer = xpnet.SoftmaxCrossEntropy()
    found = layer.forward(demo.device.asarray(x), labels)
    expect(demo, "the layer's loss, a batch of 2, scores + 1000", found, loss, 1e-12)
    expected = np.array([y_less_t, y_less_t[::-1]]) / 2
    expect(demo, "the layer's gradient, (y - t) / 2", layer.backward(), expected, 1e-12)
    draw(demo, graph)


def draw(demo: harness.Demo, graph: Graph) -> None:
    """Draw the graph of softmax with cross-entropy, a line for each class."""
    places: dict[str, tuple[float, float, str]] = {
        "sum": (2.1, 1, "+"),
        "1/sum": (3.1, 1, "/"),
        "all": (8.4, 2, "+"),
        "loss": (9.5, 2, TIMES),
        "minus": (9.5, 0.8, "constant"),
        "out": (10.6, 2, "loss"),
    }
    columns = (("a", 0, "score"), ("exp", 1, "exp"), ("y", 4.3, TIMES), ("log", 5.4, "log"))
    for k, row in enumerate((4, 2, 0)):
        for name, column, text in (*columns, ("t log", 7.2, TIMES)):
            places[f"{name}{k}"] = (column, row, text)
        places[f"t{k}"] = (6.4, row - 0.8, f"t = {TARGET[k]:g}")
    edges = [*graph.edges, ("loss", "out", float(graph.values["loss"][0]), 1.0)]
    title = "Softmax with cross-entropy: what comes back to the scores is y - t"
    _drawings.computation_graph(places, edges, demo.picture("layer_graph_softmax"), title)


def reciprocal() -> Sequential:
    """Return a node that divides: 1 / x is exp(-log x)."""
    return Sequential([Log(), Rescale(-1.0), Exp()])


def slope_of(f: Callable[[float], float], x: float, h: float = 1e-5) -> float:
    """Return a slope by central differences."""
    return (f(x + h) - f(x - h)) / (2 * h)


def differences(scores: Sequence[float]) -> list[float]:
    """Return the slopes of the loss, the logarithm of the sum less the right score."""

    def loss(k: int, a: float) -> float:
        moved = [*scores[:k], a, *scores[k + 1 :]]
        total = math.log(sum(math.exp(score) for score in moved))
        return total - sum(t * score for t, score in zip(TARGET, moved, strict=True))

    return [slope_of(partial(loss, k), score) for k, score in enumerate(scores)]


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
