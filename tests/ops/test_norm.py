"""Batch normalisation against the statistics module and numerical slopes."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from tests.conftest import HAS_TORCH, Backend, assert_close
from tests.parallel.threaded import on_ranks
from xpnet.arrays import dtype_name, to_numpy
from xpnet.devices import CPU, device_of
from xpnet.gradients import numerical_gradient
from xpnet.ops.norm import (
    batch_norm,
    batch_norm_backward,
    sync_batch_norm,
    sync_batch_norm_backward,
)

SHAPES = [(5, 3), (2, 1), (3, 2, 4, 5), (1, 2, 2, 1), (2, 3, 1, 1)]
EPS = 1e-5


def channels(x):
    return [np.moveaxis(x, 1, 0)[c].ravel().tolist() for c in range(x.shape[1])]


def normalised(x, gamma, beta):
    y = np.empty_like(x)
    for c, numbers in enumerate(channels(x)):
        mean, var = statistics.fmean(numbers), statistics.pvariance(numbers)
        y[:, c] = gamma[c] * (x[:, c] - mean) / math.sqrt(var + EPS) + beta[c]
    return y


@pytest.fixture(params=SHAPES, ids=str)
def numbers(request):
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, request.param)
    return x, rng.normal(size=x.shape[1]), rng.normal(size=x.shape[1]), rng.normal(size=x.shape)


def run(xp, x, gamma, beta, momentum=0.9):
    mean, var = xp.device.asarray(np.full(len(gamma), 4.0)), xp.device.asarray(0 * gamma + 2.0)
    y, kept = batch_norm(
        xp.array(x), xp.array(gamma), xp.array(beta), mean, var, momentum=momentum, eps=EPS
    )
    return y, kept, mean, var


def test_each_channel_is_normalised_by_its_own_statistics(xp, numbers):
    x, gamma, beta, _ = numbers
    y, *_ = run(xp, x, gamma, beta)
    assert_close(y, normalised(x, gamma, beta), rtol=1e-10, atol=1e-12)
    assert device_of(y) == xp.device


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_running_statistics_keep_their_share_and_take_the_unbiased_variance(xp, numbers, momentum):
    x, gamma, beta, _ = numbers
    _, _, mean, var = run(xp, x, gamma, beta, momentum)
    means = np.array([statistics.fmean(c) for c in channels(x)])
    variances = np.array([statistics.variance(c) for c in channels(x)])
    assert_close(mean, momentum * 4.0 + (1 - momentum) * means, rtol=1e-12)
    assert_close(var, momentum * 2.0 + (1 - momentum) * variances, rtol=1e-12)


@pytest.mark.parametrize("need_dx", [True, False], ids=["dx", "no-dx"])
def test_gradients_are_the_slopes(xp, numbers, need_dx):
    x, gamma, beta, dy = numbers
    _, kept, *_ = run(xp, x, gamma, beta)
    dgamma, dbeta = (xp.device.asarray(np.full(len(gamma), 7.0)) for _ in range(2))
    dx = batch_norm_backward(xp.array(dy), kept, xp.array(gamma), dgamma, dbeta, need_dx=need_dx)

    def slope(f, at):
        return numerical_gradient(lambda a: float((dy * f(a)).sum()), at, h=1e-5)

    close = {"rtol": 1e-6, "atol": 1e-8}
    assert_close(dgamma, slope(lambda a: normalised(x, a, beta), gamma), **close)
    assert_close(dbeta, slope(lambda a: normalised(x, gamma, a), beta), **close)
    if need_dx:
        assert_close(dx, slope(lambda a: normalised(a, gamma, beta), x), **close)
        assert device_of(dx) == xp.device
    else:
        assert dx is None


def test_a_channel_of_equal_numbers_becomes_beta(xp):
    x = np.full((4, 1), 3.0, "float32")
    one = np.ones(1, "float32")
    y, *_ = run(xp, x, one, 5 * one)
    assert_close(y, np.full((4, 1), 5.0, "float32"))


# A batch that lies in several shards


CUTS = [(5,), (2, 3), (3, 0, 2, 0), (1, 1, 3)]
"""The samples of each shard of a batch of five."""


def in_shards(xp, sizes, work):
    """Return what ``work(k, gather)`` comes to for each shard with samples, all at once."""
    filled = [k for k, n in enumerate(sizes) if n]

    def shard(processes):
        def gather(part):
            rows = np.zeros((len(sizes), *part.shape), dtype_name(part))
            rows[filled] = [to_numpy(own) for own in processes.exchange(part)]
            return xp.device.asarray(rows)

        return work(filled[processes.rank], gather)

    return on_ranks(len(filled), shard)


def synced(xp, sizes, x, dy, gamma, beta, need_dx=True):
    """Return what the shards of a batch come to: y, dx, mean, var, dgamma and dbeta of each."""
    ends = np.cumsum([0, *sizes])

    def work(k, gather):
        rows = slice(ends[k], ends[k + 1])
        mean, var = xp.device.asarray(0 * gamma + 4), xp.device.asarray(0 * gamma + 2)
        y, kept = sync_batch_norm(
            xp.array(x[rows]), xp.array(gamma), xp.array(beta), mean, var,
            momentum=0.9, eps=EPS, gather=gather,
        )  # fmt: skip
        dgamma, dbeta = xp.device.asarray(0 * gamma + 7), xp.device.asarray(0 * gamma + 7)
        dx = sync_batch_norm_backward(
            xp.array(dy[rows]), kept, xp.array(gamma), dgamma, dbeta,
            need_dx=need_dx, gather=gather,
        )  # fmt: skip
        return [y, dx, mean, var, dgamma, dbeta]

    return list(zip(*in_shards(xp, sizes, work), strict=True))


@pytest.fixture(params=[(5, 3), (5, 2, 4, 3)], ids=str)
def batch(request):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(2.0, 3.0, (2, *request.param))
    return x, dy, *rng.normal(size=(2, x.shape[1]))


@pytest.mark.parametrize("sizes", CUTS, ids=str)
def test_shards_are_normalised_by_the_statistics_of_the_whole_batch(xp, batch, sizes):
    x, dy, gamma, beta = batch
    y, dx, mean, var, dgamma, dbeta = synced(xp, sizes, x, dy, gamma, beta)
    assert_close(np.concatenate([*map(to_numpy, y)]), normalised(x, gamma, beta), rtol=1e-10)
    means = [statistics.fmean(c) for c in channels(x)]
    variances = [statistics.variance(c) for c in channels(x)]
    for own_mean, own_var in zip(mean, var, strict=True):
        assert_close(own_mean, 0.9 * 4 + 0.1 * np.array(means), rtol=1e-12)
        assert_close(own_var, 0.9 * 2 + 0.1 * np.array(variances), rtol=1e-12)

    def slope(f, at):
        return numerical_gradient(lambda a: float((dy * f(a)).sum()), at, h=1e-5)

    close = {"rtol": 1e-6, "atol": 1e-8}
    assert_close(
        sum(map(to_numpy, dgamma)), slope(lambda a: normalised(x, a, beta), gamma), **close
    )
    assert_close(sum(map(to_numpy, dbeta)), slope(lambda a: normalised(x, gamma, a), beta), **close)
    found = np.concatenate([*map(to_numpy, dx)])
    assert_close(found, slope(lambda a: normalised(a, gamma, beta), x), **close)
    assert all(device_of(a) == xp.device for a in (*y, *dx))


def test_shards_exchange_nothing_on_the_way_back_where_no_dx_is_needed(xp, batch):
    x, dy, gamma, beta = batch
    _, dx, *_, dgamma, dbeta = synced(xp, (2, 3), x, dy, gamma, beta, need_dx=False)
    assert dx == (None, None)
    *_, whole_dgamma, whole_dbeta = synced(xp, (5,), x, dy, gamma, beta)
    assert_close(sum(map(to_numpy, dgamma)), to_numpy(whole_dgamma[0]), rtol=1e-10)
    assert_close(sum(map(to_numpy, dbeta)), to_numpy(whole_dbeta[0]), rtol=1e-10)


def test_shards_far_from_zero_and_from_one_another_keep_their_digits(xp):
    """A sum of squares in float32 would have none left."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(64, 3)) + [1e4, -3e4, 0] + 5 * (np.arange(64) < 32)[:, None]).astype("f4")
    one = np.ones(3, "float32")
    y, *_ = synced(xp, (16, 16, 16, 16), x, x, one, 0 * one)
    exact = x.astype("float64")
    exact = (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + EPS)
    found = np.concatenate([*map(to_numpy, y)])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=2e-3)


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_torch_agrees_with_shards_on_a_whole_batch(batch):
    import torch

    x, dy, gamma, beta = batch
    kind = torch.nn.BatchNorm1d if x.ndim == 2 else torch.nn.BatchNorm2d
    other = kind(len(gamma), momentum=0.1, eps=EPS).double()
    with torch.no_grad():
        for own, values in zip(other.parameters(), (gamma, beta), strict=True):
            own.copy_(torch.tensor(values))
        other.running_mean.fill_(4.0)
        other.running_var.fill_(2.0)
    given = torch.tensor(x, requires_grad=True)
    scored = other(given)
    scored.backward(torch.tensor(dy))
    numpy = Backend("numpy", CPU)
    y, dx, mean, var, dgamma, dbeta = synced(numpy, (2, 0, 3), x, dy, gamma, beta)
    close = {"rtol": 1e-10, "atol": 1e-12}
    assert_close(np.concatenate(y), scored.detach().numpy(), **close)
    assert_close(np.concatenate(dx), given.grad.numpy(), **close)
    assert_close(mean[1], other.running_mean.numpy(), **close)
    assert_close(var[1], other.running_var.numpy(), **close)
    assert_close(sum(dgamma), other.weight.grad.numpy(), **close)
    assert_close(sum(dbeta), other.bias.grad.numpy(), **close)
