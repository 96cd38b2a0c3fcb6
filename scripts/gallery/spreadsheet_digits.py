"""Read handwritten digits from an Excel workbook and learn them with one hidden layer."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load
from xpnet import initializers, plots
from xpnet.data import Dataset, load_spreadsheet, save_spreadsheet
from xpnet.layers import Flatten, Linear, Rescale, Sequential, Sigmoid

ROWS = ("J",)
TITLE = "digits from a spreadsheet: 5000 images of 20x20, a 400-25-10 network of sigmoids"


def network(seed: int) -> Sequential:
    """Return the network; the last layer's sigmoid is part of the loss."""

    def linear(units: int) -> Linear:
        return Linear(units, init="glorot_uniform", bias_init=initializers.normal(1))

    return Sequential(
        [Rescale(1 / 255), Flatten(), linear(25), Sigmoid(), linear(10)],
        input_shape=(1, 20, 20),
        seed=seed,
    )


def through_workbooks(demo: harness.Demo, images: int) -> tuple[Dataset, Dataset]:
    """Write MNIST's digits, cropped to their middle, to workbooks, and read them back."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for name, data in zip(("training", "held-out"), load(demo.data_dir), strict=True):
            # Excel cells are slow to parse, so that the held-out half goes by way of an archive
            file = Path(folder) / f"{name}.{'xlsx' if name == 'training' else 'npz'}"
            began = time.perf_counter()
            save_spreadsheet(data.take(images), file)
            written = time.perf_counter()
            parts.append(load_spreadsheet(file))
            demo.note(
                f"{file.name} of {images} images: MB, seconds to write and to read",
                [
                    round(file.stat().st_size / 1e6, 2),
                    round(written - began, 2),
                    round(time.perf_counter() - written, 2),
                ],
            )
            same = parts[-1].x == data.x[:images, :, 4:24, 4:24]
            kept = bool(same.all()) and bool((parts[-1].t == data.t[:images]).all())
            demo.figure(f"{file.name} gives back what was written", kept, "True", kept)
    return parts[0], parts[1]


def run(demo: harness.Demo) -> None:
    """Make a workbook, read it, train on all images at once; compare with held-out images."""
    train, test = through_workbooks(demo, demo.pick(200, 5000))
    demo.note("shapes of X and y as read", [list(train.x.shape), list(train.t.shape)])
    net = network(demo.seed).to(demo.device)
    trainer = xpnet.Trainer(net, xpnet.SigmoidCrossEntropy(), xpnet.SGD(lr=1.5))
    train, test = train.to(demo.device), test.to(demo.device)
    passes, every = demo.pick(200, 600, 3000), demo.pick(50, 50, 100)
    steps: list[int] = []
    accuracies: dict[str, list[float]] = {"training": [], "held out": []}
    for k in range(passes + 1):
        if k % every == 0:
            results = [trainer.evaluate(data) for data in (train, test)]
            steps.append(k)
            for curve, result in zip(accuracies.values(), results, strict=True):
                curve.append(harness.accuracy(result))
            print(
                f"pass {k:4d}: loss {results[0].loss:.4f}, accuracy {results[0].accuracy:.4f}, "
                f"held out {results[1].accuracy:.4f}",
                flush=True,
            )
        trainer.step(train.x, train.t)
    final = accuracies["training"][-1]
    demo.figure("accuracy on the training data", final, "above .95", final > 0.95)
    held = accuracies["held out"][-1]
    low = demo.pick(0.6, 0.85)
    demo.figure("accuracy on as many held-out images", held, f"above {low}", held > low)

    shown = xpnet.to_numpy(test.x[:10])
    answers = net.predict(shown).argmax(axis=1)
    plots.image_grid(
        [(f"taken for {answer}", image[0]) for answer, image in zip(answers, shown, strict=True)],
        demo.picture("spreadsheet_digits"),
        title="Held-out digits as they come from the spreadsheet",
    )
    plots.curves(
        {"400-25-10, all images at once": {n: (steps, curve) for n, curve in accuracies.items()}},
        demo.picture("spreadsheet_digits_accuracy"),
        xlabel="pass",
        ylabel="accuracy",
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
