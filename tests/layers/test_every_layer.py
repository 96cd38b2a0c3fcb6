"""What is true of every layer: one table of them all, and tests that go through it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import xpnet.layers
from tests.conftest import HAS_TORCH, assert_close, moved, strided
from xpnet.arrays import dtype_name, to_numpy
from xpnet.devices import device_of
from xpnet.gradients import gradient_check
from xpnet.layers import (
    Add,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dropout,
    Exp,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Log,
    LogSquare,
    MaxPool2d,
    Multiply,
    ReLU,
    Rescale,
    Residual,
    Sequential,
    Sigmoid,
    Swish,
    Tanh,
)
from xpnet.random import Stream

if HAS_TORCH:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Row:
    """A layer: how it is made, for which input (without the batch axis), and torch's equal."""

    make: Callable[[], Layer]
    shape: Any
    torch: Callable[[], Any] | None = None
    positive: bool = False


def torch_residual(body, shortcut):
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.shortcut = nn.Sequential(*body), shortcut

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    return Around()


def torch_chain():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(18, 5), nn.ReLU(), nn.Linear(5, 2),
    )  # fmt: skip


def chain():
    return Sequential(
        [Conv2d(3, 3, pad=1), ReLU(), MaxPool2d(2), Flatten(), Linear(5), ReLU(), Linear(2)]
    )


IMAGE = (2, 5, 6)
TABLE = {
    "Linear": Row(lambda: Linear(3), (4,), lambda: nn.Linear(4, 3)),
    "Linear-no-bias": Row(lambda: Linear(3, bias=False), (4,), lambda: nn.Linear(4, 3, bias=False)),
    "Linear-of-images": Row(
        lambda: Linear(3), IMAGE, lambda: nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    ),
    "Conv2d": Row(lambda: Conv2d(3, 3), IMAGE, lambda: nn.Conv2d(2, 3, 3)),
    "Conv2d-geometry": Row(
        lambda: Conv2d(5, (2, 3), stride=2, pad=1, bias=False), IMAGE,
        lambda: nn.Conv2d(2, 5, (2, 3), stride=2, padding=1, bias=False),
    ),
    "Conv2d-1x1": Row(lambda: Conv2d(2, 1), (1, 1, 1), lambda: nn.Conv2d(1, 2, 1)),
    "MaxPool2d": Row(lambda: MaxPool2d(2), IMAGE, lambda: nn.MaxPool2d(2)),
    "MaxPool2d-geometry": Row(
        lambda: MaxPool2d((3, 2), stride=1, pad=1), IMAGE,
        lambda: nn.MaxPool2d((3, 2), stride=1, padding=1),
    ),
    "AvgPool2d": Row(lambda: AvgPool2d(2), IMAGE, lambda: nn.AvgPool2d(2)),
    "AvgPool2d-geometry": Row(
        lambda: AvgPool2d((3, 2), stride=1, pad=1), IMAGE,
        lambda: nn.AvgPool2d((3, 2), stride=1, padding=1),
    ),
    "GlobalAvgPool2d": Row(
        lambda: GlobalAvgPool2d(), IMAGE,
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    ),
    "BatchNorm": Row(lambda: BatchNorm(), (4,), lambda: nn.BatchNorm1d(4)),
    "BatchNorm-sync": Row(lambda: BatchNorm(sync=True), (4,), lambda: nn.BatchNorm1d(4)),
    "BatchNorm-of-images": Row(
        lambda: BatchNorm(momentum=0.7, eps=0.1), IMAGE,
        lambda: nn.BatchNorm2d(2, momentum=0.3, eps=0.1),
    ),
    "ReLU": Row(lambda: ReLU(), (3, 2), lambda: nn.ReLU()),
    "LeakyReLU": Row(lambda: LeakyReLU(0.3), (7,), lambda: nn.LeakyReLU(0.3)),
    "Sigmoid": Row(lambda: Sigmoid(), (7,), lambda: nn.Sigmoid()),
    "Tanh": Row(lambda: Tanh(), (7,), lambda: nn.Tanh()),
    "Swish": Row(lambda: Swish(), (7,), lambda: nn.SiLU()),
    "Exp": Row(lambda: Exp(), (7,), lambda: torch.exp),
    "Log": Row(lambda: Log(), (7,), lambda: torch.log, positive=True),
    "LogSquare": Row(lambda: LogSquare(), (7,), lambda: lambda x: torch.log(x**2)),
    "LocalResponseNorm": Row(
        lambda: LocalResponseNorm(3, alpha=0.5), (4, 3, 2),
        lambda: nn.LocalResponseNorm(3, alpha=1.5, beta=0.75, k=2.0),
    ),
    "LocalResponseNorm-of-all": Row(
        lambda: LocalResponseNorm(9, alpha=0.1, beta=1.5, k=1.0), (4, 3, 2),
        lambda: nn.LocalResponseNorm(9, alpha=0.9, beta=1.5, k=1.0),
    ),
    "Dropout": Row(lambda: Dropout(0.4), (3, 4)),
    "Dropout-inference": Row(lambda: Dropout(0.4, scale="inference"), (12,)),
    "Dropout-of-nothing": Row(lambda: Dropout(0.0), (5,), lambda: nn.Dropout(0.0)),
    "Flatten": Row(lambda: Flatten(), IMAGE, lambda: nn.Flatten()),
    "Rescale": Row(lambda: Rescale(0.25, -0.5), IMAGE, lambda: lambda x: x / 4 - 0.5),
    "Add": Row(lambda: Add(), ((3, 2),) * 2, lambda: lambda a, b: a + b),
    "Add-three": Row(lambda: Add(), ((4,),) * 3, lambda: lambda a, b, c: a + b + c),
    "Multiply": Row(lambda: Multiply(), ((3, 2),) * 2, lambda: lambda a, b: a * b),
    "Multiply-three": Row(lambda: Multiply(), ((4,),) * 3, lambda: lambda a, b, c: a * b * c),
    "Sequential": Row(chain, (2, 4, 6), torch_chain),
    "Sequential-nested": Row(
        lambda: Sequential([Sequential([Linear(4), Tanh()]), Linear(2)]), (3,),
        lambda: nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Linear(4, 2)),
    ),
    "Residual": Row(
        lambda: Residual([Linear(4), Tanh(), Linear(4)]), (4,),
        lambda: torch_residual([nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)], nn.Identity()),
    ),
    "Residual-shortcut": Row(
        lambda: Residual([Conv2d(3, 3, pad=1), BatchNorm(), ReLU()], Conv2d(3, 1)), IMAGE,
        lambda: torch_residual(
            [nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()], nn.Conv2d(2, 3, 1)
        ),
    ),
}  # fmt: skip

