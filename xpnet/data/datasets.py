"""Data sets in memory: loaded by name, split, selected and brought to a device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np

from xpnet.arrays import Array, HostArray, namespace, to_numpy
from xpnet.checks import number, one_of, whole_number
from xpnet.data import catalog, idx
from xpnet.devices import Device, device, device_of
from xpnet.random import Stream

__all__ = ["NAMES", "Dataset", "load"]

NAMES = ("digits", *catalog.SOURCES)
"""The names that :func:`load` knows."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples and their targets.

    Parameters
    ----------
    x : array of shape (n, ...)
        The samples, of any dtype and array library.
    t : array
        Labels, integers of shape (n,); or floating-point targets of shape (n, ...), which with
        ``classes`` are one weight a class, such as one-hot rows, of shape (n, classes).
    classes : int, optional
        The number of classes; labels are 0 to ``classes - 1``.
    name : str
        What the data is called in messages and records.

    Raises
    ------
    ValueError
        There are no samples, ``x`` and ``t`` differ in length or device, a label is out of range,
        or ``t`` has another dtype or shape.
    TypeError
        ``x`` or ``t`` is no array.
    """

    x: Array
    t: Array
    classes: int | None = None
    name: str = "data"

    def __post_init__(self) -> None:
        n = _samples("x", self.x, self.name)
        if n == 0:
            raise ValueError(f"{self.name}: expected at least one sample, got none")
        if _samples("t", self.t, self.name) != n:
            raise ValueError(
                f"{self.name}: expected as many targets as samples, got {self.t.shape[0]} "
                f"targets for {n} samples"
            )
        here, there = device_of(self.x), device_of(self.t)
        if here != there:
            raise ValueError(
                f"{self.name}: expected x and t on one device, got x on {here.name} and t on "
                f"{there.name}"
            )
        if self.classes is not None:
            count = whole_number(f"{self.name}: classes", self.classes, 1)
            object.__setattr__(self, "classes", count)
        if self._holds_labels():
            self._check_labels()
        else:
            self._check_targets()

    def _holds_labels(self) -> bool:
        return bool(namespace(self.t).isdtype(self.t.dtype, "integral"))

    def _check_labels(self) -> None:
        if len(self.t.shape) != 1:
            raise ValueError(
                f"{self.name}: expected integer labels of shape (n,), got shape "
                f"{tuple(self.t.shape)}"
            )
        labels = to_numpy(self.t)
        wrong = labels < 0
        if self.classes is not None:
            wrong |= labels >= self.classes
        if wrong.any():
            first = int(wrong.argmax())
            upper = "" if self.classes is None else f" to {self.classes - 1}"
            raise ValueError(
                f"{self.name}: expected labels of 0{upper or ' or more'}, got {labels[first]} "
                f"at index {first}"
            )

    def _check_targets(self) -> None:
        if not namespace(self.t).isdtype(self.t.dtype, ("real floating", "complex floating")):
            raise ValueError(
                f"{self.name}: expected integer labels or floating-point targets, got "
                f"{self.t.dtype}"
            )
        if self.classes is not None and tuple(self.t.shape[1:]) != (self.classes,):
            raise ValueError(
                f"{self.name}: expected integer labels of shape (n,) or targets of shape "
                f"(n, {self.classes}), got {self.t.dtype} of shape {tuple(self.t.shape)}"
            )

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def __repr__(self) -> str:
        classes = "" if self.classes is None else f", {self.classes} classes"
        return (
            f"Dataset({self.name!r}: {len(self)} samples, x {_summary(self.x)}, "
            f"t {_summary(self.t)}{classes}, on {device_of(self.x).name})"
        )

    def split(self, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Divide the samples at random into two parts.

        Parameters
        ----------
        fraction : float
            The share of the samples that is held out, rounded to whole samples.
        seed : int
            Equal seeds give equal parts, on every array library.

        Returns
        -------
        rest, held_out : Dataset

        Raises
        ------
        ValueError
            A part would be empty.
        """
        n = len(self)
        words = f"a fraction between 0 and 1 that leaves both parts of {n} samples at least one"
        count = round(n * number("split", fraction, lambda x: 0 < round(n * x) < n, words))
        order = Stream(seed, "split").permutation(n)
        return self._gather(order[count:]), self._gather(order[:count])

    def take(self, n: int) -> Dataset:
        """Return the first ``n`` samples, as views where the array library has them.

        Raises
        ------
        ValueError
            There are not that many.
        """
        n = whole_number("take", n, 1, len(self))
        return self._with(self.x[:n, ...], self.t[:n, ...])

    def select(self, indices: Array | Sequence[int]) -> Dataset:
        """Return the samples at some indices, copied, in the order of the indices.

        Parameters
        ----------
        indices : array or sequence of int, shape (m,)
            From 0 to n - 1; m is at least 1.

        Raises
        ------
        ValueError
            There are no indices, or one is none of these.
        """
        chosen = to_numpy(indices)
        if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu":
            raise ValueError(
                f"select: expected integer indices of shape (m,) with m >= 1, got "
                f"{chosen.dtype} of shape {chosen.shape}"
            )
        wrong = (chosen < 0) | (chosen >= len(self))
        if wrong.any():
            raise ValueError(
                f"select: expected indices of 0 to {len(self) - 1}, got {chosen[wrong.argmax()]}"
            )
        return self._gather(chosen)

    def to(self, device_name: str | Device) -> Dataset:
        """Return the data set with its arrays on a device, labels as int64.

        Parameters
        ----------
        device_name : str or Device
            As :func:`xpnet.device` takes it.
        """
        place = device(device_name)
        dtype = "int64" if self._holds_labels() else None
        return self._with(place.asarray(self.x), place.asarray(self.t, dtype))

    def astype(self, dtype: str) -> Dataset:
        """Return the data set with its samples, and targets that are no labels, in a dtype.

        Parameters
        ----------
        dtype : str
            Its standard name, such as ``"float32"``.
        """
        place = device_of(self.x)
        t = self.t if self._holds_labels() else place.asarray(self.t, dtype)
        return self._with(place.asarray(self.x, dtype), t)

    def _gather(self, indices: HostArray) -> Dataset:
        xp = namespace(self.x)
        there = device_of(self.x).asarray(indices, "int64")
        return self._with(xp.take(self.x, there, axis=0), xp.take(self.t, there, axis=0))

    def _with(self, x: Array, t: Array) -> Dataset:
        """Return a data set of samples of this one, whose labels need no second check."""
        made = object.__new__(Dataset)
        for field, value in (("x", x), ("t", t), ("classes", self.classes), ("name", self.name)):
            object.__setattr__(made, field, value)
        return made


