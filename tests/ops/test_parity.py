"""Every NumPy body against the generic one: the same numbers by another way."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from conftest import strided
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xpnet.ops import _numpy, conv, dropout, generic_only, linear, loss, pool

CHUNKS = [1, 2000, 2**22]  # bytes: one sample at a time, a few, all at once
RTOL = {"float32": 2e-5, "float64": 1e-12}


def agree(own, other, dtype, exact):
    """Hold results against one another: bit for bit where rounding plays no part."""
    assert len(own) == len(other)
    for a, b in zip(own, other, strict=True):
        assert (a is None) == (b is None)
        if a is None:
            continue
        assert a.shape == b.shape
        assert a.dtype == b.dtype == dtype
        if exact:
            np.testing.assert_array_equal(a, b)
        else:
            scale = float(np.abs(b).max(initial=0.0))
            np.testing.assert_allclose(a, b, rtol=RTOL[dtype], atol=RTOL[dtype] * scale)


def draw(shape, dtype, *, seed, whole, spaced):
    """Return random numbers: whole ones make ties, and sums without rounding."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, shape) if whole else rng.normal(size=shape)
    values = strided(values.astype(dtype)) if spaced else values.astype(dtype)
    values.flags.writeable = False
    return values


def run_conv(x, W, b, stride, pad, window, need_dx, dy_of):
    """Return (y, dW, db, dx) of conv_relu_pool, or of conv2d where window is "plain"."""
    if window == "plain":
        forward, backward, extra = conv.conv2d, conv.conv2d_backward, ()
    else:
        forward, backward, extra = conv.conv_relu_pool, conv.conv_relu_pool_backward, (window,)
    y, kept = forward(x, W, b, stride, pad, *extra)
    dW = np.full(W.shape, 7, W.dtype)
    db = None if b is None else np.full(b.shape, 7, b.dtype)
    dx = backward(dy_of(y.shape), kept, W, dW, db, stride, pad, *extra, need_dx)
    return (y, dW, db, dx), kept


WINDOWS = ["plain", None, (1, 1, 1, 0), (2, 2, 2, 0), (3, 3, 3, 0), (2, 2, 1, 0), (3, 3, 2, 1),
           (2, 3, 3, 0)]  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    n=st.integers(0, 4), c=st.integers(1, 3), h=st.integers(1, 9), w=st.integers(1, 9),
    f=st.integers(1, 7), kh=st.integers(1, 4), kw=st.integers(1, 4),
    stride=st.integers(1, 4), pad=st.integers(0, 3), window=st.sampled_from(WINDOWS),
    dtype=st.sampled_from(["float32", "float64"]), whole=st.booleans(), spaced=st.booleans(),
    bias=st.booleans(), need_dx=st.booleans(), chunk=st.sampled_from(CHUNKS),
)  # fmt: skip
def test_convolutions_of_any_geometry_agree(
    n, c, h, w, f, kh, kw, stride, pad, window, dtype, whole, spaced, bias, need_dx, chunk
):
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    assume(oh >= 1 and ow >= 1)
    if isinstance(window, tuple):
        assume(oh + 2 * window[3] >= window[0] and ow + 2 * window[3] >= window[1])
    kind = {"whole": whole, "spaced": spaced}
    x, W = draw((n, c, h, w), dtype, seed=0, **kind), draw((f, c, kh, kw), dtype, seed=1, **kind)
    b = draw((f,), dtype, seed=2, **kind) if bias else None

    def dy_of(shape):
        return draw(shape, dtype, seed=3, **kind)

    with mock.patch.object(_numpy, "CHUNK_BYTES", chunk):
        own, kept = run_conv(x, W, b, stride, pad, window, need_dx, dy_of)
    with generic_only():
        other, _ = run_conv(x, W, b, stride, pad, window, need_dx, dy_of)
    agree(own, other, dtype, exact=whole)
    apart = not isinstance(window, tuple) or window == (window[0], window[0], window[0], 0)
    assert isinstance(kept, _numpy._Kept) == apart


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", ["plain", None, (2, 2, 2, 0)], ids=str)
@pytest.mark.parametrize(("c", "f"), [(1, 30), (8, 8)], ids=["columns-back", "turned-kernels"])
def test_batches_past_the_chunk_size_agree(monkeypatch, dtype, window, c, f):
    monkeypatch.setattr(_numpy, "CHUNK_BYTES", 40_000)
    x = draw((37, c, 12, 11), dtype, seed=0, whole=False, spaced=False)
    W = draw((f, c, 3, 3), dtype, seed=1, whole=False, spaced=False)
    b = draw((f,), dtype, seed=2, whole=False, spaced=False)
    args = (x, W, b, 1, 1, window, True, lambda s: draw(s, dtype, seed=3, whole=False, spaced=True))
    chunks = [part for part, _ in _numpy._columns(x, W, 1, 1, 10, 9)]
    assert len(chunks) > 3
    assert sum(len(x[part]) for part in chunks) == len(x)
    own, _ = run_conv(*args)
    with generic_only():
        other, _ = run_conv(*args)
    agree(own, other, dtype, exact=False)


