"""Train a network to tell images apart, from the command line."""

from __future__ import annotations

import os
import signal
import sys

EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""The exit status of a command that a signal ended."""

if __name__ == "__main__":  # while modules are imported there is nothing to lose, and no traceback

    def _leave(number: int, frame: object) -> None:
        os.write(2, b"\ntrain.py: interrupted\n")
        os._exit(EXIT[signal.Signals(number)])

    for _number in EXIT:
        signal.signal(_number, _leave)

import argparse
import contextlib
import json
import math
import shlex
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import filelock
import numpy

import xpnet
from xpnet import models, optimizers, plots, schedules, training
from xpnet.data import NAMES as DATASETS
from xpnet.data import Dataset
from xpnet.files import contents, json_value, reading, replacing, versions
from xpnet.layers import Network
from xpnet.ops.precision import PRECISIONS
from xpnet.training.checkpoint import read_metadata
from xpnet.training.steps import not_recordable

CHECKPOINT = "checkpoint.safetensors"

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
  python scripts/train.py --dataset cifar-10 --model fast-convnet --epochs 10
  python scripts/train.py --dataset mnist --device gpu --out runs/first
  python scripts/train.py --resume runs/first               go on with a run that was interrupted
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
        help="mlp (the default: 256 and 128 hidden units), or a convolutional network",
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
        help="write history.jsonl, summary.json, model.safetensors and curves.png there when the "
        "run is done, and meanwhile a checkpoint after each epoch and each minute",
    )
    where.add_argument(
        "--resume",
        nargs="?",
        const=True,
        metavar="DIR",
        help="go on with the run in DIR, or in --out, where it was interrupted, to the same bits, "
        "or begin it; the arguments of a run that has begun may be left out",
    )
    where.add_argument(
        "--checkpoint-seconds",
        type=POSITIVE,
        default=60.0,
        metavar="S",
        help="seconds between two checkpoints within an epoch (60)",
    )
    where.add_argument(
        "--overwrite",
        action="store_true",
        help="begin anew where --out holds a run that was interrupted",
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


class Interrupted(KeyboardInterrupt):
    """A signal came that ends the command.

    Parameters
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = signal.Signals(number)


def interrupt(number: int, frame: object) -> NoReturn:
    """Handle a signal: during a fit it comes between two steps."""
    raise Interrupted(number)


