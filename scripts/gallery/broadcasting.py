"""Broadcasting, which stretches the smaller array, and the product of matrices."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.arrays import Array
from xpnet.layers import Linear, Multiply, Rescale, Sequential
from xpnet.random import Stream

ROWS = ("B0",)
TITLE = "Broadcasting and products of arrays"

TIMES = "\N{MULTIPLICATION SIGN}"
A, B = [[1, 2], [3, 4]], [[5, 6], [7, 8]]
WIDE = [[1, 3, 5], [2, 4, 6]]
EQUATIONS: tuple[tuple[list[Any], list[Any]], ...] = (
    ([A, TIMES, 10], [[10, 20], [30, 40]]),
    ([A, TIMES, [10, 20]], [[10, 40], [30, 80]]),
    ([A, TIMES, [[10, 20], [30, 40]]], [[10, 40], [90, 160]]),
    ([A, "@", B], [[19, 22], [43, 50]]),
    ([[1, 2], "@", WIDE], [5, 11, 17]),
    ([A, "@", WIDE, "+", [10, 20, 30]], [[15, 31, 47], [21, 45, 69]]),
)
"""Each as it is written, and what comes out."""


def run(demo: harness.Demo) -> None:
    """Multiply and add by the arrays' own signs, then by the layers that do the same."""
    rows: list[list[Any]] = []
    for terms, expected in EQUATIONS:
        arrays = [
            term if isinstance(term, str) else demo.device.asarray(term, "float64")
            for term in terms
        ]
        found = xpnet.to_numpy(by_signs(*arrays))
        name = " ".join(str(term) for term in terms)
        demo.figure(name, found, str(expected), found.tolist() == expected)
        rows.append([*arrays, "=", found])
    x, other = (demo.device.asarray(a, "float64") for a in (A, [[10, 20], [30, 40]]))
    one = demo.device.asarray([[1, 2]], "float64")
    for name, answer, expected in (
        ("Rescale by 10", layer(demo, Rescale(10.0))(x), EQUATIONS[0][1]),
        ("Multiply", product(demo)(x, other), EQUATIONS[2][1]),
        ("Linear without bias", layer(demo, Linear(2, bias=False), W=B)(x), EQUATIONS[3][1]),
        (
            "Linear without bias, one sample",
            layer(demo, Linear(3, bias=False), W=WIDE)(one),
            [EQUATIONS[4][1]],
        ),
        (
            "Linear, its bias for each sample",
            layer(demo, Linear(3), W=WIDE, b=[10, 20, 30])(x),
            EQUATIONS[5][1],
        ),
    ):
        found = xpnet.to_numpy(answer)
        demo.figure(name, found, str(expected), found.tolist() == expected)
    _drawings.array_equations(
        rows,
        demo.picture("broadcasting"),
        title=f"{TIMES} and + element by element, the smaller stretched; @ rows by columns",
    )


def by_signs(left: Array, sign: str, right: Array, *rest: Any) -> Array:
    """Return what an equation says, from left to right."""
    result = left @ right if sign == "@" else left + right if sign == "+" else left * right
    return by_signs(result, *rest) if rest else result


def layer(demo: harness.Demo, kind: Any, **params: list[Any]) -> Callable[[Array], Array]:
    """Return a layer for samples of two numbers, with these parameters."""
    net = Sequential([kind], input_shape=(2,), dtype="float64")
    for name, values in params.items():
        net.params[f"0.{name}"] = values
    return net.to(demo.device).forward


def product(demo: harness.Demo) -> Callable[[Array, Array], Array]:
    """Return the layer that multiplies two arrays."""
    node: Any = Multiply()
    node.build(((2,), (2,)), Stream(0), "float64")
    return lambda left, right: node.forward((left, right))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
