"""The book's MNIST loader (``dataset/mnist.py``)."""

from __future__ import annotations

from typing import TypeAlias

from xpnet import data
from xpnet.arrays import Array
from xpnet.book._globals import place
from xpnet.functions import one_hot

__all__ = ["load_mnist"]

Pair: TypeAlias = tuple[Array, Array]


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
        Targets as rows of float64 instead of labels.  Labels are int64, where the book's are
        uint8: differences of them do not wrap round.

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
    if one_hot_label:
        t = one_hot(t, 10, "float64")
    return place().asarray(x), place().asarray(t)
