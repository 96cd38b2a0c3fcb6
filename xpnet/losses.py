"""Losses: how far the scores are from the targets, and which way they should move.

Targets are labels, an integer array (n,), or numbers in the shape of the scores (one-hot rows,
probabilities, values).  Every loss is a mean over the batch, or a weighted mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from xpnet import ops
from xpnet.arrays import Array, dtype_kind, dtype_name, is_complex, namespace
from xpnet.checks import Hyperparameter, fraction
from xpnet.config import Configurable

__all__ = ["Loss", "SigmoidCrossEntropy", "SoftmaxCrossEntropy", "SquaredError"]


class Loss(Configurable, ABC):
    """A loss of scores and targets.

    ``forward`` computes the gradient along with the loss and keeps it, as many numbers as there
    are scores, until ``backward`` takes it.

    Attributes
    ----------
    accepts : tuple of str
        The kinds of numbers that scores may be of: ``"real"``, ``"complex"``.
    """

    accepts: ClassVar[tuple[str, ...]] = ("real",)

    def __init__(self) -> None:
        self._gradient: Array | None = None
        self._seen: Any = None

    @abstractmethod
    def compute(self, scores: Array, targets: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return the mean loss and its gradient with respect to the scores."""

    def forward(self, scores: Array, targets: Array, weights: Array | None = None) -> Array:
        """Return the mean loss of a batch.

        Parameters
        ----------
        scores : array, shape (n, k) or (n, ...)
            The network's outputs.
        targets : array
            Labels (n,), integers, or numbers in the shape of the scores.
        weights : array, shape (n,), optional
            How much each sample counts in the mean.

        Returns
        -------
        array, 0-d, on the device of the scores

        Raises
        ------
        ValueError
            The batch is empty, the shapes or dtypes do not fit, or (where looking costs nothing:
            plain softmax on NumPy) a label is out of range; elsewhere it makes the loss NaN.
        TypeError
            These are not arrays of one library.
        """
        self._check(scores, targets, weights)
        loss, self._gradient = self.compute(scores, targets, weights)
        return loss

    def __call__(self, scores: Array, targets: Array, weights: Array | None = None) -> Array:
        """Return the mean loss of a batch: short for ``forward``."""
        return self.forward(scores, targets, weights)

    def backward(self) -> Array:
        """Return the gradient of the last loss with respect to its scores, and forget it.

        Raises
        ------
        RuntimeError
            No ``forward`` came before, or its gradient was taken already.
        """
        gradient, self._gradient = self._gradient, None
        if gradient is None:
            raise RuntimeError(f"{type(self).__name__}: backward needs a forward of its own before")
        return gradient

    def _check(self, scores: Array, targets: Array, weights: Array | None) -> None:
        """Raise one clear sentence unless the arguments fit; cheap for what was seen before."""
        given = (scores, targets) if weights is None else (scores, targets, weights)
        try:
            kind = [(type(a), a.dtype, a.shape) for a in given]
        except AttributeError:
            raise TypeError(
                f"{type(self).__name__}: expected arrays, got "
                f"{', '.join(type(a).__name__ for a in given)}"
            ) from None
        if kind != self._seen:
            self._inspect(scores, targets, weights)
            self._seen = kind

    def _inspect(self, scores: Array, targets: Array, weights: Array | None) -> None:
        name, kind = type(self).__name__, dtype_kind(namespace(scores), scores.dtype)
        if kind not in self.accepts:
            wanted = "floating-point" if "complex" in self.accepts else "real floating-point"
            raise ValueError(f"{name}: expected {wanted} scores, got {dtype_name(scores)}")
        if scores.ndim == 0 or scores.shape[0] == 0:
            raise ValueError(
                f"{name}: expected at least one sample, got scores {tuple(scores.shape)}"
            )
        n, exact = scores.shape[0], dtype_kind(namespace(targets), targets.dtype) == "exact"
        if targets.ndim == 1 and scores.ndim == 2:
            if targets.shape[0] != n:
                raise ValueError(f"{name}: expected {n} labels, got {targets.shape[0]}")
            if not exact or dtype_name(targets) == "bool":
                raise ValueError(
                    f"{name}: expected integer labels or targets of shape {tuple(scores.shape)}, "
                    f"got {dtype_name(targets)} of shape {tuple(targets.shape)}"
                )
        elif tuple(targets.shape) != tuple(scores.shape):
            raise ValueError(
                f"{name}: expected labels ({n},) or targets of shape {tuple(scores.shape)}, "
                f"got {tuple(targets.shape)}"
            )
        if weights is not None and tuple(weights.shape) != (n,):
            raise ValueError(f"{name}: expected weights ({n},), got {tuple(weights.shape)}")
        if kind == "real" and is_complex(targets):
            raise ValueError(f"{name}: expected real targets, got {dtype_name(targets)}")


class SoftmaxCrossEntropy(Loss):
    """Softmax, then cross-entropy: for one class out of several.

    Forward: ``L = mean over n of -sum_k t_k log p_k``, ``p = softmax(scores)``.
    Backward: ``(p - t) / n``, numbers too small to matter cut to zero.

    Parameters
    ----------
    label_smoothing : float
        The share of each target that is spread evenly over the classes, 0 <= it < 1
        (Szegedy et al., "Rethinking the inception architecture", 2016).
    """

    label_smoothing = Hyperparameter(fraction)

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def compute(self, scores: Array, targets: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return the mean loss and its gradient with respect to the scores."""
        return ops.loss.softmax_cross_entropy(
            scores, targets, weights, smoothing=self.label_smoothing
        )

    def _inspect(self, scores: Array, targets: Array, weights: Array | None) -> None:
        super()._inspect(scores, targets, weights)
        if scores.ndim != 2 or scores.shape[1] < 2:
            raise ValueError(
                f"SoftmaxCrossEntropy: expected scores (n, k) of two classes or more, "
                f"got {tuple(scores.shape)}"
            )


class SigmoidCrossEntropy(Loss):
    """Sigmoid, then cross-entropy: for several answers, each yes or no.

    Forward: ``L = mean over n of sum_k -(t_k log p_k + (1 - t_k) log(1 - p_k))``,
    ``p = sigmoid(scores)``.  Backward: ``(p - t) / n``.
    """

    def compute(self, scores: Array, targets: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return the mean loss and its gradient with respect to the scores."""
        return ops.loss.sigmoid_cross_entropy(scores, targets, weights)


class SquaredError(Loss):
    """Half the summed squared error, of real or complex numbers.

    Forward: ``L = mean over n of 1/2 sum_k |y_k - t_k|^2``.  Backward: ``(y - t) / n``.
    """

    accepts = ("real", "complex")

    def compute(self, scores: Array, targets: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return the mean loss and its gradient with respect to the outputs."""
        return ops.loss.squared_error(scores, targets, weights)
