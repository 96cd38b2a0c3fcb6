"""Softmax: any scores become shares of one, and large scores do not overflow."""

from __future__ import annotations

import sys

import numpy as np

import xpnet
from scripts.gallery import harness
from xpnet import functions, plots

ROWS = ("B2",)
TITLE = "Softmax over the last axis, safe from overflow"
EXPECTED = (0.01821127, 0.24519181, 0.73659691)


def run(demo: harness.Demo) -> None:
    """Compute softmax of small scores, of large ones, and of rows."""
    small, large = [0.3, 2.9, 4.0], [1010.0, 1000.0, 990.0]
    p, q = (
        xpnet.to_numpy(functions.softmax(demo.device.asarray(scores, "float64")))
        for scores in (small, large)
    )
    close = bool(abs(p - EXPECTED).max() <= 5e-9)
    demo.figure("softmax(.3, 2.9, 4)", p, ".01821127, .24519181, .73659691", close)
    total = float(p.sum())
    demo.figure("its sum", total, "1", abs(total - 1) <= 1e-15)
    finite = bool(np.isfinite(q).all() and abs(q.sum() - 1) <= 1e-15)
    demo.figure("softmax(1010, 1000, 990)", q, "finite, with sum 1", finite)
    scores = xpnet.random.Stream(demo.seed, "softmax").normal((2, 3, 4))
    sums = xpnet.to_numpy(functions.softmax(demo.device.asarray(scores))).sum(axis=-1)
    error = float(abs(sums - 1).max())
    demo.figure("a (2, 3, 4) array: sums over the last axis less 1", error, "0", error <= 1e-15)
    plots.bars(
        {"scores": {"": small}, "shares": {"": p}, "shares of (1010, 1000, 990)": {"": q}},
        demo.picture("softmax"),
        xlabel="class",
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
