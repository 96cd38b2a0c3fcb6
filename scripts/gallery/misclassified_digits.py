"""Look at what a small trained network gets wrong: the confusion matrix and the digits."""

from __future__ import annotations

import sys

import numpy as np

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from xpnet import models, plots, schedules
from xpnet.training import metrics

ROWS = ("H10",)
TITLE = "the confusion matrix and the digits that a small network misreads"


def run(demo: harness.Demo) -> None:
    """Train a small convnet; count its errors and draw those it was surest of."""
    train, test = load(demo.data_dir)
    net = models.simple_convnet(8, 5, hidden=50, seed=demo.seed)
    trainer = trainer_for(demo, net, xpnet.Adam(lr=0.003), schedules.one_cycle())
    trainer.fit(train.take(demo.pick(10_000, 60_000)), demo.pick(1, 2), 100)
    scores, labels = net.predict(test.x), xpnet.to_numpy(test.t)
    answers = scores.argmax(axis=1)
    accuracy = float((answers == labels).mean())
    demo.between("test accuracy", accuracy, demo.pick((0.9, 0.97), (0.98, 0.995)))

    matrix = metrics.confusion_matrix(scores, test.t)
    counted = np.zeros((10, 10), int)  # label by label, in plain words
    for label, answer in zip(labels, answers, strict=True):
        counted[label, answer] += 1
    apart = int(abs(xpnet.to_numpy(matrix) - counted).sum())
    demo.figure("confusion matrix less a count by hand, in all", apart, "0", apart == 0)

    wrong = metrics.misclassified(scores, test.t)
    indices = xpnet.to_numpy(wrong.indices)
    missed = set(np.flatnonzero(answers != labels).tolist()) ^ set(indices.tolist())
    demo.figure(
        "digits listed that were read right, or misread and not", len(missed), "0", not missed
    )
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    sure = (shares.max(axis=1) / shares.sum(axis=1))[indices]
    ordered = bool((np.diff(sure) <= 1e-6).all())
    demo.figure("listed by how sure it was", ordered, "True", ordered)
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
