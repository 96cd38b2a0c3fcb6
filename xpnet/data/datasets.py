"""Data sets: loaded by name, split, selected and brought to a device."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import numpy as np

from xpnet import html
from xpnet.arrays import (
    Array,
    HostArray,
    dtype_kind,
    dtype_name,
    is_complex,
    namespace,
    pieces,
    to_numpy,
)
from xpnet.checks import (
    Constructible,
    check_fields,
    distinct_names,
    flag,
    nearest,
    not_negative,
    number,
    one_of,
    whole_number,
)
from xpnet.convert import WORDS_AS_LABELS, WORDS_AS_SAMPLES, as_array, as_words, is_array
from xpnet.data import catalog, idx
from xpnet.data.augment import Augment, Augmentation
from xpnet.data.stored import StoredArray, brought, mapped, rows_at
from xpnet.devices import Device, device, device_of
from xpnet.files import listed
from xpnet.random import Stream

__all__ = ["NAMES", "Dataset", "as_labels", "load"]

NAMES = ("digits", *catalog.SOURCES)
"""The names that :func:`load` knows."""

DTYPES = (
    "float32", "float64", "complex64", "complex128", "uint8", "uint16", "uint32", "uint64",
    "int8", "int16", "int32", "int64",
)  # fmt: skip
"""The dtypes that samples may be brought to."""


SHOWN = 12
"""The samples and the classes, the first ones, that a notebook shows."""

COUNTED = 1_000_000
"""The labels that are counted for a notebook, at the most."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Constructible):
    """Samples and their targets.

    Parameters
    ----------
    x : array of shape (n, ...)
        The samples: an array of any library and dtype, nested lists, a frame, a table (see
        :func:`xpnet.convert.as_array`).  Those of :func:`xpnet.data.open` are not in memory.
    t : array
        The targets, from anywhere too: labels of shape (n,), or numbers of shape (n, ...).
    classes : int, optional
        The number of classes: ``t`` is then labels of 0 to ``classes - 1``, as whole numbers of any
        dtype and shape (n,) or (n, 1), which are kept as integers (n,); or one weight a class,
        such as one-hot rows, of shape (n, classes), kept as floating-point numbers.  Without it,
        whole numbers are labels for a network of several outputs and numbers for one of a single
        output.
    name : str
        What the data is called in messages and records.
    class_names : sequence of str, optional
        What the classes are called, in order: there are then as many ``classes``, and ``t`` may be
        words, which become labels.
    weights : array, shape (n,), optional
        How much each sample counts, in the loss and in what is measured: numbers >= 0, kept in
        float32, not all of them 0.

    Raises
    ------
    ValueError
        There are no samples, ``x`` and ``t`` differ in length or device, a value is missing, or
        with ``classes`` a label is out of range or no whole number, or a word is no class's name.
    TypeError
        ``x`` or ``t`` holds no numbers.
    """

    cure = "write Dataset(x, t, classes=10)"

    x: Array
    t: Array
    classes: int | None = None
    name: str = "data"
    class_names: Sequence[str] | None = field(default=None, kw_only=True)
    weights: Array | None = field(default=None, kw_only=True)
    augmentation: Augmentation | None = field(default=None, init=False)
    warned: set[str] = field(default_factory=set, init=False)  # of what: its parts share it

    def __post_init__(self) -> None:
        if self.class_names is not None:
            self._name_classes(distinct_names(f"{self.name}: class_names", self.class_names))
        check_fields(self, x=self._entered, t=self._entered)
        n = int(self.x.shape[0])
        if n == 0:
            raise ValueError(f"{self.name}: expected at least one sample, got none")
        if self.t.shape[0] != n:
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
            count = self._count_of_classes()
            object.__setattr__(self, "classes", count)
            object.__setattr__(self, "t", self._of_classes(count))
        elif self._is_integral() and tuple(self.t.shape) == (n, 1):
            object.__setattr__(self, "t", mapped(_column, self.t))
        if self.weights is not None:
            object.__setattr__(self, "weights", self._checked_weights(self.weights))

    def _checked_weights(self, given: Any) -> Array:
        """Return how much each sample counts, beside the samples."""
        host = to_numpy(as_array(f"{self.name}: weights", given))
        if host.shape != (len(self),) or host.dtype.kind not in "fiu":
            raise ValueError(
                f"{self.name}: expected weights of shape ({len(self)},), real numbers, got "
                f"{host.dtype} of shape {host.shape}"
            )
        wrong = ~((host >= 0) & np.isfinite(host))
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f"{self.name}: expected weights >= 0, got {host[first]} at index {first}"
            )
        if not host.any():
            raise ValueError(f"{self.name}: expected a weight above 0, got {len(self)} zeros")
        return device_of(self.x).asarray(host, "float32")

    def _count_of_classes(self) -> int:
        return whole_number(f"{self.name}: classes", self.classes, 1)

    def _name_classes(self, names: tuple[str, ...]) -> None:
        count = len(names) if self.classes is None else self._count_of_classes()
        if count != len(names):
            raise ValueError(
                f"{self.name}: expected as many class_names as classes, got {len(names)} names for "
                f"{count} classes"
            )
        object.__setattr__(self, "classes", len(names))
        object.__setattr__(self, "class_names", names)

    def _numbered(self, words: list[str]) -> list[int]:
        """Return the numbers of the classes that words name."""
        numbers = {name: number for number, name in enumerate(self.class_names or ())}
        for k, word in enumerate(words):
            if word not in numbers:
                raise ValueError(
                    f"{self.name}: t: expected one of the class_names, {_few(numbers)}, got "
                    f"{word!r} at index {k}{nearest(word, numbers)}"
                )
        return [numbers[word] for word in words]

    def _entered(self, field: str, value: Any) -> Array:
        """Return what was given as x or t as an array, that of a list beside the other's."""
        words = WORDS_AS_LABELS if field == "t" else WORDS_AS_SAMPLES
        if field == "t" and self.class_names is not None:
            named = as_words(f"{self.name}: t", value)
            value = value if named is None else self._numbered(named)
        made = as_array(f"{self.name}: {field}", value, words)
        if not made.shape:
            raise ValueError(
                f"{self.name}: expected {field} with samples on its first axis, got a scalar"
            )
        other = self.x if field == "t" else self.t
        return made if is_array(value) or not is_array(other) else device_of(other).asarray(made)

    def _is_integral(self) -> bool:
        return bool(namespace(self.t).isdtype(self.t.dtype, "integral"))

    @property
    def has_labels(self) -> bool:
        """Whether the targets are whole numbers, one a sample."""
        return self._is_integral() and len(self.t.shape) == 1

    def _of_classes(self, classes: int) -> Array:
        """Return the targets as labels, or as one weight a class."""
        xp, each, integral = namespace(self.t), tuple(self.t.shape[1:]), self._is_integral()
        if each == (classes,) and not (integral and classes == 1):
            return xp.astype(self.t, xp.float32) if integral else self.t
        if each not in ((), (1,)) or is_complex(self.t):
            raise ValueError(
                f"{self.name}: expected labels of shape (n,) or targets of shape "
                f"(n, {classes}), got {dtype_name(self.t)} of shape {tuple(self.t.shape)}"
            )
        return as_labels(self.t, classes, self.name)

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def __repr__(self) -> str:
        classes = "" if self.classes is None else f", {self.classes} classes"
        if self.class_names is not None:
            classes += f" ({_few(self.class_names)})"
        changed = "" if self.augmentation is None else f", augmented by {self.augmentation}"
        return (
            f"Dataset({self.name!r}: {len(self)} samples, x {_summary(self.x)}, "
            f"t {_summary(self.t)}{classes}, {' '.join(self._place)}{changed})"
        )

    @property
    def stored(self) -> bool:
        """Whether samples or targets are not in memory, but read when they are looked at."""
        return isinstance(self.x, StoredArray) or isinstance(self.t, StoredArray)

    @property
    def _place(self) -> tuple[str, str]:
        if isinstance(self.x, StoredArray):
            return "in", self.x.where
        return "on", device_of(self.x).name

    def _repr_html_(self) -> str:
        """Return a table of facts, and the first samples where they are images."""
        facts = [
            ("samples", str(len(self))), ("x", _summary(self.x)), ("t", _summary(self.t)),
            self._place, *self._counts(),
        ]  # fmt: skip
        if self.augmentation is not None:
            facts.append(("augmented by", str(self.augmentation)))
        first = self.take(min(SHOWN, len(self)))
        images = html.pixels(to_numpy(first.x))
        shown = () if images is None else map(html.image, images, first.target_names())
        table = html.table(["Dataset", self.name], facts, left=2)
        return html.side_by_side([table, html.side_by_side(shown)])

    def _counts(self) -> list[tuple[str, str]]:
        """Return the classes and how many samples each has, as far as a table shows them."""
        if self.classes is None:
            return []
        if not self.has_labels or len(self) > COUNTED:
            return [("classes", str(self.classes))]
        counts = np.bincount(to_numpy(self.t).astype(np.int64), minlength=self.classes)
        each = [f"{self.class_name(k)}: {n}" for k, n in enumerate(counts[:SHOWN])]
        rest = f"... and {self.classes - SHOWN} more" if self.classes > SHOWN else ""
        return [("classes", str(self.classes)), *(("", one) for one in [*each, rest] if one)]

    def class_name(self, label: int) -> str:
        """Return what a class is called: its number where the classes have no names."""
        return str(label) if self.class_names is None else self.class_names[label]

    def target_names(self) -> list[str]:
        """Return a word for each target: its class, or the number; none for several numbers."""
        targets = to_numpy(self.t)
        if self.classes is not None and targets.ndim == 2:
            targets = targets.argmax(axis=1)
        if targets.size > len(self):
            return [""] * len(self)
        numbers = targets.reshape(-1).tolist()
        if self.class_names is None:
            return [f"{number:.4g}" for number in numbers]
        return [self.class_name(int(number)) for number in numbers]

    def weighted(self, weights: Any) -> Dataset:
        """Return the data set with weights of its samples.

        Parameters
        ----------
        weights : array, mapping or "balanced"
            One number a sample, shape (n,); or for labels one a class: a mapping of labels (or of
            their ``class_names``), of which those left out count 1, or ``"balanced"``, so that each
            class counts as much as any other and the mean weight is 1:
            ``n / (classes * samples of the class)``.

        Raises
        ------
        ValueError
            These are no weights of the samples, or the targets are no labels.
        """
        if isinstance(weights, (str, Mapping)):
            weights = self._weights_by_class(weights)
        made = self.with_arrays(self.x, self.t)
        object.__setattr__(made, "weights", made._checked_weights(weights))
        return made

    def _weights_by_class(self, weights: str | Mapping[Any, float]) -> HostArray:
        if not self.has_labels:
            raise ValueError(
                f"{self.name}: expected labels, of which each class has a weight, got targets of "
                f"{_summary(self.t)}"
            )
        labels = to_numpy(self.t)
        found, counts = np.unique(labels, return_counts=True)
        if isinstance(weights, str):
            one_of("weights", weights, ["balanced"])
            each = len(labels) / (len(found) * counts)
            return np.asarray(each[np.searchsorted(found, labels)])
        numbers = {name: number for number, name in enumerate(self.class_names or ())}
        weights = {numbers.get(label, label): weight for label, weight in weights.items()}
        missing = [label for label in weights if label not in found]
        if missing:
            raise ValueError(
                f"weights: expected labels of {self.name}, {found[0]} to {found[-1]}, got "
                f"{missing[0]!r}"
            )
        each = np.array([not_negative(f"weights: {k}", weights.get(int(k), 1)) for k in found])
        return np.asarray(each[np.searchsorted(found, labels)])

    def split(
        self, fraction: float, seed: int = 0, *, stratify: bool = False
    ) -> tuple[Dataset, Dataset]:
        """Divide the samples at random into two parts.

        Parameters
        ----------
        fraction : float
            The share of the samples that is held out, rounded to whole samples.
        seed : int
            Equal seeds give equal parts, on every array library.
        stratify : bool
            Whether of each class the same share is held out, rounded up or down to whole samples.

        Returns
        -------
        rest, held_out : Dataset

        Raises
        ------
        ValueError
            A part would be empty, or ``stratify`` is asked of targets that are no labels.
        """
        n = len(self)
        words = f"a fraction between 0 and 1 that leaves both parts of {n} samples at least one"
        count = round(n * number("split", fraction, lambda x: 0 < round(n * x) < n, words))
        order = Stream(seed, "split").permutation(n)
        held_out = np.arange(n) < count
        if flag("stratify", stratify):
            held_out = _stratified(self._labels_to_stratify()[order], count)
        return self._gather(order[~held_out]), self._gather(order[held_out])

    def folds(
        self, count: int, seed: int = 0, *, stratify: bool = False
    ) -> Iterator[tuple[Dataset, Dataset]]:
        """Hold out each of some parts of the samples in turn, for cross-validation.

        Parameters
        ----------
        count : int
            The number of parts, whose sizes differ by one at most.
        seed : int
            Equal seeds give equal parts, on every array library.
        stratify : bool
            Whether the samples of each class are divided evenly, too.

        Returns
        -------
        iterator of (rest, held_out)
            Each a Dataset, copied when its turn comes.

        Raises
        ------
        ValueError
            There are more parts than samples, or ``stratify`` is asked of targets that are no
            labels.
        """
        n = len(self)
        count = whole_number("folds", count, 2, n)
        order, dealt = Stream(seed, "folds").permutation(n), np.arange(n) % count
        part = dealt
        if flag("stratify", stratify):
            part = np.empty_like(dealt)
            part[np.argsort(self._labels_to_stratify()[order], kind="stable")] = dealt
        return (
            (self._gather(order[part != k]), self._gather(order[part == k])) for k in range(count)
        )

    def _labels_to_stratify(self) -> HostArray:
        if not self.has_labels:
            raise ValueError(
                f"stratify: expected {self.name} to have labels, got targets {_summary(self.t)}"
            )
        return to_numpy(self.t)

    def take(self, n: int) -> Dataset:
        """Return the first ``n`` samples, as views where the array library has them.

        Raises
        ------
        ValueError
            There are not that many.
        """
        n = whole_number("take", n, 1, len(self))
        weights = None if self.weights is None else self.weights[:n]
        return self.with_arrays(rows_at(self.x, n), rows_at(self.t, n), weights)

    def select(self, indices: Array | Sequence[int]) -> Dataset:
        """Return the samples at some indices, in the order of the indices: copied, or a view.

        It is a view where they are not in memory.

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
                f"{': of a mask write np.flatnonzero(mask)' if chosen.dtype.kind == 'b' else ''}"
            )
        wrong = (chosen < 0) | (chosen >= len(self))
        if wrong.any():
            raise ValueError(
                f"select: expected indices of 0 to {len(self) - 1}, got {chosen[wrong.argmax()]}"
            )
        return self._gather(chosen)

    def to(self, device_name: str | Device) -> Dataset:
        """Return the data set with its arrays on a device, labels as int64.

        What is not in memory stays so on the processor, and is read whole for another device.

        Parameters
        ----------
        device_name : str or Device
            As :func:`xpnet.device` takes it.
        """
        place = device(device_name)
        dtype = "int64" if self.has_labels else None
        weights = None if self.weights is None else place.asarray(self.weights)
        return self.with_arrays(brought(self.x, place), brought(self.t, place, dtype), weights)

    def astype(self, dtype: str) -> Dataset:
        """Return the data set with its samples, and targets that are no labels, in a dtype.

        Parameters
        ----------
        dtype : str
            Its standard name, such as ``"float32"``.
        """
        one_of("dtype", dtype, DTYPES)
        place = device_of(self.x)
        t = self.t if self.has_labels else brought(self.t, place, dtype)
        return self.with_arrays(brought(self.x, place, dtype), t, self.weights)

    def augmented(self, *augments: Augment, seed: int = 0) -> Dataset:
        """Return the same samples, to be changed at random whenever they are trained on.

        Evaluation and prediction see them as they are.

        Parameters
        ----------
        augments : Augment
            Such as ``Shift(2)`` and ``Rotate(10)`` of :mod:`xpnet.data.augment`, one after the
            other.
        seed : int
            Each draw is a function of it, of the epoch, and of the sample's number.

        Raises
        ------
        ValueError
            The samples are no images, of shape (n, channels, h, w), uint8 or real floating-point;
            or MixUp does not come last, or has no classes to mix.
        TypeError
            One is no Augment.
        """
        augmentation = Augmentation(augments, seed)
        kind, shape = dtype_name(self.x), tuple(self.x.shape)
        if len(shape) != 4 or kind not in ("uint8", "float32", "float64"):
            raise ValueError(
                f"{self.name}: augmented expects images of shape (n, channels, h, w), uint8 or "
                f"real floating-point, got {kind} of shape {shape}"
            )
        if augmentation.mix_up and self.has_labels and self.classes is None:
            raise ValueError(
                f"{self.name}: MixUp expects Dataset(x, t, classes=...), got no classes"
            )
        made = self.with_arrays(self.x, self.t, self.weights)
        vars(made)["augmentation"] = augmentation
        return made

    def _gather(self, indices: HostArray) -> Dataset:
        short = self.stored and len(self) < 2**32  # views keep them
        there = device_of(self.x).asarray(indices, "uint32" if short else "int64")
        arrays = (self.x, self.t) if self.weights is None else (self.x, self.t, self.weights)
        return self.with_arrays(*(rows_at(array, there) for array in arrays))

    def with_arrays(self, x: Array, t: Array, weights: Array | None = None) -> Dataset:
        """Return a data set of this one's samples in other arrays, which nothing checks again."""
        made = object.__new__(Dataset)
        vars(made).update(vars(self), x=x, t=t, weights=weights)
        return made

    def check(self) -> None:
        """Look for NaN and infinities in all samples and targets.

        Raises
        ------
        ValueError
            There is one: the message says which, and where the first one lies.
        """
        for which, array in (("x", self.x), ("t", self.t)):
            place = _first_not_finite(array)
            if place is not None:
                sample, *inner = place
                where = f"sample {sample}{f', at {inner}' if inner else ''}"
                raise ValueError(
                    f"{self.name}: expected finite numbers, got {to_numpy(array[place])} in "
                    f"{which} of {where}"
                )


