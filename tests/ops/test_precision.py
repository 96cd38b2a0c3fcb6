"""Products of narrowed operands: the rounding, the products, and networks that use them."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import xpnet
from tests.conftest import Backend, assert_close
from xpnet.arrays import dtype_name, to_numpy
from xpnet.data import Dataset
from xpnet.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Rescale, Sequential
from xpnet.ops import conv, linear
from xpnet.ops.precision import PRECISIONS, as_operand, narrow_into, narrowed, rounded

NARROW = PRECISIONS[1:]


def by_bits(a: np.ndarray, precision: str) -> np.ndarray:
    """Round by the bits of the numbers, or by the processor: another way than the library's."""
    if precision == "fp16":
        with np.errstate(over="ignore"):
            return a.astype(np.float16).astype(np.float32)
    gone = {"tf32": 13, "bf16": 16}[precision]
    bits = a.view(np.uint32).astype(np.uint64)
    bits += (1 << (gone - 1)) - 1 + (bits >> gone & 1)
    return ((bits >> gone << gone).astype(np.uint32)).view(np.float32)


def numbers() -> np.ndarray:
    rng = np.random.default_rng(0)
    sizes = 2.0 ** rng.uniform(-30, 20, 500)
    edges = [0.0, 1.0, -1.0, 65504.0, 65519.0, -65519.9, 1e5, -1e5, 2.0**-14, 2.0**-24, 6e-8, 1e-9]
    return np.array([*edges, *rng.normal(size=500) * sizes], np.float32)


@pytest.mark.parametrize("precision", NARROW)
class TestRounding:
    def test_it_is_to_the_nearest(self, xp: Backend, precision):
        a = numbers()
        made = to_numpy(rounded(xp.array(a), precision))
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, by_bits(a, precision))

    def test_what_is_no_number_or_endless_stays(self, xp: Backend, precision):
        a = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32)
        with np.errstate(all="ignore"):
            made = to_numpy(rounded(xp.array(a), precision))
        assert np.isnan(made[0])
        np.testing.assert_array_equal(made[1:3], a[1:3])
        np.testing.assert_allclose(made[3:], a[3:] * (np.inf if precision == "fp16" else 1), 0.01)

    def test_twice_is_as_once(self, xp: Backend, precision):
        once = rounded(xp.array(numbers()), precision)
        np.testing.assert_array_equal(to_numpy(rounded(once, precision)), to_numpy(once))

    def test_a_narrow_form_holds_the_same_numbers(self, xp: Backend, precision):
        a = xp.array(numbers())
        expected = to_numpy(rounded(a, precision))
        form = narrowed(a, precision)
        np.testing.assert_array_equal(to_numpy(rounded(form, precision)), expected)
        if xp.name != "numpy-readonly":
            narrow_into(a * 0.0, form, precision)
            narrow_into(a, form, precision)
            np.testing.assert_array_equal(to_numpy(rounded(form, precision)), expected)


def test_float32_leaves_operands_as_they_are():
    a = np.ones(3)
    assert as_operand(a, "float32") is a


def tolerance(xp: Backend, precision: str) -> dict[str, float]:
    """Return how close products are: a GPU's TF32 units may cut digits off instead of rounding."""
    cuts = xp.name == "cupy" and precision == "tf32"
    return {"rtol": 2e-3, "atol": 2e-2} if cuts else {"rtol": 1e-4, "atol": 1e-5}


def draw(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("precision", NARROW)
def test_linear_multiplies_rounded_numbers(xp: Backend, precision):
    close = tolerance(xp, precision)
    x, W, b, dy = draw(7, 5, seed=0), draw(5, 4, seed=1), draw(4, seed=2), draw(7, 4, seed=3)
    dW, db = xp.device.zeros((5, 4), "float32"), xp.device.zeros(4, "float32")
    near_x, near_W, near_dy = (by_bits(a, precision).astype(float) for a in (x, W, dy))
    y, kept = linear.linear(xp.array(x), xp.array(W), xp.array(b), precision=precision)
    assert_close(y, (near_x @ near_W + b).astype("float32"), **close)
    dx = linear.linear_backward(
        xp.array(dy), kept, xp.array(W), dW, db, need_dx=True, precision=precision
    )
    assert_close(dx, (near_dy @ near_W.T).astype("float32"), **close)
    assert_close(dW, (near_x.T @ near_dy).astype("float32"), **close)
    assert_close(db, dy.sum(axis=0), rtol=1e-5, atol=1e-6)  # a sum is no product


@pytest.mark.parametrize("precision", NARROW)
def test_convolution_multiplies_rounded_numbers(xp: Backend, precision):
    close = tolerance(xp, precision)
    x, W = draw(2, 3, 5, 5, seed=0), draw(4, 3, 3, 3, seed=1)
    near = by_bits(x, precision), by_bits(W, precision)
    move = {"stride": 1, "pad": 1}
    y, kept = conv.conv2d(xp.array(x), xp.array(W), None, **move, precision=precision)
    expected, plain = conv.conv2d(*near, None, **move)
    assert_close(y, expected, **close)
    dy = draw(*expected.shape, seed=2)
    dW, dW_near = xp.device.zeros(W.shape, "float32"), np.empty_like(W)
    how = move | {"need_dx": True}
    dx = conv.conv2d_backward(xp.array(dy), kept, xp.array(W), dW, None, **how, precision=precision)
    dx_near = conv.conv2d_backward(by_bits(dy, precision), plain, near[1], dW_near, None, **how)
    assert_close(dx, dx_near, **close)
    assert_close(dW, dW_near, **close)


def network(where="cpu", precision=None, dtype="float32"):
    layers = [
        Rescale(1 / 255), Conv2d(4, 3), ReLU(), MaxPool2d(2), Conv2d(4, 2), Flatten(), Linear(8),
        ReLU(), Linear(3),
    ]  # fmt: skip
    net = Sequential(layers, input_shape=(1, 8, 8), seed=2, dtype=dtype)
    return net.to(where, precision=precision)


def images():
    rng = np.random.default_rng(0)
    t = rng.integers(0, 3, 90)
    x = rng.integers(0, 64, (90, 1, 8, 8)) + 60 * t[:, None, None, None]
    return Dataset(x.astype(np.uint8), t, classes=3)


def trained(net, **options):
    made = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam(0.01), **options)
    made.fit(images(), 4, 10)
    return made


