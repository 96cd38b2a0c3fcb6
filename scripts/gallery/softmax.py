"""Softmax: any scores become shares of one, and large scores do not overflow."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

import xpnet
from scripts.gallery import harness
from xpnet import functions, plots

ROWS = ("B2",)
TITLE = "Softmax over the last axis, safe from overflow"
SMALL, LARGE, HUGE = (0.3, 2.9, 4.0), (1010.0, 1000.0, 990.0), (1e300, 0.0, -1e300)
KNOWN = (0.01821127, 0.24519181, 0.73659691)


def run(demo: harness.Demo) -> None:
    """Compute softmax of small scores, of large ones, and of rows; hold it against plain exp."""
    p, q, r = (
        xpnet.to_numpy(functions.softmax(demo.device.asarray(scores, "float64")))
        for scores in (SMALL, LARGE, HUGE)
    )
    close = bool(abs(p - KNOWN).max() <= 5e-9)
    demo.figure("softmax(.3, 2.9, 4)", p, ".01821127, .24519181, .73659691", close)
    total = float(p.sum())
    demo.figure("its sum", total, "1", abs(total - 1) <= 1e-15)
    expected = shares(LARGE)
    words = ", ".join(f"{share:.9g}" for share in expected)
    demo.figure("softmax(1010, 1000, 990)", q, words, bool(np.allclose(q, expected, 1e-14, 0)))
    demo.figure("softmax(1e300, 0, -1e300)", r, "1, 0, 0", r.tolist() == [1, 0, 0])

    scores = 3 * xpnet.random.Stream(demo.seed, "softmax").normal((2, 3, 4))
    array = demo.device.asarray(scores, "float64")
    rows, columns = (
        xpnet.to_numpy(y) for y in (functions.softmax(array), functions.softmax(array, axis=0))
    )
    for name, found, axis in (("last", rows, -1), ("first", columns, 0)):
        error = float(abs(found - np.apply_along_axis(shares, axis, scores)).max())
        demo.at_most(f"(2, 3, 4) numbers, {name} axis: error", error, 1e-15)
        error = float(abs(found.sum(axis=axis) - 1).max())
        demo.at_most(f"(2, 3, 4) numbers, {name} axis: sums less 1", error, 1e-15)
    plots.bars(
        {"softmax(0.3, 2.9, 4)": {"": p}, "softmax(1010, 1000, 990)": {"": q}},
        demo.picture("softmax"),
        xlabel="class",
        ylabel="share",
    )


def shares(scores: Sequence[float] | np.ndarray) -> list[float]:
    """Return softmax of a row by plain arithmetic."""
    exponentials = [math.exp(score - max(scores)) for score in scores]
    total = math.fsum(exponentials)
    return [e / total for e in exponentials]


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
