"""Train the same networks on a processor and on a GPU, and show that they agree.

Each network is trained three times from one seed on the same images: on the CPU, on the device
one piece of work after the other, and on the device with its steps recorded and replayed.  What
is drawn must agree bit for bit: the weights at the start, the order of the samples, the masks of
dropout.  The loss of every step must agree within a limit that goes with the dtype: sums are
added up in another order there.  Both runs on the device must end with the same bits.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import xpnet
from scripts.bench.facts import Facts
from xpnet import models
from xpnet.arrays import Array
from xpnet.data import Batches, Dataset
from xpnet.devices import CPU, Device
from xpnet.files import replacing
from xpnet.layers import Dropout, Network, Sequential
from xpnet.training import Callback


@dataclass(frozen=True)
class Case:
    """A network, the images in a step, and how many steps it makes at most."""

    net: Callable[..., Sequential]
    batch_size: int = 20
    steps: int = 100


SIZES = {
    # name: images in a step, steps; a processor takes half a second for a step of the deep ones
    # on 100 images in float64
    "mlp": (100, 500),
    "simple-convnet": (50, 500),
    "fast-convnet": (20, 500),
    "deep-convnet": (20, 100),
    "lenet-5": (20, 100),
    "alexnet": (20, 40),
}
CASES = {
    **{name: Case(net, *SIZES.get(name, ())) for name, net in models.BY_NAME.items()},
    "mlp-bn-dropout": Case(partial(models.mlp, (100,) * 5, batch_norm=True, dropout=0.2), 100, 500),
}

LIMITS = {"float64": 1e-9, "float32": 1e-4}
"""By how much of itself the loss of a step may differ."""
LEAST = 0.01
"""Loss below which differences are a share of this: rounding does not shrink with the loss."""
LONGEST = {"float64": math.inf, "float32": 100}
"""The most steps."""
RATES = {"float64": 1e-3, "float32": 2e-6}
"""Learning rates.  In float32 rounding now and then moves an input of ReLU across zero, or makes
another of four all but equal numbers the largest.  The gradient jumps then, by as much as the
share of one unit in one sample, on any two machines and between any two ways to add up; what a
step makes of it goes with the rate, and at 1e-3 losses differ by some percent after 100 steps.
In float64 that is a billion times rarer."""

EPOCH = 100
"""The most steps in an epoch, so that there are several, each in its own order."""
LEAST_STEPS, QUICK = 4, 24
"""With 24 there are two epochs in each of which ten steps can be launched together."""


@dataclass
class Row:
    """What came of one network in one dtype; None is what there was nothing to compare in."""

    model: str
    dtype: str
    batch_size: int = 0
    steps: int = 0
    loss_difference: float | None = None
    same_weights: bool | None = None
    same_order: bool | None = None
    same_masks: bool | None = None
    same_replayed: bool | None = None
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing differs that must not."""
        return not self.wrong


class StepLosses(Callback):
    """The loss of each step, found from the mean over the steps of its epoch so far."""

    def __init__(self, samples: int, batch_size: int) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.losses: list[float] = []
        self._seen, self._sum = 0, 0.0

    def step_ends(self, trainer: xpnet.Trainer) -> None:
        """Read the mean; the device is waited for."""
        if self._seen == self.samples:
            self._seen, self._sum = 0, 0.0
        seen = min(self._seen + self.batch_size, self.samples)
        total = trainer.running_loss() * seen
        self.losses.append((total - self._sum) / (seen - self._seen))
        self._seen, self._sum = seen, total


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the largest difference of two runs' losses, as a share of the second's.

    Infinite where a loss is not a number.
    """
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.shape != b.shape:
        raise ValueError(f"expected as many losses in both runs, got {a.size} and {b.size}")
    with np.errstate(invalid="ignore"):  # of one infinity less another
        shares = np.abs(a - b) / np.maximum(np.abs(b), LEAST)
    return float(shares.max()) if np.isfinite(shares).all() else math.inf


def same_bits(one: Array, other: Array) -> bool:
    """Return whether two arrays, each of any library, hold the same bits."""
    a, b = xpnet.to_numpy(one), xpnet.to_numpy(other)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def differing(one: Mapping[str, Array], other: Mapping[str, Array]) -> list[str]:
    """Return the names under which two mappings do not hold the same bits."""
    return [
        name
        for name in sorted({*one, *other})
        if name not in one or name not in other or not same_bits(one[name], other[name])
    ]


def some(names: Sequence[str], most: int = 6) -> str:
    """Return names in words: the first ones, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def kept(trainer: xpnet.Trainer) -> dict[str, Array]:
    """Return all that a run has changed: parameters, state, the optimizer's, and the losses."""
    parts: dict[str, Mapping[str, Array]]
    parts = {"": trainer.net.params, "state ": trainer.net.state}
    parts["optimizer "] = trainer.optimizer.state()
    arrays = {prefix + name: a for prefix, part in parts.items() for name, a in part.items()}
    return arrays | {"loss": np.array(trainer.history["train_loss"])}


