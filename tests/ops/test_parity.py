"""Every body for NumPy arrays against the generic one: the same numbers by another way."""

from __future__ import annotations

import contextlib
import importlib
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import xpnet
from tests.conftest import strided
from xpnet import optimizers
from xpnet.ops import (
    BODIES,
    Op,
    Window,
    batch,
    conv,
    dropout,
    elementwise,
    generic_only,
    linear,
    loss,
    norm,
    pool,
    update,
)
from xpnet.ops.dispatch import load_bodies
from xpnet.ops.numpy import conv as numpy_conv
from xpnet.ops.update import Scalars
from xpnet.optimizers.base import fused

pytestmark = pytest.mark.faster_bodies

FAMILIES = (batch, conv, dropout, elementwise, linear, loss, norm, pool, update)
OPS = {op.__name__: op for family in FAMILIES for op in vars(family).values() if isinstance(op, Op)}
CHUNKS = [1, 2000, 2**22]  # bytes: one sample at a time, a few, all at once
RTOL = {"float32": 2e-5, "float64": 1e-12}


@pytest.fixture(scope="module", params=["numba", "numpy"], autouse=True)
def body(request):
    """Let only the bodies of one file serve NumPy arrays."""
    if request.param == "numba" and not load_bodies("numba"):
        pytest.skip("needs numba (the fast extra), and XPNET_NUMBA not 0")
    with mock.patch.dict(BODIES, {"numpy": (request.param,)}):
        forget_choices()
        yield request.param
    forget_choices()


def forget_choices():
    for op in OPS.values():
        op.chosen.clear()


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
        forward, backward, extra = conv.conv2d, conv.conv2d_backward, {}
    else:
        forward, backward = conv.conv_relu_pool, conv.conv_relu_pool_backward
        extra = {"window": window if window is None else Window(*window)}
    how = {"stride": stride, "pad": pad} | extra
    y, kept = forward(x, W, b, **how)
    dW = np.full(W.shape, 7, W.dtype)
    db = None if b is None else np.full(b.shape, 7, b.dtype)
    dx = backward(dy_of(y.shape), kept, W, dW, db, **how, need_dx=need_dx)
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
    body, n, c, h, w, f, kh, kw, stride, pad, window, dtype, whole, spaced, bias, need_dx, chunk
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

    with mock.patch.object(numpy_conv, "CHUNK_BYTES", chunk):
        own, kept = run_conv(x, W, b, stride, pad, window, need_dx, dy_of)
    with generic_only():
        other, _ = run_conv(x, W, b, stride, pad, window, need_dx, dy_of)
    agree(own, other, dtype, exact=whole)
    apart = not isinstance(window, tuple) or window == (window[0], window[0], window[0], 0)
    taken = apart and (body == "numpy" or (stride == 1 and pad < min(kh, kw)))
    assert (type(kept).__module__ == f"xpnet.ops.{body}.conv") == taken


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", ["plain", None, (2, 2, 2, 0)], ids=str)
@pytest.mark.parametrize(("c", "f"), [(1, 30), (8, 8)], ids=["columns-back", "turned-kernels"])
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_past_the_chunk_size_agree(monkeypatch, body, dtype, window, c, f, threads):
    monkeypatch.setattr(numpy_conv, "CHUNK_BYTES", 40_000)
    monkeypatch.setattr(importlib.import_module("xpnet.threadpool"), "LEAST_WORK", 1.0)
    x = draw((37, c, 12, 11), dtype, seed=0, whole=False, spaced=False)
    W = draw((f, c, 3, 3), dtype, seed=1, whole=False, spaced=False)
    b = draw((f,), dtype, seed=2, whole=False, spaced=False)
    args = (x, W, b, 1, 1, window, True, lambda s: draw(s, dtype, seed=3, whole=False, spaced=True))
    chunks = [part for part, _ in numpy_conv._columns(x, 0, len(x), W, 1, 1, 10, 9)]
    assert len(chunks) > 3
    assert sum(len(x[part]) for part in chunks) == len(x)
    with xpnet.threads(threads):
        own, _ = run_conv(*args)
    with generic_only():
        other, _ = run_conv(*args)
    agree(own, other, dtype, exact=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", ["plain", None, (2, 2, 2, 0), (3, 3, 3, 0)], ids=str)
@pytest.mark.parametrize("width", [17, 33, 40, 70])
def test_rows_longer_than_a_vector_agree(dtype, window, width):
    x = draw((2, 2, 6, width), dtype, seed=0, whole=True, spaced=False)
    W = draw((3, 2, 3, 3), dtype, seed=1, whole=True, spaced=False)
    args = (x, W, None, 1, 1, window, True, lambda s: draw(s, dtype, seed=3, whole=True,
                                                           spaced=False))  # fmt: skip
    own, _ = run_conv(*args)
    with generic_only():
        other, _ = run_conv(*args)
    agree(own, other, dtype, exact=True)


def test_images_and_kernels_of_two_dtypes_go_to_the_generic_body():
    x, W = np.ones((1, 1, 3, 3), "float32"), np.ones((1, 1, 2, 2), "float64")
    y, kept = conv.conv2d(x, W, None, stride=1, pad=0)
    assert y.dtype == "float64"
    assert not isinstance(kept, numpy_conv._Kept)


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
        window = Window(kh, kw, stride, pad)
        y, kept = pool.max_pool2d(x, window)
        dy = draw(y.shape, dtype, seed=1, whole=whole, spaced=spaced)
        return y, pool.max_pool2d_backward(dy, kept, window)

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
        y, kept = pool.max_pool2d(x, Window(*window))
        return y, pool.max_pool2d_backward(np.ones(y.shape), kept, Window(*window))

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
            y, kept = linear.linear_relu(x, W, b)
            dx = linear.linear_relu_backward(dy, kept, W, dW, db, need_dx=need_dx)
        else:
            y, kept = linear.linear(x, W, b)
            dx = linear.linear_backward(dy, kept, W, dW, db, need_dx=need_dx)
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
        y, mask = dropout.dropout(x, counter, key=2**100 + 3, rate=rate, scale=1 / (1 - rate))
        assert counter == 6
        return y, mask, dropout.dropout_backward(y, mask)

    own = run()
    with generic_only():
        agree(own, run(), dtype, exact=True)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "complex128", "int64", "bool"])