@contextlib.contextmanager
def handling(handler: Any) -> Iterator[None]:
    """Let a handler take SIGINT and SIGTERM within this context."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in EXIT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = None
    try:
        with spoken_warnings():
            args = arguments(argv)
            with owned(args.out):
                train(args)
        sys.stdout.flush()
    except (ValueError, OSError, xpnet.DeviceError) as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        if isinstance(error, OSError) and begun(args):
            print(f"train.py: {what_is_left(args)}", file=sys.stderr)
        return 2
    except Interrupted as signalled:
        if isinstance(signalled.__context__, OSError):  # of the checkpoint written at the signal
            print(f"\ntrain.py: error: {signalled.__context__}", file=sys.stderr)
        print(f"\ntrain.py: interrupted: {what_is_left(args)}", file=sys.stderr)
        return EXIT[signalled.number]
    except KeyboardInterrupt:
        print("\ntrain.py: interrupted", file=sys.stderr)
        return EXIT[signal.SIGINT]
    return 0


def what_is_left(args: argparse.Namespace | None) -> str:
    """Return in words what an interrupted run has left."""
    if args is None or args.out is None:
        return "without --out nothing is kept"
    if not begun(args):
        return "no step was made, and nothing written"
    return f"go on with --resume {shlex.quote(str(args.out))}"


def begun(args: argparse.Namespace | None) -> bool:
    """Return whether there is a run that is not finished."""
    return args is not None and args.out is not None and bool(versions(args.out / CHECKPOINT))


@contextlib.contextmanager
def spoken_warnings() -> Iterator[None]:
    """Print warnings as the command's own sentences."""

    def speak(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"train.py: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("once", RuntimeWarning)
        warnings.showwarning = speak
        yield


@contextlib.contextmanager
def owned(out: Path | None) -> Iterator[None]:
    """Keep a folder from other runs, until this process ends."""
    if out is None:
        yield
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"--out {out}: expected a folder, got a file: name another") from None
    lock = filelock.FileLock(out / ".lock", blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(
            f"--out: another train.py is writing to {out}: wait for it, or name another folder"
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file
            Path(lock.lock_file).unlink()
        lock.release()


# What a run is made of beside these is given again by its checkpoint.
OWN = ("out", "resume", "overwrite", "quiet", "profile", "data_dir", "checkpoint_seconds")


# Of these, what a run that goes on wants too.
KEPT = ("data_dir", "checkpoint_seconds")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line, or of the run that it goes on with."""
    grammar = parser()
    args = grammar.parse_args(argv)
    if args.data_dir:
        args.data_dir = str(Path(args.data_dir).absolute())  # wherever the run goes on
    if args.resume is None:
        return args
    unset = argparse.Namespace(**dict.fromkeys(vars(args), None))
    given = {k: v for k, v in vars(grammar.parse_args(argv, unset)).items() if v is not None}
    if args.resume is not True:
        if args.out is not None and args.out != Path(args.resume):
            raise ValueError(f"--resume {args.resume}: expected the folder of --out, {args.out}")
        args.out = Path(args.resume)
    if args.out is None:
        raise ValueError("--resume: expected a folder, here or as --out")
    saved = saved_arguments(args.out)
    if saved is None:
        if given.keys() <= {"resume", "quiet", "profile"}:
            raise ValueError(f"--resume {args.out}: holds no run: give the arguments of a new one")
        return args
    for name, value in given.items():
        if name not in OWN and value != saved.get(name):
            raise ValueError(
                f"--{name.replace('_', '-')}: the run in {args.out} has {saved.get(name)!r}, got "
                f"{value!r}: leave it out to go on, or begin another run in another folder"
            )
    own = {name: getattr(args, name) for name in OWN if name in given or name not in saved}
    return argparse.Namespace(**vars(args) | saved | own | {"out": args.out})


def made_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that decide a run's numbers."""
    return {name: value for name, value in vars(args).items() if name not in OWN}


def saved_arguments(out: Path) -> dict[str, Any] | None:
    """Return the arguments of the run in a folder, finished or not; None if there is none."""
    if versions(out / CHECKPOINT):
        metadata = read_metadata(out / CHECKPOINT)
        with reading(out / CHECKPOINT, "no checkpoint of this command"):
            return dict(metadata["arguments"])
    summary = saved_summary(out)
    return None if summary is None else dict(summary["arguments"])


def saved_summary(out: Path) -> dict[str, Any] | None:
    """Return the summary of the finished run in a folder; None if there is none."""
    path = out / "summary.json"
    if not path.exists():
        return None
    with reading(path, "no summary of a run"):
        summary = dict(json_value(contents(path).decode()))
        return summary | {
            "arguments": dict(summary["arguments"]),
            "test_accuracy": float(summary["test_accuracy"]),
        }


def train(args: argparse.Namespace) -> None:
    """Train as the arguments say, print and write the results."""
    device = xpnet.device(args.device)
    checkpoint = args.out and args.out / CHECKPOINT
    goes_on = begun(args) and args.resume
    if begun(args) and not (args.resume or args.overwrite):
        raise ValueError(
            f"--out {args.out}: holds a run that is not finished: {what_is_left(args)}, or begin "
            f"anew with --overwrite"
        )
    summary = saved_summary(args.out) if args.resume and not goes_on else None
    if summary is not None:
        print(f"finished before: test accuracy {summary['test_accuracy']:.4f}")
        return
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
    if reason:  # said before anything is printed
        raise ValueError(f"--graph on: {reason}")
    if goes_on:
        trainer.restore(args.out / CHECKPOINT)
    trainer.callbacks.append(training.LearnsNothing())
    if checkpoint:
        trainer.callbacks.append(
            training.Checkpoint(
                checkpoint,
                every_seconds=args.checkpoint_seconds,
                metadata={"arguments": made_of(args) | {k: vars(args)[k] for k in KEPT}},
            )
        )
    if not args.quiet:
        trainer.callbacks += [training.ProgressBar(), training.Table()]
        print(f"{args.dataset}: {len(train_data):,} training images", end="")
        print(f", {len(validation):,} for validation" if validation else "", end="")
        print(
            f", {len(test_data):,} test images\n{args.model} on {device.name}:\n{net.summary()}\n"
        )
        if trainer.optimizer.steps:
            print(f"going on after step {trainer.optimizer.steps}, epoch {trainer.epoch + 1}\n")

    if args.profile:
        with numpy.errstate(over="ignore", invalid="ignore"):
            found = training.profile_step(trainer, train_data, args.batch_size, by=args.profile)
        print(f"{found}\n")
    sys.stdout.flush()
    with handling(interrupt):
        fit_and_report(args, trainer, train_data, validation, test_data)


def fit_and_report(
    args: argparse.Namespace,
    trainer: xpnet.Trainer,
    train_data: Dataset,
    validation: Dataset | None,
    test_data: Dataset,
) -> None:
    """Fit, evaluate, and write the results; the checkpoint has done its part then."""
    try:
        with numpy.errstate(over="ignore", invalid="ignore"):  # the trainer says when it diverges
            history = trainer.fit(train_data, args.epochs, args.batch_size, validation=validation)
    except training.DivergedError:
        remove_checkpoint(args)  # it would diverge again
        raise
    seconds, place = sum(history["seconds"]), trainer.net.device
    if not args.quiet and "cpu" not in place.name:
        print(replayed(trainer))
    result = trainer.evaluate(test_data)
    print(f"test accuracy {result.accuracy:.4f}, loss {result.loss:.4f}, trained {seconds:.1f} s")
    if args.out is None:
        return
    summary = {
        "test_accuracy": result.accuracy,
        "test_loss": result.loss,
        "epochs": args.epochs,
        "steps": trainer.optimizer.steps,
        "train_seconds": seconds,
        "samples_per_second": len(train_data) * args.epochs / seconds,
        "parameters": sum(a.size for a in map(xpnet.to_numpy, trainer.net.params.values())),
        "dataset": args.dataset,
        "train_samples": len(train_data),
        "model": args.model,
        "batch_size": args.batch_size,
        "optimizer": repr(trainer.optimizer),
        "schedule": args.schedule,
        "dtype": args.dtype,
        "precision": args.precision,
        "seed": args.seed,
        "device": place.name,
        "replayed": trainer.not_replayed is None,
        "not_replayed": trainer.not_replayed,
        "backend": place.library,
        "versions": environment(place),
        "bits_depend_on": trainer.fits.all[-1].depends,
        "arguments": made_of(args),
    }
    with handling(signal.SIG_IGN):  # a moment, and all is done
        write_results(args, trainer.net, history, summary)


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


def environment(device: xpnet.Device) -> dict[str, str]:
    """Return what the figures of a run depend on beside its arguments."""
    return {
        "xpnet": xpnet.__version__,
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
        **device.describe(),
    }


def write_results(
    args: argparse.Namespace,
    net: Network,
    history: training.History,
    summary: dict[str, Any],
) -> None:
    """Write the picture, the network, the history and the summary, each whole; end the run."""
    title = f"{args.model} on {args.dataset}: test accuracy {summary['test_accuracy']:.4f}"
    try:
        plots.training_curves(history, args.out / "curves.png", title)
    except plots.PlotError as error:
        print(f"no curves.png: {error}", file=sys.stderr)
    net.save(args.out / "model.safetensors")
    history.save(args.out / "history.jsonl")
    with replacing(args.out / "summary.json") as part:
        part.write_text(json.dumps(summary, indent=2) + "\n")
    remove_checkpoint(args)
    if not args.quiet:
        print(f"written to {args.out}")


def remove_checkpoint(args: argparse.Namespace) -> None:
    """Remove what nobody will go on with."""
    for checkpoint in versions(args.out / CHECKPOINT) if args.out else []:
        checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    _status = main()
    for _number in EXIT:  # all is done
        signal.signal(_number, signal.SIG_IGN)
    sys.exit(_status)