N = 4


@pytest.fixture(params=TABLE)
def row(request) -> Row:
    return TABLE[request.param]


def built(row: Row, dtype: str = "float64", xp: Any = None, path: str = "3") -> Layer:
    """Return the layer with random parameters, at a path, on a device."""
    layer = row.make()
    layer.build(row.shape, Stream(0, path), dtype)
    rng = np.random.default_rng(5)
    for name, array in layer.params.items():
        layer.params[name] = rng.normal(size=array.shape).astype(dtype)
    return layer if xp is None else moved(layer, xp.device)


def several(shape: Any) -> bool:
    return bool(shape) and isinstance(shape[0], tuple)


def inputs(row: Row, n: int = N, dtype: str = "float64", place: Callable = np.asarray) -> Any:
    """Return x for a layer: an array, or a tuple of them."""
    rng = np.random.default_rng(6)
    shapes = row.shape if several(row.shape) else (row.shape,)
    drawn = [rng.normal(size=(n, *shape)) for shape in shapes]
    if row.positive:
        drawn = [abs(values) + 0.5 for values in drawn]
    made = tuple(place(values.astype(dtype)) for values in drawn)
    return made if several(row.shape) else made[0]


def each(x: Any) -> tuple:
    return x if isinstance(x, tuple) else (x,)


def like(y: Any, place: Callable = np.asarray) -> Any:
    return place(np.random.default_rng(7).normal(size=y.shape).astype(dtype_name(y)))


def parts(layer: Layer) -> list[Layer]:
    return [layer, *(part for _, child in layer.children() for part in parts(child))]


def kept(layer: Layer) -> list[Any]:
    """Return everything that a layer and its parts keep for a backward pass."""
    found = [part._cache for part in parts(layer)]
    for part in parts(layer):
        if isinstance(part, Sequential):
            found += [getattr(step, "_cache", None) for step in part.plan.steps]
    return [cache for cache in found if cache is not None]