class TestNetworks:
    @pytest.mark.parametrize("precision", NARROW)
    def test_parameters_stay_masters_in_float32(self, xp: Backend, precision):
        if not xp.name.startswith(("numpy", "cupy", "torch")):
            pytest.skip("a network moves to devices that have a name")
        net = network(xp.device, precision)
        trained(net)
        for arrays in (net.params, net.grads):
            assert {dtype_name(a) for a in arrays.values()} == {"float32"}
        values = to_numpy(net.params["6.W"])
        assert (values != by_bits(values, precision)).mean() > 0.5

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_the_narrow_copy_is_one_array_renewed_by_forward(self, precision):
        net = network(precision=precision)
        assert net._narrow.shape == net.params.flat.shape
        net.params["6.W"] = np.full(net.params["6.W"].shape, 1 / 3, "float32")
        net.forward(images().x[:2])
        near = net[6].own.operands["W"]
        assert (near == by_bits(np.float32([1 / 3]), precision)).all()
        assert near.base is not None
        assert (net.params["6.W"] == np.float32(1 / 3)).all()

    def test_steps_too_small_for_bfloat16_add_up_in_the_masters(self):
        net = Sequential([Linear(1, bias=False)], input_shape=(1,)).to("cpu", precision="bf16")
        net.params["0.W"] = np.ones((1, 1), "float32")
        for _ in range(100):
            net.grads["0.W"] = np.full((1, 1), -1e-4, "float32")
            xpnet.SGD(1.0).update(net.params, net.grads)
        assert net.params["0.W"] == pytest.approx(1.01, abs=1e-4)
        assert net.forward(np.ones((1, 1), "float32")) == 1.0078125

    @pytest.mark.parametrize("precision", NARROW)
    def test_it_learns_as_well(self, precision):
        near, plain = trained(network(precision=precision)), trained(network())
        ours, theirs = near.history["train_loss"], plain.history["train_loss"]
        assert ours != theirs
        np.testing.assert_allclose(ours, theirs, rtol=0.15)

    @pytest.mark.parametrize("precision", NARROW)
    def test_it_goes_along_with_moves_and_copies_and_ends_with_float32(self, precision):
        net = network(precision=precision)
        x = images().x[:5]
        expected = net.predict(x)
        assert (copy.deepcopy(net).predict(x) == expected).all()
        assert (net.to("cpu").predict(x) == expected).all()
        plain = network().predict(x)
        assert (plain != expected).any()
        assert (net.to("cpu", precision="float32").predict(x) == plain).all()

    @pytest.mark.gpu
    @pytest.mark.parametrize("precision", NARROW)
    def test_a_gpu_rounds_alike_and_replays_alike(self, precision):
        cpu = trained(network(precision=precision))
        runs = [trained(network("gpu", precision), graph=graph) for graph in ("on", "off")]
        for run in runs:
            ours = np.array(run.history["train_loss"])
            np.testing.assert_allclose(ours, cpu.history["train_loss"], rtol=2e-2)
        for name, values in runs[0].net.params.items():
            np.testing.assert_array_equal(to_numpy(values), to_numpy(runs[1].net.params[name]))

    def test_a_wrong_word(self):
        with pytest.raises(
            ValueError, match=r"precision: expected 'float32', .*'fp16', got 'half'"
        ):
            network(precision="half")

    def test_another_dtype(self):
        with pytest.raises(
            ValueError, match="'bf16' is of float32 numbers, the network is of floa"
        ):
            network(precision="bf16", dtype="float64")