def orders_differ(data: Dataset, batch_size: int, place: Device, epochs: int) -> bool:
    """Return whether a device gets other batches than the CPU, or in another order."""
    ours, theirs = (Batches(data, batch_size, device=where) for where in (place, CPU))
    for epoch in range(epochs):
        if not same_bits(ours.order(epoch), theirs.order(epoch)):
            return True
    batches = zip(ours.epoch(0), theirs.epoch(0), strict=True)
    return any(not (same_bits(x, x2) and same_bits(t, t2)) for (x, t), (x2, t2) in batches)


def next_masks(net: Network, n: int) -> dict[str, Array]:
    """Return the masks that a network's dropout layers draw next for n samples."""
    found = {}
    for path, layer in net.walk():
        if isinstance(layer, Dropout):
            with net.device.scope():
                ones = net.device.asarray(np.ones((n, *layer.input_shape)), layer.dtype)
                found[path] = layer.forward(ones, train=True)
            layer.forget()
    return found


def compare(row: Row, place: Device, data: Dataset, steps: int) -> None:
    """Train a row's network on the CPU and on a device; fill the row with what differs.

    Parameters
    ----------
    row : Row
        Its model is one of CASES.
    place : Device
    data : Dataset
        As many images as are needed are taken from its beginning.
    steps : int
        At most; rounded up to whole epochs, of which there are two or more.
    """
    case, dtype = CASES[row.model], row.dtype
    steps = max(LEAST_STEPS, int(min(steps, case.steps, LONGEST[dtype])))
    size = min(case.batch_size, len(data))
    each = min(steps // 2, EPOCH, len(data) // size)  # steps in an epoch
    epochs = -(-steps // each)
    data = data.take(each * size - size // 2)  # the last batch is a shorter one
    row.batch_size, row.steps = size, epochs * each

    def network(where: Device) -> Sequential:
        return case.net(input_shape=data.x.shape[1:], classes=data.classes, seed=0, dtype=dtype).to(
            where
        )

    def trained(where: Device, graph: Literal["on", "off"], *callbacks: Callback) -> xpnet.Trainer:
        made = xpnet.Trainer(
            network(where), xpnet.SoftmaxCrossEntropy(), xpnet.Adam(RATES[dtype]),
            callbacks=callbacks, graph=graph,
        )  # fmt: skip
        made.fit(data, epochs, size)
        return made

    differ = differing(network(place).params, network(CPU).params)
    row.same_weights = not differ
    if differ:
        row.wrong.append(f"weights at the start differ: {some(differ)}")
    row.same_order = not orders_differ(data, size, place, epochs)
    if not row.same_order:
        row.wrong.append("batches differ")

    watches = [StepLosses(len(data), size) for _ in range(2)]
    eager = trained(place, "off", watches[0])
    there = trained(CPU, "off", watches[1])
    row.loss_difference = largest_difference(*(watch.losses for watch in watches))
    if not row.loss_difference <= LIMITS[dtype]:
        row.wrong.append(f"losses differ by {row.loss_difference:.1e}")

    if place.records:
        # without a callback that looks at every step, so that several are launched together
        replayed = trained(place, "on")
        differ = differing(kept(replayed), kept(eager))
        if replayed.not_replayed:
            differ.append(replayed.not_replayed)
        row.same_replayed = not differ
        if differ:
            row.wrong.append(f"replayed steps differ from eager ones: {some(differ)}")

    ours, theirs = next_masks(eager.net, size), next_masks(there.net, size)
    if theirs:
        # those after as many as were drawn in training: the counters must agree too
        differ = differing(ours, theirs)
        first = (next_masks(network(where), size) for where in (place, CPU))
        differ += [path for path in differing(*first) if path not in differ]
        row.same_masks = not differ
        if differ:
            row.wrong.append(f"masks differ in layers {some(differ)}")


def attempt(name: str, dtype: str, place: Device, data: Dataset, steps: int) -> Row:
    """Return a network's row; where something raises, as far as it came, with the reason."""
    row, began = Row(name, dtype), time.perf_counter()
    try:
        compare(row, place, data, steps)
    except Exception as error:  # whatever it is, the other networks are still compared
        row.wrong.append(f"{type(error).__name__}: {error}")
    row.seconds = time.perf_counter() - began
    return row


LAYOUT = "{:15} {:8} {:>6} {:>6}  {:>10} {:>6}  {:8} {:8} {:8} {:8} {:>8}  {}"
HEAD = LAYOUT.format(
    "model", "dtype", "batch", "steps", "difference", "limit", "weights", "order", "masks",
    "replay", "seconds", "",
)  # fmt: skip


def line(row: Row) -> str:
    """Return a row as printed: its figures, and below them what is wrong."""
    words = {True: "same", False: "differ", None: "-"}
    found = row.loss_difference
    first = LAYOUT.format(
        row.model, row.dtype, row.batch_size, row.steps,
        "-" if found is None else f"{found:.1e}", f"{LIMITS[row.dtype]:.0e}",
        words[row.same_weights], words[row.same_order], words[row.same_masks],
        words[row.same_replayed], f"{row.seconds:.1f}", "pass" if row.passed else "FAIL",
    )  # fmt: skip
    return "\n".join([first, *(f"    {sentence}" for sentence in row.wrong)])


def images(data_dir: str | None) -> Dataset:
    """Return MNIST's training images where a folder is named, else the digits of xpnet."""
    name = "mnist" if data_dir or os.environ.get("XPNET_DATA") else "digits"
    return xpnet.data.load(name, data_dir)[0]


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < LEAST_STEPS:
            raise argparse.ArgumentTypeError(
                f"expected a whole number >= {LEAST_STEPS}, got {text!r}"
            )
        return int(text)

    p = argparse.ArgumentParser(
        prog="python -m scripts.bench.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--device", default="gpu", help="what to compare with the CPU (gpu)")
    p.add_argument(
        "--models", nargs="+", choices=list(CASES), default=list(CASES), metavar="NAME",
        help=f"by default all: {', '.join(CASES)}",
    )  # fmt: skip
    p.add_argument(
        "--dtype", nargs="+", choices=list(LIMITS), default=list(LIMITS), metavar="NAME",
        help=f"by default {' and '.join(LIMITS)}",
    )  # fmt: skip
    length = p.add_mutually_exclusive_group()
    length.add_argument(
        "--steps", type=whole, default=500, metavar="N",
        help="in whole epochs (500); the larger networks, and all in float32, make fewer",
    )  # fmt: skip
    length.add_argument(
        "--quick", action="store_const", const=QUICK, dest="steps", help=f"{QUICK} steps each"
    )
    p.add_argument(
        "--data-dir", metavar="DIR",
        help="where MNIST lies, by default $XPNET_DATA; without either, the digits of xpnet",
    )  # fmt: skip
    p.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    p.add_argument(
        "--facts", type=Facts, default=Facts(), metavar="FILE",
        help="add each row to this file as it comes, one JSON object a line",
    )  # fmt: skip
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Compare what is asked for, print it and write it down; return the exit status."""
    p = parser()
    args = p.parse_args(argv)
    try:
        place = xpnet.device(args.device)
        data = images(args.data_dir)
    except (ValueError, OSError, xpnet.DeviceError) as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        return 2
    about = place.describe()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(f"{place.name} beside {CPU.name}, on {data.name}\n{HEAD}", flush=True)
    rows = []
    for name in args.models:
        for dtype in args.dtype:
            rows.append(attempt(name, dtype, place, data, args.steps))
            args.facts.add("parity", data=data.name, **as_json(rows[-1]))
            print(line(rows[-1]), flush=True)
    failed = [row for row in rows if not row.passed]
    print(f"{len(rows) - len(failed)} of {len(rows)} agree")
    if args.json is not None:
        figures = {"about": about, "data": data.name, "rows": [as_json(row) for row in rows]}
        with replacing(args.json) as part:
            part.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if failed else 0


def as_json(row: Row) -> dict[str, Any]:
    """Return a row as JSON can hold it."""
    found = row.loss_difference
    finite = found is None or math.isfinite(found)  # JSON has no infinity
    about = {"pass": row.passed, "limit": LIMITS[row.dtype]}
    return vars(row) | about | ({} if finite else {"loss_difference": str(found)})


if __name__ == "__main__":
    sys.exit(main())