@pytest.mark.parametrize("shape", [(9, 1, 3, 2), (9, 4), (9,)], ids=str)
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(("first", "n"), [(0, 3), (6, 3), (8, 3), (9, 3), (None, 3), (None, 9)])
def test_batches_are_gathered_bit_for_bit(dtype, shape, shuffled, first, n):
    x = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    order = np.random.default_rng(1).permutation(9) if shuffled else None
    record = np.zeros(7)
    record[2] = 0 if n == 9 else 2
    place = record if first is None else first
    labels, scale = np.arange(9), None if dtype == "complex128" else 0.25

    def run():
        y, t = batch.gather_batch(x, labels, order, place, n=n, scale=scale, dtype="float32")
        as_they_are, _ = batch.gather_batch(x, labels, order, place, n=n)
        return y, t, as_they_are, batch.gather(x, order, place, n=n), elementwise.copy(x)

    own = run()
    with generic_only():
        for a, b in zip(own, run(), strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 4), (1, 1), (1, 3), (6, 1)], ids=str)
@pytest.mark.parametrize("size", [1.0, 200.0], ids=["small", "large"])
@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("labels", ["int64", "uint8"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_cross_entropy_agrees(dtype, shape, size, spaced, labels, smoothing):
    scores = draw(shape, dtype, seed=0, whole=False, spaced=spaced) * np.dtype(dtype).type(size)
    targets = np.random.default_rng(1).integers(0, shape[1], shape[0]).astype(labels)

    def run():
        return loss.softmax_cross_entropy(scores, targets, None, smoothing=smoothing)

    own = run()
    with generic_only():
        agree(own, run(), dtype, exact=False)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 40), d=st.integers(1, 40), units=st.integers(1, 300),
    dtype=st.sampled_from(["float32", "float64"]), relu=st.booleans(), threads=st.integers(1, 3),
)  # fmt: skip
def test_products_of_whole_and_partial_panels_agree(body, n, d, units, dtype, relu, threads):
    kind = {"whole": True, "spaced": False}
    x, W = draw((n, d), dtype, seed=0, **kind), draw((d, units), dtype, seed=1, **kind)
    b, dy = draw((units,), dtype, seed=2, **kind), draw((n, units), dtype, seed=3, **kind)

    def run():
        dW, db = np.full(W.shape, 7, dtype), np.full(units, 7, dtype)
        if relu:
            y, kept = linear.linear_relu(x, W, b)
            return y, dW, db, linear.linear_relu_backward(dy, kept, W, dW, db, need_dx=True)
        y, kept = linear.linear(x, W, b)
        return y, dW, db, linear.linear_backward(dy, kept, W, dW, db, need_dx=True)

    with widest_kernels(body), xpnet.threads(threads):
        own = run()
    with generic_only():
        agree(own, run(), dtype, exact=True)


