"""Teach a network of complex numbers to divide by clipped gradients, one pair at a time."""

from __future__ import annotations

import cmath
import math
import sys
import time
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.models.quotient import (
    Clipped,
    learn_clipped,
    log_exp_network,
    quotient_pairs,
    relative_error,
)
from xpnet.random import Stream

ROWS = ("K1", "L13")
TITLE = "a network that divides, second attempt: complex logarithms and clipped gradients"

PRINTED = (((-0.12716087, 0.85436489), (0.34977234, 0.65970844)), (0.0, 0.0))
"""The start of a published run that succeeded: hidden weights, an input a row, output weights."""

PRINTED_SIZE = 1.00525
"""The size that the two hidden weights of that run had in common at its end."""

STEEP = (((3.0, -2.0), (-1.0, 4.0)), (3.0, 2.0))
"""A start whose outputs are far off, so that everything is clipped that can be."""


def run(demo: harness.Demo) -> None:
    """Train many starts side by side; count those that divide; draw the ways of four."""
    held_against_plain_arithmetic(demo)
    starts, steps = demo.pick(40, 120, 400), demo.pick(12_000, 200_000)
    tolerance = demo.pick(0.1, 1e-6)  # what the shorter run can reach

    learned = learn(demo, starts, steps)
    first = learned.path[0]
    demo.at_most("initial hidden weights, largest", float(abs(first[:, :4]).max()), 1)
    demo.between("their standard deviation (.577 is even)", float(first[:, :4].std()), (0.5, 0.65))
    solved = count(demo, f"of {starts} random starts", learned, tolerance)
    share = float(solved.mean())
    demo.between("share that divides, all three", share, demo.pick((0.12, 0.6), (0.22, 0.55)))
    explain(demo, learned, solved)
    draw(demo, learned, solved, steps // 400)

    sequences = demo.pick(40, 40, 100)
    printed = learn(demo, sequences, steps, PRINTED)
    demo.note("published start: hidden weights, an input a row, and output weights", PRINTED)
    solved = count(demo, f"of {sequences} sequences of pairs from it", printed, tolerance)
    share = float(solved.mean())
    demo.between("share of sequences that divides", share, demo.pick((0.3, 0.7), (0.35, 0.7)))
    sizes = np.abs(xpnet.to_numpy(printed.hidden)[solved]).max(axis=(1, 2), initial=0)
    if len(sizes):
        demo.note("common size of their hidden weights, median", float(np.median(sizes)))
        demo.figure(
            "common size, least and largest",
            [sizes.min(), sizes.max()],
            f"the published {PRINTED_SIZE} between them",
            sizes.min() < PRINTED_SIZE < sizes.max(),
        )


def learn(demo: harness.Demo, starts: int, steps: int, start: Any = None) -> Clipped:
    """Train from random weights, or from a start with as many sequences of pairs."""
    began = time.perf_counter()
    with np.errstate(all="ignore"):  # an output may overflow; its error is clipped
        learned = learn_clipped(
            starts, steps, seed=demo.seed, start=start, every=steps // 400, where=demo.device
        )
    demo.note(f"seconds for {starts} networks, {steps} steps each", time.perf_counter() - began)
    return learned


def count(demo: harness.Demo, some: str, learned: Clipped, tolerance: float) -> np.ndarray:
    """Say which conditions networks meet; hold the errors of those that divide to a bound."""
    within = xpnet.to_numpy(learned.solved(tolerance))
    demo.note(
        f"{some}, with output weights +1 and -1, hidden off-diagonal 0, the two others equal, "
        f"each to within {tolerance:g}",
        within.sum(axis=0),
    )
    solved = np.array([bool(row.all()) for row in within])
    hidden, output = xpnet.to_numpy(learned.hidden), xpnet.to_numpy(learned.output)
    errors = [error_of(demo, hidden[k], output[k]) for k in np.flatnonzero(solved)]
    demo.at_most(
        "largest median relative error on fresh pairs, of those that divide",
        max(errors, default=math.inf),
        demo.pick(0.3, 1e-5),
    )
    return solved


def held_against_plain_arithmetic(demo: harness.Demo) -> None:
    """Hold the first steps from two starts, one of them steep, against Python's own numbers."""
    steps, gap = 20, 0.0
    stream = Stream(demo.seed, "pairs")
    pairs = quotient_pairs(stream, (1000, 1))[:, 0]
    demo.at_most("largest quotient shown", float((pairs[:, 0] / pairs[:, 1]).max()), 1.88)
    demo.between("mean of what it is divided by", float(pairs[:, 1].mean()), (5.5, 6.5))
    for start in (PRINTED, STEEP):
        learned = learn_clipped(1, steps, seed=demo.seed, start=start, every=1, where=demo.device)
        gap = max(gap, float(np.abs(learned.path[:, 0] - by_hand(start, pairs[:steps])).max()))
    demo.at_most(f"weights of {steps} steps, distance from plain arithmetic", gap, 1e-5)


def by_hand(start: Any, pairs: np.ndarray) -> np.ndarray:
    """Return the weights on the way of clipped descent at rate .1, number by number."""

    def clipped(value: complex) -> float:
        return float(min(max(value.real, -700.0), 700.0))

    def step(gradient: float) -> float:
        return 0.1 * gradient / 10.0 ** max(0, math.floor(math.log10(abs(gradient) or 1)))

    (w11, w12), (w21, w22) = start[0]
    W, v = [[w11, w12], [w21, w22]], list(start[1])
    path = [[*W[0], *W[1], *v]]
    for a, b in pairs.tolist():
        z = [a * W[0][j] + b * W[1][j] for j in (0, 1)]
        h = [cmath.log(one) for one in z]
        y = cmath.exp(h[0] * v[0] + h[1] * v[1])
        delta = clipped(clipped(y - a / b) * y)
        back = [clipped(delta * v[j] / z[j]) for j in (0, 1)]
        for j in (0, 1):
            v[j] -= step(clipped(delta * h[j]))
            W[0][j] -= step(clipped(a * back[j]))
            W[1][j] -= step(clipped(b * back[j]))
        path.append([*W[0], *W[1], *v])
    return np.array(path)


def explain(demo: harness.Demo, learned: Clipped, solved: np.ndarray) -> None:
    """Measure whether those that do not divide rest, and have a negative hidden weight."""
    end, middle = learned.path[-1], learned.path[len(learned.path) // 2]
    negative = end[:, :4].min(axis=1) < -0.001
    rests = np.abs(end - middle).max(axis=1) < 1e-4
    demo.note(
        "those that divide, and of them with a hidden weight below -.001",
        [solved.sum(), (negative & solved).sum()],
    )
    demo.note(
        "the others, with such a weight, and those that no longer move",
        [(~solved).sum(), (negative & ~solved).sum(), (rests & ~solved).sum()],
    )
    rest = (negative & rests & ~solved).sum() > 0.9 * (~solved).sum()
    if rest and 2 * (negative & solved).sum() < solved.sum():
        print(
            "A negative argument gives its logarithm the phase i pi, and of the error's slope\n"
            "only the real part is followed: a start with such a weight may come to rest\n"
            "where that part is zero, between two powers."
        )


def draw(demo: harness.Demo, learned: Clipped, solved: np.ndarray, every: int) -> None:
    """Draw the weights of two starts that divide and of two that do not."""
    names = ["hidden 1,1", "hidden 1,2", "hidden 2,1", "hidden 2,2", "output 1", "output 2"]
    _drawings.weight_paths(
        {
            f"start {k}: {outcome}": dict(zip(names, learned.path[:, k].T, strict=True))
            for outcome, which in (("divides", solved), ("does not", ~solved))
            for k in np.flatnonzero(which)[:2]
        },
        demo.picture("quotient_complex"),
        every=every,
        levels=(-1.0, 0.0, 1.0),
        title=f"Dividing with complex logarithms: {solved.sum()} of {len(solved)} starts succeed",
    )


def error_of(demo: harness.Demo, hidden: np.ndarray, output: np.ndarray) -> float:
    """Return the error of a network with some weights."""
    net = log_exp_network().to(demo.device)
    net.params["0.W"], net.params["2.W"] = hidden + 0j, output[:, None] + 0j
    return relative_error(net, "quotient", demo.seed)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
