"""A teacher's lesson: a network learns digits, and eight pictures for the slides show how.

    python -m scripts.examples.lesson [FOLDER]

The pictures go to the folder: the loss over learning rates, curves over the epochs, the
confusion matrix, the misread digits, how sure it is, filters, and what hidden layers answer.  It
needs ``pip install "xpnet[plots]"``.
"""

import sys
from pathlib import Path

import xpnet
from xpnet import models, plots
from xpnet.training import find_lr, metrics


def main(folder: str = ".") -> float:
    """Return the accuracy on digits that the network has never seen."""
    out = Path(folder)
    train, test = xpnet.data.load("digits")
    net = models.simple_convnet(seed=0)
    trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam(lr=1e-3))
    find_lr(trainer, train, 50, low=1e-5, high=1).plot(out / "rates.png", "which rate to take")
    trainer.fit(train, epochs=8, batch_size=50, validation=test)
    plots.training_curves(trainer.history, out / "curves.png", "eight epochs")
    scores = net.predict(test.x)
    plots.confusion(metrics.confusion_matrix(scores, test.t), out / "confusion.png")
    plots.misclassified(test, metrics.misclassified(scores, test.t), out / "misread.png")
    metrics.calibration(scores, test.t).plot(out / "reliability.png")
    plots.filters(net, None, out / "filters.png", title="filters of the first layer")
    plots.activations(net, test, "2", out / "maps.png", title="what they answer")
    plots.activations(net, test, "6", out / "units.png", title="the hidden units, by digit")
    return metrics.classification_report(scores, test.t).accuracy


if __name__ == "__main__":
    print(f"accuracy {main(*sys.argv[1:]):.4f}")