@contextlib.contextmanager
def widest_kernels(body):
    """Take the compiled kernels whatever BLAS does, and cut the smallest work over threads."""
    with contextlib.ExitStack() as stack:
        change = stack.enter_context
        change(mock.patch.object(importlib.import_module("xpnet.threadpool"), "LEAST_WORK", 1.0))
        if body == "numba":
            module = importlib.import_module("xpnet.ops.numba.linear")
            change(mock.patch.object(module, "blas_vector_bytes", return_value=1))
        yield


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_deep_and_wide_products_agree(body, dtype):
    x = draw((23, 500), dtype, seed=0, whole=True, spaced=False)
    W = draw((500, 301), dtype, seed=1, whole=True, spaced=False)
    b = draw((301,), dtype, seed=2, whole=True, spaced=False)
    with widest_kernels(body):
        own, _ = linear.linear_relu(x, W, b)
    with generic_only():
        agree((own,), linear.linear_relu(x, W, b)[:1], dtype, exact=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 5, 7), (0, 4)], ids=str)
@pytest.mark.parametrize("spaced", [False, True])
def test_passes_over_single_numbers_agree(dtype, shape, spaced):
    x = draw(shape, dtype, seed=0, whole=True, spaced=spaced).copy()
    x.reshape(-1)[:1] = np.nan
    dy = draw(shape, dtype, seed=1, whole=False, spaced=spaced)
    pixels = np.random.default_rng(2).integers(0, 256, shape).astype("uint8")

    def run():
        y = elementwise.relu(x)
        scaled = elementwise.rescale(pixels, scale=1 / 255, dtype=dtype)
        return y, elementwise.relu_backward(dy, y), scaled

    own = run()
    with generic_only():
        agree(own, run(), dtype, exact=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", ["uint8", "int32", "int64"])
def test_softmax_with_its_loss_agrees(dtype, classes):
    scores = draw((7, 5), dtype, seed=0, whole=False, spaced=True) * 300
    labels = np.array([0, 4, 2, 2, 1, 0, 3], classes)

    def run():
        by_row = loss.softmax_loss(scores, np.eye(5)[labels], eps=1e-7)
        return *by_row, *loss.softmax_loss(scores, labels, eps=1e-7)

    own = run()
    np.testing.assert_allclose(own[0].sum(axis=1), 1, rtol=1e-6)
    with generic_only():
        agree(own, run(), dtype, exact=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 5), (1, 2), (40, 3)], ids=str)
@pytest.mark.parametrize("classes", ["uint8", "int64", "bool"])
def test_statistics_of_classes_agree_bit_for_bit(dtype, shape, classes):
    scores = draw(shape, dtype, seed=0, whole=True, spaced=True).copy()
    scores[0] = np.nan
    labels = np.random.default_rng(1).integers(0, shape[1], shape[0]).astype(classes)

    def run():
        record = np.linspace(0.1, 1, len(batch.RECORD))
        batch.update_stats(
            record, scores, labels, np.asarray(0.3, dtype), answers=batch.Answers("class")
        )
        return (record,)

    own = run()
    with generic_only():
        agree(own, run(), "float64", exact=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 5, 2), (2, 1), (3, 17, 2, 2)], ids=str)
@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("need_dx", [False, True])
def test_batch_norm_agrees(dtype, shape, spaced, need_dx):
    x = draw(shape, dtype, seed=0, whole=False, spaced=spaced)
    gamma, beta, dy = (
        draw(size, dtype, seed=seed, whole=False, spaced=False)
        for seed, size in ((1, shape[1]), (2, shape[1]), (3, shape))
    )

    def run():
        mean, var = np.full(shape[1], 0.5, dtype), np.full(shape[1], 2, dtype)
        dgamma, dbeta = np.full(shape[1], 7, dtype), np.full(shape[1], 7, dtype)
        y, kept = norm.batch_norm(x, gamma, beta, mean, var, momentum=0.9, eps=1e-5)
        dx = norm.batch_norm_backward(dy, kept, gamma, dgamma, dbeta, need_dx=need_dx)
        return y, mean, var, dgamma, dbeta, dx

    own = run()
    with generic_only():
        other = run()
    for a, b in zip(own, other, strict=True):
        np.testing.assert_allclose(*(0 if v is None else v for v in (a, b)), rtol=1e-4, atol=1e-5)
        assert (a is None) == (b is None)


RULES = {
    "sgd": (optimizers.SGD(0.1), 0.01),
    "sgd-plain": (optimizers.SGD(0.1), 0.0),
    "momentum": (optimizers.Momentum(0.1), 0.01),
    "momentum-nesterov": (optimizers.Nesterov(0.1), 0.0),
    "adagrad": (optimizers.AdaGrad(0.1), 0.01),
    "rmsprop": (optimizers.RMSprop(0.1, alpha=0.9), 0.01),
    "adam": (optimizers.Adam(0.1), 0.01),
    "adam-decoupled": (optimizers.AdamW(0.1), 0.01),
}

