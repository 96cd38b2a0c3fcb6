"""Networks: building, addressing, the flat buffer, planned steps, hooks, predicting, moving."""

from __future__ import annotations

import copy
import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.arrays import dtype_name, to_numpy
from xpnet.devices import device_of
from xpnet.gradients import gradient_check
from xpnet.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Multiply,
    ReLU,
    Rescale,
    Residual,
    Sequential,
    Tanh,
)
from xpnet.layers.plan import ConvReLUPool, LinearReLU
from xpnet.random import Stream


def convnet(dtype="float64", **kwargs):
    layers = [
        Rescale(1 / 255), Conv2d(3, 3, pad=1), ReLU(), MaxPool2d(2), Conv2d(4, 2), ReLU(),
        BatchNorm(), Flatten(), Linear(6), ReLU(), Dropout(0.3), Linear(5),
    ]  # fmt: skip
    return Sequential(layers, input_shape=(2, 6, 8), dtype=dtype, **kwargs)


def pixels(n=3, dtype="uint8"):
    return np.random.default_rng(0).integers(0, 256, (n, 2, 6, 8)).astype(dtype)


def scores(n=3, dtype="float64"):
    return np.random.default_rng(1).normal(size=(n, 5)).astype(dtype)


# Building


def test_sizes_are_inferred_from_layer_to_layer():
    shapes = [layer.output_shape for layer in convnet().layers]
    assert shapes == [
        (2, 6, 8), (3, 6, 8), (3, 6, 8), (3, 3, 4), (4, 2, 3), (4, 2, 3),
        (4, 2, 3), (24,), (6,), (6,), (6,), (5,),
    ]  # fmt: skip
    assert convnet().input_shape == (2, 6, 8)
    assert convnet().output_shape == (5,)


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([ReLU(), Conv2d(2, 5)], 'Conv2d "1": a filter of 5x5 does not fit images of 4x4'),
        ([MaxPool2d(5)], 'MaxPool2d "0": a window of 5x5 does not fit images of 4x4'),
        ([Flatten(), Conv2d(2, 1)], 'Conv2d "1": expected images (n, c, h, w), got (n, 16)'),
        ([Flatten(), MaxPool2d(2)], 'MaxPool2d "1": expected images (n, c, h, w), got (n, 16)'),
        (
            [Residual([Conv2d(2, 3)])],
            'Residual "0": the body makes (2, 2, 2) and the shortcut (1, 4, 4)',
        ),
        ([Sequential([ReLU(), Sequential([Conv2d(1, 9)])])], 'Conv2d "0.1.0": a filter of 9x9'),
        ([Residual([Flatten(), BatchNorm(), Conv2d(1, 1)])], 'Conv2d "0.body.2": expected images'),
        ([Multiply()], 'Multiply "0": expected a tuple of two or more equal shapes'),
    ],
    ids=lambda v: v[:12] if isinstance(v, str) else None,
)
def test_a_layer_that_does_not_fit_is_named_at_construction(layers, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Sequential(layers, input_shape=(1, 4, 4))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Sequential([]), "expected at least one layer"),
        (lambda: Sequential([ReLU]), r"expected layers, got the class ReLU: write ReLU\("),
        (lambda: Sequential([Linear(2), "ReLU"]), "expected layers, got 'ReLU'"),
        (lambda: Sequential([ReLU()], input_shape=784), "input_shape such as"),
        (lambda: Sequential([ReLU()], input_shape=(3, 0)), "input_shape: expected a whole number"),
        (lambda: Sequential([ReLU()], input_shape=(2.5,)), "input_shape: expected a whole number"),
        (lambda: Sequential([ReLU()], input_shape=(2,), seed=-1), "seed: expected"),
        (lambda: Sequential([ReLU()], input_shape=(2,), dtype="int8"), "expected dtype 'float32'"),
        (
            lambda: Sequential([ReLU()], input_shape=(2,), dtype="complex64"),
            'ReLU "0": works on real numbers only',
        ),
        (lambda: Linear(0), "units: expected a whole number >= 1, got 0"),
        (lambda: Linear(2.0), "units: expected a whole number >= 1, got 2.0"),
        (lambda: Linear(2, init="best"), "init: expected .*'he'.* got 'best'"),
        (lambda: Conv2d(3, 2.5), "size: expected a whole number >= 1, got 2.5"),
        (lambda: Conv2d(3, (2, 2, 2)), "size: expected one size or"),
        (lambda: Conv2d(3, 0), "size: expected a whole number >= 1, got 0"),
        (lambda: Conv2d(3, 2, stride=0), "stride: expected a whole number >= 1"),
        (lambda: Conv2d(3, 2, pad=-1), "pad: expected a whole number >= 0"),
        (lambda: MaxPool2d(2, pad=2), "pad: expected at most half the window"),
        (lambda: Dropout(1.0), "rate: expected 0 <= rate < 1, got 1.0"),
        (lambda: Dropout(-0.1), "rate: expected 0 <= rate < 1, got -0.1"),
        (lambda: Dropout(0.5, scale="both"), "scale: expected 'train' or 'inference'"),
        (lambda: BatchNorm(momentum=1.5), "momentum: expected 0 <= momentum <= 1, got 1.5"),
        (lambda: BatchNorm(eps=0), "eps: expected a number above 0, got 0"),
    ],
)
def test_bad_arguments_are_refused_with_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_one_layer_object_stands_in_one_place_only():
    shared = Linear(3)
    with pytest.raises(ValueError, match="the same layer object stands in it twice"):
        Sequential([shared, shared])
    with pytest.raises(ValueError, match=r'Linear "0\.1" is built already: make a new layer'):
        Sequential([Sequential([Linear(2), shared]), Sequential([shared])], input_shape=(3,))


