"""The price of two apples as a graph: forward the price, backward what it depends on."""

from __future__ import annotations

import sys
from typing import Any

from scripts.gallery import _drawings, harness
from xpnet.arrays import Array
from xpnet.layers import Add, Multiply
from xpnet.random import Stream

ROWS = ("D1",)
TITLE = "2 apples at 100, tax 1.1: nodes that multiply, forward and backward"
TIMES = "\N{MULTIPLICATION SIGN}"


def run(demo: harness.Demo) -> None:
    """Compute the price and its gradients; draw the graph."""
    price, count, tax = (demo.device.asarray([value]) for value in (100.0, 2.0, 1.1))
    goods, total = node(Multiply), node(Multiply)
    apples = goods.forward((price, count), train=True)
    paid = total.forward((apples, tax), train=True)
    dpaid = demo.device.asarray([1.0])
    dapples, dtax = total.backward(dpaid)
    dprice, dcount = goods.backward(dapples)

    check(demo, "price of the apples", apples, 200)
    check(demo, "price to pay", paid, 220)
    for name, gradient, expected in (
        ("price of the apples", dapples, 1.1),
        ("price of an apple", dprice, 2.2),
        ("number of apples", dcount, 110),
        ("tax", dtax, 200),
    ):
        check(demo, f"gradient of the {name}", gradient, expected)
    edges = (
        ("price", "goods", price, dprice),
        ("count", "goods", count, dcount),
        ("goods", "total", apples, dapples),
        ("tax", "total", tax, dtax),
        ("total", "paid", paid, dpaid),
    )
    _drawings.computation_graph(
        {
            "price": (0, 2, "price of an apple"),
            "count": (0, 1, "apples"),
            "tax": (0, 0, "tax"),
            "goods": (1.5, 1.5, TIMES),
            "total": (3, 1, TIMES),
            "paid": (4.2, 1, "to pay"),
        },
        [(start, end, float(v[0]), float(g[0])) for start, end, v, g in edges],
        demo.picture("apple_graph"),
        "2 apples at 100, tax 1.1",
    )


def node(kind: type[Multiply | Add], inputs: int = 2) -> Any:
    """Return a node of the graph: a layer of some single numbers."""
    made: Any = kind()
    made.build(((),) * inputs, Stream(0), "float64")
    return made


def check(demo: harness.Demo, name: str, value: Array, expected: float) -> None:
    """Print a number beside what it should be."""
    demo.figure(
        name, float(value[0]), f"{expected:g}", abs(float(value[0]) - expected) <= 1e-12 * expected
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
