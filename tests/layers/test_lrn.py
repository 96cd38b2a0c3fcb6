"""Local response normalisation against a naive loop, PyTorch and differences."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import HAS_TORCH, Backend, assert_close
from xpnet import gradient_check
from xpnet.layers import LocalResponseNorm
from xpnet.random import Stream


def built(c: int, dtype: str = "float64", **arguments: float) -> LocalResponseNorm:
    layer = LocalResponseNorm(**arguments)
    layer.build((c, 3, 4), Stream(0, "0"), dtype)
    return layer


def images(c: int, dtype: str = "float64") -> np.ndarray:
    return (3 * Stream(0, "x").normal((2, c, 3, 4))).astype(dtype)


def naive(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    y = np.empty_like(x)
    c = x.shape[1]
    for i in range(c):
        window = x[:, max(0, i - size // 2) : min(c, i + size // 2 + 1)]
        y[:, i] = x[:, i] / (k + alpha * (window**2).sum(axis=1)) ** beta
    return y


@pytest.mark.parametrize("c", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0},
        {"size": 3, "alpha": 0.3, "beta": 0.5, "k": 1.0},
        {"size": 1, "alpha": 0.1, "beta": 1.0, "k": 0.5},
    ],
)
def test_the_paper_s_formula(xp: Backend, c: int, arguments: dict[str, float]) -> None:
    layer = built(c, **arguments)
    assert_close(layer.forward(xp.array(images(c))), naive(images(c), **arguments), rtol=1e-12)


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_backward_agrees_with_differences(xp: Backend, beta: float) -> None:
    layer = built(7, size=5, alpha=0.2, beta=beta)
    errors = gradient_check(layer, xp.array(images(7)))
    assert set(errors) == {"x"}
    assert max(errors.values()) < 1e-7


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("size", [3, 5])
def test_pytorch_with_its_alpha(size: int) -> None:
    import torch

    layer = built(8, size=size, alpha=0.1)
    x = images(8)
    y = layer.forward(x, train=True)
    dy = Stream(0, "dy").normal(y.shape)
    dx = layer.backward(dy)
    theirs = torch.tensor(x, requires_grad=True)
    # PyTorch multiplies the mean by alpha where the paper multiplies the sum.
    expected = torch.nn.LocalResponseNorm(size, alpha=0.1 * size, beta=0.75, k=2.0)(theirs)
    expected.backward(torch.tensor(dy))
    assert_close(y, expected.detach().numpy(), rtol=1e-12)
    assert_close(dx, theirs.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_float32_stays_and_arguments_are_left_alone(xp: Backend) -> None:
    layer = built(6, "float32")
    x = xp.array(images(6, "float32"))
    y = layer.forward(x, train=True)
    assert_close(x, images(6, "float32"), rtol=0)
    dy = xp.array(np.ones(y.shape, "float32"))
    dx = layer.backward(dy)
    assert_close(dy, np.ones(y.shape, "float32"), rtol=0)
    assert_close(dx, np.asarray(naive(images(6), 5, 1e-4, 0.75, 2) / images(6), "f4"), rtol=1e-2)


def test_a_second_backward_and_inference_keep_nothing() -> None:
    layer = built(4)
    layer.forward(images(4))
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        layer.backward(images(4))
    layer.forward(images(4), train=True)
    assert layer.backward(images(4), need_dx=False) is None
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        layer.backward(images(4))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"size": 4}, "odd number of channels, got 4"),
        ({"size": 0}, "size: expected a whole number >= 1, got 0"),
        ({"alpha": -1.0}, "alpha: expected a number >= 0, got -1.0"),
        ({"k": 0.0}, "k: expected a number above 0, got 0.0"),
        ({"beta": float("nan")}, "beta: expected a finite number, got nan"),
    ],
)
def test_bad_arguments_are_said(arguments: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LocalResponseNorm(**arguments)


def test_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="expected images"):
        LocalResponseNorm().build((10,), Stream(0, "3"), "float32")