@pytest.mark.parametrize("around", [Sequential, Residual], ids=["Sequential", "Residual"])
def test_a_built_layer_is_not_taken_into_a_second_network(around):
    layer = Linear(3)
    Sequential([layer], input_shape=(3,))
    with pytest.raises(ValueError, match='Linear "0" is built already: make a new layer'):
        around([layer])


def test_a_built_network_is_not_taken_into_another_one():
    with pytest.raises(ValueError, match="Sequential is built already"):
        Sequential([Sequential([Linear(3)], input_shape=(3,))])


def test_a_nested_one_is_built_by_its_parent():
    inner = Sequential([Linear(3), Tanh()])
    x = np.ones((2, 4), "float32")
    with pytest.raises(ValueError, match="Sequential is not built: give its Sequential an input_"):
        inner.forward(x)
    net = Sequential([inner, Linear(2)], input_shape=(4,))
    assert inner.input_shape == (4,)
    assert inner.path == "0"
    assert inner.forward(x).shape == (2, 3)
    assert list(net.params) == ["0.0.W", "0.0.b", "1.W", "1.b"]


@pytest.mark.parametrize(
    "first",
    [
        lambda: Sequential([Flatten()]),
        lambda: Sequential([Rescale(1 / 255), Sequential([Flatten(), ReLU()])]),
        lambda: Sequential([Residual(Sequential([ReLU(), ReLU()])), Flatten()]),
    ],
    ids=["plain", "nested", "residual"],
)
def test_one_that_learns_nothing_may_stand_below_all_that_learn(first):
    x = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2)
    net = Sequential([first(), Linear(2)], input_shape=(1, 2, 2))
    inner = first()
    inner.build((1, 2, 2), Stream(0))
    np.testing.assert_array_equal(
        net.forward(x, train=True), inner.forward(x) @ net.params["1.W"] + net.params["1.b"]
    )
    net.backward(np.ones((3, 2), np.float32))
    assert (net.grads["1.b"] == 3).all()


def test_every_layer_knows_its_path():
    net = Sequential(
        [Linear(4), Residual([Tanh(), Linear(4)], Sequential([Linear(4)])), Linear(2)],
        input_shape=(4,),
    )
    assert {leaf.path for _, leaf in net.walk()} == {path for path, _ in net.walk()}
    assert [path for path, _ in net.walk()] == ["0", "1.body.0", "1.body.1", "1.shortcut.0", "2"]
    assert list(net.params)[2:6] == ["1.body.1.W", "1.body.1.b", "1.shortcut.0.W", "1.shortcut.0.b"]
    assert net[1].body[1].label == 'Linear "1.body.1"'


def test_weights_depend_on_seed_and_path_alone():
    one, same, other = (convnet(seed=seed) for seed in (3, 3, 4))
    for name, array in one.params.items():
        np.testing.assert_array_equal(array, same.params[name])
        if name.endswith("W"):
            assert (array != other.params[name]).any()
    deeper = Sequential([ReLU(), Linear(3), ReLU()], input_shape=(4,), seed=3)
    wider = Sequential([Linear(4), Linear(3)], input_shape=(4,), seed=3)
    np.testing.assert_array_equal(deeper.params["1.W"], wider.params["1.W"])


