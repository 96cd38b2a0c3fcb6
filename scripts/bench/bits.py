"""Print a digest of what each model and each optimizer trains to, bit for bit.

Two versions of xpnet that print the same lines, on one machine and with the same versions of its
libraries, train to the same bits.  Each row is trained on handwritten digits for two epochs, the
last batch of which is shorter; the digest is that of parameters, state, the optimizer's moments
and the history's losses.  "resumed" is the same run taken up from a checkpoint after its first
epoch: it must end equal.  Compiled bodies and plain NumPy each have their own rows.

Keep the lines of one version in a file; with --against FILE another prints what differs from
them, and exits with 1 if anything does.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import xpnet
from xpnet import models
from xpnet.data import Dataset
from xpnet.layers import (
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    LocalResponseNorm,
    ReLU,
    Rescale,
    Residual,
)
from xpnet.optimizers import Optimizer

SAMPLES, BATCH_SIZE, EPOCHS = 230, 50, 2
BODIES = {"compiled": "1", "plain": "0"}
"""What XPNET_NUMBA is for each kind of bodies."""


def residual() -> xpnet.Sequential:
    """Return a network with both kinds of shortcut."""
    body = [Conv2d(4, 3, pad=1), ReLU(), Conv2d(4, 3, pad=1)]
    layers = [
        Rescale(1 / 255), Conv2d(4, 3, pad=1), ReLU(), Residual(body), LocalResponseNorm(),
        Residual([Conv2d(6, 3, stride=2, pad=1)], shortcut=Conv2d(6, 1, stride=2)),
        GlobalAvgPool2d(), Flatten(), Linear(10),
    ]  # fmt: skip
    return xpnet.Sequential(layers, input_shape=(1, 28, 28), seed=2)


def narrow(precision: str) -> xpnet.Sequential:
    """Return a network whose products are rounded."""
    return models.simple_convnet(8, hidden=20, seed=1).to("cpu", precision=precision)


NETWORKS: dict[str, Callable[[], xpnet.Sequential]] = {
    **{name: partial(make, seed=1) for name, make in models.BY_NAME.items()},
    "mlp, normed": lambda: models.mlp((30, 20), batch_norm=True, dropout=0.3, seed=1),
    "mlp, float64": lambda: models.mlp((30,), seed=1, dtype="float64"),
    "convnet, bf16": lambda: narrow("bf16"),
    "convnet, tf32": lambda: narrow("tf32"),
    "residual": residual,
}  # fmt: skip

RULES: dict[str, Callable[[], Optimizer]] = {
    "SGD": lambda: xpnet.SGD(0.05, weight_decay=1e-3),
    "Momentum": lambda: xpnet.Momentum(0.02, weight_decay=1e-3),
    "Nesterov": lambda: xpnet.Nesterov(0.02, weight_decay=1e-3),
    "AdaGrad": lambda: xpnet.AdaGrad(0.02, weight_decay=1e-3),
    "RMSprop": lambda: xpnet.RMSprop(0.003, weight_decay=1e-3),
    "Adam": lambda: xpnet.Adam(0.003, weight_decay=1e-3),
    "AdamW": lambda: xpnet.AdamW(0.003),
}


def digits() -> tuple[Dataset, Dataset]:
    """Return some digits to train on, and others to hold the network against."""
    train, test = xpnet.data.load("digits")
    return train.take(SAMPLES), test.take(100)


def trainer(net: xpnet.Sequential, rule: Optimizer, device: str) -> xpnet.Trainer:
    """Return a trainer whose learning rate changes from step to step."""
    if device != "cpu":
        net.to(device)
    one_cycle = xpnet.schedules.one_cycle()
    return xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), rule, schedule=one_cycle, seed=3)


class _EnoughError(Exception):
    """Ends a fit."""


class _Once(xpnet.training.Callback):
    """Saves the run after its first epoch, and ends it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def epoch_ends(self, trainer: xpnet.Trainer, row: dict[str, object]) -> None:
        """Save, and end the fit."""
        trainer.save(self.path)
        raise _EnoughError


