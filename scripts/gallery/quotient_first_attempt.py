"""Teach a network of real numbers to divide, one pair at a time, and see its weights blow up."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.arrays import namespace
from xpnet.initializers import uniform
from xpnet.models.quotient import log_exp_network, relative_error
from xpnet.random import Stream

ROWS = ("K0", "L13")
TITLE = "a network that divides, first attempt: real numbers, and why it fails"

STEPS, RATE = 1000, 0.001
BLOWN = 1000.0
"""A weight beyond this has blown up."""

PRINTED = (((-0.18845444, -0.48188658), (-0.56031414, 0.6470921)), (0.80395641, 0.80365676))
"""The start of a published run that failed: hidden weights, an input a row, and output weights."""


class Way(NamedTuple):
    """How one start went: pairs (steps, 2), weights (steps + 1, 6) and the outputs (steps,)."""

    pairs: np.ndarray
    weights: np.ndarray
    outputs: np.ndarray

    @property
    def beyond(self) -> np.ndarray:
        """Whether a weight has blown up, at each point of the way."""
        small: np.ndarray = np.abs(self.weights).max(axis=1) <= BLOWN  # NaN is not
        return ~small


def descend(demo: harness.Demo, seed: int, start: Any = None) -> Way:
    """Train a network on single pairs, from some weights or from random ones."""
    even = uniform(-1, 1)
    net = log_exp_network(real=True, hidden=even, output=even, seed=seed).to(demo.device)
    if start is not None:
        hidden, output = np.array(start[0]), np.array(start[1])
        net.params["0.W"], net.params["2.W"] = hidden, output[:, None]
    loss, optimizer = xpnet.SquaredError(), xpnet.SGD(lr=RATE)
    pairs = Stream(seed, "pairs").uniform((STEPS, 1, 2), -10, 10)
    x = demo.device.asarray(pairs)
    xp, t = namespace(x), x[..., :1] / x[..., 1:]
    weights, outputs = [numbers(xp, net.params)], []
    for k in range(STEPS):
        y = net.forward(x[k, ...], train=True)
        loss.forward(y, t[k, ...])
        net.backward(loss.backward())
        optimizer.update(net.params, net.grads)
        weights.append(numbers(xp, net.params))
        outputs.append(xp.reshape(y, (-1,))[0])
    return Way(pairs[:, 0], xpnet.to_numpy(xp.stack(weights)), xpnet.to_numpy(xp.stack(outputs)))


def numbers(xp: Any, arrays: Mapping[str, Any]) -> Any:
    """Return a copy of a network's six weights, one after the other."""
    return xp.concat([xp.reshape(arrays[name], (-1,)) for name in ("0.W", "2.W")])


def by_hand(way: Way, steps: int) -> np.ndarray:
    """Return where the first steps of a way should lead, by the chain rule written out."""
    W, v = way.weights[0, :4].reshape(2, 2), way.weights[0, 4:]
    points = []
    for x in way.pairs[:steps]:
        z = x @ W
        h = np.log(z**2)
        y = np.exp(h @ v)
        slope = (y - x[0] / x[1]) * y  # of half the squared error, by what exp is given
        W, v = W - RATE * slope * np.outer(x, v * 2 / z), v - RATE * slope * h
        points.append([*W.flat, *v])
    return np.array(points)


