"""The batch normalisation layer: what it learns, what it remembers, what it refuses."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

import xpnet
from tests.conftest import HAS_TORCH, assert_close
from xpnet.layers import BatchNorm, Sequential


def network(shape, xp=None, **kwargs):
    net = Sequential([BatchNorm(**kwargs)], input_shape=shape, dtype="float64")
    return net if xp is None else net.to(xp.device)


def batches(shape, count=3):
    rng = np.random.default_rng(0)
    return [rng.normal(i, 1 + i, (5, *shape)) for i in range(count)]


def test_at_first_it_scales_by_one_and_shifts_by_zero():
    net = network((3,))
    np.testing.assert_array_equal(net.params["0.gamma"], np.ones(3))
    np.testing.assert_array_equal(net.params["0.beta"], np.zeros(3))
    np.testing.assert_array_equal(net.state["0.mean"], np.zeros(3))
    np.testing.assert_array_equal(net.state["0.var"], np.ones(3))
    assert net.params.decayed == 0


@pytest.mark.parametrize("shape", [(3,), (2, 4, 3)], ids=str)
def test_running_statistics_are_moving_averages_of_mean_and_unbiased_variance(xp, shape):
    net = network(shape, xp, momentum=0.8)
    mean, var = np.zeros(shape[0]), np.ones(shape[0])
    axes = (0, 2, 3)[: len(shape)]
    for x in batches(shape):
        net.forward(xp.array(x), train=True)
        mean = 0.8 * mean + 0.2 * x.mean(axis=axes)
        var = 0.8 * var + 0.2 * x.var(axis=axes, ddof=1)
    assert_close(net.state["0.mean"], mean, rtol=1e-12, atol=1e-14)
    assert_close(net.state["0.var"], var, rtol=1e-12)


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("shape", [(3,), (2, 4, 3)], ids=str)
def test_torch_agrees_after_several_batches(shape):
    import torch

    kind = torch.nn.BatchNorm1d if len(shape) == 1 else torch.nn.BatchNorm2d
    other, net = kind(shape[0], momentum=0.1).double(), network(shape)
    for x in batches(shape):
        y = net.forward(x, train=True)
        assert_close(y, other(torch.tensor(x)).detach().numpy(), rtol=1e-10, atol=1e-12)
    assert_close(net.state["0.mean"], other.running_mean.numpy(), rtol=1e-12, atol=1e-14)
    assert_close(net.state["0.var"], other.running_var.numpy(), rtol=1e-12)
    other.eval()
    scored = other(torch.tensor(x)).detach().numpy()
    assert_close(net.forward(x), scored, rtol=1e-10, atol=1e-12)


def test_inference_uses_the_running_statistics_and_leaves_them_alone(xp):
    net = network((2,), xp, eps=0.5)
    net.state["0.mean"] = [1.0, -2.0]
    net.state["0.var"] = [3.5, 0.5]
    net.params["0.gamma"] = [2.0, 3.0]
    net.params["0.beta"] = [10.0, 20.0]
    y = net.forward(xp.array([[3.0, -1.0]]))
    assert_close(y, [[10 + 2 * 2 / 2.0, 20 + 3 * 1.0 / 1.0]], rtol=1e-12)
    assert_close(net.state["0.mean"], [1.0, -2.0], rtol=0)
    assert_close(net.state["0.var"], [3.5, 0.5], rtol=0)


@pytest.mark.parametrize(("shape", "n"), [((3,), 1), ((3, 1, 1), 1), ((3,), 0), ((3, 2, 2), 0)])
def test_a_batch_with_one_number_a_channel_cannot_train(shape, n):
    net = network(shape)
    x = np.ones((n, *shape))
    sentence = (
        'BatchNorm "0": expected at least 2 numbers a channel in training, '
        f"got x of shape {x.shape}"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        net.forward(x, train=True)
    assert net.forward(x).shape == x.shape
    np.testing.assert_array_equal(net.state["0.mean"], np.zeros(3))


def test_one_image_of_several_pixels_can_train():
    y = network((1, 2, 1)).forward(np.array([[[[1.0], [3.0]]]]), train=True)
    assert_close(y, [[[[-1.0], [1.0]]]], rtol=1e-4)


def test_rows_of_words_are_refused():
    with pytest.raises(ValueError, match=r'BatchNorm "0": expected x of shape \(n, c\) or'):
        network((3, 4))


def test_whether_it_synchronises_is_an_argument_as_others_are(tmp_path):
    net = network((3,), sync=True)
    net.save(tmp_path / "net.safetensors")
    for one in (net, xpnet.load(tmp_path / "net.safetensors"), copy.deepcopy(net)):
        assert one[0].config() == {"momentum": 0.9, "eps": 1e-5, "sync": True}
        assert repr(one[0]).startswith("BatchNorm(momentum=0.9, eps=1e-05, sync=True)")
    assert BatchNorm().sync is False
    with pytest.raises(AttributeError, match=r"SyncBatchNorm.*write BatchNorm\(sync=True\)"):
        xpnet.layers.SyncBatchNorm  # noqa: B018 - what it is called elsewhere
