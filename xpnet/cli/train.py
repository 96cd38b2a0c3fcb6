"""``xpnet train``: train a network to tell images, or rows of a table, apart."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

import numpy

import xpnet
from xpnet import models, optimizers, plots, schedules, training
from xpnet.arrays import dtype_name
from xpnet.cli import augments, datasets, ranks, runs
from xpnet.cli.parsing import (
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    WHOLE,
    Parser,
    add_choice,
    add_common,
    add_device,
)
from xpnet.cli.process import handling, interrupt, print_json, run, say
from xpnet.data import Dataset
from xpnet.layers import BatchNorm, Sequential
from xpnet.ops.precision import PRECISIONS
from xpnet.parallel import Processes
from xpnet.serialize import keep_notes
from xpnet.training.steps import not_recordable

__all__ = ["OPTIMIZERS", "main", "make_optimizer", "parser"]

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
  {0}                                   the digits that come with xpnet
  {0} --dataset mnist --model simple-convnet --epochs 3
  {0} --dataset cifar-10 --model fast-convnet --epochs 10
  {0} --dataset mnist --device gpu --out runs/first
  {0} --resume runs/first               go on with a run that was interrupted
  {0} --optimizer sgd --lr 0.1 --schedule constant --validation-split 0.1
  {0} --dataset train.csv --target label --shape 1,28,28
  {0} --dataset pets/ --size 64 --model fast-convnet --class-weight balanced
  {0} --dataset mnist --model fast-convnet --augment shift=2,rotate=10 --epochs 10
  {0} --config runs/first/config.json --seed 1        as that run, but for the seed

data sets:
  {1}

models:
  mlp takes samples of any shape, and brings the columns of a table to one scale first; the others
  take images
"""


def parser(prog: str = "xpnet train") -> Parser:
    """Return the command line's grammar."""
    in_a_clone = not prog.startswith("xpnet")
    p = Parser(
        prog,
        "Train a network to tell images apart, and say how well it does.",
        EXAMPLES.format(
            f"python scripts/{prog}" if in_a_clone else prog, "\n  ".join(xpnet.data.NAMES)
        ),
        usage_first=in_a_clone,
    )
    p.set_defaults(prog=prog)
    _add_data(p.add_argument_group("what to learn"))
    _add_learning(p.add_argument_group("how to learn it"))
    where = p.add_argument_group("where to run and what to keep")
    _add_place(where)
    ranks.add_processes(where)
    _add_folder(where)
    return p


def _add_data(what: Any) -> None:
    datasets.add_dataset(
        what,
        "digits",
        "digits (the default) comes with xpnet; others, named below, are "
        "downloaded once; or data of your own: a .csv or .npz file, or a folder "
        "with a folder of images for each class, in train/ and test/ where it has these",
    )
    datasets.add_options(what, target="label")
    datasets.add_shapes(what)
    what.add_argument(
        "--test-data",
        type=datasets.located,
        metavar="WHAT",
        help="what to test on, read as --dataset is; by default its own test part, or of data that "
        "has none the share that follows",
    )
    what.add_argument(
        "--test-split",
        type=SHARE,
        default=0.2,
        metavar="F",
        help="share of data without a test part that is held out and tested on at the end (0.2)",
    )
    what.add_argument(
        "--limit-train", type=WHOLE, metavar="N", help="train on the first N images only (all)"
    )
    what.add_argument(
        "--validation-split",
        type=SHARE,
        default=0.0,
        metavar="F",
        help="share of the training images held out and evaluated after each epoch, e.g. 0.1 (0)",
    )
    add_choice(
        what,
        "--class-weight",
        ["balanced"],
        help="balanced: each class counts as much as any other in training (every image does)",
    )
    what.add_argument(
        "--augment",
        type=augments.words,
        metavar="HOW,...",
        help="change the training images at random each time (as they are): some of shift=PIXELS, "
        "rotate=DEGREES, scale=LOW:HIGH, shear=DEGREES, flip, elastic=STRENGTH, cut-out=PIXELS, "
        "noise=STD, and last mix-up=ALPHA",
    )


