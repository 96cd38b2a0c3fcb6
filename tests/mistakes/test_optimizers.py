"""Mistakes with optimizers, losses, schedules, initial weights and devices."""

from __future__ import annotations

import importlib.util
import math

import array_api_strict
import numpy as np
import pytest

import xpnet
from tests.conftest import Backend
from tests.mistakes import mistake
from xpnet import devices, initializers, schedules
from xpnet.layers import Linear, Sequential
from xpnet.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD, AdaGrad, Adam, Momentum, Optimizer, RMSprop
from xpnet.random import Stream


def net(units=2):
    return Sequential([Linear(units)], input_shape=(3,))


def rows(n=2, d=3, dtype="float32"):
    return np.ones((n, d), dtype)


def update(params, grads, optimizer=None):
    (optimizer or SGD()).update({"W": params}, {"W": grads})


def read_only():
    values = rows()
    values.flags.writeable = False
    return values


def train(optimizer, *nets):
    for one in nets:
        optimizer.update(one.params, one.grads)


def scored(loss, scores=None, targets=None, weights=None):
    loss(rows() if scores is None else scores, rows() if targets is None else targets, weights)


def back(loss, times):
    loss(rows(), rows())
    for _ in range(times):
        loss.backward()


class NoInit(Optimizer):
    def __init__(self):
        pass

    def rule(self, p, g, *, scalars, decay):
        p -= scalars.lr * g


class Renamed(NoInit):
    def __init__(self, gain):
        Optimizer.__init__(self, 0.1)
        self.factor = gain


NAMES = r"device: expected 'cpu', 'gpu', 'gpu:N', 'torch:cpu', 'torch:cuda:N' or 'auto', got "

