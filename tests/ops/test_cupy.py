"""Every CuPy body against the generic one on the host: the same numbers by another way."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.conftest import strided
from xpnet import optimizers
from xpnet.arrays import to_numpy
from xpnet.devices import device
from xpnet.ops import (
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
    precision,
    update,
)
from xpnet.ops.update import COLUMNS, DeviceScalars, Scalars

pytestmark = [pytest.mark.gpu, pytest.mark.faster_bodies]

RTOL = {"float32": 2e-5, "float64": 1e-12}
DTYPES = ["float32", "float64"]


def gpu(value):
    """Return arrays on the GPU, not contiguous where they were not; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    place = device("gpu")
    if value.flags.c_contiguous:
        return place.asarray(value.copy())
    wide = place.zeros(tuple(2 * length for length in value.shape), str(value.dtype))
    view = wide[tuple(slice(None, None, 2) for _ in value.shape)]
    view[...] = place.asarray(np.ascontiguousarray(value))
    return view


def host(value):
    return to_numpy(value) if hasattr(value, "dtype") else value


def load():
    elementwise.relu(gpu(np.ones(1, "float32")))


def own(op, *args, **kwargs):
    """Call CuPy's body of an op; it must not decline."""
    load()
    result = op.bodies["cupy"](*args, **kwargs)
    assert result is not NotImplemented, f"{op.__name__} declined"
    return result


def generic(op, *args, **kwargs):
    with generic_only():
        return op(*args, **kwargs)


def agree(ours, theirs, dtype=None, *, exact=False):
    ours = host(ours)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == (dtype or theirs.dtype)
    if exact:
        np.testing.assert_array_equal(ours, theirs)
    else:
        rtol = RTOL[str(theirs.dtype)]
        scale = float(np.abs(theirs).max(initial=0.0))
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * scale)


