"""Mistakes with layers and networks: each gets one sentence with the cure."""

from __future__ import annotations

import math

import array_api_strict
import numpy as np
import pytest

from tests.conftest import Backend
from tests.mistakes import mistake
from xpnet.layers import (
    Add,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2d,
    Multiply,
    ReLU,
    Rescale,
    Residual,
    Sequential,
)


def net(*parts, shape=(3,), **options):
    return Sequential(list(parts) or [Linear(2)], input_shape=shape, **options)


def image(*parts):
    return net(*parts, shape=(1, 6, 6))


def rows(n=2, d=3, dtype="float32"):
    return np.ones((n, *np.atleast_1d(d)), dtype)


def forward(one, x, **options):
    return one.forward(x, **options)


def back(dy, times=1, **options):
    """Go forward once and back so many times."""
    one = net()
    one.forward(rows(), **({"train": True} | options))
    for _ in range(times):
        one.backward(dy)


def put(kind, name, value):
    getattr(net(BatchNorm(), Linear(2)), kind)[name] = value


def hook(path, function=print):
    with net(Residual([Linear(3)])).hook(path, function):
        pass


class Through(Layer):
    """A layer of one's own; subclasses make one mistake each."""

    def forward(self, x, *, train=False):
        return x

    def backward(self, dy, *, need_dx=True):
        return dy


class NoInit(Through):
    def __init__(self):
        pass


class NoShape(Through):
    def setup(self, input_shape, rng):
        pass


class EmptyShape(Through):
    def setup(self, input_shape, rng):
        return (0,)


class Renamed(Through):
    def __init__(self, gain):
        super().__init__()
        self.factor = gain


class Changed(Through):
    def __init__(self, percent):
        super().__init__()
        self.percent = percent / 100


class OfAFunction(Through):
    def __init__(self, function):
        super().__init__()
        self.function = function


class InADict(Through):
    def __init__(self):
        super().__init__()
        self.parts = {"a": ReLU()}


class Unbuilt(Through):
    def __init__(self):
        super().__init__()
        self.inner = Linear(3)


class Twice(Unbuilt):
    def __init__(self):
        super().__init__()
        self.outer = self.inner

    def setup(self, input_shape, rng):
        return self.inner.build(input_shape, rng.child("inner"), self.dtype)


def own(values):
    """Return a rule of initial weights that returns this."""
    return lambda stream, shape, fan_in, fan_out: values


SEEN = ReLU()
BUILT = net(Linear(2))

