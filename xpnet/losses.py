"""Losses: how far the scores are from the targets, and which way they should move.

Targets are labels, an integer array (n,), or numbers in the shape of the scores (one-hot rows,
probabilities, values).  Every loss is a mean over the batch, or a weighted mean.  It also says
what the scores that it trains answer (:meth:`Loss.answers`), and so what accuracy means.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar

from xpnet import ops
from xpnet.arrays import (
    Array,
    dtype_kind,
    dtype_name,
    is_complex,
    namespace,
    pieces,
    to_numpy,
)
from xpnet.checks import Hyperparameter, fraction, names_in
from xpnet.config import Configurable
from xpnet.ops.batch import Answers as Answers  # for losses of one's own

__all__ = ["Loss", "SigmoidCrossEntropy", "SoftmaxCrossEntropy", "SquaredError"]

GUESSED = 10_000
"""Samples that are enough to tell what guessing costs."""


class Loss(Configurable, ABC):
    """A loss of scores and targets.

    ``forward`` computes the gradient along with the loss and keeps it, as many numbers as there
    are scores, until ``backward`` takes it.  A loss of one's own defines ``compute``, and
    ``answers`` where the default does not tell the truth about its scores.

    Attributes
    ----------
    accepts : tuple of str
        The kinds of numbers that scores may be of: ``"real"``, ``"complex"``.
    targets_within : tuple of float
        The least and the greatest number that a target may be, where it is no label.
    """

    accepts: ClassVar[tuple[str, ...]] = ("real",)
    targets_within: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    def __init__(self) -> None:
        self._gradient: Array | None = None
        self._thread: int | None = None  # whose forward pass left it
        self._seen: Any = None

    @abstractmethod
    def compute(self, scores: Array, targets: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return the mean loss and its gradient with respect to the scores."""

    def answers(
        self, outputs: tuple[int, ...], targets: Array, classes: int | None = None
    ) -> Answers | None:
        """Return what the scores answer, by which accuracies and errors are measured.

        By default the class of the highest of several scores, where targets are labels or a
        number of classes says that they are a weight a class.  Otherwise nothing: where a single
        score says yes (``Answers("yes or no", cut=...)``), and whether it is a number as its
        target is (``Answers("number")``), is known to each loss alone.

        Parameters
        ----------
        outputs : tuple of int
            The shape of a sample's scores.
        targets : array
            Of a whole data set.
        classes : int, optional
            Their number, where the data set has classes.

        Returns
        -------
        Answers or None
            None where neither accuracy nor errors can be told: they are None then, too.
        """
        labelled = targets.ndim == 1 or classes is not None
        return Answers("class") if labelled and len(outputs) == 1 and outputs[0] > 1 else None

    def constant(self, mean: Array) -> Array | None:
        """Return the scores, one for all samples, of least loss; None where that is not known.

        Parameters
        ----------
        mean : array
            Of the targets, labels as one-hot rows, in the shape of a sample's scores.
        """
        return None

    def of_guessing(
        self, outputs: tuple[int, ...], targets: Array, weights: Array | None = None
    ) -> float | None:
        """Return the mean loss of the best answer that is the same for all samples.

        A network whose loss is no lower has learned nothing of its samples.

        Parameters
        ----------
        outputs : tuple of int
            The shape of a sample's scores.
        targets : array
            Of a whole data set; of a large one, evenly spaced samples are looked at.
        weights : array, shape (n,), optional
            How much each sample counts.
        """
        step = max(1, targets.shape[0] // GUESSED)
        host = to_numpy(targets[::step, ...])
        xp, n = namespace(host), len(host)
        counts = xp.ones(n) if weights is None else xp.astype(to_numpy(weights)[::step], xp.float64)
        if not xp.any(counts):
            return None
        like = xp.zeros((n, *outputs), dtype=xp.complex128 if is_complex(host) else xp.float64)
        wanted = ops.loss.as_scores(host, like)
        shares = xp.reshape(counts / xp.sum(counts), (n,) + (1,) * len(outputs))
        scores = self.constant(xp.sum(wanted * shares, axis=0))
        return None if scores is None else float(self.compute(like + scores, wanted, counts)[0])

    def averaged(self, scores: Sequence[Array]) -> Array:
        """Return the scores of the mean of several answers; by default the mean of the scores.

        Losses whose scores stand for probabilities return those of the mean probabilities.

        Parameters
        ----------
        scores : sequence of arrays of one shape (n, ...)
        """
        return _mean_of(scores)

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
        self._thread = get_ident()
        return loss

    def __call__(self, scores: Array, targets: Array, weights: Array | None = None) -> Array:
        """Return the mean loss of a batch: short for ``forward``."""
        return self.forward(scores, targets, weights)

    def backward(self) -> Array:
        """Return the gradient of the last loss with respect to its scores, and forget it.

        Raises
        ------
        RuntimeError
            No ``forward`` came before, its gradient was taken already, or it was another thread's.
        """
        if self._thread not in (None, get_ident()):
            raise RuntimeError(
                f"{type(self).__name__}: the forward before this backward was another thread's: "
                f"give each thread a loss of its own"
            )
        gradient, self._gradient = self._gradient, None
        if gradient is None:
            raise RuntimeError(f"{type(self).__name__}: backward needs a forward of its own before")
        return gradient

    def forget(self) -> None:
        """Forget the gradient of the last loss, which nobody takes."""
        self._gradient = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out whose gradient it is: a copy may be another process's."""
        return vars(self) | {"_thread": None}

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
        xp = namespace(targets)
        if not xp.isdtype(targets.dtype, ("numeric", "bool")):
            raise ValueError(
                f"{name}: expected numbers as targets, got {dtype_name(targets)}: labels are "
                f"numbers from 0, such as np.unique(t, return_inverse=True)[1]"
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

    A sample is right if the class of its highest score is its label, or has the largest number in
    its row of targets, however soft.

    Parameters
    ----------
    label_smoothing : float
        The share of each target that is spread evenly over the classes, 0 <= it < 1
        (Szegedy et al., "Rethinking the inception architecture", 2016).
    """

    label_smoothing = Hyperparameter(fraction)
    targets_within = (0.0, math.inf)

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def compute(self, scores: Array, targets: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return the mean loss and its gradient with respect to the scores."""
        return ops.loss.softmax_cross_entropy(
            scores, targets, weights, smoothing=self.label_smoothing
        )

    def answers(
        self, outputs: tuple[int, ...], targets: Array, classes: int | None = None
    ) -> Answers:
        """Return that they answer with a class, that of the highest score."""
        return Answers("class")

    def constant(self, mean: Array) -> Array:
        """Return the logarithms of the classes' shares."""
        xp = namespace(mean)
        shares = mean * (1 - self.label_smoothing) + self.label_smoothing / len(mean)
        return xp.log(shares + xp.finfo(shares.dtype).smallest_normal)

    def averaged(self, scores: Sequence[Array]) -> Array:
        """Return the logarithms of the mean probabilities."""
        return _log_mean_exp([s - _log_sum_exp(s) for s in scores])

    def _inspect(self, scores: Array, targets: Array, weights: Array | None) -> None:
        super()._inspect(scores, targets, weights)
        if scores.ndim != 2 or scores.shape[1] < 2:
            raise ValueError(
                f"SoftmaxCrossEntropy: expected scores (n, k) of two classes or more, "
                f"got {tuple(scores.shape)}: a single output's yes or no is for SigmoidCrossEntropy"
            )


class SigmoidCrossEntropy(Loss):
    """Sigmoid, then cross-entropy: for several answers, each yes or no.

    Forward: ``L = mean over n of sum_k -(t_k log p_k + (1 - t_k) log(1 - p_k))``,
    ``p = sigmoid(scores)``.  Backward: ``(p - t) / n``.

    A score says yes above 0, where p is above .5, and a target above .5: accuracy is the share of
    all answers that are right.  Labels (n,) of several outputs are one class a sample, that of
    the highest score.
    """

    targets_within = (0.0, 1.0)

    def compute(self, scores: Array, targets: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return the mean loss and its gradient with respect to the scores."""
        return ops.loss.sigmoid_cross_entropy(scores, targets, weights)

    def answers(
        self, outputs: tuple[int, ...], targets: Array, classes: int | None = None
    ) -> Answers:
        """Return that each score answers yes or no, or all together with the class of labels."""
        one_class = targets.ndim == 1 and math.prod(outputs) > 1
        return Answers("class") if one_class else Answers("yes or no")

    def constant(self, mean: Array) -> Array:
        """Return the logarithms of the odds."""
        xp = namespace(mean)
        share = xp.clip(mean, 1e-15, 1 - 1e-15)
        return xp.log(share / (1 - share))

    def averaged(self, scores: Sequence[Array]) -> Array:
        """Return the logarithms of the odds of the mean probabilities."""
        yes, no = ([_log_sigmoid(sign * s) for s in scores] for sign in (1, -1))
        return _log_mean_exp(yes) - _log_mean_exp(no)


class SquaredError(Loss):
    """Half the summed squared error, of real or complex numbers.

    Forward: ``L = mean over n of 1/2 sum_k |y_k - t_k|^2``.  Backward: ``(y - t) / n``.

    Each sample is answered with the class whose target is nearest: of several outputs the highest
    one's, where targets are labels or the data set has ``classes``; of one output yes above .5,
    where the data set has two ``classes``, or labels that are all 0 or 1.  Rows of 0 and 1 that
    mark any number of classes are answered yes or no by each output above .5.  All other targets
    are numbers: they have no accuracy, but a mean absolute error.
    """

    accepts = ("real", "complex")

    def compute(self, scores: Array, targets: Array, weights: Array | None) -> tuple[Array, Array]:
        """Return the mean loss and its gradient with respect to the outputs."""
        return ops.loss.squared_error(scores, targets, weights)

    def answers(
        self, outputs: tuple[int, ...], targets: Array, classes: int | None = None
    ) -> Answers:
        """Return that they answer with a class, or yes or no above .5, or else with numbers."""
        yes_or_no, number = Answers("yes or no", cut=0.5), Answers("number")
        if math.prod(outputs) == 1:
            two = classes == 2 or (classes is None and _labels_0_or_1(targets))
            return yes_or_no if two else number
        answers = super().answers(outputs, targets, classes)
        if answers is not None and targets.ndim == 2 and _several_ones(targets):
            return yes_or_no
        return answers or number

    def constant(self, mean: Array) -> Array:
        """Return the mean itself."""
        return mean


def _mean_of(several: Sequence[Array]) -> Array:
    xp = namespace(several[0])
    return xp.mean(xp.stack(list(several)), axis=0)


def _log_mean_exp(several: Sequence[Array]) -> Array:
    """Return the logarithm of the mean of exponentials, number by number."""
    xp = namespace(several[0])
    largest = xp.max(xp.stack(list(several)), axis=0)
    return largest + xp.log(_mean_of([xp.exp(one - largest) for one in several]))


def _log_sum_exp(scores: Array) -> Array:
    """Return the logarithm of the sum of each row's exponentials."""
    xp = namespace(scores)
    largest = xp.max(scores, axis=1, keepdims=True)
    return largest + xp.log(xp.sum(xp.exp(scores - largest), axis=1, keepdims=True))


def _log_sigmoid(scores: Array) -> Array:
    xp = namespace(scores)
    return xp.minimum(scores, 0.0) - xp.log1p(xp.exp(-xp.abs(scores)))


def _marks(targets: Array) -> Array | None:
    """Return where targets that are all 0 or 1 are 1; None if there are others."""
    xp = namespace(targets)
    marks = xp.astype(targets, xp.bool)
    return marks if bool(xp.all(xp.astype(marks, targets.dtype) == targets)) else None


def _labels_0_or_1(targets: Array) -> bool:
    exact = dtype_kind(namespace(targets), targets.dtype) == "exact"
    return exact and all(_marks(piece) is not None for _, piece in pieces(targets))


def _several_ones(targets: Array) -> bool:
    """Return whether rows hold 0 and 1 alone, and not always a single 1."""
    several, xp = False, namespace(targets)
    for _, piece in pieces(targets):
        marks = _marks(piece)
        if marks is None:
            return False
        several |= bool(xp.any(xp.sum(xp.astype(marks, xp.int64), axis=1) != 1))
    return several


if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(
        __name__,
        __all__,
        BCELoss="write SigmoidCrossEntropy()",
        BCEWithLogitsLoss="write SigmoidCrossEntropy()",
        CrossEntropyLoss="write SoftmaxCrossEntropy()",
        MSE="write SquaredError()",
        MSELoss="write SquaredError()",
        MeanSquaredError="write SquaredError()",
    )