def as_labels(t: Array, classes: int, name: str, whose: str = "") -> Array:
    """Return labels of shape (n,), integers of 0 to ``classes - 1``.

    Parameters
    ----------
    t : array, shape (n,) or (n, 1)
        Whole numbers of any real dtype.
    whose : str
        Who has so many classes, for the message.

    Raises
    ------
    ValueError
        A number is none of these labels.
    """
    xp = namespace(t)
    labels = mapped(_column, t) if t.ndim == 2 else t
    for start, piece in pieces(labels):
        host = to_numpy(piece)
        wrong = ~((host >= 0) & (host < classes) & (host == np.floor(host)))
        if wrong.any():
            first = int(wrong.argmax())
            cure = ": labels begin at 0, subtract 1" if _range(labels) == (1, classes) else ""
            raise ValueError(
                f"{name}: expected labels of 0 to {classes - 1}{whose}, got {host[first]} at index "
                f"{start + first}{cure}"
            )
    return labels if xp.isdtype(t.dtype, "integral") else xp.astype(labels, xp.int64)


def _column(t: Array) -> Array:
    return t[:, 0]


def _range(array: Array) -> tuple[float, float]:
    """Return the least and the largest number."""
    ends = [(to_numpy(piece).min(), to_numpy(piece).max()) for _, piece in pieces(array)]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _stratified(labels: HostArray, count: int) -> HostArray:
    """Return which samples are held out: ``count`` in all, of each class the first ones.

    Of the numbers that each class's share would be, those nearest below a whole one are rounded up.
    """
    _, which, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    exact = sizes * count / len(labels)
    counts = np.floor(exact).astype(np.int64)
    short = count - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:short]] += 1
    held_out = np.zeros(len(labels), bool)
    for label, number_held_out in enumerate(counts):
        held_out[np.flatnonzero(which == label)[:number_held_out]] = True
    return held_out


