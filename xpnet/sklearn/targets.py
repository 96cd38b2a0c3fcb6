"""What targets are to a network: how it is trained for them, and what its scores answer.

Each class here is a kind of targets.  It knows how many outputs they take and by which loss they
are learned, writes them as numbers, and reads scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from xpnet.arrays import Array, HostArray, namespace, to_numpy
from xpnet.devices import device_of
from xpnet.functions import log_softmax, sigmoid, softmax
from xpnet.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError

__all__ = ["Classes", "Labels", "Marks", "Numbers", "Targets", "classes_of"]


class Targets(ABC):
    """A kind of targets.

    Attributes
    ----------
    outputs : int
        Of the network.
    classes : int or None
        Their number, where the numbers that stand for targets are labels.
    """

    outputs: int
    classes: int | None = None

    @abstractmethod
    def loss(self) -> Loss:
        """Return the loss that learns them."""

    @abstractmethod
    def encode(self, y: HostArray) -> HostArray:
        """Return targets as a data set takes them."""

    @abstractmethod
    def answers(self, scores: Array) -> Array:
        """Return what scores answer: targets like those that were learned."""


class Numbers(Targets):
    """Numbers, one a sample or several.

    Parameters
    ----------
    shape : tuple of int
        Of a sample's targets: () or (k,).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.outputs = shape[0] if shape else 1

    def loss(self) -> Loss:
        """Return half the squared error."""
        return SquaredError()

    def encode(self, y: HostArray) -> HostArray:
        """Return a row for each sample."""
        if y.shape[1:] != self.shape:
            raise ValueError(
                f"y: expected targets of shape {self.shape} a sample, as before, got {y.shape[1:]}"
            )
        return y.reshape(len(y), self.outputs)

    def answers(self, scores: Array) -> Array:
        """Return the scores themselves."""
        return namespace(scores).reshape(scores, (scores.shape[0], *self.shape))


class Classes(Targets):
    """Classes, which have probabilities.

    Parameters
    ----------
    names : array, shape (k,)
        The classes, sorted.
    """

    def __init__(self, names: HostArray) -> None:
        self.names = names
        self.outputs = len(names)

    @abstractmethod
    def probabilities(self, scores: Array) -> Array:
        """Return the probability of each class."""

    @abstractmethod
    def log_probabilities(self, scores: Array) -> Array:
        """Return the logarithms of the probabilities, also where these are rounded to 0."""


class Labels(Classes):
    """One class a sample, numbered in the order of its name.

    Parameters
    ----------
    y : array-like, shape (n,)
        Each class at least once.
    """

    def __init__(self, y: Any) -> None:
        self.encoder = LabelEncoder().fit(column_or_1d(y))
        super().__init__(self.encoder.classes_)
        if self.outputs < 2:
            raise ValueError(
                f"y: expected at least two classes, got one class, {self.names.tolist()[0]!r}"
            )
        self.classes = self.outputs

    def loss(self) -> Loss:
        """Return the cross-entropy of one class out of several."""
        return SoftmaxCrossEntropy()

    def encode(self, y: HostArray) -> HostArray:
        """Return the number of each sample's class."""
        numbers: HostArray = self.encoder.transform(column_or_1d(y, warn=True))
        return numbers

    def answers(self, scores: Array) -> Array:
        """Return the names of the highest scores' classes; words are NumPy's alone."""
        best = namespace(scores).argmax(scores, axis=1)
        if self.names.dtype.kind not in "biuf":
            return self.names[to_numpy(best)]
        return namespace(scores).take(device_of(scores).asarray(self.names), best, axis=0)

    def probabilities(self, scores: Array) -> Array:
        """Return the softmax."""
        return softmax(scores)

    def log_probabilities(self, scores: Array) -> Array:
        """Return its logarithm."""
        return log_softmax(scores)


class Marks(Classes):
    """Any number of classes a sample: a row of zeros and ones."""

    def loss(self) -> Loss:
        """Return the cross-entropy of several answers, each yes or no."""
        return SigmoidCrossEntropy()

    def encode(self, y: HostArray) -> HostArray:
        """Return the rows themselves."""
        if y.shape[1:] != (self.outputs,):
            raise ValueError(f"y: expected {self.outputs} columns of marks, got {y.shape[1:]}")
        return y.astype(np.float32)

    def answers(self, scores: Array) -> Array:
        """Return 1 for each class whose probability is above .5."""
        xp = namespace(scores)
        return xp.astype(scores > 0, xp.int64)

    def probabilities(self, scores: Array) -> Array:
        """Return the sigmoid."""
        return sigmoid(scores)

    def log_probabilities(self, scores: Array) -> Array:
        """Return its logarithm, ``-log(1 + exp(-score))``."""
        xp = namespace(scores)
        return -xp.logaddexp(xp.zeros_like(scores), -scores)


def classes_of(y: HostArray, names: Any = None) -> Classes:
    """Return what a classifier's targets are.

    Parameters
    ----------
    names : array-like, optional
        All classes, where ``y`` may lack some.
    """
    try:
        check_classification_targets(y)
    except TypeError:  # they cannot be sorted
        kinds = sorted({type(one).__name__ for one in y.flat})
        raise TypeError(
            f"y: expected all words or all numbers, got {' and '.join(kinds)}: drop the samples "
            f"without a class"
        ) from None
    kind = type_of_target(y, input_name="y")
    if kind == "multilabel-indicator":
        return Marks(np.arange(y.shape[1]))
    if kind == "multiclass-multioutput":
        raise ValueError(
            f"y: expected one class a sample, or a row of zeros and ones, got {y.shape[1]} columns "
            f"of classes: fit an estimator for each, by sklearn.multioutput.MultiOutputClassifier"
        )
    return Labels(y if names is None else names)
