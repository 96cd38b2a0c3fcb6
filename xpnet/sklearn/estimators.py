"""The classifier and the regressor: what they learn, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_sample_weight

from xpnet.arrays import HostArray, to_numpy
from xpnet.data import Dataset
from xpnet.sklearn import inputs
from xpnet.sklearn.base import Estimator, documented
from xpnet.sklearn.targets import Classes, Numbers, Targets, classes_of
from xpnet.training import History, Trainer

__all__ = ["NetworkClassifier", "NetworkRegressor"]


@documented
@dataclass(eq=False, repr=False)
class NetworkClassifier(ClassifierMixin, Estimator):
    """A network that classifies, as an estimator of scikit-learn.

    It learns one class a sample, of any names, by cross-entropy; or, where ``y`` holds rows of
    zeros and ones, any number of classes a sample.

    Parameters
    ----------
    <settings>
    class_weight : dict, "balanced" or None
        How much each class counts, by its name; ``"balanced"``: each as much as any other.

    Attributes
    ----------
    classes_ : array, shape (k,)
    <fitted>

    Notes
    -----
    Samples in float64 are computed in float64, all others in float32, which takes half the time
    where networks are large (a ``net`` of one's own has a dtype of its own).  Samples in arrays of
    PyTorch, CuPy and other array API libraries stay on their device, and predictions are arrays of
    their library; classes that are words are NumPy's.

    A sample weight of 2 is the same as the sample twice where a batch holds all samples; where it
    does not, the mean loss of each batch is weighted.

    Examples
    --------
    >>> from xpnet.sklearn import NetworkClassifier
    >>> model = make_pipeline(StandardScaler(), NetworkClassifier(hidden=(64, 32)))
    >>> model.fit(X, y).score(X_test, y_test)
    """

    class_weight: Any = field(default=None, kw_only=True)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch, from where the last call left the network.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.
        classes : array-like, shape (k,)
            All classes that there will be: needed by the first call alone.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight: expected a dict for partial_fit, which does not see all samples, "
                f"got {self.class_weight!r}"
            )
        known = getattr(self, "classes_", None)
        if classes is None and known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None and known is not None:
            given = np.unique(classes)
            if not np.array_equal(given, known):
                raise ValueError(
                    f"classes: expected those of the first call, {known.tolist()}, got "
                    f"{given.tolist()}"
                )
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X: Any) -> Any:
        """Return the class of each sample.

        Returns
        -------
        array, shape (n,), or (n, k) of zeros and ones
            Of the library of ``X``, on its device; words are NumPy's.
        """
        scores = self._scores(X, "predict")
        return self._targets.answers(scores)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class.

        Returns
        -------
        array of float32, shape (n, k)
            In the order of ``classes_``.
        """
        scores = self._scores(X, "predict_proba")
        return self._targets.probabilities(scores)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the probabilities, also of those that are rounded to 0."""
        scores = self._scores(X, "predict_log_proba")
        return self._targets.log_probabilities(scores)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy: of rows of marks, the share that is right as a whole."""
        return inputs.scored(accuracy_score, y, self.predict(X), sample_weight)

    def _targets_of(self, y: HostArray, classes: Any) -> Classes:
        return classes_of(y, classes)

    def _weighted(self, data: Dataset, y: HostArray) -> Dataset:
        if self.class_weight is None:
            return data
        each = compute_sample_weight(self.class_weight, y)
        return data.weighted(each if data.weights is None else each * to_numpy(data.weights))

    def _keep(
        self, trainer: Trainer, targets: Targets, seed: int, data: Dataset, history: History
    ) -> None:
        super()._keep(trainer, targets, seed, data, history)
        self.classes_ = self._targets.names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@documented
@dataclass(eq=False, repr=False)
class NetworkRegressor(RegressorMixin, Estimator):
    """A network that learns numbers, one a sample or several, as an estimator of scikit-learn.

    It learns by half the squared error.  Targets far from the size of 1 are best scaled: wrap it
    in ``sklearn.compose.TransformedTargetRegressor(..., transformer=StandardScaler())``.

    Parameters
    ----------
    <settings>

    Attributes
    ----------
    <fitted>

    Notes
    -----
    Samples in float64 are computed in float64, all others in float32, which takes half the time
    where networks are large (a ``net`` of one's own has a dtype of its own).  Samples in arrays of
    PyTorch, CuPy and other array API libraries stay on their device, and predictions are arrays of
    their library.
    """

    target_dtype = (np.float64, np.float32)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch, from where the last call left the network."""
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> Any:
        """Return the outputs, in the shape of the targets, on the device of ``X``."""
        scores = self._scores(X, "predict")
        return self._targets.answers(scores)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination, R^2."""
        return inputs.scored(r2_score, y, self.predict(X), sample_weight)

    def _targets_of(self, y: HostArray, classes: Any) -> Numbers:
        return Numbers(tuple(y.shape[1:]))

    def _weighted(self, data: Dataset, y: HostArray) -> Dataset:
        return data

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
