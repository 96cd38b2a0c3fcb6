"""Initial weights: their spread, and that every library and dtype draws the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conftest import Backend, assert_close
from xpnet import initializers
from xpnet.initializers import (
    bias_initializer,
    constant,
    glorot_uniform,
    he,
    initializer,
    normal,
    uniform,
    weight_initializer,
    xavier,
    zeros,
)
from xpnet.layers import Conv2d, Linear, Sequential
from xpnet.random import Stream

STREAM = Stream(0, "0.W")


@pytest.mark.parametrize(
    ("rule", "std"),
    [
        (he, math.sqrt(2 / 400)),
        (xavier, math.sqrt(1 / 400)),
        (glorot_uniform, math.sqrt(2 / (400 + 300))),
        (normal(0.01), 0.01),
        (uniform(-2, 1), 3 / math.sqrt(12)),
        (initializer("he"), math.sqrt(2 / 400)),
        (initializer("xavier"), math.sqrt(1 / 400)),
        (initializer("glorot_uniform"), math.sqrt(2 / 700)),
        (initializer(0.05), 0.05),
        (initializer(2), 2),
    ],
)
def test_rules_have_their_standard_deviation(rule, std):
    values = rule(STREAM, (400, 300), 400, 300)
    assert values.shape == (400, 300)
    assert values.std() == pytest.approx(std, rel=0.01)


@pytest.mark.parametrize(
    ("rule", "low", "high"),
    [
        (glorot_uniform, -math.sqrt(6 / 700), math.sqrt(6 / 700)),
        (uniform(-2, 1), -2, 1),
        (uniform(3, 4), 3, 4),
    ],
)
def test_even_rules_fill_their_bounds_and_stay_within(rule, low, high):
    values = rule(STREAM, (400, 300), 400, 300)
    assert low <= values.min() < low + (high - low) / 1000
    assert high > values.max() > high - (high - low) / 1000


@pytest.mark.parametrize(
    ("rule", "value"),
    [(zeros, 0), (initializer("zeros"), 0), (constant(0.3), 0.3), (initializer(0), 0)],
)
def test_constant_rules_set_every_number(rule, value):
    np.testing.assert_array_equal(rule(STREAM, (3, 2), 3, 2), np.full((3, 2), value))


def test_a_bias_number_is_a_value_and_a_weight_number_a_deviation():
    assert (bias_initializer("b", 0.5)(STREAM, (100,), 9, 100) == 0.5).all()
    assert weight_initializer("W", 0.5)(STREAM, (100,), 9, 100).std() == pytest.approx(0.5, rel=0.3)
    assert bias_initializer("b", "zeros") == initializer(zeros)
    assert bias_initializer("b", he) == initializer(he) == initializer("he")


def test_a_rule_of_ones_own_is_called_with_stream_shape_and_fans():
    seen = []

    def rule(stream, shape, fan_in, fan_out):
        seen.append((stream, shape, fan_in, fan_out))
        return np.ones(shape)

    Sequential([Conv2d(4, 3, init=rule), Linear(5, init=rule)], input_shape=(2, 8, 8), seed=9)
    assert seen == [
        (Stream(9, "0.W"), (4, 2, 3, 3), 18, 36),
        (Stream(9, "1.W"), (144, 5), 144, 5),
    ]


@pytest.mark.parametrize("init", ["he", "xavier", "glorot_uniform", 0.01])
def test_float32_networks_draw_the_numbers_of_float64_ones_rounded(xp: Backend, init):
    double, single = (
        Sequential([Linear(30, init=init)], input_shape=(20,), dtype=dtype).to(xp.device)
        for dtype in ("float64", "float32")
    )
    exact = initializer(init)(Stream(0, "0.W"), (20, 30), 20, 30)
    assert_close(double.params["0.W"], exact, rtol=0)
    assert_close(single.params["0.W"], exact.astype("float32"), rtol=0)


def test_he_keeps_the_size_of_rectified_signals():
    signal = Stream(0, "x").normal((500, 400))
    for k in range(6):
        signal = np.maximum(signal @ he(Stream(0, str(k)), (400, 400), 400, 400), 0)
    assert (signal**2).mean() == pytest.approx(1, rel=0.5)


@pytest.mark.parametrize("init", ["He", "", "kaiming"])
def test_an_unknown_name_raises_and_lists_the_known(init):
    with pytest.raises(
        ValueError, match="init: expected 'glorot_uniform', 'he', 'xavier' or 'zeros', got"
    ):
        initializer(init)


@pytest.mark.parametrize("init", [-1, -0.1, math.nan, math.inf, None, True, [0.1], 1j])
def test_what_is_no_rule_raises(init):
    sentence = "init: expected a name, a standard deviation or a function, got"
    with pytest.raises(ValueError, match=sentence):
        initializer(init)
    with pytest.raises(ValueError, match=sentence):
        Linear(3, init=init)


@pytest.mark.parametrize("init", [math.nan, math.inf, None, True, [0.1], 1j, "He"])
def test_what_is_no_bias_raises(init):
    with pytest.raises(ValueError, match=r"^bias_init: expected"):
        Linear(3, bias_init=init)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: normal(-1), "std: expected a number >= 0, got -1"),
        (lambda: uniform(0, math.inf), "high: expected a finite number, got inf"),
        (lambda: constant("1"), "value: expected a finite number, got '1'"),
    ],
)
def test_rules_check_their_numbers(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_rules_are_values():
    assert normal(np.float32(0.5)) == normal(0.5)
    assert normal(0.5) != normal(0.4)
    assert repr(uniform(-1, 1)) == "uniform(low=-1.0, high=1.0)"
    assert repr(Linear(3, init=0.1)) == "Linear(units=3, bias=True, init=0.1, bias_init=0.0)"
    assert "init=normal(std=0.1), bias_init='zeros'" in repr(Linear(3, True, normal(0.1), zeros))


def test_an_init_may_be_changed_before_the_layer_is_built():
    layer = Linear(50, init="he")
    layer.init = 2.0
    Sequential([layer], input_shape=(40,))
    assert np.std(layer.params["W"]) == pytest.approx(2, rel=0.1)
    with pytest.raises(ValueError, match="init: expected"):
        layer.init = "He"


def test_what_is_saved_is_a_name_or_a_number():
    given = ("he", 0.1, he, glorot_uniform, zeros, normal(0.1), lambda *_: 0.0)
    assert [initializer(init).recorded for init in given] == [
        "he", 0.1, "he", "glorot_uniform", "zeros", "zeros", "zeros",
    ]  # fmt: skip
    assert set(initializers.__all__) >= {"he", "xavier", "glorot_uniform", "normal", "uniform"}
