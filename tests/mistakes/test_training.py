"""Mistakes with training: the trainer and its parts, callbacks, names that are elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

import xpnet
from tests.conftest import Backend
from tests.mistakes import mistake
from xpnet import layers, losses, optimizers, schedules, training
from xpnet.data import Batches, Dataset
from xpnet.layers import AvgPool2d, BatchNorm, Conv2d, Dropout, Linear, MaxPool2d, ReLU, Sequential
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.optimizers import SGD, Adam
from xpnet.training import Callback, DivergedError, Table, Trainer

X, T = np.eye(4, 3, dtype=np.float32), np.array([0, 1, 2, 0])


def net(*first, **of_net):
    return Sequential([*first, Linear(3)], input_shape=(3,), **of_net)


def trainer(**parts):
    given = {"net": net(), "loss": SoftmaxCrossEntropy(), "optimizer": SGD()} | parts
    return Trainer(**given)


def fit(data=None, **parts):
    return trainer(**parts).fit(Dataset(X, T) if data is None else data, 1, 2)


def with_method(name, function):
    """Return a callback with one method."""
    return [type("Mine", (Callback,), {name: function})()]


def with_later(callback):
    """Return a trainer to whose callbacks one was added by hand."""
    made = trainer()
    made.callbacks.append(callback)
    return made


def search(make_trainer):
    return training.random_search(make_trainer, Dataset(X, T), {"lr": [0.1]}, trials=1, epochs=1)


class Whole(Callback):
    """A callback that has every stage and helpers of its own."""

    def fit_begins(self, trainer, epochs, steps, *more):
        self.seen = ["fit_begins"]

    def step_ends(self, trainer, scale=1):
        self.note("step_ends")

    def epoch_ends(self, *given):
        self.note("epoch_ends")

    def fit_ends(self, trainer):
        self.note("fit_ends")

    def note(self, stage):
        self.seen.append(stage)

    def end_of_day(self):
        raise NotImplementedError

    @property
    def epoch_seconds(self):
        raise NotImplementedError


def test_helpers_of_a_callback_are_no_mistake():
    mine = Whole()
    fit(callbacks=(mine,))
    assert mine.seen == ["fit_begins", "step_ends", "step_ends", "epoch_ends", "fit_ends"]


# Mistakes on any library

ON_EVERY_LIBRARY = {
    "samples and targets apart": (
        lambda xp: trainer().fit(xp.array(X), xp.array(T)), TypeError,
        r"^fit: expected a Dataset of samples and targets, got \w+: write xpnet\.data\.Dataset\("
        r"x, t\), as in trainer\.fit\(Dataset\(x, t\), epochs=10\)$",
    ),
    "samples and targets apart, and epochs": (
        lambda xp: trainer().fit(xp.array(X), xp.array(T), epochs=3), TypeError,
        r"^Trainer\.fit: multiple values for argument 'epochs': write trainer\.fit\(Dataset\(",
    ),
    "samples and targets in a tuple": (
        lambda xp: trainer().fit((xp.array(X), xp.array(T)), 3), TypeError,
        r"^fit: expected a Dataset, got a tuple: write Dataset\(x, t\) of its two$",
    ),
    "validation in a tuple": (
        lambda xp: trainer().fit(Dataset(X, T), 3, validation=(xp.array(X), xp.array(T))),
        TypeError, r"expected a Dataset, got a tuple: write Dataset\(x, t\) of its two$",
    ),
    "evaluation of samples alone": (
        lambda xp: trainer().evaluate(xp.array(X)), TypeError,
        r"expected a Dataset of samples and targets, got \w+: write xpnet\.data\.Dataset\(x, t\)",
    ),
    "NaN in the data": (
        lambda xp: fit(Dataset(xp.array(X * [1, 1, np.nan]), xp.array(T), name="d")),
        DivergedError, r"^the loss became nan .*: d: expected finite numbers, got nan in x of",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ON_EVERY_LIBRARY.values(), ids=ON_EVERY_LIBRARY.keys())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_mistake_gets_its_sentence_on_every_library(xp: Backend, row):
    call, error, match = row
    mistake(lambda: call(xp), error, match)


STAGES = (
    r"A trainer calls fit_begins, epoch_begins, after_backward, after_update, step_ends, "
    r"validation_begins, epoch_ends, interrupted, fit_ends$"
)

ROWS = {
    # the parts of a trainer
    "layers in a list as the network": (
        lambda: trainer(net=[Linear(3)]), TypeError,
        r"^net: expected a Network, such as Sequential\(\[\.\.\.\], input_shape=.*, got \[Linear",
    ),
    "a network without a shape": (
        lambda: trainer(net=Sequential([Linear(3)])), ValueError,
        r"^net: expected a network, got layers without a shape: write Sequential\(\[\.\.\.\]",
    ),
    "a layer as the network": (
        lambda: trainer(net=Linear(3)), TypeError, r"^net: expected a Network, such as Sequential",
    ),
    "the class of the loss": (
        lambda: trainer(loss=SoftmaxCrossEntropy), TypeError,
        r"^loss: expected a Loss, such as .*, got the class SoftmaxCrossEntropy: write",
    ),
    "the name of a loss": (
        lambda: trainer(loss="mse"), TypeError, r"^loss: expected a Loss, such as xpnet\.",
    ),
    "the class of the optimizer": (
        lambda: trainer(optimizer=Adam), TypeError,
        r"^optimizer: expected an Optimizer, .*, got the class Adam: write Adam\(\.\.\.\) to make",
    ),
    "the name of an optimizer": (
        lambda: trainer(optimizer="adam"), TypeError,
        r"^optimizer: expected an Optimizer, such as xpnet\.Adam\(lr=1e-3\), got 'adam'$",
    ),
    "loss and optimizer in the other order": (
        lambda: Trainer(net(), SGD(), SoftmaxCrossEntropy()), TypeError,
        r"^loss: expected a Loss, such as xpnet\.SoftmaxCrossEntropy\(\), got SGD\(",
    ),
    "a misspelt argument": (
        lambda: Trainer(net(), SoftmaxCrossEntropy(), optimiser=SGD()), TypeError,
        r"^Trainer: takes no argument 'optimiser': did you mean 'optimizer'\?$",
    ),
    "a part forgotten": (
        lambda: Trainer(net(), SoftmaxCrossEntropy()), TypeError,
        r"^Trainer: missing a required argument: 'optimizer': write Trainer\(net, loss,",
    ),
    "a schedule by position": (
        lambda: Trainer(net(), SoftmaxCrossEntropy(), SGD(), schedules.cosine()), TypeError,
        r"^Trainer: expected \(net, loss, optimizer\) by position and schedule, .* got 4 by",
    ),
    "a graph that is neither": (
        lambda: trainer(graph="yes"), ValueError, r"^graph: expected 'auto', 'on' or 'off', got '",
    ),
    "a seed below zero": (
        lambda: trainer(seed=-1), ValueError, r"^seed: expected a whole number >= 0, got -1$",
    ),
    # parts, later
    "the name of a loss, later": (
        lambda: setattr(trainer(), "loss", "mse"), TypeError, r"^loss: expected a Loss, .* 'mse'$",
    ),
    "the class of an optimizer, later": (
        lambda: setattr(trainer(), "optimizer", Adam), TypeError,
        r"^optimizer: expected an Optimizer, .*, got the class Adam: write Adam\(",
    ),
    "a schedule that was not called, later": (
        lambda: setattr(trainer(), "schedule", schedules.cosine), ValueError,
        r"^schedule: expected a function of \(step, total\), .* write cosine",
    ),
    "layers for a network, later": (
        lambda: setattr(trainer(), "net", [Linear(3)]), TypeError, r"^net: expected a Network, ",
    ),
    "one callback alone, later": (
        lambda: setattr(trainer(), "callbacks", Table()), TypeError,
        r"^callbacks: expected a list, got one Table alone: put it into brackets, callbacks=\[",
    ),
    "a function among the callbacks, later": (
        lambda: with_later(print).fit(Dataset(X, T), 1), TypeError,
        r"^callbacks: expected Callback objects, got the function print: derive a class from",
    ),
    # the learning rate
    "a rate in quotes": (
        lambda: SGD(lr="0.1"), ValueError, r"^lr: expected a number above 0, got '0\.1'$",
    ),
    "a rate below zero, later": (
        lambda: setattr(SGD(), "lr", -1), ValueError, r"^lr: expected a number above 0, got -1$",
    ),
    "a rate of None": (
        lambda: Adam(lr=None), ValueError, r"^lr: expected a number above 0, got None$",
    ),
    "a rate for each layer": (
        lambda: Adam(lr=np.array([0.1, 0.2])), ValueError,
        r"^lr: expected a number above 0, got array\(\[0\.1, 0\.2\]\)$",
    ),
    "another library's word for the rate": (
        lambda: Adam(learning_rate=0.1), TypeError,
        r"^Adam: takes no argument 'learning_rate', but lr, beta1, beta2, eps, weight_decay$",
    ),
    "a schedule that was not called": (
        lambda: trainer(schedule=schedules.cosine), ValueError,
        r"^schedule: expected a function of \(step, total\), .* got the class cosine: write cosine",
    ),
    "the name of a schedule": (
        lambda: trainer(schedule="cosine"), ValueError,
        r"^schedule: expected a function of \(step, total\), such as xpnet\.schedules\.one_cycle",
    ),
    "a schedule of the epoch alone": (
        lambda: trainer(schedule=lambda epoch: 0.9**epoch), ValueError,
        r"^schedule: expected a function of \(step, total\), .* got one of \(epoch\)$",
    ),
    "a schedule that returns nothing": (
        lambda: fit(schedule=lambda step, total: None), ValueError,
        r"^schedule\(0, 2\): expected a number >= 0, got None$",
    ),
    "a schedule that returns NaN": (
        lambda: fit(schedule=lambda step, total: np.nan), ValueError,
        r"^schedule\(0, 2\): expected a number >= 0, got nan$",
    ),
    "a schedule that falls below zero": (
        lambda: fit(schedule=lambda step, total: 0.5 - step), ValueError,
        r"^schedule\(1, 2\): expected a number >= 0, got -0\.5$",
    ),
    "a schedule that returns words": (
        lambda: fit(schedule=lambda step, total: "slow"), ValueError,
        r"^schedule\(0, 2\): expected a number >= 0, got 'slow'$",
    ),
    "clipping that takes parameters too": (
        lambda: trainer(after_backward=lambda params, grads: None), ValueError,
        r"^after_backward: expected a function of \(grads\), got one of \(params, grads\)$",
    ),
    "a norm in place of clipping": (
        lambda: trainer(after_backward=1.0), ValueError,
        r"^after_backward: expected a function of \(grads\), got 1\.0$",
    ),
    # fit
    "no number of epochs": (
        lambda: trainer().fit(Dataset(X, T)), TypeError,
        r"^Trainer\.fit: missing a required argument: 'epochs': write trainer\.fit\(Dataset\(",
    ),
    "epoch for epochs": (
        lambda: trainer().fit(Dataset(X, T), epoch=3), TypeError,
        r"^Trainer\.fit: takes no argument 'epoch': did you mean 'epochs'\?$",
    ),
    "another library's word for validation": (
        lambda: trainer().fit(Dataset(X, T), 3, validation_data=Dataset(X, T)), TypeError,
        r"^Trainer\.fit: takes no argument 'validation_data': did you mean 'validation'\?$",
    ),
    "half an epoch": (
        lambda: trainer().fit(Dataset(X, T), 0.5), ValueError,
        r"^epochs: expected a whole number >= 1, got 0\.5$",
    ),
    "batches of none": (
        lambda: trainer().fit(Dataset(X, T), 1, 0), ValueError,
        r"^batch_size: expected a whole number >= 1, got 0$",
    ),
    "a share of the data as validation": (
        lambda: trainer().fit(Dataset(X, T), 1, validation=0.25), TypeError,
        r"expected a Dataset, got 0\.25: write train, held_out = data\.split\(0\.25\)$",
    ),
    "no whole batch": (
        lambda: trainer().fit(Dataset(X, T), 1, 5, drop_last=True), ValueError,
        r"^batch_size: 5 with drop_last leaves no batch of 4 samples$",
    ),
    "batches in place of data": (
        lambda: trainer().fit(Batches(Dataset(X, T), 2), 1), TypeError,
        r"^fit: expected a Dataset of samples and targets, got Batches",
    ),
    # callbacks
    "one callback alone": (
        lambda: trainer(callbacks=Table()), TypeError,
        r"^callbacks: expected a list, got one Table alone: put it into brackets, callbacks=\[",
    ),
    "the class of a callback": (
        lambda: trainer(callbacks=[Table]), TypeError,
        r"^callbacks: expected Callback objects, got the class Table: write Table\(\.\.\.\)",
    ),
    "print as a callback": (
        lambda: trainer(callbacks=[print]), TypeError,
        r"^callbacks: expected Callback objects, got the function print: derive a class from xpnet",
    ),
    "a function as a callback": (
        lambda: trainer(callbacks=[lambda trainer: None]), TypeError,
        r"^callbacks: expected Callback objects, got the function <lambda>: derive a class from",
    ),
    "a function alone": (
        lambda: trainer(callbacks=print), TypeError,
        r"^callbacks: expected a list of callbacks, such as \[Table\(\)\], got the function print$",
    ),
    "None for no callbacks": (
        lambda: trainer(callbacks=None), TypeError,
        r"^callbacks: expected a list of callbacks, such as \[Table\(\)\], got None$",
    ),
    "a misspelt argument of a callback": (
        lambda: training.Checkpoint("run", evry=2), TypeError,
        r"^Checkpoint: takes no argument 'evry': did you mean 'every'\?$",
    ),
    "the name of a callback": (
        lambda: trainer(callbacks="table"), TypeError, r"^callbacks: expected a list of callb.*'",
    ),
    "on_epoch_end": (
        lambda: trainer(callbacks=with_method("on_epoch_end", lambda self, epoch, logs: None)),
        TypeError, r"^callbacks: Mine\.on_epoch_end is never called: did you mean 'epoch_ends'\? "
        + STAGES,
    ),
    "epoch_end": (
        lambda: trainer(callbacks=with_method("epoch_end", lambda self, trainer, row: None)),
        TypeError, r"^callbacks: Mine\.epoch_end is never called: did you mean 'epoch_ends'\?",
    ),
    "onEpochEnd": (
        lambda: trainer(callbacks=with_method("onEpochEnd", lambda self: None)),
        TypeError, r"^callbacks: Mine\.onEpochEnd is never called: did you mean 'epoch_ends'\?",
    ),
    "on_train_begin": (
        lambda: trainer(callbacks=with_method("on_train_begin", lambda self: None)),
        TypeError, r"^callbacks: Mine\.on_train_begin is never called: did you mean 'fit_begins'\?",
    ),
    "on_batch_end": (
        lambda: trainer(callbacks=with_method("on_batch_end", lambda self, *a: None)),
        TypeError, r"^callbacks: Mine\.on_batch_end is never called: did you mean 'step_ends'\?",
    ),
    "no patience": (
        lambda: training.EarlyStopping(0), ValueError,
        r"^patience: expected a whole number >= 1, got 0$",
    ),
    "a monitor by another library's name": (
        lambda: training.EarlyStopping(3, "val_loss"), ValueError,
        r"^monitor: expected 'train_loss', .*, got 'val_loss': did you mean 'validation_loss'\?",
    ),
    "callback in the place of patience": (
        lambda: training.EarlyStopping("validation_loss"), ValueError,
        r"^patience: expected a whole number >= 1, got 'validation_loss'$",
    ),
    "a factor that raises the rate": (
        lambda: training.ReduceLROnPlateau(factor=2.0), ValueError,
        r"^factor: expected 0 < factor < 1, got 2\.0$",
    ),
    "a factor of nothing": (
        lambda: training.ReduceLROnPlateau(0), ValueError,
        r"^factor: expected 0 < factor < 1, got 0$",
    ),
    "no norm": (
        lambda: training.ClipNorm(0), ValueError, r"^max_norm: expected a number above 0, got 0$",
    ),
    "a share of 1 that stays": (
        lambda: training.AveragedWeights(1.0), ValueError,
        r"^decay: expected 0 <= decay < 1, got 1\.0$",
    ),
    "Keras's name of a checkpoint": (
        lambda: training.ModelCheckpoint, AttributeError, r"write Checkpoint\(path\)$",
    ),
    "PyTorch's name of clipping": (
        lambda: training.clip_grad_norm_, AttributeError,
        r"write ClipNorm\(max_norm\), among a trainer's callbacks$",
    ),
    "on_epoch_begin": (
        lambda: trainer(callbacks=with_method("on_epoch_begin", lambda self: None)),
        TypeError, r"^callbacks: Mine\.on_epoch_begin is never called.* " + STAGES,
    ),
    "an epoch's end without its row": (
        lambda: trainer(callbacks=with_method("epoch_ends", lambda self, trainer: None)), TypeError,
        r"^callbacks: Mine\.epoch_ends is called with \(trainer, row\), but takes \(trainer\)$",
    ),
    "a step's end with its loss": (
        lambda: trainer(callbacks=with_method("step_ends", lambda self, trainer, loss: None)),
        TypeError, r"^callbacks: Mine\.step_ends is called with \(trainer\), but takes \(trainer",
    ),
    "seconds between checkpoints, none": (
        lambda: training.Checkpoint("run", every_seconds=0), ValueError,
        r"^every_seconds: expected a number above 0, got 0$",
    ),
    "no epochs without learning": (
        lambda: training.LearnsNothing(stop_after=0), ValueError,
        r"^stop_after: expected a whole number >= 1, got 0$",
    ),
    # random search
    "a maker that takes a dict": (
        lambda: search(lambda values: trainer()), TypeError,
        r"^make_trainer: expected a function that takes lr by name, as space has them, got one of "
        r"\(values\)$",
    ),
    "a maker that takes other names": (
        lambda: search(lambda rate: trainer()), TypeError, r"^make_trainer: .* one of \(rate\)$",
    ),
    "a search without trials": (
        lambda: training.random_search(trainer, Dataset(X, T), {"lr": [1]}, epochs=1), TypeError,
        r"^random_search: missing a required argument: 'trials': write random_search\(",
    ),
    # sizes, the way another library writes them
    "channels that come in": (
        lambda: Conv2d(1, 16, 3), TypeError,
        r"^Conv2d: expected \(filters, size\) by position and stride, pad, .* by name, got 3"
        r" by position: write Conv2d\(16, 3, stride=1, pad=1\): the input's channels are found",
    ),
    "padding in pairs of pairs": (
        lambda: Conv2d(16, 3, pad=((1, 1), (1, 1))), ValueError,
        r"^pad: expected a whole number >= 0, got \(1, 1\)$",
    ),
    "stride by position": (
        lambda: MaxPool2d(2, 2), TypeError,
        r"^MaxPool2d: expected \(size\) by position and stride, pad by name, got 2 by position",
    ),
    "padding for pad": (
        lambda: Conv2d(16, 3, padding=1), TypeError, r"^Conv2d: takes no argument 'padding'",
    ),
    "pad='same'": (
        lambda: Conv2d(16, 3, pad="same"), ValueError,
        r"^pad: expected a whole number >= 0, got 'same': an odd size .* pad=\(size - 1\) // 2$",
    ),
    "strides that differ": (
        lambda: AvgPool2d(3, stride=(2, 1)), ValueError,
        r"^stride: expected one number for height and width, got \(2, 1\)$",
    ),
    "units that come in": (
        lambda: Linear(784, 100), ValueError,
        r"^bias: expected True or False, got 100 \(layers take sizes of what they make, never of",
    ),
    "unit for units": (
        lambda: Linear(unit=3), TypeError,
        r"^Linear: takes no argument 'unit': did you mean 'units'\?$",
    ),
    "layers one by one": (
        lambda: Sequential(Linear(3), ReLU()), TypeError,
        r"^Sequential: expected \(layers\) by position and input_shape, .*, got 2 by position",
    ),
    "the features of a BatchNorm": (
        lambda: BatchNorm(64), ValueError, r"^momentum: expected 0 <= momentum <= 1, got 64$",
    ),
    "an eps that is NaN": (
        lambda: BatchNorm(eps=np.nan), ValueError, r"^eps: expected a number above 0, got nan$",
    ),
    "p for rate": (
        lambda: Dropout(p=0.5), TypeError, r"^Dropout: takes no argument 'p', but rate, scale$",
    ),
    "smoothing for label_smoothing": (
        lambda: SoftmaxCrossEntropy(smoothing=0.1), TypeError,
        r"^SoftmaxCrossEntropy: takes no argument 'smoothing': did you mean 'label_smoothing'\?$",
    ),
    # names that are elsewhere
    "net.fit": (
        lambda: net().fit(X, T), AttributeError,
        r"^Sequential has no 'fit': write xpnet\.Trainer\(net, loss, optimizer\)\.fit\(Dataset\(",
    ),
    "net.train": (
        lambda: net().train(), AttributeError,
        r"^Sequential has no 'train': write net\.forward\(x, train=True\): whether to train is an",
    ),
    "net.parameters": (
        lambda: net().parameters(), AttributeError,
        r"^Sequential has no 'parameters': write net\.params$",
    ),
    "net.predct": (
        lambda: net().predct(X), AttributeError,
        r"^Sequential has no 'predct': did you mean 'predict'\?$",
    ),
    "trainer.train": (
        lambda: trainer().train(), AttributeError,
        r"^Trainer has no 'train': write trainer\.fit\(Dataset\(x, t\), epochs=\.\.\.\)$",
    ),
    "trainer.predict": (
        lambda: trainer().predict(X), AttributeError,
        r"^Trainer has no 'predict': write trainer\.net\.predict\(x\)$",
    ),
    "trainer.evalute": (
        lambda: trainer().evalute(Dataset(X, T)), AttributeError,
        r"^Trainer has no 'evalute': did you mean 'evaluate'\?$",
    ),
    "xpnet.Linear": (
        lambda: xpnet.Linear, AttributeError,
        r"^xpnet has no 'Linear': write xpnet\.layers\.Linear$",
    ),
    "xpnet.Dataset": (
        lambda: xpnet.Dataset, AttributeError, r"^xpnet has no 'Dataset': write xpnet\.data\.D",
    ),
    "xpnet.metrics": (
        lambda: xpnet.metrics, AttributeError, r"^xpnet has no 'metrics': write xpnet\.training\.m",
    ),
    "xpnet.confusion_matrix": (
        lambda: xpnet.confusion_matrix, AttributeError,
        r"^xpnet has no 'confusion_matrix': write xpnet\.training\.metrics\.confusion_matrix$",
    ),
    "training.confusion_matrix": (
        lambda: training.confusion_matrix, AttributeError,
        r" has no 'confusion_matrix': write xpnet\.training\.metrics\.confusion_matrix$",
    ),
    "xpnet.save": (
        lambda: xpnet.save, AttributeError, r"^xpnet has no 'save': write net\.save\(path\)$",
    ),
    "xpnet.softmax": (
        lambda: xpnet.softmax, AttributeError, r": write xpnet\.functions\.softmax$",
    ),
    "functions.softmx": (
        lambda: xpnet.functions.softmx, AttributeError,
        r"^module 'xpnet\.functions' has no 'softmx': did you mean 'softmax'\?$",
    ),
    "plots.curve": (
        lambda: xpnet.plots.curve, AttributeError, r" has no 'curve': did you mean 'curves'\?$",
    ),
    "gradients.gradientcheck": (
        lambda: xpnet.gradients.gradientcheck, AttributeError,
        r": did you mean 'gradient_check'\?$",
    ),
    "devices.Devices": (
        lambda: xpnet.devices.Devices, AttributeError, r" has no 'Devices': did you mean 'device'",
    ),
    "data.DataLoader": (
        lambda: xpnet.data.DataLoader, AttributeError, r": write Batches\(data, batch_size\)$",
    ),
    "history.history": (
        lambda: fit().history, AttributeError,
        r"^History has no 'history': a column is history\[\"train_loss\"\], a row is hist",
    ),
    "history.loss": (
        lambda: fit().loss, AttributeError, r"^History has no 'loss': write history\[\"train_loss",
    ),
    "history['loss']": (
        lambda: fit()["loss"], ValueError, r"^history: .* got 'loss': did you mean 'train_loss'\?$",
    ),
    "xpnet.Addam": (
        lambda: xpnet.Addam, AttributeError, r"^xpnet has no 'Addam': did you mean 'Adam'\?$",
    ),
    "xpnet.lightning": (
        lambda: xpnet.lightning, AttributeError, r"^xpnet has no 'lightning'$",
    ),
    "layers.Dense": (
        lambda: layers.Dense, AttributeError,
        r"^module 'xpnet\.layers' has no 'Dense': write Linear\(units\)$",
    ),
    "layers.Conv2D": (
        lambda: layers.Conv2D, AttributeError,
        r"^module 'xpnet\.layers' has no 'Conv2D': did you mean 'Conv2d'\?$",
    ),
    "optimizers.Adamax": (
        lambda: optimizers.Adamax, AttributeError,
        r"^module 'xpnet\.optimizers' has no 'Adamax': did you mean 'Adam'\?$",
    ),
    "training.Chekpoint": (
        lambda: training.Chekpoint, AttributeError,
        r"^module 'xpnet\.training' has no 'Chekpoint': did you mean 'Checkpoint'\?$",
    ),
    "losses.SquareError": (
        lambda: losses.SquareError, AttributeError,
        r"^module 'xpnet\.losses' has no 'SquareError': did you mean 'SquaredError'\?$",
    ),
    "schedules.cosin": (
        lambda: schedules.cosin, AttributeError,
        r"^module 'xpnet\.schedules' has no 'cosin': did you mean 'cosine'\?$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_mistake_gets_its_sentence(row):
    mistake(*row)


def test_each_row_is_another_mistake():
    assert not set(ROWS) & set(ON_EVERY_LIBRARY)
    assert len(ROWS) + len(ON_EVERY_LIBRARY) >= 80


def test_modules_that_need_more_are_there_when_they_are_asked_for():
    import subprocess
    import sys

    program = (
        "import sys, xpnet; before = 'xpnet.plots' in sys.modules; "
        "print(before, xpnet.plots.__name__, 'matplotlib' in sys.modules, 'plots' in dir(xpnet))"
    )
    told = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert told.split() == ["False", "xpnet.plots", "False", "True"]
