# ruff: noqa: NPY002
"""The benchmark's plain NumPy: that it computes what the book's programs do."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.bench import book, book_plain
from tests.book.straight_numpy import Straight

X = np.random.default_rng(0).normal(size=(6, 8))
T = np.array([2, 0, 1, 1, 2, 0])
IMAGES = np.random.default_rng(1).normal(size=(6, 2, 9, 9))
CONV = {"filter_num": 3, "filter_size": 2, "pad": 1, "stride": 1}

SIMPLE = [("conv", 1, 1, 1), ("relu", 1), ("pool", 1, 2, 2, 2), ("affine", 2), ("relu", 2),
          ("affine", 3)]  # fmt: skip
EXTENDED = [
    *(("affine", 1), ("bn", 1), ("sigmoid", 1), ("dropout", 1, 0.3)),
    *(("affine", 2), ("bn", 2), ("sigmoid", 2), ("dropout", 2, 0.3), ("affine", 3)),
]
NETS = {
    "two": (
        lambda: book_plain.TwoLayerNet(8, 5, 3, 0.5),
        X,
        [("affine", 1), ("relu", 1), ("affine", 2)],
    ),
    "extended": (
        lambda: book_plain.MultiLayerNetExtend(8, [7, 5], 3, "sigmoid", True, 0.3, True),
        X,
        EXTENDED,
    ),
    "simple": (lambda: book_plain.SimpleConvNet((2, 9, 9), CONV, 5, 3, 0.3), IMAGES, SIMPLE),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_network_computes_what_the_longest_way_round_does(name: str, one_hot: bool) -> None:
    make, x, steps = NETS[name]
    np.random.seed(0)
    net = make()
    own = Straight(net.params, steps)
    t = np.eye(3)[T] if one_hot else T
    np.random.seed(1)
    grads = net.gradient(x, t)
    np.random.seed(1)
    for key, slope in own.gradient(x, T).items():
        np.testing.assert_allclose(grads[key], slope, rtol=1e-9, atol=1e-12, err_msg=key)
    assert net.loss(x, t) == pytest.approx(own.loss(x, T), abs=1e-12)


def test_differences_are_slopes() -> None:
    x = np.array([[1.0, -2.0]])
    slopes = book_plain.numerical_gradient(lambda a: (a**3).sum(), x)
    np.testing.assert_allclose(slopes, 3 * x**2, rtol=1e-6)
    assert x.tolist() == [[1.0, -2.0]]


@pytest.mark.parametrize("rule", book.RULES)
@pytest.mark.parametrize("start", [4.0, np.array([[1.0, -3.0]])], ids=["number", "array"])
def test_an_optimizer_goes_where_the_books_words_go(rule: str, start: object) -> None:
    ends = []
    for contender in book.CONTENDERS:
        params, optimizer = {"x": start * 1}, getattr(book.words(contender), rule)(lr=0.1)
        for _ in range(10):
            optimizer.update(params, {"x": np.sin(params["x"])})
        ends.append(params["x"])
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12)