CONSTANTS = {
    "sgd": (),
    "momentum": ("momentum", "nesterov"),
    "adagrad": ("eps",),
    "rmsprop": ("alpha", "eps"),
    "adam": ("beta1", "beta2", "eps", "decoupled"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("shape", [(), (5,), (3, 7)], ids=str)
def test_update_rules_agree_to_the_last_bits_even_past_a_flush(body, dtype, name, shape):
    optimizer, decay = RULES[name]
    slots = len(optimizer.slot_names)

    def run():
        rng = np.random.default_rng(0)
        p = np.asarray(rng.normal(size=shape).astype(dtype))
        state = [np.full(shape, 1e-36, dtype) for _ in range(slots)]
        for step in range(1, 67):
            g = np.asarray(rng.normal(size=shape).astype(dtype)) * (step > 3)
            g = np.asarray(g, dtype)
            scalars = Scalars(**optimizer.scalars(step))
            optimizer.rule(p, g, *state, scalars=scalars, decay=decay)
        return p, *state

    with widest_kernels(body), xpnet.threads(2):
        own = run()
    with generic_only():
        agree(own, run(), dtype, exact=False)


@pytest.mark.parametrize("name", RULES)
def test_only_numba_has_bodies_for_updates_and_they_do_not_decline(body, name):
    optimizer, decay = RULES[name]
    declined = []

    def own_lines(self, p, g, *slots, scalars, decay):
        declined.append(name)

    op = OPS[name.split("-")[0]]
    update = fused(op, *CONSTANTS[name.split("-")[0]])(own_lines)
    arrays = [np.ones(3, "float32") for _ in range(2 + len(optimizer.slot_names))]
    update(optimizer, *arrays, scalars=Scalars(**optimizer.scalars(1)), decay=decay)
    assert declined == ([] if body == "numba" else [name])
    assert (arrays[0] != 1).all() == (body == "numba")


def test_a_body_writes_nothing_outside_its_arrays(body):
    """Fences on both sides of every array made on the way stay as they were."""
    fenced = []

    def empty(shape, dtype=float):
        size = int(np.prod(shape))
        around = np.full(size + 512, 77, dtype)
        fenced.append((around, size))
        return around[256 : 256 + size].reshape(shape)

    def run(n, c, f, size, pad, window):
        x = draw((n, c, size, size), "float32", seed=0, whole=False, spaced=False)
        W = draw((f, c, 3, 3), "float32", seed=1, whole=False, spaced=False)
        with widest_kernels(body), xpnet.threads(2):
            run_conv(x, W, None, 1, pad, window, True, lambda s: np.ones(s, "float32"))
            run_linear(x.reshape(n, -1), draw((c * size * size, f), "float32", seed=1,
                                              whole=False, spaced=False))  # fmt: skip

    def run_linear(x, W):
        y, kept = linear.linear_relu(x, W, None)
        dW = np.ones(W.shape, "float32")
        linear.linear_relu_backward(y, kept, W, dW, None, need_dx=True)

    for geometry in [
        (1, 1, 1, 3, 1, None), (3, 2, 5, 4, 0, (2, 2, 2, 0)), (5, 3, 4, 9, 2, (2, 2, 2, 0)),
        (2, 1, 3, 33, 1, (2, 2, 2, 0)), (7, 2, 2, 3, 1, (3, 3, 3, 0)), (2, 17, 9, 8, 1, None),
        (13, 2, 70, 5, 1, (2, 2, 2, 0)),
    ]:  # fmt: skip
        run(*geometry)  # everything is compiled now, of which only NumPy's own arrays are fenced
        with mock.patch.object(np, "empty", empty):
            run(*geometry)
    assert len(fenced) > 20
    for around, size in fenced:
        assert (around[:256] == 77).all()
        assert (around[256 + size :] == 77).all()


def test_every_body_is_compared_here(body):
    compared = {
        "numpy": {
            "batch_norm", "batch_norm_backward", "clip_norm", "conv2d", "conv2d_backward",
            "conv_relu_pool", "conv_relu_pool_backward", "dropout", "linear", "linear_backward",
            "linear_relu", "linear_relu_backward", "max_pool2d", "max_pool2d_backward",
            "relu", "relu_backward", "softmax_cross_entropy", "softmax_loss", "update_stats",
        },
        "numba": {
            "adagrad", "adam", "batch_norm", "batch_norm_backward", "conv2d", "conv2d_backward",
            "conv_relu_pool", "conv_relu_pool_backward", "copy", "dropout", "dropout_backward",
            "gather", "gather_batch", "linear", "linear_backward", "linear_relu",
            "linear_relu_backward", "momentum", "relu", "relu_backward", "rescale", "rmsprop",
            "sgd", "softmax_cross_entropy", "update_stats",
        },
    }  # fmt: skip
    assert load_bodies(body)
    assert {name for name, op in OPS.items() if body in op.bodies} == compared[body]