# Params, grads and state


def test_a_mapping_is_live_and_writes_through(xp):
    net = convnet().to(xp.device)
    params, old = net.params, net.params["1.b"]
    params["1.b"] = np.arange(3.0)
    assert params["1.b"] is old
    for array in (old, net.params["1.b"], net[1].params["b"], net[1].own.params["b"]):
        assert_close(array, np.arange(3.0), rtol=0)
    net.params["1.b"] += 1.0
    net.grads["1.b"] = np.full(3, 4.0)
    net.state["6.mean"] = [1.0, 2.0, 3.0, 4.0]
    net.state["10.counter"] = 7
    assert_close(old, np.arange(3.0) + 1, rtol=0)
    assert_close(net[1].grads["b"], np.full(3, 4.0), rtol=0)
    assert_close(net[6].state["mean"], [1.0, 2.0, 3.0, 4.0], rtol=0)
    assert_close(net[10].state["counter"], np.int64(7), rtol=0)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("1.b", np.zeros(4), r"1\.b: expected shape \(3,\) and dtype float64, got \(4,\)"),
        ("1.b", np.zeros(3, "float32"), r"1\.b: .*dtype float64, got \(3,\) and float32"),
        ("1.b", 0.0, r"1\.b: expected shape \(3,\) .* got \(\)"),
        ("1.W", np.zeros((2, 3, 3, 3)), r"1\.W: expected shape \(3, 2, 3, 3\)"),
    ],
)
def test_what_is_written_must_fit_in_shape_and_dtype(xp, name, value, sentence):
    net = convnet().to(xp.device)
    before = to_numpy(net.params[name]).copy()
    value = xp.array(value) if isinstance(value, np.ndarray) else value
    with pytest.raises(ValueError, match=sentence):
        net.params[name] = value
    assert_close(net.params[name], before, rtol=0)


def test_an_unknown_name_is_a_key_error_that_lists_the_names():
    net = Sequential([Linear(2)], input_shape=(3,))
    with pytest.raises(KeyError, match=r"no array '0\.w'; there are 0\.W, 0\.b"):
        net.params["0.w"] = np.zeros((3, 2), "float32")
    with pytest.raises(KeyError):
        net.params["1.W"]
    with pytest.raises(KeyError, match="there are none"):
        net.state["0.mean"] = 0


def test_the_three_mappings_have_the_paths_in_the_order_of_the_layers():
    net = convnet()
    names = ["1.W", "1.b", "4.W", "4.b", "6.gamma", "6.beta", "8.W", "8.b", "11.W", "11.b"]
    assert list(net.params) == list(net.grads) == names
    assert list(net.state) == ["6.mean", "6.var", "10.counter"]
    assert "6.mean: float64 (4,)" in repr(net.state)


# The flat buffer