def _samples(argument: str, array: Array, name: str) -> int:
    namespace(array)  # raises the sentence for what is no array
    if not array.shape:
        raise ValueError(
            f"{name}: expected {argument} with samples on its first axis, got a scalar"
        )
    return int(array.shape[0])


def _summary(array: Array) -> str:
    dtype = str(array.dtype).rpartition(".")[2]  # "torch.uint8" and "array_api_strict.uint8" too
    return f"{dtype} {tuple(array.shape)}"


def load(
    name: str = "digits", data_dir: str | os.PathLike[str] | None = None
) -> tuple[Dataset, Dataset]:
    """Load a data set of 28x28 images of ten classes; each file is verified as it is read.

    Parameters
    ----------
    name : {"digits", "mnist", "fashion-mnist", "kmnist"}
        The digits come with xpnet: 1 437 and 360 small scans, enlarged (see
        ``digits/ATTRIBUTION.md``).  The others have 60 000 and 10 000 images and are downloaded
        when they are not found.
    data_dir : path, optional
        The folder that holds the data sets or receives them: by default the environment variable
        ``XPNET_DATA``, else the user's cache folder.

    Returns
    -------
    train, test : Dataset
        ``x`` uint8 of shape (n, 1, 28, 28), 0 to 255; ``t`` int64 of shape (n,).

    Raises
    ------
    ValueError
        The name is unknown, or a file is damaged.
    DownloadError
        A file is missing and no mirror gave it.
    """
    if one_of("data set", name, NAMES) == "digits":
        return _digits("train"), _digits("t10k")
    source = catalog.SOURCES[name]
    paths = catalog.fetch(source, data_dir)
    images, labels, test_images, test_labels = (
        catalog.read(file, paths[file.name]) for file in source.files
    )
    return _of_images(images, labels, name), _of_images(test_images, test_labels, name)


def _of_images(images: HostArray, labels: HostArray, name: str) -> Dataset:
    return Dataset(images[:, None], labels.astype(np.int64), classes=10, name=name)


def _digits(part: Literal["train", "t10k"]) -> Dataset:
    images = _embedded(f"{part}-images-idx3-ubyte.gz")
    labels = _embedded(f"{part}-labels-idx1-ubyte.gz")
    bright = (images.astype(np.uint16) * 255 + 8) // 16  # 0 to 16 becomes 0 to 255, rounded
    large = bright.astype(np.uint8).repeat(3, axis=1).repeat(3, axis=2)
    return _of_images(np.pad(large, ((0, 0), (2, 2), (2, 2))), labels, "digits")


def _embedded(file: str) -> HostArray:
    raw = (resources.files("xpnet.data") / "digits" / file).read_bytes()
    return idx.parse(idx.unpack(raw, file), file)
