"""``xpnet evaluate``: say how well a saved network does on a data set."""

from __future__ import annotations

import argparse
from typing import Any

import numpy

import xpnet
from xpnet.cli import datasets, train
from xpnet.cli.parsing import Parser, add_common, add_device
from xpnet.cli.process import print_json, run, say
from xpnet.cli.saved import Saved, add_model
from xpnet.data import Dataset
from xpnet.tables import aligned
from xpnet.training.classification import ClassReport, classification_report

__all__ = ["main", "parser"]

EXAMPLES = """\
examples:
  xpnet evaluate runs/first                            on what its training was tested on
  xpnet evaluate runs/first --train-part               on what it has learned from
  xpnet evaluate runs/first --dataset more.csv         on other data, read as those were
  xpnet evaluate runs/first --json                     for a program
"""


def parser(prog: str = "xpnet evaluate", **defaults: Any) -> Parser:
    """Return the command line's grammar, with some defaults of one's own."""
    p = Parser(
        prog,
        "Say how well a saved network does on a data set's test images.",
        EXAMPLES,
        usage_first=not prog.startswith("xpnet"),
    )
    add_model(p)
    datasets.add_dataset(
        p,
        None,
        "as for train: its test part, or all of data that have none "
        f"({defaults.get('dataset') or 'what the network was trained on, else digits'})",
    )
    datasets.add_options(p, target=None)
    add_device(p)
    p.add_argument("--train-part", action="store_true", help="evaluate the training images instead")
    add_common(p, quiet="leave out the table of classes")
    p.set_defaults(**defaults)
    return p


def main(argv: list[str] | None = None, prog: str = "xpnet evaluate", **defaults: Any) -> int:
    """Run the command; return its exit status."""
    args = parser(prog, **defaults).parse_args(argv)
    return run(prog, lambda: evaluate(args))


def evaluate(args: argparse.Namespace) -> None:
    """Print how well the network does."""
    saved = Saved.read(args)
    found = data_for(args, saved)
    trainer = xpnet.Trainer(saved.net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD())
    result = trainer.evaluate(found)
    noun = datasets.noun(found)
    words = f"accuracy {result.accuracy:.4f}, loss {result.loss:.4f}, {result.samples:,} {noun}"
    if not (args.json and args.quiet):
        say(args.json, words)
    if args.quiet and not args.json:
        return
    rows = by_class(saved, found)
    if args.json:
        print_json({
            "model": str(saved.path), "dataset": found.name, "samples": result.samples,
            "accuracy": result.accuracy, "loss": result.loss, "device": saved.net.device.name,
            "classes": rows,
        })  # fmt: skip
    if not args.quiet:
        say(args.json, table(rows))


def data_for(args: argparse.Namespace, saved: Saved) -> Dataset:
    """Return what the network is evaluated on."""
    before = None if args.dataset else saved.trained_with()
    if before is not None:
        known = vars(train.parser().parse_args([])) | before
        own = argparse.Namespace(**known | {"data_dir": args.data_dir})
        learned, test = datasets.train_and_test(own)
        return learned if args.train_part else test
    name = args.dataset or "digits"
    learned, other = datasets.read(name, args.data_dir, saved.reads(args))
    return learned if args.train_part or other is None else other


def by_class(saved: Saved, found: Dataset) -> list[dict[str, Any]]:
    """Return of each class how many samples there are, how many are found, and what is confused."""
    scores = saved.net.predict(found.x)
    report = classification_report(scores, xpnet.to_numpy(found.t), saved.class_names)
    return [_of_class(report, k) for k in range(len(report.class_names))]


def _of_class(report: ClassReport, k: int) -> dict[str, Any]:
    counts = report.confusion
    wrong = counts[k].copy()
    wrong[k] = 0
    other = int(numpy.argmax(wrong))
    return {
        "class": report.class_names[k],
        "samples": report.support[k],
        "recall": report.recall[k] if report.support[k] else None,
        "precision": report.precision[k] if counts[:, k].any() else None,
        "most_taken_for": report.class_names[other] if wrong[other] else None,
        "times": int(wrong[other]),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return a table with a row a class."""
    cells = [("class", "samples", "recall", "precision", "most taken for")]
    for row in rows:
        shares = ["" if row[one] is None else f"{row[one]:.4f}" for one in ("recall", "precision")]
        taken = f"{row['most_taken_for']} ({row['times']})" if row["times"] else ""
        cells.append((row["class"], f"{row['samples']:,}", *shares, taken))
    return "\n".join(line.rstrip() for line in aligned(cells, left=1))
