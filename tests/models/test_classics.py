"""LeNet-5 and AlexNet: shapes, parameters, gradients, saving and bad input."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet import models
from xpnet.random import Stream


def count(net: xpnet.Sequential) -> int:
    return sum(math.prod(array.shape) for array in net.params.values())


def test_lenet_5_has_the_paper_s_shapes() -> None:
    net = models.lenet5()
    shapes = [layer.output_shape for layer in net.layers]
    for shape in ((6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (84,), (10,)):
        assert shape in shapes
    convolutions = 6 * 26 + 16 * (6 * 25 + 1) + 120 * (16 * 25 + 1)
    assert count(net) == convolutions + 84 * 121 + 10 * 85


def test_lenet_5_takes_images_of_32() -> None:
    assert models.lenet5(input_shape=(3, 32, 32)).output_shape == (10,)


@pytest.mark.parametrize("shape", [(1, 33, 33), (1, 27, 27), (1, 28, 30), (784,)])
def test_lenet_5_says_what_it_cannot_frame(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="even h of at most 32"):
        models.lenet5(input_shape=shape)


def alexnet_parameters(c: int, side: int, classes: int, width: float) -> int:
    """Return the parameters counted by hand from the widths."""
    f = [round(n * width) for n in (96, 256, 384, 384, 256, 4096, 4096)]
    stem = 11 if side == 227 else 3
    last = 6 if side == 227 else 2
    total = f[0] * (c * stem * stem + 1) + f[1] * (f[0] * 25 + 1)
    total += sum(f[i] * (f[i - 1] * 9 + 1) for i in (2, 3, 4))
    total += f[5] * (f[4] * last * last + 1) + f[6] * (f[5] + 1)
    return total + classes * (f[6] + 1)


def test_alexnet_has_the_paper_s_shapes() -> None:
    assert alexnet_parameters(3, 227, 1000, 1.0) == 62_378_344  # published for the uncut network
    net = models.alexnet(width=0.125)
    shapes = [layer.output_shape[1:] for layer in net.layers]
    for side in (55, 27, 13, 6):
        assert (side, side) in shapes
    assert net.output_shape == (1000,)
    assert count(net) == alexnet_parameters(3, 227, 1000, 0.125)


def test_small_alexnet_is_a_quarter_as_wide() -> None:
    assert count(models.small_alexnet()) == alexnet_parameters(1, 28, 10, 0.25)


@pytest.mark.parametrize("make_net", [models.lenet5, models.small_alexnet])
def test_backward_agrees_with_differences(make_net: object) -> None:
    options = {"width": 1 / 32, "dropout": 0.0} if make_net is models.small_alexnet else {}
    net = make_net(dtype="float64", **options)  # type: ignore[operator]
    x = Stream(0, "x").uniform((3, 1, 28, 28), 0, 255)
    errors = xpnet.gradient_check(net, x, xpnet.SoftmaxCrossEntropy(), np.array([1, 0, 7]), h=1e-5)
    errors.pop("x")  # what lies below the first weights is the same as in every network
    assert sorted(errors.values())[len(errors) // 2] < 1e-6  # a kink may spoil one
    assert max(errors.values()) < 1e-2


@pytest.mark.parametrize("name", ["lenet-5", "alexnet"])
def test_they_are_offered_by_name_and_saved(name: str, tmp_path: Path) -> None:
    net = models.BY_NAME[name](input_shape=(1, 28, 28), classes=10, seed=1, dtype="float32")
    x = np.zeros((2, 1, 28, 28), np.uint8)
    net.save(tmp_path / "net.safetensors")
    again = xpnet.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


@pytest.mark.parametrize("width", [0.0, -1.0, 0.001, float("nan")])
def test_a_width_that_leaves_nothing_is_said(width: float) -> None:
    with pytest.raises(ValueError, match="width"):
        models.small_alexnet(width=width)


def test_images_too_small_are_said() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        models.alexnet(input_shape=(3, 28, 28), width=0.05)
