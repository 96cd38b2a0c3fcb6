"""Look at what a small trained network gets wrong: the confusion matrix and the digits."""

from __future__ import annotations

import sys

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from xpnet import models, plots, schedules
from xpnet.training.metrics import confusion_matrix, misclassified

ROWS = ("H10",)
TITLE = "the confusion matrix and the digits that a small network misreads"


def run(demo: harness.Demo) -> None:
    """Train a small convnet; count its errors and draw those it was surest of."""
    train, test = load(demo.data_dir)
    net = models.simple_convnet(8, 5, hidden=50, seed=demo.seed)
    trainer = trainer_for(demo, net, xpnet.Adam(lr=0.003), schedules.one_cycle())
    trainer.fit(train.take(demo.pick(10_000, 60_000)), demo.pick(1, 2), 100)
    scores = net.predict(test.x)
    matrix = confusion_matrix(scores, test.t)
    wrong = misclassified(scores, test.t)
    accuracy = 1 - len(wrong.indices) / len(test)
    least = demo.pick(0.88, 0.98)
    demo.figure("test accuracy", accuracy, f"at least {least}", accuracy >= least)
    right = int(matrix.trace())
    fits = right + len(wrong.indices) == len(test)
    demo.figure(
        "right on the diagonal, wrong beside it",
        [right, len(wrong.indices)],
        f"{len(test)} together",
        fits,
    )
    errors = {(i, j): int(matrix[i, j]) for i in range(10) for j in range(10) if i != j}
    (i, j), most = max(errors.items(), key=lambda item: item[1])
    demo.note("the commonest error", f"{i} taken for {j}, {most} times")
    plots.confusion(matrix, demo.picture("confusion_matrix"), f"test accuracy {accuracy:.4f}")
    shown = [
        (f"{label} as {guess}", test.x[index])
        for index, label, guess, _ in list(zip(*wrong, strict=True))[:50]
    ]
    title = "The digits it was surest of and got wrong"
    plots.image_grid(shown, demo.picture("misclassified_digits"), title=title)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
