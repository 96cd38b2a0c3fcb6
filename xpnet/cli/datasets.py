"""The data that a command is given: a name of the catalog, a CSV file, an archive, a folder."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xpnet import data
from xpnet.arrays import HostArray, dtype_name, to_numpy
from xpnet.checks import nearest
from xpnet.cli.parsing import add_choice, comma_separated, sizes
from xpnet.data import Dataset
from xpnet.data.archives import npz_names
from xpnet.files import listed

__all__ = [
    "Reading",
    "add_dataset",
    "add_options",
    "add_shapes",
    "add_table",
    "as_images",
    "located",
    "noun",
    "read",
    "train_and_test",
]

TABLE = ("target", "drop", "header", "delimiter")
"""The arguments that say how a table is read, and that are kept with a network."""

MAX_CLASSES = 1000
"""The most classes that whole numbers as targets may stand for: more are no labels."""

PARTS = ("train", "test")
"""The folders of a data set that comes in two parts."""

ARRAYS = (("x_train", "y_train"), ("x_train", "t_train"), ("x", "t"), ("x", "y"))
"""What samples and targets are called in NumPy archives."""


def located(text: str) -> str:
    """Return the name of a data set, or the whole path of a file or folder that is there."""
    if text in data.NAMES:
        return text
    path = Path(text).expanduser()
    if path.exists():
        return str(path.absolute())  # wherever a run goes on
    names = ", ".join(map(repr, data.NAMES))
    raise argparse.ArgumentTypeError(
        f"invalid choice: {text!r} (choose from {names}, or name a .csv or .npz file or a folder "
        f"of images that is there){nearest(text, data.NAMES)}"
    )


def column(text: str) -> str | int:
    """Return a column's name, or its number."""
    return int(text) if text.removeprefix("-").isdecimal() else text


def columns(text: str) -> list[str | int]:
    """Return the names or numbers of columns that commas divide."""
    return [column(one) for one in comma_separated(text)]


def add_dataset(group: Any, default: str | None, help: str) -> None:
    """Add --dataset."""
    group.add_argument("--dataset", type=located, default=default, metavar="WHAT", help=help)


def add_options(group: Any, *, target: str | None) -> None:
    """Add where data lie, and which columns of a table are what."""
    group.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where data sets lie or are put; by default $XPNET_DATA, else the user's cache",
    )
    group.add_argument(
        "--target",
        type=column,
        default=target,
        metavar="COLUMN",
        help="of a CSV file: the column of the classes, by name or number from 0 (label)",
    )
    add_table(group)


def add_table(group: Any) -> None:
    """Add what says how a table is read, whether it has a column of classes or not."""
    group.add_argument(
        "--drop",
        type=columns,
        metavar="COLUMN,...",
        help="of a CSV file: columns to leave out (none, or those of the training)",
    )
    add_choice(
        group,
        "--header",
        ["yes", "no"],
        help="of a CSV file: whether its first row names the columns (found out)",
    )
    group.add_argument(
        "--delimiter", metavar="CHARACTER", help="of a CSV file: what stands between fields (,)"
    )


def add_shapes(group: Any) -> None:
    """Add what says of which shape the samples in files are."""
    group.add_argument(
        "--shape",
        type=sizes,
        metavar="C,H,W",
        help="of a CSV file or archive: the shape of a sample, such as 1,28,28 (a row of numbers)",
    )
    group.add_argument(
        "--size",
        type=sizes,
        metavar="N or H,W",
        help="of a folder: height and width that images are brought to (as they are, all alike)",
    )


@dataclass(frozen=True)
class Reading:
    """How files of one's own are read.

    Attributes
    ----------
    target, drop, shape, header, delimiter
        Of tables: see :func:`xpnet.data.from_csv`.
    size, channels
        Of images: see :func:`xpnet.data.from_folder`.
    class_names : sequence of str, optional
        Of both.
    """

    target: str | int = "label"
    drop: Sequence[str | int] = ()
    header: bool | None = None
    delimiter: str = ","
    shape: Sequence[int] | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None
    class_names: Sequence[str] | None = None

    @classmethod
    def asked(cls, args: argparse.Namespace) -> Reading:
        """Return what a command's arguments ask for."""
        size = args.size
        if size is not None and len(size) > 2:
            raise ValueError(f"--size: expected one size or H,W, got {size}")
        height_width = None if size is None else (size[0], size[-1])
        return cls.table(vars(args), shape=args.shape, size=height_width)

    @classmethod
    def table(cls, words: Mapping[str, Any], **others: Any) -> Reading:
        """Return how a table is read by a command's arguments, or what was kept of them."""
        header = {"yes": True, "no": False}.get(words.get("header") or "")
        target = "label" if words.get("target") is None else words["target"]
        drop, delimiter = words.get("drop") or (), words.get("delimiter") or ","
        return cls(target, drop, header, delimiter, **others)

    def like(self, known: Dataset) -> Reading:
        """Return how a second part is read, which is to fit the first."""
        shape = known.x.shape[1:]
        image = (shape[0], tuple(shape[1:])) if len(shape) == 3 else (None, None)
        return replace(
            self, shape=shape, size=image[1], channels=image[0], class_names=known.class_names
        )