MISTAKES = {
    # how networks are put together
    "no layer": (lambda: Sequential([]), ValueError, "Sequential: expected at least one layer"),
    "a layer without its list": (
        lambda: Sequential(Linear(2)), ValueError,
        r"expected a list of layers, got Linear\(units=2",
    ),
    "a generator of layers": (
        lambda: Sequential(ReLU() for _ in range(2)), ValueError,
        "a list of layers, got <generator",
    ),
    "no list of layers": (lambda: Sequential(None), ValueError, "a list of layers, got None"),
    "a layer by its name": (
        lambda: Sequential(["relu"]), ValueError,
        "expected layers, got 'relu'",
    ),
    "a class of layers": (
        lambda: Sequential([ReLU]), ValueError, r"got the class ReLU: write ReLU\(...\)",
    ),
    "a function": (
        lambda: Sequential([np.tanh]), ValueError,
        "expected layers, got <ufunc 'tanh'>",
    ),
    "one layer twice": (
        lambda: Sequential([SEEN, SEEN]), ValueError, "the same layer object stands in it twice",
    ),
    "a layer of another network": (
        lambda: net(BUILT[0]), ValueError,
        'Linear "0" is built already: make a new layer',
    ),
    "a network in a network": (lambda: net(BUILT), ValueError, "Sequential is built already: make"),
    "a shape that is a number": (lambda: net(shape=3), ValueError, r"such as \(1, 28, 28\), got 3"),
    "a shape of nothing": (lambda: net(shape=(0,)), ValueError, "input_shape: .* >= 1, got 0"),
    "a shape below nothing": (lambda: net(shape=(-3,)), ValueError, "input_shape: .* >= 1, got -3"),
    "a shape with its batch": (
        lambda: net(shape=(None, 3)), ValueError,
        "input_shape: .* got None",
    ),
    "a shape of fractions": (lambda: net(shape=(1.5,)), ValueError, "input_shape: .* got 1.5"),
    "a dtype of integers": (
        lambda: net(dtype="int32"), ValueError, "dtype 'float32', 'float64', .* got 'int32'",
    ),
    "half precision": (lambda: net(dtype="float16"), ValueError, "'complex128', got 'float16'"),
    "complex numbers in a real layer": (
        lambda: net(BatchNorm(), dtype="complex64"), ValueError,
        'BatchNorm "0": works on real numbers only',
    ),
    "a negative seed": (lambda: net(seed=-1), ValueError, "seed: expected .* >= 0, got -1"),
    "a seed that is a word": (lambda: net(seed="a"), ValueError, "seed: .* got 'a'"),
    "images where rows are": (
        lambda: net(Conv2d(3, 3)), ValueError, r'Conv2d "0": expected images \(n, c, h, w\), got',
    ),
    "a filter that is too large": (
        lambda: image(Conv2d(3, 9)), ValueError, "a filter of 9x9 does not fit images of 6x6",
    ),
    "a window that is too large": (
        lambda: image(MaxPool2d(7)), ValueError, "a window of 7x7 does not fit images of 6x6",
    ),
    "a shortcut of another shape": (
        lambda: net(Residual([Linear(2)])), ValueError,
        r"the body makes \(2,\) and the shortcut \(3,\): give a shortcut that makes \(2,\)",
    ),
    "a body that is no layers": (lambda: Residual(3), ValueError, "body: expected a list .* got 3"),
    "a body of nothing": (lambda: Residual([]), ValueError, "at least one layer, got none"),
    "a shortcut that is a list": (
        lambda: Residual([Linear(3)], [Linear(3)]), ValueError,
        "shortcut: expected a layer or None",
    ),
    "a sum of one": (lambda: net(Add()), ValueError, "a tuple of two or more equal shapes, got"),
    "a product of unequal ones": (
        lambda: net(Multiply(), shape=((2,), (3,))), ValueError, "two or more equal shapes, got",
    ),
    "statistics of rows of words": (
        lambda: net(BatchNorm(), shape=(2, 3)), ValueError,
        r"\(n, c\) or \(n, c, h, w\), got a sample",
    ),
    # what layers are made of
    "no units": (lambda: Linear(0), ValueError, "units: expected a whole number >= 1, got 0"),
    "units below nothing": (lambda: Linear(-2), ValueError, "units: .* got -2"),
    "half a unit": (lambda: Linear(2.5), ValueError, "units: .* got 2.5"),
    "units in words": (lambda: Linear("2"), ValueError, "units: .* got '2'"),
    "the size of the input": (
        lambda: Linear(784, 50), ValueError,
        "got 50 .layers take sizes of what they make, never",
    ),
    "weights by a misspelt name": (
        lambda: Linear(2, init="hee"), ValueError, "init: .* got 'hee': did you mean 'he'",
    ),
    "weights of negative spread": (
        lambda: Linear(2, init=-0.1), ValueError,
        "init: expected a name, a standard deviation or a function",
    ),
    "a bias that is no value": (
        lambda: Linear(2, bias_init=math.nan), ValueError,
        "bias_init: expected a name, a value or a function",
    ),
    "weights of another shape": (
        lambda: net(Linear(2, init=own(np.zeros(5)))), ValueError,
        r"0.W: expected initial numbers of shape \(3, 2\), got \(5,\) of <function own",
    ),
    "weights that are none": (
        lambda: net(Linear(2, init=own(None))), ValueError, r"shape \(3, 2\), got NoneType of",
    ),
    "weights that are NaN": (
        lambda: net(Linear(2, init=own(np.full((3, 2), np.nan)))), ValueError,
        "0.W: expected finite initial numbers",
    ),
    "no filters": (
        lambda: Conv2d(0, 3), ValueError,
        "filters: expected a whole number >= 1, got 0",
    ),
    "filters of three sizes": (
        lambda: Conv2d(3, (3, 3, 3)), ValueError, r"size: expected one size or \(height, width\)",
    ),
    "a stride of nothing": (lambda: Conv2d(3, 3, stride=0), ValueError, "stride: .* got 0"),
    "less than no padding": (lambda: Conv2d(3, 3, pad=-1), ValueError, "pad: .* >= 0, got -1"),
    "a window of nothing": (lambda: AvgPool2d(0), ValueError, "size: .* >= 1, got 0"),
    "all dropped": (lambda: Dropout(1), ValueError, "rate: expected 0 <= rate < 1, got 1"),
    "a rate in per cent": (lambda: Dropout(20), ValueError, "rate: expected 0 <= rate < 1, got 20"),
    "a rate that is NaN": (lambda: Dropout(math.nan), ValueError, "rate: .* got nan"),
    "a scale by a misspelt name": (
        lambda: Dropout(0.5, "infer"), ValueError, "got 'infer': did you mean 'inference'",
    ),
    "a momentum above 1": (lambda: BatchNorm(1.5), ValueError, "momentum: .* <= 1, got 1.5"),
    "a sync that is a number": (
        lambda: BatchNorm(sync=1), ValueError, "sync: expected True or False, got 1",
    ),
    "an eps of nothing": (lambda: BatchNorm(eps=0), ValueError, "eps: expected a number above 0"),
    "an eps of NaN": (lambda: BatchNorm(eps=math.nan), ValueError, "eps: .* got nan"),
    "an eps set later": (
        lambda: setattr(BatchNorm(), "eps", -1), ValueError,
        "eps: expected a number above 0, got -1",
    ),
    "a slope in words": (lambda: LeakyReLU("a"), ValueError, "slope: expected a finite number"),
    "a scale in words": (lambda: Rescale("1/255"), ValueError, "scale: .*, got '1/255'"),
    "a scale without end": (lambda: Rescale(math.inf), ValueError, "scale: .*, got inf"),
    # layers of one's own
    "no super().__init__()": (
        lambda: net(NoInit()), AttributeError, r"NoInit.__init__ must call super\(\).__init__\(\)",
    ),
    "a setup without a shape": (
        lambda: net(NoShape()), TypeError, "setup must return the output shape, got None",
    ),
    "a setup with an empty shape": (
        lambda: net(EmptyShape()), TypeError, r"setup must return the output shape, got \(0,\)",
    ),
    "an argument under another name": (
        lambda: net(Renamed(2)), TypeError, "takes 'gain', but no attribute .* set self.gain there",
    ),
    "an argument that was changed": (
        lambda: net(Changed(50)), ValueError,
        "made of percent=0.5, it has percent=0.005: keep the argument",
    ),
    "an argument that no file holds": (
        lambda: net(OfAFunction(len)), TypeError,
        "OfAFunction: function is .* no file can hold: give",
    ),
    "layers in a dict": (
        lambda: net(InADict()), ValueError,
        'a dict in "parts" hides ReLU: keep layers as attributes',
    ),
    "build in place of setup": (
        lambda: type("Own", (ReLU,), {"build": lambda self, shape, rng, dtype: shape}), TypeError,
        r"^Own: defines build: define setup\(self, input_shape, rng\), which build calls",
    ),
    "a part that setup forgets": (
        lambda: net(Unbuilt()), ValueError,
        r'its setup leaves "inner" unbuilt: call self.inner.build',
    ),
    "a part under two names": (
        lambda: net(Twice()), ValueError,
        '"inner" and "outer" are the same layer: keep it under one name',
    ),
    # what goes through
    "a layer that is not built": (
        lambda: forward(Linear(2), rows()), ValueError, "Linear is not built: give its Sequential",
    ),
    "a network that is not built": (
        lambda: Sequential([Linear(2)]).predict(rows()), ValueError,
        "not built: give it an input_shape",
    ),
    "a shape before there is one": (
        lambda: Linear(2).output_shape, AttributeError,
        "Linear has no output_shape before it is built",
    ),
    "a layer as a network": (
        lambda: Linear(2).to("cpu"), AttributeError,
        "has no 'to': a network has, such as a Sequential",
    ),
    "a part as a network": (
        lambda: net(Sequential([Linear(2)]))[0].to("cpu"), ValueError,
        r'Sequential "0" is part of a network: call to\(\) of the network',
    ),
    # what shall stay as it is
    "frozen layers that are not there": (
        lambda: net(Linear(3), Residual([Linear(3)])).freeze("1.bod"), ValueError,
        "^freeze: expected paths of layers, such as '1.body.0', got '1.bod': did you mean '1.body'",
    ),
    "a frozen parameter": (
        lambda: net(Linear(3)).freeze("0.W"), ValueError, "layers, .* got '0.W': '0' has it$",
    ),
    "a frozen layer by its number": (
        lambda: net(Linear(3)).freeze(0), ValueError, "layers, such as '0', got 0$",
    ),
    "frozen layers in a list": (
        lambda: net(Linear(3)).unfreeze(["0"]), ValueError, r"^unfreeze: .* got \['0'\]$",
    ),
    "a frozen layer that cannot learn": (
        lambda: net(Linear(3), ReLU(), Dropout()).freeze("1", "2"), ValueError,
        "^freeze: no layer there has parameters: 1, 2$",
    ),
    "frozen paths that are not there": (
        lambda: setattr(net(Linear(3)), "frozen", ["1"]), ValueError,
        r"^frozen: expected a list of some of \['0'\], got \['1'\]$",
    ),
    "a frozen part of a network": (
        lambda: net(Sequential([Linear(2)]))[0].freeze("0"), ValueError,
        r'Sequential "0" is part of a network: call freeze\(\) of the network',
    ),
    "a layer that freezes itself": (
        lambda: net()[0].freeze(), AttributeError, "Linear has no 'freeze': a network has",
    ),
    "trainable, as elsewhere": (
        lambda: setattr(net()[0], "trainable", False), AttributeError,
        r'^Linear has no \'trainable\': write net.freeze\("0"\) and net.unfreeze\("0"\)',
    ),
    "whether it is trainable": (
        lambda: net().trainable, AttributeError, "Sequential has no 'trainable': write net.freeze",
    ),
    "gradients as elsewhere": (
        lambda: net().requires_grad_(False), AttributeError, "'requires_grad_': write net.freeze",
    ),
    "nothing that learns": (
        lambda: net().freeze().backward(rows(2, 2)),
        ValueError, "^backward: nothing learns, since every layer with parameters is frozen: write",
    ),
    "an unknown precision": (
        lambda: net().to("cpu", precision="fp8"), ValueError,
        "precision: .*'bf16' or 'fp16', got 'fp8'",
    ),
    "a precision of float64": (
        lambda: net(dtype="float64").to("cpu", precision="bf16"), ValueError,
        "build it with dtype='float32'",
    ),
    "lists": (lambda: forward(net(), [[1, 2, 3]]), TypeError, "expected an array x, got list"),
    "nothing": (lambda: forward(net(), None), TypeError, "expected an array x, got NoneType"),
    "a batch of one": (
        lambda: forward(net(BatchNorm()), rows(1), train=True), ValueError,
        "expected at least 2 numbers a channel in training, got x of shape .*drop_last leaves out",
    ),
    "a start in the middle of nothing": (
        lambda: forward(net(), rows(), start=4), ValueError,
        "start: expected the number of a layer",
    ),
    "no samples at a time": (
        lambda: net().predict(rows(), batch_size=0), ValueError, "batch_size: .* >= 1, got 0",
    ),
    "back without forward": (
        lambda: net().backward(rows(2, 2)), RuntimeError, "backward needs a forward.*train=True",
    ),
    "back after inference": (
        lambda: back(rows(2, 2), train=False), RuntimeError, "backward needs a forward.*train=True",
    ),
    "back twice": (lambda: back(rows(2, 2), 2), RuntimeError, "train=True. of its own before it"),
    "back with another shape": (
        lambda: back(rows(2, 3)), ValueError, r"expected dy of shape \(2, 2\), got \(2, 3\)",
    ),
    "back with a list": (
        lambda: back([[1, 1], [1, 1]]), ValueError, r"expected dy of shape \(2, 2\), got list",
    ),
    "back with nothing": (lambda: back(None), ValueError, r"dy of shape \(2, 2\), got NoneType"),
    # what is inside
    "a hook on an unknown path": (lambda: hook("7"), ValueError, "hook: there is no layer '7' in"),
    "a hook on a residual's part": (
        lambda: hook("0.body"), ValueError, "hook: '0.body' is not a layer of a Sequential",
    ),
    "a hook that is no function": (
        lambda: hook("0", "print"), ValueError, r"function: expected a function of \(path, x, y\)",
    ),
    "a layer past the last": (
        lambda: net()[5], IndexError, "Sequential: has layers 0 to 0, got index 5",
    ),
    "a parameter of another shape": (
        lambda: put("params", "1.W", rows(2, 2)), ValueError,
        r"1.W: expected shape \(3, 2\) and dtype float32, got \(2, 2\) and float32",
    ),
    "a parameter of another dtype": (
        lambda: put("params", "1.W", rows(3, 2, "float64")), ValueError,
        "dtype float32, got .*float64",
    ),
    "a parameter in words": (
        lambda: put("params", "1.W", "ones"), ValueError, "1.W: expected numbers of .*, got 'ones'",
    ),
    "a parameter of ragged rows": (
        lambda: put("params", "1.W", [[1, 2], [3]]), ValueError,
        r"1.W: expected numbers of shape \(3, 2\)",
    ),
    "a parameter by an unknown name": (
        lambda: put("params", "1.V", 0), KeyError, "no array '1.V'; there are .*1.W, 1.b",
    ),
    "a parameter taken away": (
        lambda: net().params.pop("0.W"), TypeError,
        "arrays are neither added nor removed: assign to the names",
    ),
    "a gradient of another shape": (
        lambda: put("grads", "1.b", rows(1, 3)), ValueError,
        r"1.b: expected shape \(2,\) and dtype",
    ),
    "a state of another shape": (
        lambda: put("state", "0.mean", rows(1, 2)), ValueError, r"0.mean: expected shape \(3,\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_gets_its_sentence(row):
    mistake(*row)


def on(xp, *parts, **options):
    return net(*parts, **options).to(xp.device)


def back_on(xp, dy):
    one = on(xp)
    one.forward(xp.array(rows()), train=True)
    one.backward(dy)


def elsewhere(xp):
    """Return rows of another library."""
    return array_api_strict.ones((2, 3)) if xp.device.library == "numpy" else rows()


ON_EVERY_LIBRARY = {
    "an array of another library": (
        lambda xp: forward(on(xp), elsewhere(xp)), TypeError,
        r"the parameters are .* arrays, x is an? .* array: move the network with net.to\(...\)",
    ),
    "another number of columns": (
        lambda xp: forward(on(xp), xp.array(rows(2, 4))), ValueError,
        r'Linear "0": expected x of shape \(n, 3\), got \(2, 4\)',
    ),
    "one sample without its batch": (
        lambda xp: forward(on(xp), xp.array(rows()[0])), ValueError, r"\(n, 3\), got \(3,\)",
    ),
    "integers": (
        lambda xp: forward(on(xp), xp.array(rows(dtype="int64"))), ValueError,
        "expected floating-point x, got int64: begin the network with Rescale, or convert x",
    ),
    "yes and no": (
        lambda xp: forward(on(xp), xp.array(rows(dtype="bool"))), ValueError, "got bool: begin the",
    ),
    "another precision": (
        lambda xp: forward(on(xp), xp.array(rows(dtype="float64"))), ValueError,
        "expected float32 x, got float64: convert x, or build the network with dtype='float64'",
    ),
    "complex numbers in a real layer": (
        lambda xp: forward(on(xp, ReLU()), xp.array(rows(dtype="complex64"))), ValueError,
        'ReLU "0": expected real x, got complex64',
    ),
    "channels last": (
        lambda xp: forward(on(xp, Flatten(), shape=(1, 6, 6)), xp.array(rows(2, (6, 6, 1)))),
        ValueError, r"expected x of shape \(n, 1, 6, 6\), got \(2, 6, 6, 1\)",
    ),
    "a gradient of another shape": (
        lambda xp: back_on(xp, xp.array(rows(3, 2))), ValueError,
        r"dy of shape \(2, 2\), got \(3, 2\)",
    ),
    "a gradient of another library": (
        lambda xp: back_on(xp, elsewhere(xp)[:, :2]), TypeError,
        "expected arrays of one library, got",
    ),
    "a sum of two libraries": (
        lambda xp: forward(built(xp, Add()), (xp.array(rows()), elsewhere(xp))), TypeError,
        "expected arrays of one library, got .*: convert one of them",
    ),
    "a sum of one array": (
        lambda xp: forward(built(xp, Add()), xp.array(rows())), TypeError,
        "expected a tuple of 2 arrays",
    ),
}  # fmt: skip


def built(xp, layer):
    from xpnet.random import Stream

    layer.build(((3,), (3,)), Stream(0), "float32")
    return layer


@pytest.mark.parametrize("row", ON_EVERY_LIBRARY.values(), ids=ON_EVERY_LIBRARY)
def test_a_mistake_gets_its_sentence_on_every_library(xp: Backend, row):
    call, error, match = row
    mistake(lambda: call(xp), error, match)