def spans(net, arrays):
    """Return (first number, count) of each array within the flat NumPy buffer."""
    start = arrays.flat.__array_interface__["data"][0]
    return {
        name: ((a.__array_interface__["data"][0] - start) // a.itemsize, a.size)
        for name, a in arrays.items()
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("which", ["params", "grads"])
def test_every_array_is_an_aligned_view_of_one_buffer_the_decayed_first(dtype, which):
    net = convnet(dtype)
    arrays = getattr(net, which)
    flat = arrays.flat
    assert flat.ndim == 1
    assert flat.__array_interface__["data"][0] % 256 == 0
    taken = np.zeros(flat.size, int)
    for name, (start, count) in spans(net, arrays).items():
        assert np.shares_memory(arrays[name], flat)
        assert arrays[name].flags.c_contiguous
        assert start * flat.itemsize % 256 == 0
        assert (start < arrays.decayed) == name.endswith("W")
        taken[start : start + count] += 1
    assert taken.max() == 1
    assert taken.sum() == sum(a.size for a in arrays.values())
    assert not flat[taken == 0].any()


def test_params_and_grads_are_laid_out_alike():
    net = convnet()
    assert spans(net, net.params) == spans(net, net.grads)
    slots = net.params.views_of(np.arange(float(net.params.flat.size)))
    for name, (start, count) in spans(net, net.params).items():
        np.testing.assert_array_equal(slots[name].ravel(), np.arange(start, start + count))


def test_what_is_done_to_the_buffer_is_done_to_the_parameters(xp):
    net = convnet().to(xp.device)
    before = {name: to_numpy(a).copy() for name, a in net.params.items()}
    flat = net.params.flat
    assert device_of(flat) == xp.device
    flat *= 2.0
    for name, array in net.params.items():
        assert_close(array, 2 * before[name], rtol=0)
    x, dy = xp.array(pixels()), xp.array(scores())
    net.forward(x, train=True)
    net.backward(dy)
    flat -= 0.5 * net.grads.flat
    total = 0.0
    for name, array in net.params.items():
        assert_close(array, 2 * before[name] - 0.5 * to_numpy(net.grads[name]), rtol=1e-12)
        total += float((to_numpy(net.grads[name]) ** 2).sum())
    assert float((to_numpy(net.grads.flat) ** 2).sum()) == pytest.approx(total, rel=1e-12)


def test_padding_between_parameters_stays_zero_through_training_steps():
    net = convnet("float32")
    padding = np.ones(net.params.flat.size, bool)
    for start, count in spans(net, net.params).values():
        padding[start : start + count] = False
    assert padding.any()
    momentum = np.zeros_like(net.params.flat)
    for _ in range(3):
        net.forward(pixels(), train=True)
        net.backward(scores(dtype="float32"))
        momentum *= np.float32(0.9)
        momentum += net.grads.flat
        net.params.flat[...] -= np.float32(0.1) * momentum
        net.params.flat[: net.params.decayed] *= np.float32(0.99)
    assert not net.params.flat[padding].any()
    assert not net.grads.flat[padding].any()


# Backward


class Counted(Tanh):
    """A tanh that counts its backward passes."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def backward(self, dy, *, need_dx=True):
        self.asked.append(need_dx)
        return super().backward(dy, need_dx=need_dx)


class CountedLinear(Linear):
    """A linear layer that says whether its dx was asked for."""

    def __init__(self, units):
        super().__init__(units)
        self.asked = []

    def backward(self, dy, *, need_dx=True):
        self.asked.append(need_dx)
        return super().backward(dy, need_dx=need_dx)


def test_the_first_layer_with_params_makes_no_dx_and_nothing_below_it_runs_backward():
    below, between, first, second = Counted(), Counted(), CountedLinear(3), CountedLinear(2)
    net = Sequential([below, Flatten(), first, between, second], input_shape=(2, 2))
    y = net.forward(np.ones((2, 2, 2), "float32"), train=True)
    assert net.backward(y) is None
    assert (below.asked, first.asked, between.asked, second.asked) == ([], [False], [True], [True])
    assert below._cache is None
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        below.backward(y)


def test_the_gradient_of_the_input_is_made_where_it_is_asked_for():
    below, first = Counted(), CountedLinear(3)
    net = Sequential([below, first], input_shape=(4,))
    y = net.forward(np.ones((2, 4), "float32"), train=True)
    assert net.backward(y, need_dx=True).shape == (2, 4)
    assert (below.asked, first.asked) == ([True], [True])


@pytest.mark.parametrize("around", [Sequential, Residual], ids=["Sequential", "Residual"])
def test_within_a_nested_first_layer_no_dx_is_made_either(around):
    below, inside, later = Counted(), CountedLinear(4), CountedLinear(4)
    net = Sequential([below, around([inside, later])], input_shape=(4,))
    y = net.forward(np.ones((2, 4), "float32"), train=True)
    assert net.backward(y) is None
    assert (below.asked, inside.asked, later.asked) == ([], [False], [True])


def test_a_nested_one_returns_dx_by_itself():
    inner = Sequential([Linear(3)])
    Sequential([Tanh(), inner], input_shape=(4,))
    y = inner.forward(np.ones((2, 4), "float32"), train=True)
    assert inner.backward(y).shape == (2, 4)


def test_dy_of_a_wrong_shape_is_refused():
    net = Sequential([Linear(3)], input_shape=(4,))
    net.forward(np.ones((2, 4), "float32"), train=True)
    with pytest.raises(ValueError, match=r"expected dy of shape \(2, 3\), got \(2, 4\)"):
        net.backward(np.ones((2, 4), "float32"))
    with pytest.raises(ValueError, match=r"expected dy of shape \(2, 3\), got \(5, 3\)"):
        net.backward(np.ones((5, 3), "float32"))
    net.backward(np.ones((2, 3), "float32"))  # what was kept is still there


def test_a_training_pass_that_fails_half_way_leaves_nothing_to_go_back_on():
    net = Sequential([Linear(3), BatchNorm()], input_shape=(4,))
    x = np.ones((2, 4), "float32")
    net.forward(x, train=True)
    with pytest.raises(ValueError, match="at least 2 numbers"):
        net.forward(x[:1], train=True)
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        net.backward(np.ones((2, 3), "float32"))


# Planned steps and hooks


def steps(net):
    return [type(step).__name__ for step in net.plan.steps]


def test_runs_of_layers_are_planned_as_one_step():
    assert steps(convnet()) == [
        "Rescale", "ConvReLUPool", "ConvReLUPool", "BatchNorm", "Flatten", "LinearReLU",
        "Dropout", "Linear",
    ]  # fmt: skip
    subclassed = Sequential([CountedLinear(2), ReLU()], input_shape=(3,))
    assert steps(subclassed) == ["CountedLinear", "ReLU"]


def by_layers(net, x, dy):
    """Run a network layer by layer, no step planned; return y, dx and the gradients."""
    for layer in net.layers:
        x = layer.forward(x, train=True)
    y = x
    for layer in reversed(net.layers):
        dy = layer.backward(dy, need_dx=True)
    return [y, dy, *(to_numpy(g).copy() for g in net.grads.values())]


PLANNED = {
    "linear": lambda: [Linear(4), ReLU()],
    "linear-of-images": lambda: [Linear(4, bias=False), ReLU(), Linear(3)],
    "conv": lambda: [Conv2d(3, 3, pad=1), ReLU()],
    "conv-pool": lambda: [Conv2d(3, 3), ReLU(), MaxPool2d(2)],
    "conv-pool-rows-dropped": lambda: [Conv2d(3, 2, bias=False), ReLU(), MaxPool2d(2)],
    "conv-pool-overlapping": lambda: [Conv2d(3, 3), ReLU(), MaxPool2d(3, stride=1, pad=1)],
    "two-convs": lambda: [Conv2d(3, 3), ReLU(), Conv2d(2, 2, stride=2), ReLU(), MaxPool2d(1)],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PLANNED)
def test_planned_steps_compute_what_the_plain_layers_do(xp, name, dtype):
    make = PLANNED[name]
    rng = np.random.default_rng(0)
    net, plain = (
        Sequential(make(), input_shape=(2, 6, 7), dtype=dtype).to(xp.device) for _ in range(2)
    )
    planned = (LinearReLU, ConvReLUPool)
    assert isinstance(net.plan.steps[0], planned)
    x = rng.normal(size=(3, 2, 6, 7)).astype(dtype)
    dy = rng.normal(size=(3, *net.output_shape)).astype(dtype)
    wanted = by_layers(plain, xp.array(x), xp.array(dy))
    y = net.forward(xp.array(x), train=True)
    own = [y, net.backward(xp.array(dy), need_dx=True), *net.grads.values()]
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for a, b in zip(own, wanted, strict=True):
        assert_close(a, to_numpy(b), rtol=tolerance, atol=tolerance)
    assert_close(net.forward(xp.array(x)), to_numpy(y), rtol=0)


def test_a_planned_step_names_the_layer_that_x_does_not_fit():
    net = Sequential([Rescale(1), Conv2d(2, 3), ReLU()], input_shape=(1, 4, 4))
    with pytest.raises(ValueError, match=r'Rescale "0": expected x of shape \(n, 1, 4, 4\)'):
        net.forward(np.zeros((2, 1, 5, 5), "uint8"))


def test_a_planned_relu_takes_no_complex_numbers_either():
    net = Sequential([Linear(2), ReLU()], input_shape=(3,))
    with pytest.raises(ValueError, match='ReLU "1": expected real x, got complex64'):
        net.forward(np.ones((1, 3), "complex64"))


@pytest.mark.parametrize("index", [1, 2, 3, 5, 8, 9, 10])
def test_a_hook_sees_its_layers_own_x_and_y(xp, index):
    net, twin = convnet().to(xp.device), convnet().to(xp.device)
    seen = []
    with net.hook(str(index), lambda *found: seen.append(found)):
        y = net.forward(xp.array(pixels()))
    x = xp.array(pixels())
    for layer in twin.layers[:index]:
        x = layer.forward(x)
    ((path, own_x, own_y),) = seen
    assert path == str(index)
    assert_close(own_x, to_numpy(x), rtol=1e-12, atol=1e-12)
    assert_close(own_y, to_numpy(twin[index].forward(x)), rtol=1e-12, atol=1e-12)
    assert_close(y, to_numpy(twin.forward(xp.array(pixels()))), rtol=1e-12, atol=1e-12)


def test_a_hook_switches_the_plan_off_for_its_layer_alone_and_until_it_is_gone():
    net = convnet()
    usual = steps(net)
    with net.hook("2", print):
        assert steps(net) == ["Rescale", "Conv2d", "Hooked", "MaxPool2d", *usual[2:]]
        with net.hook("2", print), net.hook("9", print):
            assert "LinearReLU" not in steps(net)
        assert steps(net) == ["Rescale", "Conv2d", "Hooked", "MaxPool2d", *usual[2:]]
    assert steps(net) == usual
    with net.hook("3", print):
        assert steps(net)[1:3] == ["ConvReLUPool", "Hooked"]
    with pytest.raises(KeyError), net.hook("8", print):
        raise KeyError
    assert steps(net) == usual


@pytest.mark.parametrize("index", [0, 1, 2, 3, 8, 9])
@pytest.mark.parametrize("when", ["forward", "backward", "both"])
def test_gradients_are_the_same_wherever_a_hook_comes_and_goes(index, when):
    net, twin = convnet(), convnet()
    twin.forward(pixels(), train=True)
    twin.backward(scores())
    hooked = net.hook(str(index), lambda *_: None)
    if when == "backward":
        net.forward(pixels(), train=True)
    with hooked:
        if when != "backward":
            net.forward(pixels(), train=True)
        if when != "forward":
            net.backward(scores())
    if when == "forward":
        net.backward(scores())
    for name, gradient in twin.grads.items():
        np.testing.assert_allclose(net.grads[name], gradient, rtol=1e-9, atol=1e-12)
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        net.backward(scores())


def test_what_was_kept_under_a_hook_is_forgotten_after_it():
    net = convnet()
    with net.hook("2", lambda *_: None):
        net.forward(pixels(), train=True)
    net.forget()
    assert all(leaf._cache is None for _, leaf in net.walk())


def test_a_hook_reaches_into_nested_layers():
    net = Sequential([Residual([Linear(3), ReLU()]), Linear(2)], input_shape=(3,))
    seen = []
    with net.hook("0.body.1", lambda path, x, y: seen.append((path, x.shape, (y >= 0).all()))):
        net.forward(np.ones((2, 3), "float32"))
    assert seen == [("0.body.1", (2, 3), True)]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("7", "there is no layer '7'"),
        ("0.body.9", "there is no layer '0.body.9'"),
        ("", "there is no layer ''"),
        ("0.body", "'0.body' is not a layer of a Sequential"),
    ],
)
def test_a_hook_on_no_layer_is_refused(path, sentence):
    net = Sequential([Residual([Linear(3)])], input_shape=(3,))
    with pytest.raises(ValueError, match=re.escape(sentence)), net.hook(path, print):
        pass


# Predicting


@pytest.mark.parametrize("batch_size", [1, 2, 5, 1000])
def test_predict_returns_numpy_scores_in_any_batches(xp, batch_size):
    net = convnet().to(xp.device)
    for x in (pixels(5), xp.array(pixels(5)), pixels(5).tolist()):
        y = net.predict(x, batch_size=batch_size)
        assert isinstance(y, np.ndarray)
        expected = to_numpy(net.forward(xp.array(pixels(5))))
        assert_close(y, expected, rtol=1e-12, atol=1e-12)


def test_predict_brings_real_numbers_to_the_networks_dtype():
    net = Sequential([Linear(2)], input_shape=(3,))
    assert net.predict(np.ones((4, 3))).dtype == "float32"


def test_predict_of_no_samples_is_no_scores(xp):
    assert convnet().to(xp.device).predict(pixels(0)).shape == (0, 5)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0])
def test_predict_refuses_a_batch_size_that_is_none(batch_size):
    with pytest.raises(ValueError, match="batch_size: expected a whole number >= 1"):
        convnet().predict(pixels(), batch_size=batch_size)


def test_predict_changes_nothing():
    net = convnet()
    state = {name: np.array(a) for name, a in net.state.items()}
    net.predict(pixels())
    for name, array in net.state.items():
        np.testing.assert_array_equal(array, state[name])
    assert all(leaf._cache is None for _, leaf in net.walk())


def test_threads_may_predict_with_one_network_at_once():
    net = convnet("float32")
    batches = [np.random.default_rng(i).integers(0, 256, (9, 2, 6, 8), "uint8") for i in range(24)]
    serial = [net.predict(x, batch_size=2) for x in batches]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda x: net.predict(x, batch_size=2), batches))
    for own, wanted in zip(threaded, serial, strict=True):
        np.testing.assert_array_equal(own, wanted)


def in_another_thread(work):
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def test_a_backward_pass_of_another_threads_forward_pass_is_refused():
    """Two threads that train one network would take each other's numbers in silence."""
    net, x = convnet(), pixels()
    y = net.forward(x, train=True)
    with pytest.raises(RuntimeError, match="was another thread's: train a network in one thread"):
        in_another_thread(lambda: net.backward(y))
    net.backward(y)  # which is still there


def test_threads_that_train_copies_get_what_one_thread_gets():
    def trained(net):
        for _ in range(3):
            net.backward(net.forward(pixels(), train=True))
            net.params.flat[...] -= 1e-3 * net.grads.flat
        return np.array(net.params.flat)

    nets = [copy.deepcopy(convnet("float32", seed=seed)) for seed in range(6)]
    serial = [trained(copy.deepcopy(net)) for net in nets]
    with ThreadPoolExecutor(6) as pool:  # each thread by the bodies that this one runs
        futures = [pool.submit(copy_context().run, trained, net) for net in nets]
        np.testing.assert_array_equal([future.result() for future in futures], serial)


# Moving and showing


def test_to_moves_everything_and_the_network_goes_on_as_before(xp):
    net, twin = convnet(), convnet()
    for one in (net, twin):
        one.forward(pixels(), train=True)
    assert net.to(xp.device) is net
    assert net.device == xp.device
    arrays = [*net.params.values(), *net.grads.values(), *net.state.values()]
    for array in [*arrays, net.params.flat, net.grads.flat]:
        assert device_of(array) == xp.device
    for one, place in ((net, xp.array), (twin, np.asarray)):
        one.forward(place(pixels()), train=True)
        one.backward(place(scores()))
    for name, gradient in twin.grads.items():
        assert_close(net.grads[name], gradient, rtol=1e-9, atol=1e-12)
    for name, array in twin.state.items():
        assert_close(net.state[name], array, rtol=1e-12)


def test_what_was_kept_before_a_move_is_dropped(xp):
    net = convnet()
    net.forward(pixels(), train=True)
    net.to(xp.device)
    if xp.device.library == "numpy":
        return  # it did not move
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        net.backward(xp.array(scores()))


def test_a_move_to_where_it_is_leaves_the_buffers_alone():
    net = convnet()
    flat = net.params.flat
    assert net.to("cpu").params.flat is flat


def test_a_part_of_a_network_is_not_moved_by_itself():
    net = Sequential([Residual([Linear(3)]), Sequential([Linear(3)])], input_shape=(3,))
    for part in (net[0].body, net[1]):
        with pytest.raises(ValueError, match=rf'"{part.path}" is part of a network: call to\(\)'):
            part.to("cpu")
    for part in (net[0], net[0].body[0], net[1][0]):
        with pytest.raises(
            AttributeError, match=f"{type(part).__name__} has no 'to': a network has"
        ):
            part.to("cpu")


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="device: expected 'cpu', 'gpu'"):
        convnet().to("tpu")


def test_x_of_another_library_is_refused_with_its_cure(xp):
    if xp.device.library == "numpy":
        pytest.skip("the network's own library")
    net = Sequential([Linear(2), ReLU()], input_shape=(3,))
    sentence = rf'Linear "0": the parameters are numpy arrays, x is a {xp.device.library} array'
    with pytest.raises(TypeError, match=rf"{sentence}: move the network with net.to\(...\)"):
        net.forward(xp.array(np.ones((1, 3)), "float32"))


def test_the_summary_shows_shapes_parameters_flops_and_bytes():
    net = Sequential(
        [Conv2d(30, 5), ReLU(), MaxPool2d(2), Flatten(), Linear(100)], input_shape=(1, 28, 28)
    )
    lines = net.summary().splitlines()
    assert lines[0].split("  ")[0] == "layer"
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines]
    assert cells[2][:3] == ["0 Conv2d", "30 x 24 x 24", "780"]
    assert cells[2][3] == f"{2 * 30 * 24 * 24 * 25:,}"
    assert cells[2][4] == f"{4 * 24 * 24 * 25:,}"
    assert cells[6] == ["4 Linear", "100", "432,100", "864,000", f"{4 * 4320:,}"]
    assert cells[-1][:2] == ["total", "432,880"]
    assert len({len(line) for line in lines}) == 1