def _add_learning(how: Any) -> None:
    add_choice(
        how,
        "--model",
        models.BY_NAME,
        default="mlp",
        help="mlp (the default: 256 and 128 hidden units), or a convolutional network",
    )
    how.add_argument("--epochs", type=WHOLE, default=20, help="passes over the images (20)")
    how.add_argument("--batch-size", type=WHOLE, default=100, help="images in a step (100)")
    add_choice(how, "--optimizer", OPTIMIZERS, default="adam", help="(adam)")
    how.add_argument(
        "--lr",
        type=POSITIVE,
        help="learning rate, at the schedule's peak; by default "
        + ", ".join(f"{lr} for {name}" for name, (_, lr) in OPTIMIZERS.items()),
    )
    add_choice(
        how,
        "--schedule",
        schedules.NAMES,
        default="one-cycle",
        help="how the rate changes over the run (one-cycle)",
    )
    how.add_argument(
        "--weight-decay",
        type=NOT_NEGATIVE,
        metavar="L",
        help="L2 decay of the weights; by default 0 (0.01 for adamw)",
    )
    _add_steering(how)
    how.add_argument(
        "--seed",
        type=SEED,
        default=0,
        help="of weights, batches and masks (0): the same seed, the same run",
    )
    add_choice(how, "--dtype", ["float32", "float64"], default="float32", help="(float32)")


def _add_steering(how: Any) -> None:
    how.add_argument(
        "--early-stopping",
        type=WHOLE,
        metavar="EPOCHS",
        help="stop after so many epochs without a lower validation loss, and take the best "
        "epoch's weights; needs --validation-split (never)",
    )
    how.add_argument(
        "--clip-norm",
        type=POSITIVE,
        metavar="G",
        help="shorten gradients whose norm over all parameters is above G (as they are)",
    )
    how.add_argument(
        "--average-weights",
        type=SHARE,
        nargs="?",
        const=0.999,
        metavar="DECAY",
        help="use the running average of the weights (of the decay 0.999, or another; not used)",
    )
    how.add_argument(
        "--accumulate",
        type=WHOLE,
        default=1,
        metavar="N",
        help="compute each batch in N parts, for batches that the memory does not hold (1)",
    )


def _add_place(where: Any) -> None:
    add_device(where)
    add_choice(
        where,
        "--graph",
        ["auto", "on", "off"],
        default="auto",
        help="whether training steps are recorded once and replayed with one launch each: where "
        "that can be (auto, the default), always, or never; the results are the same, on a "
        "processor but for rounding",
    )
    add_choice(
        where,
        "--precision",
        PRECISIONS,
        default="float32",
        help="of matrix products in float32 networks (float32): tf32, bf16 and fp16 round their "
        "operands, which makes a GPU faster; parameters stay float32",
    )


def _add_folder(where: Any) -> None:
    where.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write history.jsonl, summary.json, config.json, model.safetensors and curves.png "
        "there when the run is done, and meanwhile a checkpoint after each epoch and each minute "
        "(nothing is kept)",
    )
    where.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="take the arguments from a config.json that a run has written; those of the command "
        "line win",
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
    add_common(where, quiet="print the final accuracy alone")
    add_choice(
        where,
        "--profile",
        ["steps", "layers"],
        nargs="?",
        const="steps",
        help="first print where the time of a training step goes: as layers run together (steps, "
        "the default), or each by itself; the run that follows is the same without it",
    )


def main(argv: list[str] | None = None, prog: str = "xpnet train") -> int:
    """Run the command; return its exit status."""

    def work() -> None:
        with ranks.first_speaks():
            args = arguments(argv, prog)
        processes = ranks.connected(args.processes, args.shards)
        first = processes is None or processes.rank == 0
        with (
            ranks.together(processes, prog),
            runs.telling_what_is_left(args),
            runs.owned(args.out if first else None, prog),
        ):
            train(args, processes)

    return run(prog, work)


