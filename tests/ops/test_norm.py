"""Batch normalisation against the statistics module and numerical slopes."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.devices import device_of
from xpnet.gradients import numerical_gradient
from xpnet.ops.norm import batch_norm, batch_norm_backward

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