def test_images_and_kernels_of_two_dtypes_go_to_the_generic_body():
    x, W = np.ones((1, 1, 3, 3), "float32"), np.ones((1, 1, 2, 2), "float64")
    y, kept = conv.conv2d(x, W, None, 1, 0)
    assert y.dtype == "float64"
    assert not isinstance(kept, _numpy._Kept)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    n=st.integers(0, 3), c=st.integers(1, 3), h=st.integers(1, 9), w=st.integers(1, 9),
    kh=st.integers(1, 4), kw=st.integers(1, 4), stride=st.integers(1, 5), pad=st.integers(0, 2),
    dtype=st.sampled_from(["float32", "float64"]), whole=st.booleans(), spaced=st.booleans(),
)  # fmt: skip
def test_max_pooling_of_any_geometry_agrees(n, c, h, w, kh, kw, stride, pad, dtype, whole, spaced):
    assume(pad <= min(kh, kw) // 2 and h + 2 * pad >= kh and w + 2 * pad >= kw)
    x = draw((n, c, h, w), dtype, seed=0, whole=whole, spaced=spaced)

    def run():
        y, kept = pool.max_pool2d(x, kh, kw, stride, pad)
        dy = draw(y.shape, dtype, seed=1, whole=whole, spaced=spaced)
        return y, pool.max_pool2d_backward(dy, kept, kh, kw, stride, pad)

    own = run()
    with generic_only():
        other = run()
    agree(own[:1], other[:1], dtype, exact=True)
    agree(own, other, dtype, exact=whole)


@pytest.mark.parametrize("window", [(2, 2, 2, 0), (3, 3, 1, 1)], ids=["apart", "overlapping"])
def test_max_pooling_sends_a_nans_gradient_the_same_way(window):
    x = np.random.default_rng(0).integers(-2, 3, (2, 1, 6, 6)).astype("float64")
    x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan

    def run():
        y, kept = pool.max_pool2d(x, *window)
        return y, pool.max_pool2d_backward(np.ones(y.shape), kept, *window)

    own = run()
    with generic_only():
        agree(own, run(), "float64", exact=True)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    n=st.integers(0, 5), d=st.integers(1, 6), units=st.integers(1, 6), relu=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]), whole=st.booleans(), spaced=st.booleans(),
    bias=st.booleans(), need_dx=st.booleans(),
)  # fmt: skip
def test_products_of_any_size_agree(n, d, units, relu, dtype, whole, spaced, bias, need_dx):
    kind = {"whole": whole, "spaced": spaced}
    x, W = draw((n, d), dtype, seed=0, **kind), draw((d, units), dtype, seed=1, **kind)
    b = draw((units,), dtype, seed=2, **kind) if bias else None
    dy = draw((n, units), dtype, seed=3, **kind)

    def run():
        dW, db = np.full(W.shape, 7, dtype), np.full(units, 7, dtype) if bias else None
        if relu:
            y = linear.linear_relu(x, W, b)
            dx = linear.linear_relu_backward(x, W, y, dy, dW, db, need_dx)
        else:
            y = linear.linear(x, W, b)
            dx = linear.linear_backward(x, W, dy, dW, db, need_dx)
        return y, dW, db, dx

    own = run()
    with generic_only():
        agree(own, run(), dtype, exact=whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("shape", [(4, 3), (0, 3), (1, 1), (5, 2, 3, 3)], ids=str)
@pytest.mark.parametrize("spaced", [False, True])
def test_dropout_agrees_bit_for_bit(dtype, rate, shape, spaced):
    x = draw(shape, dtype, seed=0, whole=False, spaced=spaced)

    def run():
        counter = np.array(5)
        y, mask = dropout.dropout(x, 2**100 + 3, counter, rate, 1 / (1 - rate))
        assert counter == 6
        return y, mask

    own = run()
    with generic_only():
        agree(own, run(), dtype, exact=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 4), (1, 1), (1, 3), (6, 1)], ids=str)
@pytest.mark.parametrize("size", [1.0, 200.0], ids=["small", "large"])
@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("labels", ["int64", "uint8"])
def test_softmax_cross_entropy_agrees(dtype, shape, size, spaced, labels):
    scores = draw(shape, dtype, seed=0, whole=False, spaced=spaced) * np.dtype(dtype).type(size)
    targets = np.random.default_rng(1).integers(0, shape[1], shape[0]).astype(labels)
    own = loss.softmax_cross_entropy(scores, targets, None, 0.0)
    with generic_only():
        agree(own, loss.softmax_cross_entropy(scores, targets, None, 0.0), dtype, exact=False)


def test_every_numpy_body_is_compared_here():
    compared = {
        "conv2d", "conv2d_backward", "conv_relu_pool", "conv_relu_pool_backward", "dropout",
        "linear", "linear_backward", "linear_relu", "linear_relu_backward", "max_pool2d",
        "max_pool2d_backward", "softmax_cross_entropy",
    }  # fmt: skip
    families = (conv, dropout, linear, loss, pool)
    there = {
        found.__name__
        for family in families
        for found in vars(family).values()
        if "numpy" in getattr(found, "bodies", ())
    }
    assert there == compared