def arguments(argv: list[str] | None, prog: str) -> argparse.Namespace:
    """Return the arguments of the command line, or of the run that it goes on with."""
    argv = sys.argv[1:] if argv is None else argv
    args = parser(prog).parse_args(argv)
    given = _given(parser(prog), argv)
    if args.config is not None:
        grammar = parser(prog)
        line = runs.config_arguments(args.config, grammar, set(given))
        grammar.parse_args(line)  # what is wrong with these alone is the file's
        args = parser(prog).parse_args([*line, *argv])
        given = _given(parser(prog), [*line, *argv])
    if args.data_dir:
        args.data_dir = str(Path(args.data_dir).absolute())  # wherever the run goes on
    return args if args.resume is None else _resumed(args, given)


def _given(grammar: Parser, argv: list[str]) -> dict[str, Any]:
    """Return the arguments that a command line names."""
    unset = argparse.Namespace(**dict.fromkeys(vars(grammar.parse_args([])), None))
    found = vars(grammar.parse_args(argv, unset))
    return {name: value for name, value in found.items() if value is not None}


def _resumed(args: argparse.Namespace, given: dict[str, Any]) -> argparse.Namespace:
    """Return the arguments of the run to go on with; ``given`` are those that were named."""
    if args.resume is not True:
        if args.out is not None and args.out != Path(args.resume):
            raise ValueError(f"--resume {args.resume}: expected the folder of --out, {args.out}")
        args.out = Path(args.resume)
    if args.out is None:
        raise ValueError("--resume: expected a folder, here or as --out")
    saved = runs.saved_arguments(args.out)
    if saved is None:
        if given.keys() <= {"resume", "quiet", "profile", "json"}:
            raise ValueError(f"--resume {args.out}: holds no run: give the arguments of a new one")
        return args
    for name, value in given.items():
        if name not in runs.OWN and value != saved.get(name):
            raise ValueError(
                f"--{name.replace('_', '-')}: the run in {args.out} has {saved.get(name)!r}, got "
                f"{value!r}: leave it out to go on, or begin another run in another folder"
            )
    own = {n: getattr(args, n) for n in runs.OWN if n in given or n not in saved}
    return argparse.Namespace(**vars(args) | saved | own | {"out": args.out})


def train(args: argparse.Namespace, processes: Processes | None = None) -> None:
    """Train as the arguments say, print and write the results."""
    device = xpnet.device(ranks.own_device(args.device, processes))
    goes_on = runs.begun(args) and args.resume
    if runs.begun(args) and not (args.resume or args.overwrite):
        raise ValueError(
            f"--out {args.out}: holds a run that is not finished: {runs.what_is_left(args)}, or "
            f"begin anew with --overwrite"
        )
    summary = runs.saved_summary(args.out) if args.resume and not goes_on else None
    if summary is not None:
        say(args.json, f"finished before: test accuracy {summary['test_accuracy']:.4f}")
        if args.json:
            print_json(summary)
        return
    with ranks.all_ready(processes):
        learned, validation, test = parts(args)
        trainer = make_trainer(args, learned, device, processes)
        if goes_on:
            trainer.restore(args.out / runs.CHECKPOINT)
    watch(args, trainer, notes_of(args, learned))
    if not args.quiet:
        introduce(args, trainer, learned, validation, test)
    if args.profile:
        with numpy.errstate(over="ignore", invalid="ignore"):
            found = training.profile_step(trainer, learned, args.batch_size, by=args.profile)
        say(args.json, f"{found}\n")
    sys.stdout.flush()
    with handling(interrupt):
        fit_and_report(args, trainer, learned, validation, test)


def parts(args: argparse.Namespace) -> tuple[Dataset, Dataset | None, Dataset]:
    """Return what a run learns from, validates on and is tested on."""
    learned, test = datasets.train_and_test(args)
    if args.limit_train:
        if args.limit_train > len(learned):
            raise ValueError(
                f"--limit-train: {args.dataset} has {len(learned)} training "
                f"{datasets.noun(learned)}, got {args.limit_train}"
            )
        learned = learned.take(args.limit_train)
    validation = None
    if args.validation_split:
        learned, validation = learned.split(args.validation_split, args.seed)
    elif args.early_stopping:
        raise ValueError("--early-stopping: needs data to watch: say --validation-split 0.1")
    if args.class_weight:
        learned = learned.weighted(args.class_weight)
    if args.augment:
        learned = learned.augmented(*augments.augmenting(args.augment), seed=args.seed)
    return learned, validation, test