def test_every_public_layer_has_a_row():
    public = {name for name in xpnet.layers.__all__ if name not in ("Layer", "ArrayMap", "Network")}
    assert public == {type(row.make()).__name__ for row in TABLE.values()}


def test_backward_gives_the_slopes_of_forward_on_every_library(row, xp):
    errors = gradient_check(built(row, xp=xp), inputs(row, place=xp.array))
    names = {f"x{i}" for i in range(len(row.shape))} if several(row.shape) else {"x"}
    assert set(errors) == names | set(built(row).params)
    assert max(errors.values()) < 1e-6


def test_backward_gives_the_slopes_of_forward_where_x_is_not_contiguous(row):
    errors = gradient_check(built(row), inputs(row, place=strided))
    assert max(errors.values()) < 1e-6


def test_every_library_computes_what_numpy_computes(row, xp):
    results = []
    for place, layer in ((np.asarray, built(row)), (xp.array, built(row, xp=xp))):
        y = layer.forward(inputs(row, place=place), train=True)
        dx = layer.backward(like(y, place), need_dx=True)
        scored = layer.forward(inputs(row, place=place))
        arrays = [y, scored, *each(dx), *layer.grads.values(), *layer.state.values()]
        results.append(arrays)
    for own, other in zip(*results, strict=True):
        assert device_of(other) == xp.device
        assert_close(other, to_numpy(own), rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("train", [True, False], ids=["train", "inference"])
@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.torch])
def test_torch_computes_the_same(name, train):
    row = TABLE[name]
    layer, other = built(row), row.torch()
    weights = {}
    if isinstance(other, nn.Module):
        other.double().train(train)
        weights = dict(other.named_parameters())
    own_names = dict(zip(layer.params, weights, strict=True))
    with torch.no_grad():
        for own, theirs in own_names.items():
            values = to_numpy(layer.params[own])
            weights[theirs][...] = torch.tensor(values.T if values.ndim == 2 else values)
    xs = tuple(torch.tensor(x, requires_grad=True) for x in each(inputs(row)))
    expected = other(*xs)
    y = layer.forward(inputs(row), train=train)
    tight = {"rtol": 1e-10, "atol": 1e-12}
    assert_close(y, expected.detach().numpy(), **tight)
    if not train:
        return
    dy = like(y)
    expected.backward(torch.tensor(dy))
    for dx, x in zip(each(layer.backward(dy, need_dx=True)), xs, strict=True):
        assert_close(dx, x.grad.numpy(), **tight)
    for own, theirs in own_names.items():
        wanted = weights[theirs].grad.numpy()
        assert_close(layer.grads[own], wanted.T if wanted.ndim == 2 else wanted, **tight)
    if isinstance(other, nn.Module):
        buffers = {k: v for k, v in other.named_buffers() if "num_batches" not in k}
        states = [a for k, a in layer.state.items() if not k.endswith("counter")]
        for own, theirs in zip(states, buffers.values(), strict=True):
            assert_close(own, theirs.numpy(), **tight)


