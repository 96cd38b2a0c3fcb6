"""Search a learning rate and a weight decay at random, on images held out."""

from __future__ import annotations

import sys

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from xpnet import models, plots
from xpnet.training import LogUniform, random_search

ROWS = ("H9",)
TITLE = "random search over learning rate and weight decay"

SPACE = {"lr": LogUniform(1e-6, 1e-2), "weight_decay": LogUniform(1e-8, 1e-4)}


def run(demo: harness.Demo) -> None:
    """Try what is drawn on 500 images, of which a fifth validates; draw the best 20."""
    data = load(demo.data_dir)[0].take(500)
    count, epochs = demo.pick(12, 100), demo.pick(30, 50)

    def make_trainer(lr: float, weight_decay: float) -> xpnet.Trainer:
        net = models.mlp((100,) * 6, seed=demo.seed)
        return trainer_for(demo, net, xpnet.SGD(lr=lr, weight_decay=weight_decay))

    best = random_search(make_trainer, data, SPACE, count, epochs, 100, seed=demo.seed)
    for trial in best[:5]:
        values = ", ".join(f"{name} {value:.3g}" for name, value in trial.values.items())
        demo.note(f"trial {trial.number}: {values}", trial.accuracy)
    least = demo.pick(0.35, 0.70)
    top = best[0].accuracy
    demo.figure("best validation accuracy", top, f"at least {least}", top >= least)
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


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
