"""What both estimators are: settings, and how a network is trained by them and asked."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from textwrap import dedent
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from xpnet.arrays import Array, HostArray, dtype_name
from xpnet.checks import Constructible, flag, not_negative, number
from xpnet.data import Dataset
from xpnet.devices import Device, device_of
from xpnet.layers import Network
from xpnet.optimizers import Optimizer
from xpnet.schedules import Schedule
from xpnet.sklearn import inputs, parts
from xpnet.sklearn.targets import Targets
from xpnet.training import Callback, EarlyStopping, History, Table, Trainer
from xpnet.training.callbacks import checked_callbacks

__all__ = ["Estimator", "documented"]

AT_ONCE = 1000
"""Samples whose scores are computed together."""

SETTINGS = """\
hidden : int or sequence of int
        Units of each hidden layer; () for a linear model.
    net : callable, optional
        A function of (input_shape, outputs, seed) that returns a network, in the place of what
        ``hidden``, ``activation`` and ``dropout`` describe.  Samples may then have any shape, such
        as images (n, c, h, w), of bytes too.
    activation : str
        ``"relu"``, ``"leaky-relu"``, ``"sigmoid"``, ``"tanh"`` or ``"swish"``.
    dropout : float
        The share of each hidden layer's outputs zeroed in training.
    optimizer : str or Optimizer
        ``"sgd"``, ``"momentum"``, ``"nesterov"``, ``"adagrad"``, ``"rmsprop"``, ``"adam"`` or
        ``"adamw"``; or one of :mod:`xpnet.optimizers`, whose arguments are taken.
    learning_rate, weight_decay : float, optional
        By default the optimizer's own.
    schedule : function, optional
        What the learning rate is multiplied by: see :mod:`xpnet.schedules`.
    batch_size : int
    epochs : int
        With early stopping, at most so many.
    early_stopping : bool
        Whether a part of the samples is held out, and training ends once the loss there has not
        got lower for some epochs; the network is then that of the best of them.
    validation_fraction : float
        The share held out, the same of each class.
    patience : int
        Epochs without getting better after which training ends.
    tol : float
        By how much the loss there has to get lower, to count as better.
    warm_start : bool
        Whether ``fit`` goes on with the weights of the last fit.
    device : str or Device, optional
        Where the network is trained, as :func:`xpnet.device` takes it; by default where the samples
        are: NumPy's arrays, frames and lists on the processor.
    callbacks : sequence of Callback
        See :mod:`xpnet.training`.
    random_state : int, RandomState or None
        Of initial weights, batches, dropout and the part held out; equal numbers, equal bits.
    verbose : bool
        Whether a row is printed for each epoch."""
"""What both estimators are told, for their docstrings."""

FITTED = """\
net_ : Network
    optimizer_ : Optimizer
    history_ : History
        A row for each epoch of the last fit.
    n_iter_ : int
        Epochs trained.
    loss_ : float
        The mean training loss of the last epoch.
    n_features_in_ : int
    feature_names_in_ : array of str
        Where ``X`` was a frame.
    samples_device_ : str
        Where the samples were."""
"""What both have learned."""

Kind = TypeVar("Kind", bound=type)


def documented(kind: Kind) -> Kind:
    """Fill in a docstring what holds for both estimators."""
    told = inspect.cleandoc(kind.__doc__ or "")  # as Python 3.13 keeps it
    for mark, lines in (("<settings>", SETTINGS), ("<fitted>", FITTED)):
        told = told.replace(mark, dedent(f"    {lines}"))
    kind.__doc__ = told
    return kind


@dataclass(eq=False, repr=False)
class Estimator(Constructible, BaseEstimator):
    """What both estimators are: settings, checked in ``fit`` alone, and a network in training."""

    cure: ClassVar[str] = "write hidden=(100,), epochs=200 and so on"
    elsewhere: ClassVar[Mapping[str, str]] = {
        "alpha": "weight_decay",
        "hidden_layer_sizes": "hidden",
        "learning_rate_init": "learning_rate",
        "lr": "learning_rate",
        "max_epochs": "epochs",
        "max_iter": "epochs",
        "module": "net",
        "n_iter_no_change": "patience",
        "solver": "optimizer",
    }
    target_dtype: ClassVar[Any] = None

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
            A setting or the data is refused, or the loss became infinite or NaN
            (:class:`xpnet.training.DivergedError`).
        """
        again = flag("warm_start", self.warm_start) and hasattr(self, "net_")
        targets, data = self._data(X, y, sample_weight, again=again)
        seed = self._draw_seed()
        net = self.net_ if again else self._build(data.x, targets, seed)
        trainer = self._trainer(net, targets, self._new_optimizer(), seed, self.schedule)
        train, validation = self._held_out(data, seed)
        with net.threads():  # once for all epochs
            trainer.fit(train, self.epochs, self.batch_size, validation=validation)
        self._keep(trainer, targets, seed, data, trainer.history)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """Train for one epoch, with what the optimizer remembers."""
        if flag("early_stopping", self.early_stopping):
            raise ValueError("partial_fit: holds no samples out: set early_stopping=False")
        again = hasattr(self, "net_")
        targets, data = self._data(X, y, sample_weight, again=again, classes=classes)
        seed = self._seed if again else self._draw_seed()
        net = self.net_ if again else self._build(data.x, targets, seed)
        optimizer = self.optimizer_ if again else self._new_optimizer()
        history = self.history_ if again else History()
        made = len(history)
        trainer = self._trainer(net, targets, optimizer, seed + made)
        for row in trainer.fit(data, 1, self.batch_size):
            history.append(row | {"epoch": made + 1})
        self._keep(trainer, targets, seed, data, history)
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
    ) -> tuple[Targets, Dataset]:
        """Return what the targets are, and a data set of them and the samples."""
        x = self._samples(X, reset=not again)
        host = inputs.targets(self, x, y, self.target_dtype)
        targets = self._targets if again else self._targets_of(host, classes)
        t = device_of(x).asarray(targets.encode(host))
        weights = inputs.on_host(sample_weight)
        data = Dataset(x, t, targets.classes, weights=weights)
        return targets, self._weighted(data, host)

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

    def _trainer(
        self,
        net: Network,
        targets: Targets,
        optimizer: Optimizer,
        seed: int,
        schedule: Schedule | None = None,
    ) -> Trainer:
        callbacks = checked_callbacks(self.callbacks)
        if self.early_stopping:
            tol = not_negative("tol", self.tol)
            callbacks = [*callbacks, EarlyStopping(self.patience, min_delta=tol)]
        if self.verbose:
            callbacks = [*callbacks, Table()]
        return Trainer(
            net, targets.loss(), optimizer, schedule=schedule, callbacks=callbacks, seed=seed
        )

    def _keep(
        self, trainer: Trainer, targets: Targets, seed: int, data: Dataset, history: History
    ) -> None:
        """Set what a fit leaves behind."""
        self.net_, self.optimizer_ = trainer.net, trainer.optimizer
        self.history_, self.n_iter_ = history, len(history)
        self.loss_ = history[-1]["train_loss"] if history else None
        self.samples_device_ = device_of(data.x).name
        self._targets: Any = targets
        self._seed = seed

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.input_tags.three_d_array = self.net is not None
        return tags
