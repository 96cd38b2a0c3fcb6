"""The book's MNIST loader (``dataset/mnist.py``)."""

from __future__ import annotations

import gzip
import os
import pickle
import urllib.request
from typing import Any, TypeAlias

import numpy as np

from xpnet import data
from xpnet.arrays import Array
from xpnet.book._globals import place
from xpnet.data import catalog
from xpnet.functions import one_hot

__all__ = [
    "dataset_dir",  # noqa: F822  (made when it is asked for, as save_file)
    "download_mnist",
    "gzip",
    "img_dim",
    "img_size",
    "init_mnist",
    "key_file",
    "load_mnist",
    "np",
    "os",
    "pickle",
    "save_file",  # noqa: F822
    "test_num",
    "train_num",
    "url_base",
    "urllib",
]

Pair: TypeAlias = tuple[Array, Array]

_SOURCE = catalog.SOURCES["mnist"]

url_base = _SOURCE.mirrors[0]
key_file = dict(
    zip(
        ("train_img", "train_label", "test_img", "test_label"),
        (file.name for file in _SOURCE.files),
        strict=True,
    )
)
train_num, test_num = 60000, 10000
img_dim, img_size = (1, 28, 28), 784


def __getattr__(name: str) -> Any:
    """Return the folder of the files, which the environment names, as it is now."""
    if name == "dataset_dir":
        return str(catalog.data_folder(None) / _SOURCE.name)
    if name == "save_file":
        return str(catalog.data_folder(None) / _SOURCE.name / "mnist.pkl")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def download_mnist() -> None:
    """Download those of the four files that are not on this machine."""
    catalog.fetch(_SOURCE)


def init_mnist() -> None:
    """Download what is missing and verify it; no ``mnist.pkl`` is written, nor needed."""
    data.load("mnist")


def load_mnist(
    normalize: bool = True, flatten: bool = True, one_hot_label: bool = False
) -> tuple[Pair, Pair]:
    """Load MNIST, from where :func:`xpnet.data.load` finds it.

    Parameters
    ----------
    normalize : bool
        Pixels as float32 from 0 to 1 instead of uint8 from 0 to 255.
    flatten : bool
        Images of shape (784,) instead of (1, 28, 28).
    one_hot_label : bool
        Targets as rows of float64 instead of labels, which are uint8.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        On the device that :func:`xpnet.book.use` set.
    """
    train, test = data.load("mnist")
    return _prepared(train, normalize, flatten, one_hot_label), _prepared(
        test, normalize, flatten, one_hot_label
    )


def _prepared(part: data.Dataset, normalize: bool, flatten: bool, one_hot_label: bool) -> Pair:
    x, t = part.x, part.t
    if flatten:
        x = x.reshape(len(part), -1)
    if normalize:
        x = x.astype("float32")
        x /= 255.0
    t = one_hot(t, 10, "float64") if one_hot_label else t.astype("uint8")
    return place().asarray(x), place().asarray(t)
