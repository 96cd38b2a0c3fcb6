"""Sums and products of several inputs; the price of two apples."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.devices import device_of
from xpnet.layers import Add, Linear, Multiply, Sequential
from xpnet.random import Stream


def built(layer, count=2, shape=(1,), dtype="float64"):
    layer.build((shape,) * count, Stream(0, "0"), dtype)
    return layer


def test_two_apples_at_100_with_a_tax_of_a_tenth_cost_220(xp):
    price_of_apples, with_tax = built(Multiply()), built(Multiply())
    price, count, tax = (xp.array([[value]]) for value in (100.0, 2.0, 1.1))
    apples = price_of_apples.forward((price, count), train=True)
    total = with_tax.forward((apples, tax), train=True)
    assert_close(total, [[220.0]], rtol=1e-15)
    d_apples, d_tax = with_tax.backward(xp.array([[1.0]]))
    d_price, d_count = price_of_apples.backward(d_apples)
    for gradient, expected in ((d_price, 2.2), (d_count, 110.0), (d_tax, 200.0)):
        assert_close(gradient, [[expected]], rtol=1e-15)
        assert device_of(gradient) == xp.device


def test_apples_and_oranges_together_cost_715(xp):
    apples, oranges, total = built(Multiply()), built(Multiply()), built(Add())
    with_tax = built(Multiply())

    def one(value):
        return xp.array([[value]])

    x = apples.forward((one(100.0), one(2.0)), train=True)
    y = oranges.forward((one(150.0), one(3.0)), train=True)
    all_fruit = total.forward((x, y), train=True)
    assert_close(with_tax.forward((all_fruit, one(1.1)), train=True), [[715.0]], rtol=1e-15)
    d_fruit, d_tax = with_tax.backward(one(1.0))
    d_apples, d_oranges = total.backward(d_fruit)
    found = [*apples.backward(d_apples), *oranges.backward(d_oranges), d_tax]
    for gradient, expected in zip(found, (2.2, 110.0, 3.3, 165.0, 650.0), strict=True):
        assert_close(gradient, [[expected]], rtol=1e-14)


@pytest.mark.parametrize("of", [Add, Multiply])
def test_a_network_may_begin_with_a_tuple(of):
    net = Sequential([of(), Linear(2)], input_shape=((3,), (3,)), dtype="float64")
    a, b = np.random.default_rng(0).normal(size=(2, 4, 3))
    y = net.forward((a, b), train=True)
    both = a + b if of is Add else a * b
    assert_close(y, both @ net.params["1.W"], rtol=1e-12)
    da, db = net.backward(y, need_dx=True)
    back = y @ net.params["1.W"].T
    assert_close(da, back if of is Add else back * b, rtol=1e-12)
    assert_close(db, back if of is Add else back * a, rtol=1e-12)


@pytest.mark.parametrize("shape", [((3,),), ((3,), (4,)), (3,), (3, 3), ((3,), 3)], ids=str)
@pytest.mark.parametrize("of", [Add, Multiply])
def test_shapes_that_are_not_two_or_more_equal_ones_are_refused(of, shape):
    sentence = f'{of.__name__} "0": expected a tuple of two or more equal shapes'
    with pytest.raises(ValueError, match=sentence):
        of().build(shape, Stream(0, "0"))


@pytest.mark.parametrize(
    ("x", "error", "sentence"),
    [
        (np.ones((2, 1)), TypeError, "expected a tuple of 2 arrays, got ndarray"),
        ((np.ones((2, 1)),) * 3, TypeError, "expected a tuple of 2 arrays, got 3"),
        ((np.ones((2, 1)), np.ones((3, 1))), ValueError, r"one shape \(n, 1\), got \(2, 1\), \(3"),
        ((np.ones((2, 4)), np.ones((2, 4))), ValueError, r"one shape \(n, 1\), got \(2, 4\)"),
        ((np.ones((2, 1)), 3.0), TypeError, "expected a tuple of 2 arrays, got float in it"),
    ],
)
@pytest.mark.parametrize("of", [Add, Multiply])
def test_what_does_not_fit_is_refused_by_name(of, x, error, sentence):
    with pytest.raises(error, match=f'{of.__name__} "0": .*{sentence}'):
        built(of()).forward(x)


def test_arrays_of_two_libraries_are_refused_by_name(xp):
    if xp.device.library == "numpy":
        pytest.skip("one library")
    x = (np.ones((2, 1)), xp.array(np.ones((2, 1))))
    with pytest.raises(TypeError, match=f'Add "0": .*numpy and {xp.device.library}'):
        built(Add()).forward(x)