def straight(make: Callable[[], xpnet.Trainer]) -> str:
    """Return the digest of a run that nothing interrupts."""
    train, test = digits()
    made = make()
    made.fit(train, EPOCHS, BATCH_SIZE, validation=test)
    return digest(made)


def resumed(make: Callable[[], xpnet.Trainer]) -> str:
    """Return the digest of a run that goes on from a checkpoint."""
    train, test = digits()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        first = make()
        first.callbacks.append(_Once(path))
        with contextlib.suppress(_EnoughError):
            first.fit(train, EPOCHS, BATCH_SIZE, validation=test)
        second = make()
        second.restore(path)
    second.fit(train, EPOCHS, BATCH_SIZE, validation=test)
    return digest(second)


def digest(trainer: xpnet.Trainer) -> str:
    """Return what a run's arrays and losses are, in 16 letters."""
    found = hashlib.sha256()
    arrays = {
        **{f"params/{name}": a for name, a in trainer.net.params.items()},
        **{f"state/{name}": a for name, a in trainer.net.state.items()},
        **{f"slots/{name}": a for name, a in trainer.optimizer.state().items()},
    }
    for name, array in sorted(arrays.items()):
        found.update(name.encode())
        found.update(xpnet.to_numpy(array).tobytes())
    for row in trainer.history.rows:
        figures = [row[key] for key in ("train_loss", "validation_loss", "validation_accuracy")]
        found.update(repr(figures).encode())
    return found.hexdigest()[:16]


def quotient() -> str:
    """Return the digest of the network that divides, whose numbers are complex."""
    net = models.learn_operation("quotient", seed=0, steps=40).net
    found = hashlib.sha256()
    for _, array in sorted(net.params.items()):
        found.update(xpnet.to_numpy(array).tobytes())
    return found.hexdigest()[:16]


def one_kind(device: str) -> None:
    """Print the rows of this process's bodies."""
    runs = {name: (make, RULES["Adam"]) for name, make in NETWORKS.items()}
    runs |= {f"mlp, {name}": (NETWORKS["mlp, normed"], rule) for name, rule in RULES.items()}
    for name, (make, rule) in runs.items():

        def made(
            make: Callable[[], xpnet.Sequential] = make, rule: Callable[[], Optimizer] = rule
        ) -> xpnet.Trainer:
            return trainer(make(), rule(), device)

        say(name, straight(made))
        say(f"{name}, resumed", resumed(made))
    if device == "cpu":
        say("quotient", quotient())


def say(name: str, digest: str) -> None:
    """Print a row."""
    print(f"{name:<24}  {digest}", flush=True)


def main() -> None:
    """Run each kind of bodies in a process of its own, and print their rows."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--device", default="cpu")
    p.add_argument("--against", type=Path, metavar="FILE", help="lines that another version wrote")
    p.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.one:
        one_kind(args.device)
        return
    lines = []
    for bodies, numba in BODIES.items():
        command = [sys.executable, "-m", "scripts.bench.bits", "--one", "--device", args.device]
        said = subprocess.run(
            command, env=os.environ | {"XPNET_NUMBA": numba}, text=True, check=True, stdout=-1
        ).stdout
        lines += [f"{bodies:<8}  {line}" for line in said.splitlines()]
        print(*lines[-said.count("\n") :], sep="\n", flush=True)
    if args.against is not None:
        before = args.against.read_text(encoding="utf-8").splitlines()
        changed = [line for line in before if line not in lines]
        for line in changed:
            print(f"no longer: {line}", file=sys.stderr)
        print(f"{len(before) - len(changed)} of {len(before)} lines are as they were")
        sys.exit(1 if changed else 0)


if __name__ == "__main__":
    main()
