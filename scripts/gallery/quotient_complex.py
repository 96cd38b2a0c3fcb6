"""Teach a network of complex numbers to divide by clipped gradients, one pair at a time."""

from __future__ import annotations

import sys
import time

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.models.quotient import learn_clipped, log_exp_network, relative_error

ROWS = ("K1",)
TITLE = "a network that divides, second attempt: complex logarithms and clipped gradients"


def run(demo: harness.Demo) -> None:
    """Train many starts side by side; count those that divide; draw the ways of two."""
    starts, steps = demo.pick(40, 120, 400), demo.pick(12_000, 200_000)
    tolerance = demo.pick(0.1, 1e-6)  # what the shorter run can reach
    began = time.perf_counter()
    with np.errstate(all="ignore"):  # an output may overflow; its error is clipped
        learned = learn_clipped(
            starts, steps, seed=demo.seed, every=steps // 400, where=demo.device
        )
    demo.note(f"seconds for {starts} starts of {steps} steps", time.perf_counter() - began)
    within = xpnet.to_numpy(learned.solved(tolerance))
    for name, column in zip(
        ("output weights +1 and -1", "hidden off-diagonal 0", "the two others equal"),
        within.T,
        strict=True,
    ):
        demo.note(f"starts with {name} to within {tolerance:g}", int(column.sum()))
    solved = within.all(axis=1)
    low, high = demo.pick((0.1, 0.6), (0.25, 0.5), (0.3, 0.45))
    demo.figure(
        f"starts of {starts} that divide: all three",
        int(solved.sum()),
        f"about 3 in 8: a share of {low} to {high}, here {solved.mean():.3f}",
        low <= solved.mean() <= high,
    )

    winners, losers = np.flatnonzero(solved), np.flatnonzero(~solved)
    hidden, output = xpnet.to_numpy(learned.hidden), xpnet.to_numpy(learned.output)
    sizes = np.abs(hidden[winners]).max(axis=(1, 2))
    if len(winners):
        demo.note("their common sizes, least and largest", [sizes.min(), sizes.max()])
        errors = [error_of(demo, hidden[k], output[k]) for k in winners]
        least = demo.pick(0.5, 1e-5)
        demo.figure(
            "their largest median relative error on fresh pairs",
            max(errors),
            f"under {least:g}",
            max(errors) < least,
        )
    demo.note(
        "with a hidden weight below -.001, of those that divide and of the others",
        [
            f"{(hidden[some].min(axis=(1, 2)) < -0.001).sum()} of {len(some)}"
            for some in (winners, losers)
        ],
    )
    print(
        "A negative argument gives its logarithm the phase i pi, and of the error's derivative\n"
        "only the real part is followed: a start with such a weight may come to rest where that\n"
        "part is zero, between two powers."
    )

    names = ["hidden 1,1", "hidden 1,2", "hidden 2,1", "hidden 2,2", "output 1", "output 2"]
    _drawings.weight_paths(
        {
            f"start {k}: {outcome}": {name: learned.path[:, k, i] for i, name in enumerate(names)}
            for outcome, some in (("divides", winners[:2]), ("does not", losers[:2]))
            for k in some
        },
        demo.picture("quotient_complex"),
        every=steps // 400,
        levels=(-1.0, 0.0, 1.0),
        title=f"Dividing with complex logarithms: {solved.sum()} of {starts} starts succeed",
    )


def error_of(demo: harness.Demo, hidden: np.ndarray, output: np.ndarray) -> float:
    """Return the error of a network with some weights."""
    net = log_exp_network().to(demo.device)
    net.params["0.W"], net.params["2.W"] = hidden + 0j, output[:, None] + 0j
    return relative_error(net, "quotient", demo.seed)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