MISTAKES = {
    # rates and their like
    "a rate in words": (lambda: SGD("0.1"), ValueError, "lr: expected a number above 0, got '0.1'"),
    "a rate of nothing": (lambda: SGD(0), ValueError, "lr: expected a number above 0, got 0"),
    "a negative rate": (lambda: Adam(-1e-3), ValueError, "lr: .* got -0.001"),
    "a rate that is NaN": (lambda: SGD(math.nan), ValueError, "lr: .* got nan"),
    "a rate without end": (lambda: SGD(math.inf), ValueError, "lr: .* got inf"),
    "yes as a rate": (lambda: SGD(True), ValueError, "lr: .* got True"),
    "a complex rate": (lambda: SGD(1j), ValueError, "lr: .* got 1j"),
    "several rates": (lambda: SGD(np.ones(2)), ValueError, r"lr: .* got array\(\[1., 1.\]\)"),
    "a schedule as a rate": (lambda: SGD(schedules.cosine()), ValueError, "lr: .* got cosine"),
    "a rate set later": (lambda: setattr(SGD(), "lr", -1), ValueError, "lr: .* got -1"),
    "negative decay": (lambda: SGD(weight_decay=-1), ValueError, "weight_decay: .* >= 0, got -1"),
    "decay in words": (lambda: SGD(weight_decay="x"), ValueError, "weight_decay: .* got 'x'"),
    "a momentum of 1": (lambda: Momentum(momentum=1), ValueError, "0 <= momentum < 1, got 1"),
    "a negative momentum": (lambda: Momentum(momentum=-0.1), ValueError, "momentum < 1, got -0.1"),
    "a mean that forgets nothing": (lambda: Adam(beta1=1), ValueError, "0 <= beta1 < 1, got 1"),
    "a mean above 1": (lambda: Adam(beta2=1.2), ValueError, "0 <= beta2 < 1, got 1.2"),
    "squares that are never forgotten": (
        lambda: RMSprop(alpha=1), ValueError, "0 <= alpha < 1, got 1",
    ),
    "an eps of nothing": (lambda: Adam(eps=0), ValueError, "eps: expected a number above 0, got 0"),
    "a negative eps": (
        lambda: AdaGrad(eps=-1), ValueError,
        "eps: expected a number above 0, got -1",
    ),
    # updates
    "a list of parameters": (
        lambda: SGD().update([rows()], [rows()]), TypeError,
        "params: expected those of a network, net.params, or a dict of arrays or numbers, got list",
    ),
    "a network for its parameters": (
        lambda: SGD().update(net(), net().grads), TypeError,
        "params: .* net.params, .* got Sequential",
    ),
    "no gradients": (
        lambda: SGD().update(net().params, None), TypeError, "grads: .* net.grads, .* got NoneType",
    ),
    "gradients of other names": (
        lambda: SGD().update({"W": rows()}, {"V": rows()}), ValueError,
        r"keys, got params \['W'\] and grads",
    ),
    "gradients of another network": (
        lambda: SGD().update(net().params, net(5).grads), ValueError,
        r"of shape \(3, 2\) for '0.W', got",
    ),
    "a parameter that is a list": (
        lambda: update([1.0, 2.0], [1.0, 2.0]), TypeError, "params: .*, got list for 'W'",
    ),
    "a parameter in words": (lambda: update("a", 1.0), TypeError, "params: .*, got str for 'W'"),
    "a gradient that is none": (
        lambda: update(rows(), None), TypeError,
        "grads: .* got NoneType for 'W'",
    ),
    "a gradient in words": (lambda: update(1.0, "a"), TypeError, "grads: .* got str for 'W'"),
    "an array for a number": (
        lambda: update(1.0, rows()), ValueError, r"of shape \(\) for 'W', got \(2, 3\)",
    ),
    "a parameter that is read-only": (
        lambda: update(read_only(), rows()), ValueError,
        "params: 'W' is read-only: give a copy that can be written",
    ),
    "an optimizer of another network": (
        lambda: train(Momentum(), net(), net(5)), ValueError,
        "Momentum: has trained another network and remembers its moments: make a new optimizer",
    ),
    "an optimizer of an equal network": (
        lambda: train(Adam(), net(), net()), ValueError, "Adam: has trained another network",
    ),
    "an optimizer without super().__init__()": (
        lambda: train(NoInit(), net()), AttributeError, r"must call super\(\).__init__\(lr\) first",
    ),
    "an optimizer's argument under another name": (
        lambda: train(Renamed(2), net()), TypeError,
        "takes 'gain', but no attribute .* set self.gain there",
    ),
    "slots of another rule": (
        lambda: Adam().load_state({"h/W": rows()}, 1), ValueError, "Adam has no slot 'h'",
    ),
    # schedules
    "a misspelt schedule": (
        lambda: schedules.schedule("cosin"), ValueError,
        "schedule: .* got 'cosin': did you mean 'cosine'",
    ),
    "no schedule": (lambda: schedules.schedule(None), ValueError, "schedule: expected 'constant'"),
    "drops in steps, not shares": (
        lambda: schedules.step(every=30), ValueError,
        "every: expected a share of the run, .* got 30",
    ),
    "a negative factor": (
        lambda: schedules.step(factor=-0.1), ValueError, "factor: expected a number >= 0, got -0.1",
    ),
    "an end below nothing": (
        lambda: schedules.cosine(-1), ValueError, "last: expected a number >= 0, got -1",
    ),
    "a peak after the end": (
        lambda: schedules.one_cycle(1), ValueError, "peak: expected a share of the run, .* got 1",
    ),
    "a start below nothing": (
        lambda: schedules.one_cycle(first=-1), ValueError, "first: expected a number >= 0, got -1",
    ),
    "a warm-up in steps": (
        lambda: schedules.warmup(500), ValueError, "share: expected a share .* < 1, got 500",
    ),
    "a schedule by name after a warm-up": (
        lambda: schedules.warmup(0.1, "cosine"), ValueError,
        r"then: expected a function of .step, total",
    ),
    # initial weights and random numbers
    "a negative spread": (
        lambda: initializers.normal(-1), ValueError, "std: expected a number >= 0, got -1",
    ),
    "a spread in words": (lambda: initializers.normal("x"), ValueError, "std: .* got 'x'"),
    "an endless range": (
        lambda: initializers.uniform(0, math.inf), ValueError,
        "high: expected a finite number, got inf",
    ),
    "a range the wrong way round": (
        lambda: initializers.uniform(1, -1), ValueError,
        "high: expected a number >= low, 1.0, got -1",
    ),
    "a constant that is NaN": (
        lambda: initializers.constant(math.nan), ValueError,
        "value: expected a finite number, got nan",
    ),
    "an unknown rule": (
        lambda: initializers.initializer("xavierr"), ValueError,
        "got 'xavierr': did you mean 'xavier'",
    ),
    "a negative seed": (
        lambda: Stream(-1), ValueError,
        "seed: expected a whole number >= 0, got -1",
    ),
    # devices, threads
    "CUDA's name": (lambda: xpnet.device("cuda"), ValueError, NAMES + "'cuda': did you mean 'gpu'"),
    "NumPy's name": (lambda: xpnet.device("numpy"), ValueError, "'numpy': did you mean 'cpu'"),
    "capital letters": (lambda: xpnet.device("GPU"), ValueError, "'GPU': did you mean 'gpu'"),
    "PyTorch alone": (lambda: xpnet.device("torch"), ValueError, "did you mean 'torch:cpu'"),
    "a number for a device": (lambda: xpnet.device(0), ValueError, NAMES + "0$"),
    "a negative GPU": (lambda: xpnet.device("gpu:-1"), ValueError, NAMES + "'gpu:-1'"),
    "a second processor": (lambda: xpnet.device("cpu:1"), ValueError, NAMES + "'cpu:1'"),
    "an unknown device of a library": (
        lambda: xpnet.device("array_api_strict:nope"), ValueError,
        NAMES + "'array_api_strict:nope'",
    ),
    "a module that is no array library": (
        lambda: xpnet.device("os:x"), ValueError,
        NAMES + "'os:x'",
    ),
    "the device of a list": (
        lambda: devices.device_of([1]), TypeError,
        "expected an array of an array API library .*, got list",
    ),
    "a recording by another library": (
        lambda: xpnet.device("array_api_strict:CPU_DEVICE").recorder(), xpnet.DeviceError,
        "'array_api_strict:CPU_DEVICE' cannot record work: 'cpu' and GPUs through CuPy can",
    ),
    "no threads": (lambda: xpnet.threads(0).__enter__(), ValueError, "n: .* >= 1, got 0"),
    "no threads of BLAS": (
        lambda: xpnet.threads(blas=-1).__enter__(), ValueError,
        "blas: .* got -1",
    ),
    # losses
    "all smoothed": (
        lambda: SoftmaxCrossEntropy(1), ValueError,
        "label_smoothing: expected 0 <= label_smoothing < 1",
    ),
    "lists of scores": (
        lambda: SquaredError()([[1.0]], [[1.0]]), TypeError,
        "SquaredError: expected arrays, got list",
    ),
    "back before forward": (
        lambda: SquaredError().backward(), RuntimeError,
        "backward needs a forward of its own before",
    ),
    "back twice": (
        lambda: back(SquaredError(), 2), RuntimeError, "backward needs a forward of its own before",
    ),
    "labels in words": (
        lambda: scored(SoftmaxCrossEntropy(), targets=np.array(["cat", "dog"])), ValueError,
        "expected numbers as targets, got <U3: .* np.unique.t, return_inverse=True.",
    ),
    "targets of objects": (
        lambda: scored(SquaredError(), targets=rows().astype(object)), ValueError,
        "SquaredError: expected numbers as targets, got object",
    ),
    "weights as a list": (
        lambda: scored(SquaredError(), weights=[1, 1]), TypeError, "expected arrays, got .*, list",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_gets_its_sentence(row):
    mistake(*row)


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_a_gpu_without_cupy_names_every_library_of_the_extra():
    mistake(
        lambda: xpnet.device("gpu"), xpnet.DeviceError,
        r"needs CuPy, .*run `pip install 'cupy-cuda13x\[ctk\]' nvmath-python` .*device 'cpu'",
    )  # fmt: skip


def elsewhere(xp: Backend):
    """Return rows of another library."""
    return array_api_strict.ones((2, 3)) if xp.device.library == "numpy" else rows()


def labels(xp, *values, dtype="int64"):
    return xp.array(np.array(values), dtype)


SOFTMAX, SQUARED, SIGMOID = SoftmaxCrossEntropy, SquaredError, SigmoidCrossEntropy

ON_EVERY_LIBRARY = {
    "whole numbers as parameters": (
        lambda xp: update(xp.array(rows(dtype="int64")), xp.array(rows())), ValueError,
        "params: expected floating-point numbers for 'W', got int64",
    ),
    "a complex gradient of real parameters": (
        lambda xp: update(writable(xp), xp.array(rows(dtype="complex64"))), ValueError,
        "grads: expected real numbers for 'W', got complex ones",
    ),
    "a gradient of another library": (
        lambda xp: update(writable(xp), elsewhere(xp)), TypeError,
        "expected arrays of one library, got",
    ),
    "a gradient of another shape": (
        lambda xp: update(writable(xp), xp.array(rows(3, 2))), ValueError,
        r"of shape \(2, 3\) for 'W'",
    ),
    "no samples": (
        lambda xp: scored(SQUARED(), xp.array(rows(0)), xp.array(rows(0))), ValueError,
        r"SquaredError: expected at least one sample, got scores \(0, 3\)",
    ),
    "too many labels": (
        lambda xp: scored(SOFTMAX(), xp.array(rows()), labels(xp, 0, 1, 2)), ValueError,
        "SoftmaxCrossEntropy: expected 2 labels, got 3",
    ),
    "yes and no as labels": (
        lambda xp: scored(SOFTMAX(), xp.array(rows()), labels(xp, 0, 1, dtype="bool")), ValueError,
        r"expected integer labels or targets of shape \(2, 3\), got bool",
    ),
    "targets of another shape": (
        lambda xp: scored(SIGMOID(), xp.array(rows()), xp.array(rows(2, 2))), ValueError,
        r"expected labels \(2,\) or targets of shape \(2, 3\), got \(2, 2\)",
    ),
    "scores of whole numbers": (
        lambda xp: scored(SQUARED(), xp.array(rows(dtype="int64")), xp.array(rows())), ValueError,
        "SquaredError: expected floating-point scores, got int64",
    ),
    "complex scores": (
        lambda xp: scored(SOFTMAX(), xp.array(rows(dtype="complex64")), labels(xp, 0, 1)),
        ValueError, "expected real floating-point scores, got complex64",
    ),
    "complex targets of real scores": (
        lambda xp: scored(SQUARED(), xp.array(rows()), xp.array(rows(dtype="complex64"))),
        ValueError, "expected real targets, got complex64",
    ),
    "one class alone": (
        lambda xp: scored(SOFTMAX(), xp.array(rows(2, 1)), labels(xp, 0, 0)), ValueError,
        r"expected scores \(n, k\) of two classes or more, got \(2, 1\)",
    ),
    "targets of another library": (
        lambda xp: scored(SQUARED(), xp.array(rows()), elsewhere(xp)), TypeError,
        "expected arrays of one library, got",
    ),
    "too many weights": (
        lambda xp: scored(SQUARED(), xp.array(rows()), xp.array(rows()), xp.array(np.ones(3))),
        ValueError, r"expected weights \(2,\), got \(3,\)",
    ),
}  # fmt: skip


def writable(xp):
    """Return rows that can be moved, on the library that is read-only elsewhere too."""
    values = xp.array(rows())
    if xp.read_only:
        values.flags.writeable = True
    return values


@pytest.mark.parametrize("row", ON_EVERY_LIBRARY.values(), ids=ON_EVERY_LIBRARY)
def test_a_mistake_gets_its_sentence_on_every_library(xp: Backend, row):
    call, error, match = row
    mistake(lambda: call(xp), error, match)


@pytest.mark.faster_bodies
@pytest.mark.parametrize("bad", [-1, 3])
def test_a_label_of_no_class_gets_its_sentence_where_looking_is_free(bad):
    mistake(
        lambda: scored(SOFTMAX(), targets=np.array([0, bad])), ValueError,
        f"targets: expected labels from 0 to 2, got {bad}",
    )  # fmt: skip
