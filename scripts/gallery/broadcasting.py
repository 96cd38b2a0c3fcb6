"""Broadcasting, which stretches the smaller array, and the product of matrices."""

from __future__ import annotations

import sys

import xpnet
from scripts.gallery import _drawings, harness

ROWS = ("B0",)
TITLE = "Broadcasting and products of arrays"

TIMES = "\N{MULTIPLICATION SIGN}"
A, B = [[1, 2], [3, 4]], [[5, 6], [7, 8]]
PRODUCTS = (
    (A, TIMES, 10, [[10, 20], [30, 40]]),
    (A, TIMES, [10, 20], [[10, 40], [30, 80]]),
    (A, TIMES, [[10, 20], [30, 40]], [[10, 40], [90, 160]]),
    (A, "@", B, [[19, 22], [43, 50]]),
    ([1, 2], "@", [[1, 3, 5], [2, 4, 6]], [5, 11, 17]),
)


def run(demo: harness.Demo) -> None:
    """Multiply, element by element and as matrices."""
    rows = []
    for left, sign, right, expected in PRODUCTS:
        a, b = demo.device.asarray(left, "float64"), demo.device.asarray(right, "float64")
        product = xpnet.to_numpy(a @ b if sign == "@" else a * b)
        found = product.astype(int).tolist()
        demo.figure(f"{left} {sign} {right}", found, str(expected), product.tolist() == expected)
        rows.append([a, sign, b, "=", product])
    _drawings.array_equations(
        rows,
        demo.picture("broadcasting"),
        title=f"{TIMES} element by element, the smaller stretched; @ rows by columns",
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