def test_the_summary_names_nested_layers_by_path():
    net = Sequential([Residual([Linear(3), Tanh()])], input_shape=(3,))
    assert "0.body.0 Linear" in net.summary()


def test_repr_shows_layers_shapes_dtype_and_device():
    net = Sequential([Linear(3), ReLU()], input_shape=(4,))
    shown = repr(net)
    for part in ("(4,) -> (3,)", "float32 on cpu", "0: Linear(units=3", "1: ReLU(): (3,) -> (3,)"):
        assert part in shown
    assert len(net) == 2
    assert net[0].label == 'Linear "0"'


def test_dtype_of_the_parameters_is_the_networks():
    for dtype in ("float32", "float64", "complex64", "complex128"):
        net = Sequential([Linear(2), Tanh()], input_shape=(3,), dtype=dtype)
        assert {dtype_name(a) for a in [*net.params.values(), net.params.flat]} == {dtype}


def test_a_sequential_built_by_hand_is_a_network_once_it_was_moved():
    layers = Sequential([Linear(2)])
    layers.build((3,), Stream(0))
    assert layers.params.flat is None
    layers.to("cpu")
    assert np.shares_memory(layers.params["0.W"], layers.params.flat)


def test_a_copy_is_a_network_of_its_own(xp):
    net = Sequential([Linear(3), BatchNorm(), ReLU(), Linear(2)], input_shape=(4,)).to(xp.device)
    twin = copy.deepcopy(net)
    kept = {name: to_numpy(a).copy() for name, a in net.params.items()}
    twin.params.flat[...] = 0.0 * twin.params.flat
    assert all(not to_numpy(a).any() for a in twin.params.values())
    for name, values in kept.items():
        np.testing.assert_array_equal(to_numpy(net.params[name]), values)


