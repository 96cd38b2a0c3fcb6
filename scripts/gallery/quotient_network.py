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
from xpnet.random import Stream

ROWS = ("K2",)
TITLE = "a network that divides: the recipe that works, and what made the difference"

SUCCESS = 1e-6
"""The median relative error on fresh pairs below which an operation counts as learned."""

COSTLY = {
    "real numbers and log(x^2)": 0.6,
    "error of the result, not of its logarithm": 0.6,
    "a constant rate": 0.1,
    "momentum instead of Adam": 0.6,
}
"""Changes to the recipe, and the share of starts that may still learn the quotient."""


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


def turned(stream: Stream, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Any:
    """Draw initial weights whose phases are anything: they make every gradient complex."""
    return np.exp(2j * np.pi * stream.uniform(shape))


def recipe_by_hand(x: np.ndarray, W: np.ndarray, v: np.ndarray, steps: int) -> list[float]:
    """Return the first losses of the recipe for quotients, by the chain rule written out."""
    target = np.log(x[:, :1] / x[:, 1:] + 0j)
    weights, losses = {"W": W, "v": v}, []
    means = {name: 0j * p for name, p in weights.items()}
    squares = {name: abs(0 * p) for name, p in weights.items()}
    for k in range(1, steps + 1):
        z = x @ weights["W"]
        gap = np.log(z) @ weights["v"] - target
        losses.append(float((abs(gap) ** 2).mean() / 2))
        # of a real loss the steepest way is conjugate to the derivative
        delta = gap / len(x)
        back = delta @ weights["v"].conj().T / z.conj()
        rate = 0.03 * (1 + np.cos(np.pi * (k - 1) / (steps - 1))) / 2
        for name, g in (("W", x.T @ back), ("v", np.log(z).conj().T @ delta)):
            means[name] = 0.9 * means[name] + 0.1 * g
            squares[name] = 0.99 * squares[name] + 0.01 * abs(g) ** 2
            root = np.sqrt(squares[name] / (1 - 0.99**k)) + 1e-8
            weights[name] = weights[name] - rate * means[name] / (1 - 0.9**k) / root
    return losses


def line_by_hand(x: np.ndarray, w: np.ndarray, steps: int) -> list[float]:
    """Return the first losses of one unit that learns sums, by plain descent."""
    losses = []
    for _ in range(steps):
        gap = x @ w - x.sum(axis=1, keepdims=True)
        losses.append(float((gap**2).mean() / 2))
        w = w - 0.02 * x.T @ gap / len(x)
    return losses


def held_against_plain_arithmetic(demo: harness.Demo) -> None:
    """Hold initial weights against their rule, and first losses against those by hand."""
    initial = [learn_operation(seed=demo.seed + k, steps=0, where=demo.device) for k in range(20)]
    hidden, output = (
        np.stack([xpnet.to_numpy(one.net.params[name]) for one in initial])
        for name in ("0.W", "2.W")
    )
    demo.between("initial hidden weights, mean (.5)", float(hidden.real.mean()), (0.38, 0.62))
    demo.between("least of them", float(hidden.real.min()), (0, 0.1))
    demo.between("largest of them", float(hidden.real.max()), (0.9, 1))
    demo.at_most("largest of the output weights", float(abs(output).max()), 0)
    steps = 6
    x = Stream(demo.seed, "pairs").generator().uniform(0.1, 10, (128, 2))
    options: dict[str, Any] = {"seed": demo.seed, "where": demo.device}
    start = learn_operation(steps=0, hidden=turned, output=turned, **options).net.params
    W, v = (xpnet.to_numpy(start[name]) for name in ("0.W", "2.W"))
    found = learn_operation(steps=steps, hidden=turned, output=turned, **options).losses
    gap = np.abs(np.array(found) / recipe_by_hand(x, W, v, steps) - 1).max()
    demo.at_most(
        f"losses of {steps} steps from complex weights, distance from plain arithmetic", gap, 1e-9
    )
    unit = learn_linear("sum", steps=0, **options).net.params["0.W"]
    found = learn_linear("sum", steps=steps, **options).losses
    gap = np.abs(np.array(found) / line_by_hand(x, xpnet.to_numpy(unit), steps) - 1).max()
    demo.at_most(f"losses of {steps} steps of one Linear unit, the same", gap, 1e-9)


def run(demo: harness.Demo) -> None:
    """Count successes of the recipe, of one linear unit, and of each change to the recipe."""
    with np.errstate(all="ignore"):  # a change may well end in infinities
        held_against_plain_arithmetic(demo)
        recipe = teach(demo)
        counts, curves = vary(demo, recipe)
    draw(demo, recipe, counts, curves)


def teach(demo: harness.Demo) -> dict[str, list[Learned]]:
    """Count the starts that learn each operation by the means that suit it."""
    starts = demo.pick(3, 100, 1000)
    recipe = {}
    for operation in ("quotient", "product"):
        began = time.perf_counter()
        recipe[operation] = learn(demo, operation, starts)
        seconds = (time.perf_counter() - began) / starts
        name = f"{operation}: starts of {starts} that learn it"
        demo.at_least(name, successes(recipe[operation]), round(0.99 * starts))
        median = float(np.median([one.error for one in recipe[operation]]))
        demo.at_most(f"{operation}: median relative error", median, 1e-12)
        demo.note(f"{operation}: seconds a start", seconds)
    for operation in ("sum", "difference"):
        runs = [learn_linear(operation, demo.seed + k, where=demo.device) for k in range(starts)]
        name = f"{operation}, by one Linear unit: starts of {starts} that learn it"
        demo.at_least(name, successes(runs), starts)
    return recipe


def vary(
    demo: harness.Demo, recipe: dict[str, list[Learned]]
) -> tuple[dict[str, list[int]], dict[str, list[Learned]]]:
    """Return how many quotients and products each change still learns, and its quotients."""
    some = demo.pick(3, 12, 100)
    counts, curves = {}, {"the recipe": recipe["quotient"]}
    for name, (_, change) in list(changes().items())[: demo.pick(2, None)]:
        changed = {op: learn(demo, op, some, **change) for op in ("quotient", "product")}
        counts[name] = [successes(runs) for runs in changed.values()]
        demo.note(f"with {name}: quotient, product, of {some}", counts[name])
        curves[name] = changed["quotient"]
        if name in COSTLY:
            most = round(demo.pick(0.67, COSTLY[name]) * some)
            demo.at_most(f"quotients with {name}, of {some}", counts[name][0], most)
    own = [successes(recipe[op][:some]) for op in ("quotient", "product")]
    demo.note(f"the recipe itself on these starts, of {some}", own)
    tell(counts, own, some)
    return counts, curves


def draw(
    demo: harness.Demo,
    recipe: dict[str, list[Learned]],
    counts: dict[str, list[int]],
    curves: dict[str, list[Learned]],
) -> None:
    """Draw the losses of the recipe and its changes, and the weights that the recipe ends with."""
    own = {"the recipe": median_loss(curves["the recipe"])}
    halves: dict[str, dict[str, Any]] = {}
    for name, (quotients, _) in counts.items():
        if "of the result" in name:
            continue  # its loss has another unit
        often = quotients < 0.75 * len(curves[name])
        title = f"changes that {'often' if often else 'seldom'} fail"
        halves.setdefault(title, dict(own))[name] = median_loss(curves[name])
    plots.curves(
        halves,
        demo.picture("quotient_network_losses"),
        xlabel="step",
        ylabel="loss, median over starts",
        title="Learning the quotient",
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
        title=f"The weights that {len(recipe['quotient'])} starts end with",
    )


def tell(counts: dict[str, list[int]], own: list[int], some: int) -> None:
    """Say what made the difference, the costliest change first."""
    verdicts = {"What made the difference:": True, "What made little or none here:": False}
    for verdict, wanted in verdicts.items():
        told = [name for name in counts if (sum(counts[name]) < 0.9 * sum(own)) is wanted]
        if told:
            print(verdict)
        for name in sorted(told, key=lambda one: sum(counts[one])):
            quotients, products = counts[name]
            print(
                f"  {changes()[name][0]}\n"
                f"    (with {name}: {quotients} quotients and {products} products of {some})"
            )


def median_loss(runs: list[Learned]) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and the median loss over the starts; the line ends where half have diverged."""
    losses = np.nan_to_num(np.array([one.losses for one in runs]), nan=np.inf)
    steps = np.arange(0, losses.shape[1], 10)
    median = np.median(losses, axis=0)[steps]
    return steps, np.where(median < 1e100, median, np.nan)


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
