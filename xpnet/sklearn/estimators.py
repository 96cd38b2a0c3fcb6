"""The estimators: what is set, what is fitted, what is asked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from xpnet.arrays import Array, HostArray, dtype_name, to_numpy
from xpnet.checks import Constructible, flag, number
from xpnet.data import Dataset
from xpnet.devices import Device, device, device_of
from xpnet.layers import Network
from xpnet.optimizers import Optimizer
from xpnet.schedules import Schedule
from xpnet.sklearn import inputs, parts
from xpnet.sklearn.targets import Classes, Numbers, Targets, classes_of
from xpnet.training import Callback, History, Table, Trainer
from xpnet.training.callbacks import checked_callbacks

__all__ = ["Estimator", "NetworkClassifier", "NetworkRegressor"]

AT_ONCE = 1000
"""Samples whose scores are computed together."""


@dataclass(eq=False, repr=False)
class Estimator(Constructible, BaseEstimator):
    """What both estimators are: settings, and a network that they have trained.

    The settings are checked in ``fit``, and never changed there.
    """

    cure: ClassVar[str] = "write NetworkClassifier(hidden=(100,)), and all else by name"
    elsewhere: ClassVar[Mapping[str, str]] = {
        "alpha": "weight_decay",
        "criterion": "net",
        "hidden_layer_sizes": "hidden",
        "learning_rate_init": "learning_rate",
        "lr": "learning_rate",
        "max_epochs": "epochs",
        "max_iter": "epochs",
        "module": "net",
        "n_iter_no_change": "patience",
        "solver": "optimizer",
        "train_split": "validation_fraction",
    }

    hidden: Any = (100,)
    _: KW_ONLY
    net: Callable[..., Network] | None = None
    activation: str = "relu"
    dropout: float = 0.0
    optimizer: str | Optimizer = "adam"
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: Schedule | None = None
    batch_size: int = 100
    epochs: int = 200
    early_stopping: bool = False
    validation_fraction: float = 0.1
    patience: int = 10
    tol: float = 1e-4
    warm_start: bool = False
    device: str | Device | None = None
    callbacks: Sequence[Callback] = ()
    random_state: Any = None
    verbose: bool = False

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network; with ``warm_start`` the one of the last fit.

        Parameters
        ----------
        X : array-like, shape (n, features)
            With ``net`` of any shape (n, ...).
        y : array-like, shape (n,) or (n, outputs)
        sample_weight : array-like, shape (n,), optional
            How much each sample counts: numbers >= 0.

        Returns
        -------
        The estimator itself.

        Raises
        ------
        ValueError, TypeError
            A setting or the data is refused, and what was fitted before stays as it was; or the
            loss became infinite or NaN (:class:`xpnet.training.DivergedError`).
        """
        again = flag("warm_start", self.warm_start) and hasattr(self, "net_")
        x, targets, data = self._data(X, y, sample_weight, again=again)
        seed = self._draw_seed()
        net = self.net_ if again else self._build(x, targets, seed)
        trainer = self._trainer(net, targets, self._new_optimizer(), seed)
        train, validation = self._held_out(data, seed)
        with net.threads():  # once for all epochs
            trainer.fit(train, self.epochs, self.batch_size, validation=validation)
        self._keep(trainer, targets, seed, x)
        self._record(trainer.history)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """Train for one epoch, with what the optimizer remembers."""
        if flag("early_stopping", self.early_stopping):
            raise ValueError("partial_fit: has no early stopping: set early_stopping=False")
        again = hasattr(self, "net_")
        x, targets, data = self._data(X, y, sample_weight, again=again, classes=classes)
        seed = self._seed if again else self._draw_seed()
        history = self.history_ if again else History()
        net = self.net_ if again else self._build(x, targets, seed)
        optimizer = self.optimizer_ if again else self._new_optimizer()
        trainer = self._trainer(net, targets, optimizer, seed + len(history))
        trainer.fit(data, 1, self.batch_size)
        self._keep(trainer, targets, seed, x)
        self._record(History([*history, trainer.history[-1] | {"epoch": len(history) + 1}]))
        return self

    def _scores(self, X: Any, method: str) -> Array:
        """Return the network's outputs, where the samples are."""
        check_is_fitted(self)
        x = self._samples(X, reset=False)
        inputs.same_namespace(self, x, method)
        net, n = self.net_, x.shape[0]
        with net.threads(), net.device.scope():
            pieces = (x[k : min(k + AT_ONCE, n), ...] for k in range(0, n, AT_ONCE))
            scores = [net.forward(net.asinput(piece)) for piece in pieces]
            whole = scores[0] if len(scores) == 1 else net.device.xp.concat(scores)
        return device_of(x).asarray(whole)

    # The data

    @abstractmethod
    def _targets_of(self, y: HostArray, classes: Any) -> Targets:
        """Return what the targets of a first fit are."""

    @abstractmethod
    def _weighted(self, data: Dataset, y: HostArray) -> Dataset:
        """Return the data with the weights of its classes, too."""

    def _samples(self, X: Any, *, reset: bool) -> Array:
        return inputs.samples(self, X, images=self.net is not None, reset=reset)

    def _data(
        self, X: Any, y: Any, sample_weight: Any, *, again: bool, classes: Any = None
    ) -> tuple[Array, Targets, Dataset]:
        """Return the samples, what their targets are, and both as a data set."""
        x = self._samples(X, reset=not again)
        host = inputs.targets(self, x, y, self._target_dtype)
        targets = self._targets if again else self._targets_of(host, classes)
        t = device_of(x).asarray(targets.encode(host))
        weights = inputs.on_host(sample_weight)
        data = Dataset(x, t, targets.classes, "X", weights=weights)
        return x, targets, self._weighted(data, host)

    def _held_out(self, data: Dataset, seed: int) -> tuple[Dataset, Dataset | None]:
        """Return what is trained on, and what tells when to stop."""
        if not flag("early_stopping", self.early_stopping):
            return data, None
        share = number(
            "validation_fraction",
            self.validation_fraction,
            lambda share: 0 < round(len(data) * share) < len(data),
            f"a share of {len(data)} samples that leaves both parts at least one",
        )
        return data.split(share, seed, stratify=data.has_labels)

    # The parts of a trainer

    def _draw_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _build(self, x: Array, targets: Targets, seed: int) -> Network:
        shape = tuple(x.shape[1:])
        if self.net is None:
            dtype = "float64" if dtype_name(x) == "float64" else "float32"
            net = parts.dense(
                self.hidden, self.activation, self.dropout, shape, targets.outputs, seed, dtype
            )
        else:
            net = parts.made_by(self.net, shape, targets.outputs, seed)
        return net.to(device_of(x) if self.device is None else self.device)

    def _new_optimizer(self) -> Optimizer:
        return parts.optimizer(self.optimizer, self.learning_rate, self.weight_decay)

    def _trainer(self, net: Network, targets: Targets, optimizer: Optimizer, seed: int) -> Trainer:
        callbacks = checked_callbacks(self.callbacks)
        if self.early_stopping:
            stopping = EarlyStopping(self.patience, monitor="validation_loss", min_delta=self.tol)
            callbacks = [*callbacks, stopping]
        if self.verbose:
            callbacks = [*callbacks, Table()]
        return Trainer(
            net, targets.loss(), optimizer, schedule=self.schedule, callbacks=callbacks, seed=seed
        )

    # What is kept

    def _keep(self, trainer: Trainer, targets: Targets, seed: int, x: Array) -> None:
        self.net_, self.optimizer_ = trainer.net, trainer.optimizer
        self.samples_device_ = device_of(x).name
        self._targets, self._seed = targets, seed

    def _record(self, history: History) -> None:
        self.history_ = history
        self.n_iter_ = len(history)
        self.loss_ = history[-1]["train_loss"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.input_tags.three_d_array = self.net is not None
        return tags


@dataclass(eq=False, repr=False)
class NetworkClassifier(ClassifierMixin, Estimator):
    __doc__ = "TODO"

    class_weight: Any = field(default=None, kw_only=True)

    _target_dtype = None

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch, from where the last call left the network.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.
        classes : array-like, shape (k,)
            All classes that there will be: needed by the first call alone.
        """
        fitted = hasattr(self, "net_")
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight: expected a dict for partial_fit, which does not see all samples, "
                "got 'balanced'"
            )
        if classes is None and not fitted:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None and fitted and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes: expected those of the first call, {self.classes_.tolist()}, got "
                f"{np.unique(classes).tolist()}"
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
        guesses = to_numpy(self.predict(X))
        host = map(inputs.on_host, (y, guesses))
        return float(accuracy_score(*host, sample_weight=inputs.on_host(sample_weight)))

    def _targets_of(self, y: HostArray, classes: Any) -> Classes:
        return classes_of(y, classes)

    def _weighted(self, data: Dataset, y: HostArray) -> Dataset:
        if self.class_weight is None:
            return data
        each = compute_sample_weight(self.class_weight, y)
        return data.weighted(each if data.weights is None else each * to_numpy(data.weights))

    def _keep(self, trainer: Trainer, targets: Targets, seed: int, x: Array) -> None:
        super()._keep(trainer, targets, seed, x)
        self.classes_ = targets.names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class NetworkRegressor(RegressorMixin, Estimator):
    __doc__ = "TODO"

    _target_dtype = (np.float64, np.float32)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch, from where the last call left the network."""
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> Any:
        """Return the outputs, in the shape of the targets, on the device of ``X``."""
        scores = self._scores(X, "predict")
        return self._targets.answers(scores)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination, R^2."""
        guesses = to_numpy(self.predict(X))
        host = map(inputs.on_host, (y, guesses))
        return float(r2_score(*host, sample_weight=inputs.on_host(sample_weight)))

    def _targets_of(self, y: HostArray, classes: Any) -> Numbers:
        return Numbers(tuple(y.shape[1:]))

    def _weighted(self, data: Dataset, y: HostArray) -> Dataset:
        return data

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
