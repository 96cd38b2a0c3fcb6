"""Saved networks, and what is known of them: of their classes and of the run that made them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpnet.checks import distinct_names
from xpnet.cli import runs
from xpnet.cli.datasets import TABLE, Reading
from xpnet.cli.parsing import comma_separated
from xpnet.devices import device
from xpnet.files import reading
from xpnet.layers import Network
from xpnet.serialize import load, read_notes
from xpnet.training.checkpoint import read_metadata

__all__ = ["Saved", "add_model"]

MODEL = "model.safetensors"


@dataclass(frozen=True)
class Saved:
    """A network out of a file.

    Attributes
    ----------
    net : Network
    path : Path
    notes : dict
        What ``xpnet train`` has kept with it.
    class_names : tuple of str
        Their numbers, where nobody has named them.
    """

    net: Network
    path: Path
    notes: dict[str, Any]
    class_names: tuple[str, ...]

    @classmethod
    def read(cls, args: argparse.Namespace) -> Saved:
        """Return the network that a command's arguments name, on the device that they name."""
        place, path = device(args.device), args.model
        if path.is_dir():
            path = path / MODEL
            if not path.exists() and runs.saved_arguments(args.model) is not None:
                path = args.model / runs.CHECKPOINT  # of a run that is not finished
        net = load(path, place)
        if len(net.output_shape) != 1 or net.output_shape[0] < 2:
            raise ValueError(
                f"{path}: expected a network with a score for each class, got one with outputs of "
                f"shape {net.output_shape}: use it from Python, xpnet.load(path).predict(x)"
            )
        notes = _notes(path)
        names = args.class_names or notes.get("class_names")
        with reading(path, "its notes are none"):
            count = net.output_shape[0]
            named = distinct_names("class names", names or [str(k) for k in range(count)])
        if len(named) != count:
            raise ValueError(f"--class-names: expected {count} of {path}, got {len(named)}")
        return cls(net, path, notes, named)

    @property
    def image(self) -> tuple[int, tuple[int, int]] | None:
        """Channels, and height and width, of the images that it takes; None if it takes none."""
        match self.net.input_shape:
            case (1 | 3 as channels, height, width):
                return channels, (height, width)
        return None

    def reads(self, args: argparse.Namespace) -> Reading:
        """Return how files of samples are read for it, and their targets."""
        channels, size = self.image or (None, None)
        given = {name: getattr(args, name, None) for name in TABLE}
        words = {name: self.notes.get(name) if one is None else one for name, one in given.items()}
        named = self.notes.get("class_names") or args.class_names
        return Reading.table(
            words,
            shape=self.net.input_shape,
            size=size,
            channels=channels,
            class_names=named and self.class_names,
        )

    def trained_with(self) -> dict[str, Any] | None:
        """Return the arguments of the run in whose folder it lies; None if there is none."""
        return runs.saved_arguments(self.path.parent)


def _notes(path: Path) -> dict[str, Any]:
    """Return what a training has kept with its network, or with its checkpoint."""
    if path.name != runs.CHECKPOINT:
        return read_notes(path)
    with reading(path, "its notes are none"):
        return dict(read_metadata(path).get("notes", {}))


def add_model(group: Any) -> None:
    """Add the network that a command uses, and --class-names."""
    group.add_argument(
        "model", type=Path, metavar="MODEL", help="the --out of a training, or a file of a network"
    )
    group.add_argument(
        "--class-names",
        type=comma_separated,
        metavar="NAME,...",
        help="what the classes are called, in order (as the network's file says, else numbers)",
    )
