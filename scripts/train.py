"""Train a network to tell images apart, from the command line."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

import xpnet
from xpnet import models, optimizers, plots, schedules, training
from xpnet.data import NAMES as DATASETS
from xpnet.files import replacing
from xpnet.ops.precision import PRECISIONS
from xpnet.training.steps import not_recordable

OPTIMIZERS: dict[str, tuple[type[optimizers.Optimizer], float]] = {
    # name: (class, default learning rate)
    "sgd": (optimizers.SGD, 0.2),
    "momentum": (optimizers.Momentum, 0.05),
    "nesterov": (optimizers.Nesterov, 0.05),
    "adagrad": (optimizers.AdaGrad, 0.02),
    "rmsprop": (optimizers.RMSprop, 0.001),
    "adam": (optimizers.Adam, 0.003),
    "adamw": (optimizers.AdamW, 0.003),
}

EXAMPLES = """\
examples:
  python scripts/train.py                                   the digits that come with xpnet
  python scripts/train.py --dataset mnist --model simple-convnet --epochs 3
  python scripts/train.py --dataset mnist --device gpu --out runs/first
  python scripts/train.py --optimizer sgd --lr 0.1 --schedule constant --validation-split 0.1
"""


def _checked(
    kind: type[float], wanted: str, fits: Callable[[float], bool]
) -> Callable[[str], float]:
    """Return an argument type: numbers of a kind that fit, or one sentence of what was wanted."""

    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if fits(value):
                return value
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")

    return read


WHOLE = _checked(int, "a whole number >= 1", lambda v: v >= 1)
SEED = _checked(int, "a whole number >= 0", lambda v: v >= 0)
POSITIVE = _checked(float, "a number above 0", lambda v: 0 < v < math.inf)
NOT_NEGATIVE = _checked(float, "a number >= 0", lambda v: 0 <= v < math.inf)
SHARE = _checked(float, "a share of at least 0 and below 1", lambda v: 0 <= v < 1)


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    p = argparse.ArgumentParser(
        prog="train.py",
        description="Train a network to tell images apart, and say how well it does.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = p.add_argument_group("what to learn")
    what.add_argument(
        "--dataset",
        choices=DATASETS,
        default="digits",
        help="digits (the default) comes with xpnet; the others are downloaded once",
    )
    what.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where data sets lie or are put; by default $XPNET_DATA, else the user's cache",
    )
    what.add_argument(
        "--limit-train", type=WHOLE, metavar="N", help="train on the first N images only"
    )
    what.add_argument(
        "--validation-split",
        type=SHARE,
        default=0.0,
        metavar="F",
        help="share of the training images held out and evaluated after each epoch, e.g. 0.1",
    )
    how = p.add_argument_group("how to learn it")
    how.add_argument(
        "--model",
        choices=list(models.BY_NAME),
        default="mlp",
        help="mlp (the default, 784-256-128-10), or a convolutional network",
    )
    how.add_argument("--epochs", type=WHOLE, default=20, help="passes over the images (20)")
    how.add_argument("--batch-size", type=WHOLE, default=100, help="images in a step (100)")
    how.add_argument("--optimizer", choices=list(OPTIMIZERS), default="adam", help="(adam)")
    how.add_argument(
        "--lr",
        type=POSITIVE,
        help="learning rate, at the schedule's peak; by default "
        + ", ".join(f"{lr} for {name}" for name, (_, lr) in OPTIMIZERS.items()),
    )
    how.add_argument(
        "--schedule",
        choices=schedules.NAMES,
        default="one-cycle",
        help="how the rate changes over the run (one-cycle)",
    )
    how.add_argument(
        "--weight-decay",
        type=NOT_NEGATIVE,
        metavar="L",
        help="L2 decay of the weights; by default 0 (0.01 for adamw)",
    )
    how.add_argument(
        "--seed",
        type=SEED,
        default=0,
        help="of weights, batches and masks (0): the same seed, the same run",
    )
    how.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="(float32)")
    where = p.add_argument_group("where to run and what to keep")
    where.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="cpu (the default, NumPy), gpu or gpu:N (CuPy), torch:cpu, torch:cuda:N, or auto",
    )
    where.add_argument(
        "--graph",
        choices=["auto", "on", "off"],
        default="auto",
        help="whether a GPU records training steps once and replays them with one launch each: "
        "where that can be (auto, the default), always, or never; the results are the same",
    )
    where.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of matrix products in float32 networks (float32): tf32, bf16 and fp16 round their "
        "operands, which makes a GPU faster; parameters stay float32",
    )
    where.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write history.jsonl, summary.json, model.safetensors and curves.png there",
    )
    where.add_argument("--quiet", action="store_true", help="print the final accuracy alone")
    where.add_argument(
        "--profile",
        nargs="?",
        const="steps",
        choices=["steps", "layers"],
        help="first print where the time of a training step goes: as layers run together (steps, "
        "the default), or each by itself; the run that follows is the same without it",
    )
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = parser().parse_args(argv)
    try:
        return train(args)
    except (ValueError, OSError, xpnet.DeviceError) as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntrain.py: interrupted", file=sys.stderr)
        return 130


def train(args: argparse.Namespace) -> int:
    """Train as the arguments say, print and write the results."""
    device = xpnet.device(args.device)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    train_data, test_data = xpnet.data.load(args.dataset, args.data_dir)
    if args.limit_train:
        if args.limit_train > len(train_data):
            raise ValueError(
                f"--limit-train: {args.dataset} has {len(train_data)} training images, "
                f"got {args.limit_train}"
            )
        train_data = train_data.take(args.limit_train)
    validation = None
    if args.validation_split:
        train_data, validation = train_data.split(args.validation_split, args.seed)

    net = models.BY_NAME[args.model](
        input_shape=train_data.x.shape[1:],
        classes=train_data.classes,
        seed=args.seed,
        dtype=args.dtype,
    ).to(device, precision=args.precision)
    trainer = xpnet.Trainer(
        net,
        xpnet.SoftmaxCrossEntropy(),
        make_optimizer(args),
        schedule=schedules.schedule(args.schedule),
        seed=args.seed,
        graph=args.graph,
    )
    reason = not_recordable(net) if args.graph == "on" else None
    if reason:  # said before anything is printed or removed
        raise ValueError(f"--graph on: {reason}")
    if args.out:
        trainer.callbacks.append(training.HistoryFile(args.out / "history.jsonl"))
    if not args.quiet:
        trainer.callbacks += [training.ProgressBar(), training.Table()]
        print(f"{args.dataset}: {len(train_data):,} training images", end="")
        print(f", {len(validation):,} for validation" if validation else "", end="")
        print(
            f", {len(test_data):,} test images\n{args.model} on {device.name}:\n{net.summary()}\n"
        )

    if args.profile:
        with numpy.errstate(over="ignore", invalid="ignore"):
            found = training.profile_step(trainer, train_data, args.batch_size, by=args.profile)
        print(f"{found}\n", flush=True)
    if args.out:  # an earlier run's results must not stand beside this one's history
        for name in ("summary.json", "model.safetensors", "curves.png"):
            (args.out / name).unlink(missing_ok=True)
    began = time.perf_counter()
    with numpy.errstate(over="ignore", invalid="ignore"):  # the trainer says when it diverges
        history = trainer.fit(train_data, args.epochs, args.batch_size, validation=validation)
    seconds = time.perf_counter() - began
    if not args.quiet and "cpu" not in device.name:
        print(replayed(trainer))
    result = trainer.evaluate(test_data)
    print(f"test accuracy {result.accuracy:.4f}, loss {result.loss:.4f}, trained {seconds:.1f} s")
    if args.out:
        summary = {
            "test_accuracy": result.accuracy,
            "test_loss": result.loss,
            "epochs": args.epochs,
            "steps": trainer.optimizer.steps,
            "train_seconds": seconds,
            "samples_per_second": len(train_data) * args.epochs / sum(history["seconds"]),
            "parameters": sum(a.size for a in map(xpnet.to_numpy, net.params.values())),
            "dataset": args.dataset,
            "train_samples": len(train_data),
            "model": args.model,
            "batch_size": args.batch_size,
            "optimizer": repr(trainer.optimizer),
            "schedule": args.schedule,
            "dtype": args.dtype,
            "precision": args.precision,
            "seed": args.seed,
            "device": device.name,
            "replayed": trainer.not_replayed is None,
            "not_replayed": trainer.not_replayed,
            "backend": device.library,
            "versions": versions(device),
        }
        write_results(args, net, history, summary)
    return 0


def replayed(trainer: xpnet.Trainer) -> str:
    """Return in one line whether the last fit replayed its steps, or why it did not."""
    if trainer.not_replayed is None:
        return "steps were recorded and replayed"
    return f"steps were not replayed: {trainer.not_replayed}"


def make_optimizer(args: argparse.Namespace) -> optimizers.Optimizer:
    """Return the optimizer that the arguments ask for."""
    kind, lr = OPTIMIZERS[args.optimizer]
    decay = {} if args.weight_decay is None else {"weight_decay": args.weight_decay}
    return kind(lr=args.lr or lr, **decay)


def versions(device: xpnet.Device) -> dict[str, str]:
    """Return what the figures of a run depend on beside its arguments."""
    return {
        "xpnet": xpnet.__version__,
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
        **device.describe(),
    }


def write_results(
    args: argparse.Namespace,
    net: xpnet.Sequential,
    history: training.History,
    summary: dict[str, Any],
) -> None:
    """Write the network, the summary and the picture (history.jsonl is there already)."""
    net.save(args.out / "model.safetensors")
    with replacing(args.out / "summary.json") as part:
        part.write_text(json.dumps(summary, indent=2) + "\n")
    title = f"{args.model} on {args.dataset}: test accuracy {summary['test_accuracy']:.4f}"
    try:
        plots.training_curves(history, args.out / "curves.png", title)
    except plots.PlotError as error:
        print(f"no curves.png: {error}", file=sys.stderr)
    if not args.quiet:
        print(f"written to {args.out}")


if __name__ == "__main__":
    sys.exit(main())