def test_no_pass_writes_into_its_arguments_or_the_parameters(row):
    def locked(values):
        values = np.array(values)
        values.flags.writeable = False
        return values

    layer = built(row)
    before = {name: array.copy() for name, array in layer.params.items()}
    x, copies = inputs(row, place=locked), [a.copy() for a in each(inputs(row))]
    y = layer.forward(x, train=True)
    dy = like(y, locked)
    layer.backward(dy, need_dx=True)
    layer.forward(x)
    for now, then in zip(each(x), copies, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(dy, like(y))
    for name, array in layer.params.items():
        np.testing.assert_array_equal(array, before[name])


def test_gradients_are_assigned_not_added_up(row):
    layer, results = built(row), []
    for _ in range(2):
        for name in layer.state:
            layer.state[name] = 0 * layer.state[name]
        y = layer.forward(inputs(row), train=True)
        layer.backward(like(y), need_dx=True)
        results.append({name: g.copy() for name, g in layer.grads.items()})
    for name, gradient in results[0].items():
        np.testing.assert_array_equal(gradient, results[1][name])


def test_float32_stays_float32_on_its_device(row, xp):
    layer = built(row, "float32", xp)
    y = layer.forward(inputs(row, dtype="float32", place=xp.array), train=True)
    dx = layer.backward(like(y, xp.array), need_dx=True)
    scored = layer.forward(inputs(row, dtype="float32", place=xp.array))
    for array in [y, scored, *each(dx), *layer.grads.values(), *layer.params.values()]:
        assert dtype_name(array) == "float32"
        assert device_of(array) == xp.device
    for array in layer.state.values():
        assert device_of(array) == xp.device


def test_shapes_are_those_that_were_announced(row):
    layer = built(row)
    y = layer.forward(inputs(row), train=True)
    assert y.shape == (N, *layer.output_shape)
    dx = layer.backward(like(y), need_dx=True)
    assert [d.shape for d in each(dx)] == [x.shape for x in each(inputs(row))]
    for name, gradient in layer.grads.items():
        assert gradient.shape == layer.params[name].shape


def test_where_dx_is_not_needed_none_is_made_and_the_gradients_are_the_same(row):
    results = []
    for need_dx in (True, False):
        layer = built(row)
        y = layer.forward(inputs(row), train=True)
        dx = layer.backward(like(y), need_dx=need_dx)
        assert (dx is not None) == need_dx
        assert kept(layer) == []
        results.append(layer.grads)
    for name, gradient in results[0].items():
        np.testing.assert_array_equal(gradient, results[1][name])


def test_a_second_backward_raises(row):
    layer = built(row)
    y = layer.forward(inputs(row), train=True)
    layer.backward(like(y))
    with pytest.raises(RuntimeError, match=r'"3": backward needs a forward\(..., train=True\)'):
        layer.backward(like(y))


def test_a_backward_without_a_training_forward_raises(row):
    layer = built(row)
    dy = like(layer.forward(inputs(row)))
    name = type(layer).__name__
    with pytest.raises(RuntimeError, match=rf'^{name} "3": backward needs a forward'):
        layer.backward(dy)


def test_inference_keeps_nothing_and_training_keeps_something(row):
    layer = built(row)
    layer.forward(inputs(row))
    assert kept(layer) == []
    y = layer.forward(inputs(row), train=True)
    assert kept(layer) != []
    layer.backward(like(y))
    assert kept(layer) == []


def test_what_was_kept_can_be_forgotten(row):
    layer = built(row)
    y = layer.forward(inputs(row), train=True)
    layer.forget()
    assert kept(layer) == []
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        layer.backward(like(y))


def test_inference_does_not_disturb_a_training_pass_under_way(row):
    layer, other = built(row), built(row)
    y = layer.forward(inputs(row), train=True)
    other.forward(inputs(row), train=True)
    layer.forward(inputs(row, n=1))
    for dx, wanted in zip(
        each(layer.backward(like(y), need_dx=True)),
        each(other.backward(like(y), need_dx=True)),
        strict=True,
    ):
        np.testing.assert_array_equal(dx, wanted)


def test_only_rescale_takes_integers(row, xp):
    layer = built(row, xp=xp)
    for dtype in ("uint8", "int64", "bool"):
        x = inputs(row, dtype=dtype, place=xp.array)
        if isinstance(layer, Rescale):
            assert dtype_name(layer.forward(x)) == "float64"
            continue
        sentence = rf'"3[\w.]*": expected floating-point x, got {dtype}: begin the network with Res'
        with pytest.raises(ValueError, match=sentence):
            layer.forward(x)


def test_another_dtype_than_the_layers_own_is_refused_by_name(row):
    layer, x = built(row, "float32"), inputs(row)
    if isinstance(layer, Rescale):
        assert layer.forward(x).dtype == "float32"
        return
    with pytest.raises(ValueError, match=r'"3[\w.]*": expected float32 x, got float64: convert x'):
        layer.forward(x)


def test_a_wrong_shape_is_refused_by_name_and_path(row):
    layer = built(row, path="4.body.3")
    first = next(part for part in parts(layer) if not isinstance(part, Sequential))
    wrong = tuple(a[..., None] for a in each(inputs(row)))
    x = wrong if several(row.shape) else wrong[0]
    sentence = rf'^{type(first).__name__} "4\.body\.3[\w.]*": expected .*\(n, .*, got .*1\)'
    with pytest.raises(ValueError, match=sentence):
        layer.forward(x)


def test_what_is_no_array_is_refused_by_name(row):
    layer = built(row)
    for x in ([1.0, 2.0], None, "x", 3.0):
        with pytest.raises(TypeError, match=r'"3[\w.]*": expected'):
            layer.forward(x)


def test_an_unbuilt_layer_says_that_it_is_not_built(row):
    layer = row.make()
    with pytest.raises(ValueError, match=f"^{type(layer).__name__} is not built: "):
        layer.forward(inputs(row))


def test_a_built_layer_is_not_built_again(row):
    layer = built(row)
    with pytest.raises(ValueError, match=r'"3" is built already: make a new layer'):
        layer.build(row.shape, Stream(0), "float64")


def test_a_dtype_that_networks_do_not_have_is_refused(row):
    for dtype in ("float16", "int64", "f8"):
        with pytest.raises(ValueError, match=f"expected dtype 'float32', .* got {dtype!r}"):
            row.make().build(row.shape, Stream(0, "3"), dtype)


def described(value: Any) -> Any:
    """Return a config with layers spelled out, as JSON holds it."""
    if isinstance(value, Layer):
        return {type(value).__name__: {k: described(v) for k, v in value.config().items()}}
    if isinstance(value, (list, tuple)):
        return [described(v) for v in value]
    return value


def rebuilt(about: Any) -> Any:
    if isinstance(about, dict):
        ((name, config),) = about.items()
        return getattr(xpnet.layers, name)(**{k: rebuilt(v) for k, v in config.items()})
    return [rebuilt(v) for v in about] if isinstance(about, list) else about


def test_config_rebuilds_an_equal_layer(row):
    layer = built(row)
    about = json.loads(json.dumps(described(layer)))
    again = rebuilt(about)
    if not again._built:
        again.build(row.shape, Stream(0, "3"), "float64")
    assert type(again) is type(layer)
    assert json.loads(json.dumps(described(again))) == about
    assert list(again.params) == list(layer.params)
    for name, array in layer.params.items():
        again.params[name] = array
    for train in (True, False):
        if train and isinstance(layer, Dropout):
            continue
        y = layer.forward(inputs(row), train=train)
        np.testing.assert_array_equal(again.forward(inputs(row), train=train), y)


def test_repr_names_the_class_and_its_shapes(row):
    layer = built(row)
    assert repr(row.make()).startswith(type(layer).__name__)
    assert f"{layer.input_shape} -> {layer.output_shape}" in repr(layer)


def test_costs_are_whole_numbers_and_a_container_adds_up_its_parts(row):
    layer = built(row)
    costs = layer.flops(), layer.cache_bytes()
    assert all(isinstance(cost, int) and cost >= 0 for cost in costs)
    parts = [leaf for _, leaf in layer.walk()]
    if parts != [layer]:
        extra = np.prod(layer.output_shape) if isinstance(layer, Residual) else 0
        assert layer.flops() == sum(leaf.flops() for leaf in parts) + extra > 0
        assert layer.cache_bytes() == sum(leaf.cache_bytes() for leaf in parts) > 0


def test_an_empty_batch_goes_through_and_back(row, xp):
    layer = built(row, xp=xp)
    x = inputs(row, n=0, place=xp.array)
    assert tuple(layer.forward(x).shape) == (0, *layer.output_shape)
    if any(isinstance(part, BatchNorm) for part in parts(layer)):
        return
    y = layer.forward(x, train=True)
    dx = layer.backward(like(y, xp.array), need_dx=True)
    assert [tuple(d.shape) for d in each(dx)] == [tuple(a.shape) for a in each(x)]
    for gradient in layer.grads.values():
        assert not to_numpy(gradient).any()


def test_a_network_of_it_moves_to_a_device_and_back_unchanged(row, xp):
    net = Sequential([row.make()], input_shape=row.shape, dtype="float64")
    before = {name: np.array(array) for name, array in [*net.params.items(), *net.state.items()]}
    assert net.to(xp.device) is net
    assert net.device == xp.device
    for array in [*net.params.values(), *net.grads.values(), *net.state.values()]:
        assert device_of(array) == xp.device
    net.to("cpu")
    for name, array in [*net.params.items(), *net.state.items()]:
        np.testing.assert_array_equal(array, before[name])