def run(demo: harness.Demo) -> None:
    """Count the starts that blow up; look at the outputs that did it; draw the weights."""
    exact = log_exp_network(real=True, seed=demo.seed).to(demo.device)
    exact.params["0.W"], exact.params["2.W"] = [[1.0, 0.0], [0.0, 1.0]], [[0.5], [-0.5]]
    demo.at_most(
        "relative error of the weights that divide, +.5 and -.5",
        relative_error(exact, "quotient"),
        1e-12,
    )

    starts = demo.pick(10, 40, 400)
    seeds = range(demo.seed, demo.seed + starts)
    with np.errstate(all="ignore"):  # infinities are what this is about
        ways = [descend(demo, seed) for seed in seeds]
        printed = [descend(demo, seed, PRINTED) for seed in seeds]
        some = 3  # steps: rounding grows with the weights
        gaps = [
            np.abs(way.weights[1 : some + 1] / by_hand(way, some) - 1) for way in [*ways, *printed]
        ]
    demo.at_most(
        f"weights after {some} steps, relative distance from the chain rule written out",
        float(np.nanmax(gaps)),
        1e-6,
    )
    first = np.array([way.weights[0] for way in ways])
    demo.at_most("initial weights, largest", float(np.abs(first).max()), 1)
    demo.between(
        "initial weights, standard deviation (.577 is even)", float(first.std()), (0.5, 0.65)
    )

    blown = [way for way in ways if way.beyond.any()]
    demo.note("published start: hidden weights, an input a row, and output weights", PRINTED)
    for name, some_ways in (
        ("random starts", ways),
        ("sequences of pairs from the published start", printed),
    ):
        demo.at_least(
            f"of {starts} {name}, those in which a weight passes {BLOWN:g}",
            sum(bool(way.beyond.any()) for way in some_ways),
            round(demo.pick(0.6, 0.75) * starts),
        )
    demo.note(
        "random starts that learn to divide",
        sum(bool((np.abs(np.abs(way.weights[-1, 4:]) - 0.5) < 0.01).all()) for way in ways),
    )
    explain(demo, blown)
    draw(demo, ways, len(blown))


def explain(demo: harness.Demo, blown: list[Way]) -> None:
    """Measure the outputs at the step that blows a start up, and those that come after."""
    if not blown:
        return
    leaps = [int(way.beyond.argmax()) for way in blown]  # the step before leads there
    at = np.array([way.outputs[k - 1] for way, k in zip(blown, leaps, strict=True)])
    pairs = np.array([way.pairs[k - 1] for way, k in zip(blown, leaps, strict=True)])
    size = np.abs(pairs[:, 0] / pairs[:, 1])
    after = np.concatenate([way.outputs[k:] for way, k in zip(blown, leaps, strict=True)])
    demo.note("steps until it blows up, median", float(np.median(leaps)))
    demo.note("quotient at the step that blows up, median size", float(np.median(size)))
    demo.at_least("output at that step, median", float(np.median(at)), 300)
    lost = float((~np.isfinite(after) | (after < 1e-12)).mean())
    demo.at_least("share of later outputs that are zero, infinite or no number", lost, 0.9)
    if np.median(at) > 100 * np.median(size) and lost > 0.9:
        print(
            "Through exp the gradient grows with the square of the output: one output far above\n"
            "its quotient throws the weights away. From there outputs are zero, whose gradient is\n"
            "zero, or infinite, so that nothing calls the weights back."
        )


def draw(demo: harness.Demo, ways: list[Way], blown: int) -> None:
    """Draw the weights of three starts that blow up, and of one that does not, if there is one."""
    panels = {}
    for k, way in enumerate(ways):
        end = int(way.beyond.argmax())
        if end >= 20:  # long enough to see
            panels[f"start {k} blows up at step {end}"] = way.weights[: end + 1]
    panels = dict(list(panels.items())[:3])
    for k in [k for k, way in enumerate(ways) if not way.beyond.any()][:1]:
        panels[f"start {k} stays below {BLOWN:g}"] = ways[k].weights
    if not panels:
        panels["start 0"] = ways[0].weights
    names = ["hidden 1,1", "hidden 1,2", "hidden 2,1", "hidden 2,2", "output 1", "output 2"]
    _drawings.weight_paths(
        {title: dict(zip(names, weights.T, strict=True)) for title, weights in panels.items()},
        demo.picture("quotient_first_attempt"),
        levels=(-0.5, 0.5),
        reach=1e4,
        title=f"Dividing with real numbers: {blown} of {len(ways)} starts blow up",
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