def make_trainer(
    args: argparse.Namespace,
    learned: Dataset,
    device: xpnet.Device,
    processes: Processes | None = None,
) -> xpnet.Trainer:
    """Return the network's trainer, if what is asked for can be."""
    net = make_network(args, learned).to(device, precision=args.precision)
    trainer = xpnet.Trainer(
        net,
        xpnet.SoftmaxCrossEntropy(),
        make_optimizer(args),
        schedule=schedules.schedule(args.schedule),
        callbacks=steering(args),
        accumulate=args.accumulate,
        seed=args.seed,
        processes=processes,
        graph=args.graph,
    )
    reason = not_recordable(net) if args.graph == "on" else None
    if reason:  # said before anything is printed
        raise ValueError(f"--graph on: {reason}")
    return trainer


def make_network(args: argparse.Namespace, learned: Dataset) -> Sequential:
    """Return a new network for the samples: of images as they are, of columns on one scale."""
    shape = tuple(learned.x.shape[1:])
    common = {"input_shape": shape, "seed": args.seed, "dtype": args.dtype}
    if args.model != "mlp" and len(shape) != 3:
        raise ValueError(
            f"--model {args.model}: expects images, and {args.dataset} has samples of shape "
            f"{shape}: say --shape 1,28,28, or take --model mlp"
        )
    make = models.BY_NAME[args.model]
    if len(shape) != 1:
        pixels = {} if dtype_name(learned.x) == "uint8" else {"rescale": None}
        return make(classes=learned.classes, **common, **pixels)
    layers = make(classes=learned.classes, rescale=None, **common).layers
    return Sequential([BatchNorm(), *(type(one)(**one.config()) for one in layers)], **common)


def make_optimizer(args: argparse.Namespace) -> optimizers.Optimizer:
    """Return the optimizer that the arguments ask for."""
    kind, lr = OPTIMIZERS[args.optimizer]
    decay = {} if args.weight_decay is None else {"weight_decay": args.weight_decay}
    return kind(lr=args.lr or lr, **decay)


def steering(args: argparse.Namespace) -> list[training.Callback]:
    """Return the callbacks that decide a run's numbers."""
    chosen: list[training.Callback] = []
    if args.clip_norm:
        chosen.append(training.ClipNorm(args.clip_norm))
    if args.average_weights is not None:
        chosen.append(training.AveragedWeights(args.average_weights))
    if args.early_stopping:
        chosen.append(training.EarlyStopping(args.early_stopping))
    return chosen


def watch(args: argparse.Namespace, trainer: xpnet.Trainer, notes: dict[str, Any]) -> None:
    """Let callbacks keep and print what the run comes to."""
    trainer.callbacks.append(training.LearnsNothing())
    if args.out:
        kept = runs.made_of(args) | {name: vars(args)[name] for name in runs.KEPT}
        trainer.callbacks.append(
            training.Checkpoint(
                args.out / runs.CHECKPOINT,
                every_seconds=args.checkpoint_seconds,
                metadata={"arguments": kept, "notes": notes},
            )
        )
    if not args.quiet:
        table = training.Table(sys.stderr if args.json else None)
        trainer.callbacks += [training.ProgressBar(), table]


def introduce(
    args: argparse.Namespace,
    trainer: xpnet.Trainer,
    learned: Dataset,
    validation: Dataset | None,
    test: Dataset,
) -> None:
    """Print what is trained, on what and where."""
    noun = datasets.noun(learned)
    line = f"{args.dataset}: {len(learned):,} training {noun}"
    line += f", {len(validation):,} for validation" if validation else ""
    say(args.json, f"{line}, {len(test):,} test {noun}")
    say(args.json, f"{args.model} on {trainer.net.device.name}:\n{trainer.net.summary()}\n")
    if trainer.optimizer.steps:
        steps, epoch = trainer.optimizer.steps, trainer.epoch + 1
        say(args.json, f"going on after step {steps}, epoch {epoch}\n")


