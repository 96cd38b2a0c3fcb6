"""Teach networks to divide and to multiply from nearly every start, and measure why it works."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet import plots, schedules
from xpnet.initializers import uniform
from xpnet.models.quotient import Learned, learn_linear, learn_operation

ROWS = ("K2",)
TITLE = "a network that divides: the recipe that works, and what made the difference"

SUCCESS = 1e-6
"""The median relative error on fresh pairs below which an operation counts as learned."""


def changes() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return what is changed in the recipe: why the recipe has it, and the arguments."""
    return {
        "real numbers and log(x^2)": (
            "complex weights: on the real line a zero of the logarithm's argument is a wall "
            "that no weight passes, in the plane a point that it goes around",
            {"real": True},
        ),
        "error of the result, not of its logarithm": (
            "the loss before exp: there the output weights see a convex problem, and small and "
            "large results weigh the same",
            {"on_score": False},
        ),
        "a constant rate": (
            "the falling rate: Adam's steps do not shrink by themselves",
            {"schedule": schedules.constant()},
        ),
        "Adam's usual beta2, .999": (
            "a short memory of squares: the one huge gradient beside a zero is forgotten soon",
            {"optimizer": lambda: xpnet.Adam(lr=0.03)},
        ),
        "momentum instead of Adam": (
            "a step of its own for each weight: the directions differ in curvature",
            {"optimizer": lambda: xpnet.Momentum(lr=0.02)},
        ),
        "random output weights": (
            "output weights of zero: each unit then takes the sign that it deserves",
            {"output": uniform(-1, 1)},
        ),
        "fresh pairs at every step": ("the same pairs at every step", {"fresh": True}),
    }


def learn(demo: harness.Demo, operation: str, starts: int, **change: Any) -> list[Learned]:
    """Run the recipe, or the recipe with one change, from a number of starts."""
    make = change.pop("optimizer", lambda: None)  # an optimizer remembers: each start has its own
    return [
        learn_operation(operation, demo.seed + k, optimizer=make(), where=demo.device, **change)
        for k in range(starts)
    ]


def successes(runs: list[Learned]) -> int:
    """Return how many starts learned their operation."""
    return sum(run.error < SUCCESS for run in runs)


def run(demo: harness.Demo) -> None:
    """Count successes of the recipe, of each change to it, and of one linear unit."""
    starts = demo.pick(4, 100, 1000)
    least = round(demo.pick(0.75, 0.99) * starts)
    recipe = {}
    for operation in ("quotient", "product"):
        began = time.perf_counter()
        recipe[operation] = learn(demo, operation, starts)
        seconds = (time.perf_counter() - began) / starts
        count = successes(recipe[operation])
        demo.figure(
            f"{operation}: starts of {starts} that learn it",
            count,
            f"at least {least}",
            count >= least,
        )
        median = float(np.median([one.error for one in recipe[operation]]))
        demo.figure(
            f"{operation}: median relative error", median, f"under {SUCCESS:g}", median < SUCCESS
        )
        demo.note(f"{operation}: seconds a start", seconds)
    for operation in ("sum", "difference"):
        count = successes(
            [learn_linear(operation, demo.seed + k, where=demo.device) for k in range(starts)]
        )
        demo.figure(
            f"{operation}, by one Linear unit: starts of {starts} that learn it",
            count,
            f"at least {least}",
            count >= least,
        )

    some = demo.pick(2, 20, 100)
    counts, curves = {}, {"the recipe": recipe["quotient"]}
    chosen = list(changes().items())[: demo.pick(2, None)]
    with np.errstate(all="ignore"):  # a change may well end in infinities
        for name, (_, change) in chosen:
            changed = {op: learn(demo, op, some, **change) for op in ("quotient", "product")}
            counts[name] = [successes(runs) for runs in changed.values()]
            demo.note(f"with {name}: quotient, product, of {some}", counts[name])
            curves[name] = changed["quotient"]
    own = [successes(recipe[op][:some]) for op in ("quotient", "product")]
    demo.note(f"the recipe itself on these starts, of {some}", own)
    tell(counts, own, some)
    for name in ("real numbers and log(x^2)", "error of the result, not of its logarithm"):
        demo.figure(
            f"quotients with {name}",
            counts[name][0],
            f"fewer than {own[0]}",
            counts[name][0] < own[0],
        )

    # the error of results has another unit; the worst and the milder changes get a panel each
    milder = ("beta2", "random", "fresh")
    halves: dict[str, dict[str, Any]] = {"changes that often fail": {}, "that seldom fail": {}}
    for name, runs in curves.items():
        worst, helps = halves.values()
        if "of the result" not in name and not any(word in name for word in milder):
            worst[name] = median_loss(runs)
        if name == "the recipe" or any(word in name for word in milder):
            helps[name] = median_loss(runs)
    plots.curves(
        halves,
        demo.picture("quotient_network_losses"),
        xlabel="step",
        ylabel="loss, median over starts",
        columns=2,
        log=True,
    )
    _drawings.complex_plane(
        {
            f"{operation}: {part} weights": groups
            for operation, runs in recipe.items()
            for part, groups in weights_of(runs).items()
        },
        demo.picture("quotient_network_weights"),
        columns=2,
        title=f"The weights that {starts} starts end with",
    )


def tell(counts: dict[str, list[int]], own: list[int], some: int) -> None:
    """Say what made the difference, the costliest change first."""
    for verdict, wanted in (("What made the difference:", True), ("What made none here:", False)):
        told = [name for name in counts if (sum(counts[name]) < sum(own)) is wanted]
        if told:
            print(verdict)
        for name in sorted(told, key=lambda one: sum(counts[one])):
            quotients, products = counts[name]
            print(
                f"  {changes()[name][0]}\n"
                f"    (with {name}: {quotients} quotients and {products} products of {some})"
            )


def median_loss(runs: list[Learned]) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and the median loss over the starts; where it is no number it is infinite."""
    losses = np.nan_to_num(np.array([one.losses for one in runs]), nan=np.inf)
    steps = np.arange(0, losses.shape[1], 10)
    return steps, np.median(losses, axis=0)[steps]


def weights_of(runs: list[Learned]) -> dict[str, dict[str, np.ndarray]]:
    """Return hidden weights, by which input a unit listens to, and output weights."""
    hidden = np.stack([xpnet.to_numpy(one.net.params["0.W"]) for one in runs])
    output = np.stack([xpnet.to_numpy(one.net.params["2.W"]) for one in runs])[:, :, 0]
    order = np.sort(np.abs(hidden), axis=1)
    larger = np.abs(hidden) >= order[:, 1:]
    first = np.abs(hidden[:, 0]) > np.abs(hidden[:, 1])
    return {
        "hidden": {"of the input it hears": hidden[larger], "of the other": hidden[~larger]},
        "output": {"unit that hears a": output[first], "unit that hears b": output[~first]},
    }


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