def _first_not_finite(array: Array) -> tuple[int, ...] | None:
    """Return where the first number lies that is not finite, reading some samples at a time."""
    xp = namespace(array)
    if dtype_kind(xp, array.dtype) == "exact":
        return None
    for start, some in pieces(array):
        if not xp.all(xp.isfinite(some)):
            first, *rest = np.argwhere(~np.isfinite(to_numpy(some)))[0].tolist()
            return (start + first, *rest)
    return None


def _few(names: Iterable[str]) -> str:
    """Return the first few of some names, for a sentence."""
    known = list(names)
    return listed(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")


def _summary(array: Array) -> str:
    return f"{dtype_name(array)} {tuple(array.shape)}"


def load(
    name: str = "digits", data_dir: str | os.PathLike[str] | None = None
) -> tuple[Dataset, Dataset]:
    """Load a data set of images by name; each file is verified as it is read.

    Parameters
    ----------
    name : str
        ``"digits"`` come with xpnet: 1 437 and 360 small scans, enlarged (see
        ``digits/ATTRIBUTION.md``).  The others are downloaded when they are not found: ``"mnist"``,
        ``"fashion-mnist"`` and ``"kmnist"``, 60 000 and 10 000 grey images of 28x28 in ten classes;
        ``"emnist-byclass"`` (62 classes), ``"emnist-bymerge"`` and ``"emnist-balanced"`` (47),
        ``"emnist-letters"`` (26), ``"emnist-digits"`` and ``"emnist-mnist"`` (10), of the same
        size; ``"cifar-10"``, 50 000 and 10 000 colour images of 32x32.
    data_dir : path, optional
        The folder that holds the data sets or receives them: by default the environment variable
        ``XPNET_DATA``, else the user's cache folder.

    Returns
    -------
    train, test : Dataset
        ``x`` uint8 of shape (n, c, h, w), 0 to 255; ``t`` int64 of shape (n,), from 0.

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
    train, test = catalog.read(source, catalog.fetch(source, data_dir))
    return _of_source(source, *train), _of_source(source, *test)


def _of_source(source: catalog.Source, x: HostArray, t: HostArray) -> Dataset:
    return Dataset(x, t, source.classes, source.name, class_names=source.class_names)


def _digits(part: Literal["train", "t10k"]) -> Dataset:
    images = _embedded(f"{part}-images-idx3-ubyte.gz")
    labels = _embedded(f"{part}-labels-idx1-ubyte.gz")
    bright = (images.astype(np.uint16) * 255 + 8) // 16  # 0 to 16 becomes 0 to 255, rounded
    large = bright.astype(np.uint8).repeat(3, axis=1).repeat(3, axis=2)
    x = np.pad(large, ((0, 0), (2, 2), (2, 2)))[:, None]
    return Dataset(x, labels.astype(np.int64), classes=10, name="digits")


def _embedded(file: str) -> HostArray:
    raw = (resources.files("xpnet.data") / "digits" / file).read_bytes()
    return idx.parse(idx.unpack(raw, file), file)