def fit_and_report(
    args: argparse.Namespace,
    trainer: xpnet.Trainer,
    learned: Dataset,
    validation: Dataset | None,
    test: Dataset,
) -> None:
    """Fit, evaluate, and write the results; the checkpoint has done its part then."""
    first = trainer.processes is None or trainer.processes.rank == 0
    try:
        with numpy.errstate(over="ignore", invalid="ignore"):  # the trainer says when it diverges
            trainer.fit(learned, args.epochs, args.batch_size, validation=validation)
    except training.DivergedError:
        if first:
            runs.remove_checkpoint(args)  # it would diverge again
        raise
    if not first:
        return
    if not args.quiet and "cpu" not in trainer.net.device.name:
        say(args.json, replayed(trainer))
    result = trainer.evaluate(test)
    seconds = sum(trainer.history["seconds"])
    words = f"accuracy {result.accuracy:.4f}, loss {result.loss:.4f}, trained {seconds:.1f} s"
    if not (args.json and args.quiet):
        say(args.json, f"test {words}")
    summary = summarize(args, trainer, learned, result)
    if args.out is not None:
        with handling(signal.SIG_IGN):  # a moment, and all is done
            write_results(args, trainer, learned, summary)
    if args.json:
        print_json(summary)


def summarize(
    args: argparse.Namespace,
    trainer: xpnet.Trainer,
    learned: Dataset,
    result: training.Evaluation,
) -> dict[str, Any]:
    """Return what a run was and what has come of it."""
    place, seconds = trainer.net.device, sum(trainer.history["seconds"])
    return {
        "test_accuracy": result.accuracy,
        "test_loss": result.loss,
        "epochs": trainer.epoch,
        "steps": trainer.optimizer.steps,
        "train_seconds": seconds,
        "samples_per_second": len(learned) * trainer.epoch / seconds,
        "parameters": sum(a.size for a in map(xpnet.to_numpy, trainer.net.params.values())),
        "dataset": args.dataset,
        "train_samples": len(learned),
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
        "arguments": runs.made_of(args),
    }


def replayed(trainer: xpnet.Trainer) -> str:
    """Return in one line whether the last fit replayed its steps, or why it did not."""
    if trainer.not_replayed is None:
        return "steps were recorded and replayed"
    return f"steps were not replayed: {trainer.not_replayed}"


def environment(device: xpnet.Device) -> dict[str, str]:
    """Return what the figures of a run depend on beside its arguments."""
    return {
        "xpnet": xpnet.__version__,
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
        **device.describe(),
    }


def write_results(
    args: argparse.Namespace, trainer: xpnet.Trainer, learned: Dataset, summary: dict[str, Any]
) -> None:
    """Write the picture, the network, the history and the summary, each whole; end the run."""
    title = f"{args.model} on {args.dataset}: test accuracy {summary['test_accuracy']:.4f}"
    try:
        plots.training_curves(trainer.history, args.out / "curves.png", title)
    except plots.PlotError as error:
        print(f"no curves.png: {error}", file=sys.stderr)
    model = args.out / "model.safetensors"
    trainer.net.save(model)
    keep_notes(model, notes_of(args, learned))
    trainer.history.save(args.out / "history.jsonl")
    runs.write_json(args.out / runs.CONFIG, summary["arguments"])
    runs.write_json(args.out / runs.SUMMARY, summary)
    runs.remove_checkpoint(args)
    if not args.quiet:
        say(args.json, f"written to {args.out}")


def notes_of(args: argparse.Namespace, learned: Dataset) -> dict[str, Any]:
    """Return what is kept with the network: what its classes are called, how samples are read."""
    names = learned.class_names
    return {
        "class_names": None if names is None else list(names),
        **{name: getattr(args, name) for name in datasets.TABLE},
        "mean": float(xpnet.to_numpy(learned.x).mean()),
    }