def draw(shape, dtype, *, seed=0, whole=False, spaced=False):
    """Return random numbers: whole ones make ties, and sums without rounding."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, shape) if whole else rng.normal(size=shape)
    return strided(values.astype(dtype)) if spaced else values.astype(dtype)


def test_every_body_has_the_generic_signature_and_a_test_here():
    load()
    families = (batch, conv, dropout, elementwise, linear, loss, norm, pool, precision, update)
    ops = {
        op.__name__: op for family in families for op in vars(family).values() if isinstance(op, Op)
    }
    served = {name: op for name, op in ops.items() if "cupy" in op.bodies}
    assert len(served) > 25
    text = "".join(
        (Path(__file__).parent / f).read_text() for f in ("test_cupy.py", "test_precision.py")
    )
    for name, op in served.items():
        told, own_ = (inspect.signature(f).parameters for f in (op.generic, op.bodies["cupy"]))
        assert [(p.name, p.default, p.kind) for p in told.values()] == [
            (p.name, p.default, p.kind) for p in own_.values()
        ]
        assert re.search(rf"\b{name}\b", text.replace("generic_signature", ""))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 5, 7), (0, 4)], ids=str)
@pytest.mark.parametrize("spaced", [False, True])
def test_passes_over_single_numbers(dtype, shape, spaced):
    x = draw(shape, dtype, whole=True, spaced=spaced)
    if x.size:
        x[(0,) * x.ndim] = np.nan
    dy = draw(shape, dtype, seed=1, spaced=spaced)
    pixels = np.random.default_rng(2).integers(0, 256, shape).astype("uint8")
    y = own(elementwise.relu, gpu(x))
    agree(y, generic(elementwise.relu, x), dtype, exact=True)
    back = own(elementwise.relu_backward, gpu(dy), y)
    agree(back, generic(elementwise.relu_backward, dy, host(y)), dtype, exact=True)
    how = {"scale": 1 / 255, "dtype": dtype}
    scaled = own(elementwise.rescale, gpu(pixels), **how)
    agree(scaled, generic(elementwise.rescale, pixels, **how), dtype, exact=True)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 70), d=st.integers(1, 40), units=st.integers(1, 40), relu=st.booleans(),
    dtype=st.sampled_from(DTYPES), whole=st.booleans(), spaced=st.booleans(),
    bias=st.booleans(), need_dx=st.booleans(),
)  # fmt: skip
def test_products_of_any_size(n, d, units, relu, dtype, whole, spaced, bias, need_dx):
    kind = {"whole": whole, "spaced": spaced}
    x, dy = draw((n, d), dtype, seed=0, **kind), draw((n, units), dtype, seed=3, **kind)
    W = draw((d, units), dtype, seed=1, whole=whole)
    b = draw((units,), dtype, seed=2, whole=whole) if bias else None
    dW, db = np.full(W.shape, 7, dtype), np.full(units, 7, dtype) if bias else None
    dW_gpu, db_gpu = gpu(dW), gpu(db)
    forward, backward = linear.linear, linear.linear_backward
    if relu:
        forward, backward = linear.linear_relu, linear.linear_relu_backward
    y, kept = own(forward, gpu(x), gpu(W), gpu(b))
    agree(y, generic(forward, x, W, b)[0], dtype, exact=whole)
    theirs = (x, host(y)) if relu else x
    dx = own(backward, gpu(dy), kept, gpu(W), dW_gpu, db_gpu, need_dx=need_dx)
    expected = generic(backward, dy, theirs, W, dW, db, need_dx=need_dx)
    agree(dW_gpu, dW, dtype, exact=whole)
    if bias:
        agree(db_gpu, db, dtype, exact=whole)
    assert (dx is None) == (expected is None) == (not need_dx)
    if need_dx:
        agree(dx, expected, dtype, exact=whole)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bias_gradients_of_many_samples(dtype):
    n, units = 9001, 33
    dy, x, W = (
        draw(s, dtype, seed=i, whole=True) for i, s in enumerate([(n, units), (n, 2), (2, units)])
    )
    dW, db = np.empty(W.shape, dtype), np.empty(units, dtype)
    dW_gpu, db_gpu = gpu(dW), gpu(db)
    own(linear.linear_backward, gpu(dy), gpu(x), gpu(W), dW_gpu, db_gpu, need_dx=False)
    generic(linear.linear_backward, dy, x, W, dW, db, need_dx=False)
    agree(db_gpu, db, dtype, exact=True)
    agree(dW_gpu, dW, dtype, exact=True)


def launched(monkeypatch):
    """Return a list that the names of all kernels launched from now on go to."""
    load()
    from xpnet.ops.cupy import launch

    names, kernel = [], launch.kernel

    def noted(name, kind):
        names.append(name)
        return kernel(name, kind)

    monkeypatch.setattr(launch, "kernel", noted)
    return names


@pytest.mark.parametrize("relu", [False, True])
def test_an_input_is_narrowed_once_for_both_ways(monkeypatch, relu):
    names, form = launched(monkeypatch), {"precision": "bf16"}
    x, W, dy = (gpu(draw((8, 8), "float32", seed=seed)) for seed in range(3))
    dW, W = gpu(host(W)), precision.narrowed(W, "bf16")
    forward, backward = linear.linear, linear.linear_backward
    if relu:
        forward, backward = linear.linear_relu, linear.linear_relu_backward
    names.clear()
    _, kept = own(forward, x, W, None, **form)
    own(backward, dy, kept, W, dW, None, need_dx=True, **form)
    assert names.count("to_bfloat16") == 2  # x and dy


def test_what_was_kept_narrow_is_widened_where_another_body_takes_it(monkeypatch):
    form = {"precision": "bf16"}
    x, W, dy = (draw((8, 8), "float32", seed=seed) for seed in range(3))
    dW, dW_gpu = np.empty_like(W), gpu(W)
    _, kept = own(linear.linear, gpu(x), gpu(W), None, **form)
    monkeypatch.delitem(linear.linear_backward.bodies, "cupy")
    linear.linear_backward.chosen.clear()
    dx = linear.linear_backward(gpu(dy), kept, gpu(W), dW_gpu, None, need_dx=True, **form)
    monkeypatch.undo()
    linear.linear_backward.chosen.clear()
    expected = generic(linear.linear_backward, dy, x, W, dW, None, need_dx=True, **form)
    agree(dW_gpu, dW)
    agree(dx, expected)


def large_sums():
    """Call ops whose sums several blocks share; return the sums on the host."""
    dy, x, W = draw((3001, 33), "float32"), draw((3001, 2), "float32"), draw((2, 33), "float32")
    dW, db, counter = gpu(W), gpu(dy[0]), gpu(np.array(5))
    own(linear.linear_backward, gpu(dy), gpu(x), gpu(W), dW, db, need_dx=False)
    kept = gpu(x), gpu(-dy)
    own(linear.linear_relu_backward, gpu(dy), kept, gpu(W), dW, db, need_dx=False)
    images, filters = draw((9, 2, 40, 40), "float32"), draw((5, 2, 1, 1), "float32")
    move = {"stride": 1, "pad": 0}
    y, kept = own(conv.conv2d, gpu(images), gpu(filters), None, **move)
    slopes = gpu(np.zeros(5, "float32"))
    own(conv.conv2d_backward, y, kept, gpu(filters), gpu(filters), slopes, **move, need_dx=False)
    labels = np.arange(1500) % 33
    value, _ = own(loss.softmax_cross_entropy, gpu(dy[:1500]), gpu(labels), None, smoothing=0.0)
    own(dropout.dropout, gpu(dy), counter, key=3, rate=0.5, scale=2.0)
    return [host(a) for a in (db, slopes, value, counter)]


def test_a_sum_that_blocks_share_ends_in_the_same_launch(monkeypatch):
    names = launched(monkeypatch)
    large_sums()
    ours = [n for n in names if n in ("channel_sums", "softmax_cross_entropy", "dropout")]
    assert ours == ["channel_sums"] * 3 + ["softmax_cross_entropy", "dropout"]


def test_shared_sums_repeat_themselves_and_leave_their_counters_at_0():
    load()
    from xpnet.ops.cupy import launch

    first, again = large_sums(), large_sums()
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first[-1] == 6
    assert not host(launch.arrived()).any()


def test_streams_count_blocks_apart():
    load()
    from xpnet.ops.cupy import launch

    here = launch.arrived()
    with device("gpu").xp.cuda.Stream(non_blocking=True):
        there = launch.arrived()
        assert there is launch.arrived()
    assert here is launch.arrived()
    assert here.data.ptr != there.data.ptr


@pytest.mark.parametrize("units", [16, 17])
def test_sums_of_more_channels_than_there_are_counters(monkeypatch, units):
    load()
    from xpnet.ops.cupy import launch

    monkeypatch.setattr(launch, "COUNTERS", 2)  # each for eight neighbouring channels
    dy, x, W = (
        draw(s, "float32", seed=i, whole=True)
        for i, s in enumerate([(1500, units), (1500, 1), (1, units)])
    )
    dW, db = gpu(W), gpu(W[0])
    own(linear.linear_backward, gpu(dy), gpu(x), gpu(W), dW, db, need_dx=False)
    agree(db, dy.sum(axis=0), exact=True)


WINDOWS = ["plain", None, (1, 1, 1, 0), (2, 2, 2, 0), (3, 3, 3, 0), (2, 2, 1, 0), (3, 3, 2, 1),
           (2, 3, 3, 0)]  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 4), c=st.integers(1, 3), h=st.integers(1, 9), w=st.integers(1, 9),
    f=st.integers(1, 7), kh=st.integers(1, 4), kw=st.integers(1, 4),
    stride=st.integers(1, 4), pad=st.integers(0, 3), window=st.sampled_from(WINDOWS),
    dtype=st.sampled_from(DTYPES), whole=st.booleans(), spaced=st.booleans(),
    bias=st.booleans(), need_dx=st.booleans(),
)  # fmt: skip
def test_convolutions_of_any_geometry(
    n, c, h, w, f, kh, kw, stride, pad, window, dtype, whole, spaced, bias, need_dx
):
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    assume(oh >= 1 and ow >= 1)
    if isinstance(window, tuple):
        assume(oh + 2 * window[3] >= window[0] and ow + 2 * window[3] >= window[1])
    x, W = (
        draw((n, c, h, w), dtype, whole=whole, spaced=spaced),
        draw((f, c, kh, kw), dtype, seed=1, whole=whole),
    )
    b = draw((f,), dtype, seed=2, whole=whole) if bias else None
    forward, backward, how = both_ways(stride, pad, window)
    y, kept = own(forward, gpu(x), gpu(W), gpu(b), **how)
    expected, theirs = generic(forward, x, W, b, **how)
    agree(y, expected, dtype, exact=whole)
    dy = draw(y.shape, dtype, seed=3, whole=whole, spaced=spaced)
    dW, db = np.full(W.shape, 7, dtype), np.full(f, 7, dtype) if bias else None
    dW_gpu, db_gpu = gpu(dW), gpu(db)
    dx = own(backward, gpu(dy), kept, gpu(W), dW_gpu, db_gpu, **how, need_dx=need_dx)
    expected = generic(backward, dy, theirs, W, dW, db, **how, need_dx=need_dx)
    agree(dW_gpu, dW, dtype, exact=whole)
    if bias:
        agree(db_gpu, db, dtype, exact=whole)
    assert (dx is None) == (expected is None) == (not need_dx)
    if need_dx:
        agree(dx, expected, dtype, exact=whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pad", [0, 1, 4])
@pytest.mark.parametrize("window", ["plain", (2, 2, 2, 0)], ids=["plain", "pooled"])
def test_convolutions_of_sizes_that_kernels_know(dtype, size, stride, pad, window):
    convolution(((3, 2, 9, 11), size, size), stride, pad, window, dtype)


def both_ways(stride, pad, window):
    """Return forward, backward and their settings; ``"plain"`` is no ReLU and no pooling."""
    how = {"stride": stride, "pad": pad}
    if window == "plain":
        return conv.conv2d, conv.conv2d_backward, how
    window = window if window is None else Window(*window)
    return conv.conv_relu_pool, conv.conv_relu_pool_backward, how | {"window": window}


def convolution(shapes, stride, pad, window, dtype, *, bias=True):
    """Compare a convolution of whole numbers, both ways, with the generic one: equal bits."""
    x_shape, kh, kw = shapes
    x = draw(x_shape, dtype, whole=True)
    W, b = draw((4, x_shape[1], kh, kw), dtype, seed=1, whole=True), draw((4,), dtype, whole=True)
    b = b if bias else None
    forward, backward, how = both_ways(stride, pad, window)
    y, kept = own(forward, gpu(x), gpu(W), gpu(b), **how)
    expected, theirs = generic(forward, x, W, b, **how)
    agree(y, expected, dtype, exact=True)
    dy, dW, db = draw(y.shape, dtype, seed=3, whole=True), np.full_like(W, 7), np.full(4, 7, dtype)
    db = db if bias else None
    dW_gpu, db_gpu = gpu(dW), gpu(db)
    dx = own(backward, gpu(dy), kept, gpu(W), dW_gpu, db_gpu, **how, need_dx=True)
    expected = generic(backward, dy, theirs, W, dW, db, **how, need_dx=True)
    agree(dx, expected, dtype, exact=True)
    agree(dW_gpu, dW, dtype, exact=True)
    if bias:
        agree(db_gpu, db, dtype, exact=True)
    return kept


@pytest.mark.parametrize("window", ["plain", None, (2, 2, 2, 0), (3, 3, 2, 1)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("images", "parts"), [(7, 1), (3, 3), (1, 7)])
def test_columns_too_many_to_count_are_made_in_parts_of_a_batch(
    monkeypatch, window, bias, images, parts
):
    load()
    from xpnet.ops.cupy import launch

    columns = 2 * 9 * 6 * 5  # of an image
    monkeypatch.setattr(launch, "LIMIT", images * columns + columns // 2)
    kept = convolution(((7, 2, 6, 5), 3, 3), 1, 1, window, "float32", bias=bias)
    assert (len(kept) if isinstance(kept, list) else 1) == parts


def test_an_image_whose_columns_are_too_many_goes_another_way(monkeypatch):
    load()
    from xpnet.ops.cupy import launch

    monkeypatch.setattr(launch, "LIMIT", 2 * 9 * 6 * 5)
    x, W = draw((1, 2, 6, 5), "float32"), draw((4, 2, 3, 3), "float32", seed=1)
    move = {"stride": 1, "pad": 1}
    assert conv.conv2d.bodies["cupy"](gpu(x), gpu(W), None, **move) is NotImplemented
    expected, _ = generic(conv.conv2d, x, W, None, **move)
    agree(conv.conv2d(gpu(x), gpu(W), None, **move)[0], expected)


@pytest.mark.parametrize(("channels", "served"), [(6, True), (7, False)])
def test_more_channels_than_a_grid_has_rows_go_another_way(monkeypatch, channels, served):
    load()
    from xpnet.ops.cupy import launch

    assert launch.CHANNELS == 2**16
    monkeypatch.setattr(launch, "CHANNELS", 7)
    x, window = draw((1, channels, 2, 1), "float32"), Window(2, 1, 1, 0)
    W = draw((1, channels, 1, 1), "float32", seed=1)
    made = [f.bodies["cupy"](gpu(x), window) for f in (pool.max_pool2d, pool.avg_pool2d)]
    assert [y is not NotImplemented for y in made] == [served] * 2
    agree(pool.max_pool2d(gpu(x), window)[0], generic(pool.max_pool2d, x, window)[0])
    agree(pool.avg_pool2d(gpu(x), window), generic(pool.avg_pool2d, x, window))
    dy = gpu(draw((1, channels, 1, 1), "float32"))
    back = pool.avg_pool2d_backward.bodies["cupy"](dy, x.shape, window)
    convolved = conv.conv2d.bodies["cupy"](gpu(x), gpu(W), None, stride=1, pad=0)
    assert [y is not NotImplemented for y in (back, convolved)] == [served] * 2


@pytest.mark.parametrize("d", [1, 2, 3, 5, 7, 28, 196, 641, 2**16 + 1, 2**30 + 1, 2**31 - 257])
def test_a_number_is_divided_by_a_multiplication(d):
    load()
    from xpnet.ops.cupy.launch import LIMIT, divisor

    packed = divisor(d)
    factor, shift = packed % 2**32, packed >> 32
    last = LIMIT // d * d
    near = {x + off for x in (0, d, 5 * d, last - d, last, LIMIT) for off in (-1, 0, 1)}
    for x in near:
        if 0 <= x < LIMIT:
            assert (2 * x * factor >> 32) >> shift == x // d


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 6, 8), (2, 3, 7, 8), (2, 3, 6, 7), (2, 3, 5, 9)], ids=str)
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 1])
def test_windows_side_by_side(dtype, shape, size, start):
    # with a remainder or none, of arrays that start at any number of a larger one
    def within(values):
        whole_array = gpu(np.concatenate([np.zeros(start, dtype), values.ravel()]))
        return whole_array[start:].reshape(values.shape)

    window = Window(size, size, size, 0)
    x = draw(shape, dtype, whole=True)
    x[0, 0, 0, 1] = x[1, 2, -1, 0] = np.nan
    x[0, 1, 2:4, 2:4] = -np.inf
    y, kept = own(pool.max_pool2d, within(x), window)
    expected, theirs = generic(pool.max_pool2d, x, window)
    agree(y, expected, dtype, exact=True)
    dy = draw(y.shape, dtype, seed=1)
    dx = own(pool.max_pool2d_backward, within(dy), kept, window)
    agree(dx, generic(pool.max_pool2d_backward, dy, theirs, window), dtype, exact=True)
    x = draw(shape, dtype, whole=True)
    agree(own(pool.avg_pool2d, within(x), window), generic(pool.avg_pool2d, x, window), dtype)
    dx = own(pool.avg_pool2d_backward, within(dy), shape, window)
    agree(dx, generic(pool.avg_pool2d_backward, dy, shape, window), dtype, exact=True)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    n=st.integers(0, 3), c=st.integers(1, 3), h=st.integers(1, 9), w=st.integers(1, 9),
    kh=st.integers(1, 4), kw=st.integers(1, 4), stride=st.integers(1, 5), pad=st.integers(0, 2),
    dtype=st.sampled_from(DTYPES), whole=st.booleans(), spaced=st.booleans(), nans=st.booleans(),
)  # fmt: skip
def test_pooling_of_any_geometry(n, c, h, w, kh, kw, stride, pad, dtype, whole, spaced, nans):
    assume(pad <= min(kh, kw) // 2 and h + 2 * pad >= kh and w + 2 * pad >= kw)
    window = Window(kh, kw, stride, pad)
    x = draw((n, c, h, w), dtype, whole=whole, spaced=spaced)
    if nans:
        x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    y, kept = own(pool.max_pool2d, gpu(x), window)
    expected, theirs = generic(pool.max_pool2d, x, window)
    agree(y, expected, dtype, exact=True)
    dy = draw(y.shape, dtype, seed=1, whole=whole, spaced=spaced)
    dx = own(pool.max_pool2d_backward, gpu(dy), kept, window)
    agree(dx, generic(pool.max_pool2d_backward, dy, theirs, window), dtype, exact=whole)
    x = draw(x.shape, dtype, whole=whole, spaced=spaced)
    agree(own(pool.avg_pool2d, gpu(x), window), generic(pool.avg_pool2d, x, window), dtype)
    dx = own(pool.avg_pool2d_backward, gpu(dy), x.shape, window)
    agree(dx, generic(pool.avg_pool2d_backward, dy, x.shape, window), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 3), (300, 70), (3, 1), (3, 5, 4, 2), (40, 2, 9, 9)], ids=str)
@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("need_dx", [False, True])
def test_batch_norm(dtype, shape, spaced, need_dx):
    c = shape[1]
    x, dy = draw(shape, dtype, spaced=spaced), draw(shape, dtype, seed=1, spaced=spaced)
    gamma, beta, mean, var = (draw((c,), dtype, seed=i) ** 2 for i in range(2, 6))
    mean_gpu, var_gpu = gpu(mean), gpu(var)
    how = {"momentum": 0.9, "eps": 1e-5}
    y, kept = own(norm.batch_norm, gpu(x), gpu(gamma), gpu(beta), mean_gpu, var_gpu, **how)
    expected, theirs = generic(norm.batch_norm, x, gamma, beta, mean, var, **how)
    for ours, other in ((y, expected), (mean_gpu, mean), (var_gpu, var)):
        agree(ours, other, dtype)
    dgamma, dbeta = np.empty(c, dtype), np.empty(c, dtype)
    dgamma_gpu, dbeta_gpu = gpu(dgamma), gpu(dbeta)
    arrays = gpu(gamma), dgamma_gpu, dbeta_gpu
    dx = own(norm.batch_norm_backward, gpu(dy), kept, *arrays, need_dx=need_dx)
    expected = generic(norm.batch_norm_backward, dy, theirs, gamma, dgamma, dbeta, need_dx=need_dx)
    agree(dgamma_gpu, dgamma, dtype)
    agree(dbeta_gpu, dbeta, dtype)
    assert (dx is None) == (not need_dx)
    if need_dx:
        agree(dx, expected, dtype)


def test_settings_may_be_whole_numbers():
    x, ones, zeros = draw((5, 3), "float32"), np.ones(3, "float32"), np.zeros(3, "float32")
    mean, var = gpu(zeros), gpu(ones)
    how = {"momentum": 1, "eps": 1}
    y, _ = own(norm.batch_norm, gpu(x), gpu(ones), gpu(zeros), mean, var, **how)
    expected = generic(norm.batch_norm, x, ones, zeros, zeros.copy(), ones.copy(), **how)
    agree(y, expected[0])
    agree(mean, zeros)
    p, g = draw((4,), "float32"), draw((4,), "float32", seed=1)
    p_gpu = gpu(p)
    own(update.sgd, p_gpu, gpu(g), Scalars(lr=1, flush=False), 1)
    agree(p_gpu, p - (g + p))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 4), (1, 2), (70, 33), (600, 10), (300, 100)], ids=str)
@pytest.mark.parametrize("size", [1.0, 200.0], ids=["small", "large"])
@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_cross_entropy(dtype, shape, size, spaced, smoothing):
    scores = draw(shape, dtype, spaced=spaced) * np.dtype(dtype).type(size)
    labels = np.random.default_rng(1).integers(0, shape[1], shape[0])
    how = {"smoothing": smoothing}
    value, slopes = own(loss.softmax_cross_entropy, gpu(scores), gpu(labels), None, **how)
    expected = generic(loss.softmax_cross_entropy, scores, labels, None, **how)
    agree(value, expected[0], dtype)
    agree(slopes, expected[1], dtype)


@pytest.mark.parametrize("label", [-1, 10, 2**40])
def test_a_label_out_of_range_makes_the_loss_nan(label):
    labels = np.array([3, label])
    scores = draw((2, 10), "float32")
    value, slopes = own(loss.softmax_cross_entropy, gpu(scores), gpu(labels), None, smoothing=0.0)
    assert np.isnan(host(value))
    assert np.isnan(host(slopes)[1]).all()
    assert np.isfinite(host(slopes)[0]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("shape", [(4, 3), (0, 3), (1, 1), (5, 2, 3, 3), (150, 150)], ids=str)
@pytest.mark.parametrize("spaced", [False, True])
def test_dropout_bit_for_bit(dtype, rate, shape, spaced):
    x, counter = draw(shape, dtype, spaced=spaced), np.array(5)
    for key in (3, 2**128 - 1):
        counter_gpu = gpu(counter)
        how = {"key": key, "rate": rate, "scale": 1 / (1 - rate)}
        y, mask = own(dropout.dropout, gpu(x), counter_gpu, **how)
        assert host(counter_gpu) == counter + 1
        expected = generic(dropout.dropout, x, counter, **how)
        agree(mask, expected[1], dtype, exact=True)
        agree(y, expected[0], dtype, exact=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pixels", ["uint8", "int16", "own"])
@pytest.mark.parametrize("targets", ["labels", "rows", "small"])
@pytest.mark.parametrize("scale", [None, 0.0, 1 / 255])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("by_record", [False, True])
def test_gathering_a_batch(dtype, pixels, targets, scale, shuffled, by_record):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, 1, 3, 3)).astype(dtype if pixels == "own" else pixels)
    t = rng.normal(size=(20, 4)).astype(dtype) if targets == "rows" else rng.integers(0, 10, 20)
    if targets == "small":
        t = t.astype("int32")
    order = rng.permutation(20) if shuffled else None
    first = np.array([0.5, 3.0, 2.0]) if by_record else 8
    how = {"n": 4, "scale": scale, "dtype": dtype}
    ours = own(batch.gather_batch, gpu(x), gpu(t), gpu(order), gpu(first), **how)
    theirs = generic(batch.gather_batch, x, t, order, first, **how)
    for mine, other in zip(ours, theirs, strict=True):
        agree(mine, other, exact=True)


@pytest.mark.parametrize("by_record", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_in_the_order_of_an_epoch(shuffled, by_record):
    rng = np.random.default_rng(0)
    rows, order = rng.normal(size=20).astype("float32"), rng.permutation(20) if shuffled else None
    first = np.array([0.5, 3.0, 2.0]) if by_record else 8
    ours = own(batch.gather, gpu(rows), gpu(order), gpu(first), n=4)
    agree(ours, generic(batch.gather, rows, order, first, n=4), exact=True)


FLAT, ONE, DEEP = ((5, 4), (1500, 10)), ((7, 1),), ((3, 2, 2),)
ANSWERS = [
    *((None, by_labels, shape) for shape in FLAT + ONE for by_labels in (False, True)),
    *((batch.Answers("class"), True, shape) for shape in FLAT),
    *(
        (answers, by_labels, shape)
        for answers in (batch.Answers("yes or no", 0.5), batch.Answers("number"))
        for by_labels, shapes in ((True, ONE), (False, FLAT + ONE + DEEP))
        for shape in shapes
    ),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("answers", "by_labels", "shape"), ANSWERS)
def test_the_statistics_of_an_epoch(dtype, answers, by_labels, shape, weighted):
    scores, rng = draw(shape, dtype, whole=True) / 2, np.random.default_rng(1)
    if answers is not None and answers.right_or_wrong:
        scores[0] = np.nan
    labels = rng.integers(0, max(shape[1], 2), shape[0])
    targets = labels if by_labels else rng.integers(0, 2, shape).astype(dtype)
    record, value = np.arange(1.0, 1 + len(batch.RECORD)), np.array(0.25, dtype)
    weights = (rng.integers(0, 8, shape[0]) / 4).astype(dtype) if weighted else None
    record_gpu = gpu(record)
    arrays = record_gpu, gpu(scores), gpu(targets), gpu(value), gpu(weights)
    assert own(batch.update_stats, *arrays, answers=answers) is None
    generic(batch.update_stats, record, scores, targets, value, weights, answers=answers)
    agree(record_gpu, record, exact=True)


RULES = {
    "sgd": (update.sgd, optimizers.SGD(), (0.1,)),
    "momentum": (update.momentum, optimizers.Momentum(), (0.1, 0.9, False)),
    "nesterov": (update.momentum, optimizers.Nesterov(), (0.0, 0.9, True)),
    "adagrad": (update.adagrad, optimizers.AdaGrad(eps=1e-7), (0.1, 1e-7)),
    "rmsprop": (update.rmsprop, optimizers.RMSprop(alpha=0.9, eps=1e-7), (0.1, 0.9, 1e-7)),
    "adam": (update.adam, optimizers.Adam(beta2=0.99, eps=1e-7), (0.1, 0.9, 0.99, 1e-7, False)),
    "adamw": (update.adam, optimizers.AdamW(beta2=0.99, eps=1e-7), (0.1, 0.9, 0.99, 1e-7, True)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("by_table", [False, True])
@pytest.mark.parametrize("flush", [False, True])
def test_update_rules(dtype, rule, by_table, flush):
    op, optimizer, (decay, *rest) = RULES[rule]
    slots = len(optimizer.slot_names)
    tiny = np.finfo(dtype).smallest_normal ** 0.5 / 8
    p, g, *remembered = (draw((700,), dtype, seed=i) for i in range(2 + slots))
    remembered = [np.abs(values) for values in remembered]
    for values in (g, *remembered):
        values[:50] = tiny
        values[50:60] = 0
    scalars = there = Scalars(lr=0.05, flush=flush, step_size=0.05 / 0.3, root_scale=0.2**-0.5)
    if by_table:
        rows, record = np.zeros((3, len(COLUMNS))), np.array([0.0, 0.0, 1.0])
        rows[1] = scalars.row
        there = DeviceScalars(COLUMNS, gpu(rows), gpu(record), dtype)
    ours = [gpu(a) for a in (p, g, *remembered)]
    assert own(op, *ours, there, decay, *rest) is None
    with generic_only():
        optimizer.rule(p, g, *remembered, scalars=scalars, decay=decay)
    for mine, theirs in zip(ours, (p, g, *remembered), strict=True):
        agree(mine, theirs, dtype)