def test_a_layer_may_assign_its_gradients_as_a_whole():
    class Scale(Layer):
        def setup(self, input_shape, rng):
            self.add_param("gamma", np.ones(input_shape))
            return input_shape

        def forward(self, x, *, train=False):
            self.check(x)
            if train:
                self._cache = x
            return x * self.params["gamma"]

        def backward(self, dy, *, need_dx=True):
            x = self.take()
            self.grads["gamma"] = (dy * x).sum(0)
            return dy * self.params["gamma"]

    net = Sequential([Scale()], input_shape=(3,), dtype="float64")
    errors = gradient_check(net, np.arange(6.0).reshape(2, 3))
    assert max(errors.values()) < 1e-6


def test_an_unbuilt_network_says_what_it_lacks():
    net = Sequential([Linear(3)])
    for use in (net.summary, lambda: net.input_shape, lambda: net.predict(np.ones((2, 3)))):
        with pytest.raises((AttributeError, ValueError), match="built"):
            use()


def test_a_layer_without_its_base_init_or_output_shape_is_told():
    class NoInit(Layer):
        def __init__(self):
            pass

        forward = backward = lambda self, x, **_: x

    with pytest.raises(AttributeError, match=r"NoInit.__init__ must call super\(\).__init__\(\)"):
        Sequential([NoInit()], input_shape=(3,))

    class NoShape(Layer):
        def setup(self, input_shape, rng):
            pass

        forward = backward = lambda self, x, **_: x

    with pytest.raises(TypeError, match="setup must return the output shape, got None"):
        Sequential([NoShape()], input_shape=(3,))


def test_a_layer_of_one_network_is_not_taken_into_another():
    shared = Linear(3)
    first, second = Sequential([shared]), Sequential([shared])
    Sequential([first], input_shape=(2,))
    with pytest.raises(ValueError, match=r'Linear "0\.0" is built already: make a new layer'):
        Sequential([second], input_shape=(2,))


def test_layers_take_numpys_whole_numbers_and_no_input_sizes():
    assert Linear(np.int64(3)).units == 3
    with pytest.raises(ValueError, match="bias: expected True or False, got 100"):
        Linear(784, 100)
