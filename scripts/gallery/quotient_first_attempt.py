"""Teach a network of real numbers to divide, one pair at a time, and see its weights blow up."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.arrays import namespace
from xpnet.initializers import uniform
from xpnet.models.quotient import log_exp_network, relative_error
from xpnet.random import Stream

ROWS = ("K0",)
TITLE = "a network that divides, first attempt: real numbers, and why it fails"

STEPS = 1000
BLOWN = 1000.0
"""A weight beyond this has blown up."""


def descend(demo: harness.Demo, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Train one start on single pairs; return weights (steps + 1, 6) and gradients (steps, 6)."""
    even = uniform(-1, 1)
    net = log_exp_network(real=True, hidden=even, output=even, seed=seed).to(demo.device)
    loss, optimizer = xpnet.SquaredError(), xpnet.SGD(lr=0.001)
    x = demo.device.asarray(Stream(seed, "pairs").uniform((STEPS, 1, 2), -10, 10))
    xp = namespace(x)
    t = x[..., :1] / x[..., 1:]
    weights, gradients = [numbers(xp, net.params)], []
    for k in range(STEPS):
        loss.forward(net.forward(x[k, ...], train=True), t[k, ...])
        net.backward(loss.backward())
        optimizer.update(net.params, net.grads)
        weights.append(numbers(xp, net.params))
        gradients.append(numbers(xp, net.grads))
    return xpnet.to_numpy(xp.stack(weights)), xpnet.to_numpy(xp.stack(gradients))


def numbers(xp: Any, arrays: Mapping[str, Any]) -> Any:
    """Return a copy of a network's six weights, or of their gradients, one after the other."""
    return xp.concat([xp.reshape(arrays[name], (-1,)) for name in ("0.W", "2.W")])


def run(demo: harness.Demo) -> None:
    """Count the starts that blow up; look at the gradients that did it; draw the weights."""
    exact = log_exp_network(real=True, seed=demo.seed).to(demo.device)
    exact.params["0.W"], exact.params["2.W"] = [[1.0, 0.0], [0.0, 1.0]], [[0.5], [-0.5]]
    error = relative_error(exact, "quotient")
    demo.figure("error of the weights that divide, +.5 and -.5", error, "< 1e-12", error < 1e-12)

    starts = demo.pick(10, 40, 400)
    with np.errstate(all="ignore"):  # infinities are what this is about
        runs = [descend(demo, demo.seed + k) for k in range(starts)]
        weights = np.stack([one for one, _ in runs])
        slopes = np.abs(np.stack([one for _, one in runs])).max(axis=2)
    small = np.abs(weights).max(axis=2) <= BLOWN  # NaN is not small
    blown = ~small.all(axis=1)
    least = round(demo.pick(0.6, 0.8) * starts)
    demo.figure(
        f"starts of {starts} in which a weight passes {BLOWN:g}",
        int(blown.sum()),
        f"at least {least}: nearly every one",
        blown.sum() >= least,
    )
    demo.note("of them, weights no longer finite", int((~np.isfinite(weights)).any((1, 2)).sum()))
    near = (np.abs(np.abs(weights[:, -1, 4:]) - 0.5) < 0.01).all(axis=1)
    demo.figure("starts that learn to divide", int(near.sum()), "none", not near.any())

    at = (~small).argmax(axis=1)  # the first point beyond; the step before it leads there
    before = [np.median(slopes[k, max(at[k] - 21, 0) : at[k] - 1]) for k in np.flatnonzero(blown)]
    leap = [slopes[k, at[k] - 1] for k in np.flatnonzero(blown)]
    demo.note("median gradient of the 20 steps before it blows up", float(np.nanmedian(before)))
    demo.figure(
        "median gradient of the step that blows it up",
        float(np.nanmedian(leap)),
        "above 1e6: it explodes,",
        np.nanmedian(leap) > 1e6,
    )
    after = slopes[blown, -200:]
    dead = float((~(after > 1e-12)).mean())
    demo.figure(
        "of the last 200 steps, with a gradient of nothing (below 1e-12, or no number)",
        dead,
        "above .8: then it vanishes",
        dead > 0.8,
    )
    print(
        "exp multiplies the gradient by the output and the logarithm divides it by its argument:\n"
        "where that passes zero one step throws the weights away, and from there the output is\n"
        "zero or infinite, so that nothing calls them back."
    )

    chosen = [k for k in np.flatnonzero(blown) if at[k] >= 20][:3]  # long enough to see
    ends = dict.fromkeys(chosen, "blows up")
    ends |= dict.fromkeys(np.flatnonzero(~blown)[:1], "stays, and learns nothing")
    weights[~np.isfinite(weights)] = np.nan
    names = ["hidden 1,1", "hidden 1,2", "hidden 2,1", "hidden 2,2", "output 1", "output 2"]
    _drawings.weight_paths(
        {
            f"start {k} {end}": {
                name: weights[k, : at[k] + 2 if blown[k] else None, i]
                for i, name in enumerate(names)
            }
            for k, end in ends.items()
        },
        demo.picture("quotient_first_attempt"),
        levels=(-0.5, 0.5),
        reach=1e4,
        title=f"Dividing with real numbers: {blown.sum()} of {starts} starts blow up",
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
