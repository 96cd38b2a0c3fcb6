"""The price of apples and oranges as a graph of nodes that multiply and add."""

from __future__ import annotations

import sys

from scripts.gallery import _drawings, harness
from scripts.gallery.apple_graph import TIMES, check, node
from xpnet.layers import Add, Multiply

ROWS = ("D2",)
TITLE = "2 apples at 100 and 3 oranges at 150, tax 1.1: the whole graph"


def run(demo: harness.Demo) -> None:
    """Compute the price and its gradients; draw the graph."""
    apples, apple, orange, oranges, tax = (
        demo.device.asarray([value]) for value in (2.0, 100.0, 150.0, 3.0, 1.1)
    )
    of_apples, of_oranges, both, total = node(Multiply), node(Multiply), node(Add), node(Multiply)
    for_apples = of_apples.forward((apples, apple), train=True)
    for_oranges = of_oranges.forward((orange, oranges), train=True)
    goods = both.forward((for_apples, for_oranges), train=True)
    paid = total.forward((goods, tax), train=True)
    dpaid = demo.device.asarray([1.0])
    dgoods, dtax = total.backward(dpaid)
    dfor_apples, dfor_oranges = both.backward(dgoods)
    dorange, doranges = of_oranges.backward(dfor_oranges)
    dapples, dapple = of_apples.backward(dfor_apples)

    for name, value, expected in (
        ("price of the apples", for_apples, 200.0),
        ("price of the oranges", for_oranges, 450.0),
        ("price of the fruit", goods, 650.0),
        ("price to pay", paid, 715.0),
    ):
        check(demo, name, value, expected)
    for name, gradient, expected in (
        ("price of the fruit", dgoods, 1.1),
        ("price of the apples", dfor_apples, 1.1),
        ("price of the oranges", dfor_oranges, 1.1),
        ("number of apples", dapples, 110),
        ("price of an apple", dapple, 2.2),
        ("price of an orange", dorange, 3.3),
        ("number of oranges", doranges, 165),
        ("tax", dtax, 650),
    ):
        check(demo, f"gradient of the {name}", gradient, expected)
    edges = (
        ("apples", "of_apples", apples, dapples),
        ("apple", "of_apples", apple, dapple),
        ("orange", "of_oranges", orange, dorange),
        ("oranges", "of_oranges", oranges, doranges),
        ("of_apples", "both", for_apples, dfor_apples),
        ("of_oranges", "both", for_oranges, dfor_oranges),
        ("both", "total", goods, dgoods),
        ("tax", "total", tax, dtax),
        ("total", "paid", paid, dpaid),
    )
    _drawings.computation_graph(
        {
            "apples": (0, 4, "apples"),
            "apple": (0, 3, "price of an apple"),
            "orange": (0, 2, "price of an orange"),
            "oranges": (0, 1, "oranges"),
            "tax": (0, 0, "tax"),
            "of_apples": (1.5, 3.5, TIMES),
            "of_oranges": (1.5, 1.5, TIMES),
            "both": (2.9, 2.5, "+"),
            "total": (4.2, 1.7, TIMES),
            "paid": (5.4, 1.7, "to pay"),
        },
        [(start, end, float(v[0]), float(g[0])) for start, end, v, g in edges],
        demo.picture("apple_orange_graph"),
        "2 apples at 100 and 3 oranges at 150, tax 1.1",
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