def read(
    where: str, data_dir: str | None = None, how: Reading = Reading()
) -> tuple[Dataset, Dataset | None]:
    """Return the training and the test part of a data set; one that has no parts, and None."""
    if where in data.NAMES:
        return data.load(where, data_dir)
    path = Path(where)
    if path.is_dir():
        return _folders(path, how)
    if path.suffix.lower() == ".npz":
        return _archive(path, how)
    return _labelled(_table(path, how)), None


def _table(path: Path, how: Reading) -> Dataset:
    return data.from_csv(
        path,
        target=how.target,
        class_names=how.class_names,
        drop=list(how.drop),
        shape=how.shape,
        delimiter=how.delimiter,
        header=how.header,
    )


def _folders(path: Path, how: Reading) -> tuple[Dataset, Dataset | None]:
    parts = [path / name for name in PARTS]
    if not all(part.is_dir() for part in parts):
        return _images(path, how), None
    train = _images(parts[0], how)
    return train, _images(parts[1], how.like(train))


def _images(path: Path, how: Reading) -> Dataset:
    return data.from_folder(path, size=how.size, channels=how.channels, class_names=how.class_names)


def _archive(path: Path, how: Reading) -> tuple[Dataset, Dataset | None]:
    names = npz_names(path)
    pair = next((pair for pair in ARRAYS if set(pair) <= set(names)), None)
    if pair is None:
        known = ", or ".join(f"{x} and {t}" for x, t in ARRAYS)
        raise ValueError(f"{path}: expected arrays {known}, got only {listed(names)}")
    train = _labelled(_arrays(path, how, *pair))
    x, t = (name.replace("train", "test") for name in pair)
    if x == pair[0] or not {x, t} <= set(names):
        return train, None
    return train, _labelled(_arrays(path, how, x, t), train.classes)


def _arrays(path: Path, how: Reading, x: str, t: str) -> Dataset:
    found = data.from_arrays(path, x=x, t=t, class_names=how.class_names)
    return found.with_arrays(as_images(to_numpy(found.x), how.shape), found.t)


def as_images(x: HostArray, shape: Sequence[int] | None = None) -> HostArray:
    """Return samples in a shape; by default images with their channels first, as layers want."""
    if shape is not None and x.shape[1:] != tuple(shape):
        if x[:1].size != math.prod(shape):
            raise ValueError(
                f"--shape: expected one of {x[:1].size} numbers, got {','.join(map(str, shape))}"
            )
        moved = x.ndim == 4 and x.shape[1:] == (*shape[1:], shape[0])
        return x.transpose(0, 3, 1, 2) if moved else x.reshape(len(x), *shape)
    if x.ndim == 3 and shape is None:
        return x[:, None]
    if x.ndim == 4 and shape is None and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        return x.transpose(0, 3, 1, 2)
    return x


def _labelled(found: Dataset, classes: int | None = None) -> Dataset:
    """Return a data set that knows how many classes its labels are of."""
    if found.classes is not None:
        return found
    labels = to_numpy(found.t)
    if not found.has_labels or labels.min() < 0 or labels.max() >= (classes or MAX_CLASSES):
        raise ValueError(
            f"{found.name}: expected targets that are classes, words or whole numbers of 0 to "
            f"{(classes or MAX_CLASSES) - 1}, got {dtype_name(found.t)} of {labels.min()} to "
            f"{labels.max()}: name another column with --target, or learn numbers from Python, "
            f"with xpnet.SquaredError"
        )
    return Dataset(found.x, found.t, classes or int(labels.max()) + 1, found.name)


def train_and_test(args: argparse.Namespace) -> tuple[Dataset, Dataset]:
    """Return what a run learns from, and what it is tested on and never sees."""
    how = Reading.asked(args)
    train, test = read(args.dataset, args.data_dir, how)
    if args.test_data is not None:
        part, other = read(args.test_data, args.data_dir, how.like(train))
        test = part if other is None else other
    if test is None:
        train, test = train.split(args.test_split, args.seed, stratify=True)
    return train, test


def noun(found: Dataset) -> str:
    """Return what samples are called."""
    return "images" if len(found.x.shape) == 4 else "samples"
