"""Search a learning rate and a weight decay at random, on images held out."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from scripts.gallery.harness import mean
from xpnet import models, plots
from xpnet.training import LogUniform, Trial, search

ROWS = ("H9",)
TITLE = "random search over learning rate and weight decay"

SPACE = {"lr": LogUniform(1e-6, 1e-2), "weight_decay": LogUniform(1e-8, 1e-4)}


def run(demo: harness.Demo) -> None:
    """Try what is drawn on 500 images, of which a fifth validates; draw the best 20."""
    count, epochs = demo.pick(24, 100), demo.pick(30, 50)
    best = trials(demo, SPACE, count, epochs)
    for trial in best[:5]:
        values = ", ".join(f"{name} {value:.3g}" for name, value in trial.values.items())
        demo.note(f"trial {trial.number}: {values}", trial.score)
    for name, drawn in SPACE.items():
        tens = [math.log10(trial.values[name]) for trial in best]
        low, high = math.log10(drawn.low), math.log10(drawn.high)
        inside = sum(low <= ten <= high for ten in tens)
        demo.figure(f"draws of {name} within its range", inside, str(count), inside == count)
        middle = (mean(tens) - low) / (high - low)
        demo.between(
            "the mean of their logarithms, from 0 at its low end to 1", middle,
            demo.pick((0.3, 0.7), (0.4, 0.6)),
        )  # fmt: skip
    demo.between("best validation accuracy", best[0].score, demo.pick((0.3, 0.85), (0.7, 0.88)))
    demo.at_most(
        "median validation accuracy", statistics.median(trial.score for trial in best), 0.3
    )
    rates = [trial.values["lr"] for trial in best[: demo.pick(2, 5)]]
    demo.figure(f"best {len(rates)} rates", rates, "all above .001", min(rates) > 0.001)
    plots.line_panels(
        {
            f"{rank}: lr {trial.values['lr']:.3g}": {
                "validation": (range(1, epochs + 1), trial.history["validation_accuracy"]),
                "train": (range(1, epochs + 1), trial.history["train_accuracy"]),
            }
            for rank, trial in enumerate(best[:20], 1)
        },
        demo.picture("random_search"),
        columns=5,
        xlabel="epoch",
        ylabel="accuracy",
        ylim=(0, 1),
    )


def trials(
    demo: harness.Demo,
    space: Mapping[str, LogUniform],
    count: int,
    epochs: int,
    seed: int | None = None,
) -> list[Trial]:
    """Train a 784-100x6-10 network for each draw; return the trials, the best first."""

    def make_trainer(lr: float, weight_decay: float) -> xpnet.Trainer:
        net = models.mlp((100,) * 6, seed=demo.seed)
        return trainer_for(demo, net, xpnet.SGD(lr=lr, weight_decay=weight_decay))

    data = load(demo.data_dir)[0].take(500)
    seed = demo.seed if seed is None else seed
    return search.random_search(make_trainer, data, space, count, epochs, 100, seed=seed)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
