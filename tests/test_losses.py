"""Losses: their values, their gradients, and what they refuse."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.conftest import Backend, assert_close, strided
from xpnet import ops
from xpnet.arrays import dtype_name, to_numpy
from xpnet.devices import device_of
from xpnet.losses import Answers, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.ops.loss import smallest_kept
from xpnet.optimizers import SGD

P = np.array([[0.1, 0.05, 0.6, 0, 0.05, 0.1, 0, 0.1, 0, 0]])
SWAPPED = np.array([[0.6, 0.05, 0.1, 0, 0.05, 0.1, 0, 0.1, 0, 0]])
TWO = np.eye(10)[[2]]

DTYPES = {"float32": 2e-6, "float64": 1e-13}
LOSSES = [SoftmaxCrossEntropy(), SoftmaxCrossEntropy(0.1), SigmoidCrossEntropy(), SquaredError()]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def run(loss, scores, targets, weights=None):
    """Return the value and the gradient as NumPy arrays."""
    value = loss.forward(scores, targets, weights)
    return to_numpy(value), to_numpy(loss.backward())


# Closed forms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("p", "expected"), [(P, 0.510825623766), (SWAPPED, 2.302585092994)])
def test_cross_entropy_is_minus_the_log_of_the_right_class(xp: Backend, dtype, p, expected):
    scores = xp.array(np.log(np.where(p > 0, p, 1e-30)), dtype)
    value, gradient = run(SoftmaxCrossEntropy(), scores, xp.array([2]))
    assert_close(value, np.array(expected, dtype), rtol=DTYPES[dtype])
    assert_close(gradient, (p - TWO).astype(dtype), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("y", "expected"), [(P, 0.0975), (SWAPPED, 0.5975)])
def test_squared_error_is_half_the_summed_squares(xp: Backend, dtype, y, expected):
    for targets in (TWO.astype(dtype), np.array([2])):
        value, gradient = run(SquaredError(), xp.array(y, dtype), xp.array(targets))
        assert_close(value, np.array(expected, dtype), rtol=DTYPES[dtype])
        assert_close(gradient, (y - TWO).astype(dtype), rtol=1e-6)


def test_squared_error_of_complex_numbers_is_real_and_its_gradient_complex(xp: Backend):
    y = np.array([[1 + 2j, 0], [0, -1j]])
    t = np.array([[1 - 1j, 2], [0, -1j]])
    value, gradient = run(SquaredError(), xp.array(y), xp.array(t))
    assert_close(value, np.array((9 + 4) / 2 / 2))
    assert_close(gradient, np.array([[3j, -2], [0, 0]]) / 2)


def test_squared_error_takes_samples_of_any_shape(xp: Backend, rng):
    for shape in [(5,), (4, 3), (2, 3, 4)]:
        y, t = rng.normal(size=(2, *shape))
        value, gradient = run(SquaredError(), xp.array(y), xp.array(t))
        assert_close(value, np.array(((y - t) ** 2).sum() / 2 / shape[0]))
        assert_close(gradient, (y - t) / shape[0])


def test_sigmoid_cross_entropy_of_even_odds_is_log_2_for_each_answer(xp: Backend):
    value, gradient = run(
        SigmoidCrossEntropy(), xp.array(np.zeros((2, 3))), xp.array(np.eye(3)[:2])
    )
    assert_close(value, np.array(3 * math.log(2)))
    assert_close(gradient, (0.5 - np.eye(3)[:2]) / 2)


def test_uniform_scores_cost_the_log_of_the_number_of_classes(xp: Backend):
    for smoothing in (0.0, 0.3):
        loss = SoftmaxCrossEntropy(smoothing)
        value, _ = run(loss, xp.array(np.full((4, 8), 3.0)), xp.array([0, 1, 2, 7]))
        assert_close(value, np.array(math.log(8)))


def test_label_smoothing_mixes_the_label_with_the_uniform_distribution(xp: Backend):
    p = np.array([[0.5, 0.25, 0.25]])
    value, gradient = run(SoftmaxCrossEntropy(0.3), xp.array(np.log(p)), xp.array([0]))
    t = np.array([[0.8, 0.1, 0.1]])
    assert_close(value, np.array(-(0.8 * math.log(0.5) + 0.2 * math.log(0.25))))
    assert_close(gradient, p - t)


def test_weights_make_the_mean_a_weighted_one(xp: Backend, rng):
    scores, targets = rng.normal(size=(4, 3)), np.array([0, 2, 1, 1])
    weights = np.array([1.0, 0, 2, 5])
    for loss in LOSSES:
        parts = [run(loss, scores[[i]], targets[[i]]) for i in range(4)]
        value, gradient = run(loss, xp.array(scores), xp.array(targets), xp.array(weights))
        assert_close(value, np.dot([v for v, _ in parts], weights) / 8)
        rows = np.concatenate([g for _, g in parts])
        assert_close(gradient, rows * weights[:, None] / 8, atol=1e-16)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("kind", ["float64", "int64", "bool"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_any_dtype_leave_the_dtype_of_the_scores(xp: Backend, rng, loss, kind, dtype):
    scores, weights = rng.normal(size=(3, 4)), np.array([1, 0, 1]).astype(kind)
    value, gradient = run(loss, xp.array(scores, dtype), xp.array([0, 1, 2]), xp.array(weights))
    assert value.dtype == gradient.dtype == dtype
    kept, _ = run(loss, scores[[0, 2]], np.array([0, 2]))
    np.testing.assert_allclose(value, kept, rtol=1e-5)
    assert not gradient[1].any()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("kind", ["uint8", "int32", "int64"])
def test_labels_and_one_hot_rows_are_the_same_targets(xp: Backend, rng, loss, kind):
    scores, labels = rng.normal(size=(6, 5)), np.array([0, 4, 2, 2, 1, 3])
    by_label = run(loss, xp.array(scores), xp.array(labels, kind))
    by_row = run(loss, xp.array(scores), xp.array(np.eye(5, dtype=kind)[labels]))
    for a, b in zip(by_label, by_row, strict=True):
        assert_close(a, b, rtol=1e-14, atol=1e-16)


def test_small_label_dtypes_count_further_than_they_reach(xp: Backend, rng):
    scores, weights = rng.normal(size=(2, 300)), xp.array([1.0, 1.0])
    small = run(SoftmaxCrossEntropy(), xp.array(scores), xp.array([3, 255], "uint8"), weights)
    large = run(SoftmaxCrossEntropy(), xp.array(scores), xp.array([3, 255]), weights)
    assert_close(small[0], large[0])
    assert_close(small[1], large[1])


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_numpy_and_generic_bodies_agree(rng, loss):
    for dtype, rtol in DTYPES.items():
        scores, labels = (3 * rng.normal(size=(20, 7))).astype(dtype), rng.integers(0, 7, 20)
        fast = run(loss, scores, labels)
        with ops.generic_only():
            plain = run(loss, scores, labels)
        assert_close(fast[0], plain[0], rtol=10 * rtol)
        assert_close(fast[1], plain[1], rtol=10 * rtol, atol=rtol / 10)


# Against another library and against differences --------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_values_and_gradients_are_those_of_torch(xp: Backend, rng, loss, weighted, dtype):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    n, k = 9, 5
    scores = (4 * rng.normal(size=(n, k))).astype(dtype)
    labels = rng.integers(0, k, n)
    soft = rng.uniform(size=(n, k)).astype(dtype)
    weights = rng.uniform(0.1, 2, n).astype(dtype) if weighted else np.ones(n, dtype)
    theirs = torch.tensor(scores, requires_grad=True)
    match loss:
        case SoftmaxCrossEntropy():
            targets, smoothing = labels, loss.label_smoothing
            wanted = torch.tensor(labels)
            each = f.cross_entropy(theirs, wanted, reduction="none", label_smoothing=smoothing)
        case SigmoidCrossEntropy():
            targets, wanted = soft, torch.tensor(soft)
            each = f.binary_cross_entropy_with_logits(theirs, wanted, reduction="none").sum(1)
        case _:
            targets, wanted = soft, torch.tensor(soft)
            each = f.mse_loss(theirs, wanted, reduction="none").sum(1) / 2
    mean = (each * torch.tensor(weights)).sum() / float(weights.sum())
    mean.backward()
    given = (xp.array(weights),) if weighted else ()
    value, gradient = run(loss, xp.array(scores), xp.array(targets), *given)
    assert_close(value, mean.detach().numpy(), rtol=10 * DTYPES[dtype])
    assert_close(gradient, theirs.grad.numpy(), rtol=10 * DTYPES[dtype], atol=DTYPES[dtype] / 10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_gradients_are_the_slopes_of_the_loss(xp: Backend, rng, loss, weighted):
    scores = rng.normal(size=(5, 4))
    targets = xp.array(rng.integers(0, 4, 5))
    weights = xp.array(rng.uniform(0.5, 2, 5)) if weighted else None
    _, gradient = run(loss, xp.array(scores), targets, weights)
    h = 1e-6
    for _ in range(3):
        way = rng.normal(size=scores.shape)
        above, below = (run(loss, xp.array(scores + e * way), targets, weights)[0] for e in (h, -h))
        np.testing.assert_allclose((above - below) / (2 * h), (gradient * way).sum(), rtol=1e-6)


def test_the_gradient_of_complex_outputs_is_the_slope_along_both_parts(xp: Backend, rng):
    y, t, way = rng.normal(size=(3, 4, 2)) + 1j * rng.normal(size=(3, 4, 2))
    weights = xp.array([1.0, 2.0, 0.5, 0.0])
    _, gradient = run(SquaredError(), xp.array(y), xp.array(t), weights)
    h = 1e-6
    above, below = (
        run(SquaredError(), xp.array(y + e * way), xp.array(t), weights)[0] for e in (h, -h)
    )
    slope = (gradient.conj() * way).sum().real
    np.testing.assert_allclose((above - below) / (2 * h), slope, rtol=1e-6)


# Extremes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SoftmaxCrossEntropy(0.1)], ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_scores_do_not_overflow_softmax(xp: Backend, loss, dtype):
    scores = xp.array([[1e4, -1e4, 0], [-1e4, 0, 1e4]], dtype)
    value, gradient = run(loss, scores, xp.array([0, 1]))
    s = loss.label_smoothing
    t = (1 - s) * np.eye(3)[[0, 1]] + s / 3
    log_p = np.array([[0, -2e4, -1e4], [-2e4, -1e4, 0]])
    rows = -(t * log_p).sum(axis=1)
    assert_close(value, np.array(rows.mean(), dtype))
    assert_close(gradient, ((np.eye(3)[[0, 2]] - t) / 2).astype(dtype), atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_scores_do_not_overflow_sigmoid(xp: Backend, dtype):
    scores = xp.array([[1e4, -1e4], [1e4, -1e4]], dtype)
    value, gradient = run(SigmoidCrossEntropy(), scores, xp.array([[1, 0], [0, 1]], dtype))
    assert_close(value, np.array(1e4, dtype))
    assert_close(gradient, np.array([[0, 0], [0.5, -0.5]], dtype))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_class_ruled_out_by_a_score_of_minus_infinity_costs_nothing(xp: Backend, weighted):
    scores, weights = xp.array([[0.0, 0.0, -np.inf]]), xp.array([3.0]) if weighted else None
    value, gradient = run(SoftmaxCrossEntropy(), scores, xp.array([0]), weights)
    assert_close(value, np.array(math.log(2)))
    assert_close(gradient, np.array([[-0.5, 0.5, 0]]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SigmoidCrossEntropy()], ids=repr)
def test_gradients_too_small_to_matter_are_exactly_zero(xp: Backend, loss, dtype):
    least = math.sqrt(np.finfo(dtype).smallest_normal)
    sizes = np.array([0.5, 2.0, 1e-3, 1e3]) * least  # of p, on both sides of the border
    scores = np.concatenate([np.full((4, 1), 0.0), np.log(sizes)[:, None]], axis=1)
    if isinstance(loss, SigmoidCrossEntropy):
        scores[:, 0] = 800  # p = 1
        targets = xp.array(np.array([[1, 0]] * 4), dtype)
    else:
        targets = xp.array([0, 0, 0, 0])
    _, gradient = run(loss, xp.array(scores, dtype), targets)
    kept = gradient[gradient != 0]
    assert np.abs(kept).min() >= least
    np.testing.assert_allclose(gradient[:, 1], [0, 0, 0, 250 * least], rtol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_size_that_is_cut_is_the_root_of_the_smallest_normal_number(dtype):
    assert smallest_kept(np, np.dtype(dtype)) == math.sqrt(np.finfo(dtype).smallest_normal)


def test_nan_scores_make_the_loss_nan(xp: Backend):
    for loss in LOSSES:
        value, _ = run(loss, xp.array([[0.0, np.nan], [1, 2]]), xp.array([0, 1]))
        assert np.isnan(value)


# What stays as it was -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_dtype_device_and_arguments_are_kept(xp: Backend, rng, loss, dtype):
    scores, targets = rng.normal(size=(3, 4)).astype(dtype), np.array([3, 0, 1])
    given = xp.array(scores.copy()), xp.array(targets.copy())
    value = loss.forward(*given)
    gradient = loss.backward()
    assert value.shape == ()
    assert tuple(gradient.shape) == (3, 4)
    assert dtype_name(value) == dtype_name(gradient) == dtype
    assert device_of(gradient) == xp.device
    np.testing.assert_array_equal(to_numpy(given[0]), scores)
    np.testing.assert_array_equal(to_numpy(given[1]), targets)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_strided_scores_give_what_contiguous_ones_give(rng, loss):
    scores, targets = rng.normal(size=(6, 4)), rng.integers(0, 4, 6)
    for a, b in zip(
        run(loss, scores, targets), run(loss, strided(scores), strided(targets)), strict=True
    ):
        assert_close(b, a, rtol=1e-14)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_step_down_the_gradient_lowers_the_loss(xp: Backend, rng, loss):
    scores, targets = {"s": rng.normal(size=(5, 3))}, rng.integers(0, 3, 5)
    before, gradient = run(loss, xp.array(scores["s"].copy()), xp.array(targets))
    SGD(lr=0.1).update(scores, {"s": gradient})
    assert run(loss, xp.array(scores["s"]), xp.array(targets))[0] < before


def test_repr_names_the_arguments():
    assert (
        repr(SoftmaxCrossEntropy(label_smoothing=0.1)) == "SoftmaxCrossEntropy(label_smoothing=0.1)"
    )
    assert repr(SquaredError()) == "SquaredError()"


# What is refused ----------------------------------------------------------------------------------


BAD = [
    (np.zeros((0, 3)), np.zeros(0, int), None, "expected at least one sample, got scores (0, 3)"),
    (np.array(1.0), np.array(1.0), None, "expected at least one sample, got scores ()"),
    (np.zeros((4, 3)), np.zeros(3, int), None, "expected 4 labels, got 3"),
    (np.zeros((4, 3)), np.zeros(4), None, "expected integer labels or targets of shape (4, 3)"),
    (np.zeros((4, 3)), np.zeros(4, bool), None, "expected integer labels or targets of shape"),
    (np.zeros((4, 3)), np.zeros((4, 2)), None, "expected labels (4,) or targets of shape (4, 3)"),
    (np.zeros((4, 3)), np.zeros((1, 3)), None, "got (1, 3)"),
    (np.zeros((4, 3)), np.zeros(4, int), np.ones(3), "expected weights (4,), got (3,)"),
    (np.zeros((4, 3)), np.zeros(4, int), np.ones((4, 1)), "expected weights (4,), got (4, 1)"),
    (np.zeros((4, 3), int), np.zeros(4, int), None, "floating-point scores, got int64"),
    (np.zeros((4, 3)), np.zeros((4, 3), complex), None, "expected real targets, got complex128"),
]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize(("scores", "targets", "weights", "sentence"), BAD, ids=range(len(BAD)))
def test_bad_input_raises_a_sentence_that_names_the_loss(
    xp: Backend, loss, scores, targets, weights, sentence
):
    given = [xp.array(a) for a in (scores, targets, weights) if a is not None]
    with pytest.raises(ValueError, match=f"^{type(loss).__name__}: ") as caught:
        loss.forward(*given)
    assert sentence in str(caught.value)
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        loss.backward()


def test_bad_input_raises_after_good_input_too(xp: Backend):
    loss, scores = SoftmaxCrossEntropy(), xp.array(np.zeros((4, 3)))
    loss.forward(scores, xp.array([0, 1, 2, 0]))
    with pytest.raises(ValueError, match="expected 4 labels, got 3"):
        loss.forward(scores, xp.array([0, 1, 2]))
    with pytest.raises(ValueError, match="expected integer labels"):
        loss.forward(scores, xp.array([0.0, 1, 2, 0]))
    with pytest.raises(ValueError, match=r"expected weights \(4,\)"):
        loss.forward(scores, xp.array([0, 1, 2, 0]), xp.array([1.0]))


def test_only_squared_error_takes_complex_scores(xp: Backend):
    scores, targets = xp.array(np.ones((2, 2), complex)), xp.array(np.zeros((2, 2)))
    for loss in LOSSES[:3]:
        with pytest.raises(ValueError, match="expected real floating-point scores, got complex128"):
            loss.forward(scores, targets)
    assert float(SquaredError().forward(scores, targets)) == 1.0


def test_softmax_takes_rows_of_scores_alone(xp: Backend):
    for shape in [(4,), (4, 3, 2)]:
        with pytest.raises(ValueError, match=r"expected scores \(n, k\) of two classes"):
            SoftmaxCrossEntropy().forward(xp.array(np.zeros(shape)), xp.array(np.zeros(shape)))


@pytest.mark.faster_bodies
@pytest.mark.parametrize("wrong", [-1, 3, 255])
def test_a_label_out_of_range_raises_on_numpy(wrong):
    scores, labels = np.zeros((3, 3)), np.array([0, wrong, 2])
    with pytest.raises(ValueError, match=f"expected labels from 0 to 2, got {wrong}"):
        SoftmaxCrossEntropy().forward(scores, labels)


@pytest.mark.parametrize("wrong", [-1, 3, 255])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_label_out_of_range_is_nan_where_looking_would_wait_for_the_device(
    xp: Backend, loss, wrong
):
    with ops.generic_only():
        value, _ = run(loss, xp.array(np.zeros((3, 3))), xp.array([0, wrong, 2]))
    assert np.isnan(value)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_backward_takes_the_gradient_once(xp: Backend, loss):
    with pytest.raises(RuntimeError, match="backward needs a forward of its own before"):
        loss.backward()
    loss.forward(xp.array(np.zeros((2, 3))), xp.array([0, 1]))
    loss.backward()
    with pytest.raises(RuntimeError, match="backward needs a forward of its own before"):
        loss.backward()


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 1.5, math.nan])
def test_label_smoothing_must_be_a_share(smoothing):
    with pytest.raises(ValueError, match="label_smoothing: expected 0 <= label_smoothing < 1, got"):
        SoftmaxCrossEntropy(smoothing)


def test_things_that_are_no_arrays_are_named():
    with pytest.raises(TypeError, match="SquaredError: expected arrays, got list, ndarray"):
        SquaredError().forward([[1.0]], np.ones((1, 1)))


def test_arrays_of_two_libraries_raise_and_name_both(xp: Backend):
    if xp.device.library == "numpy":
        pytest.skip("one library")
    for loss in LOSSES:
        with pytest.raises(
            TypeError, match=f"expected arrays of one library, got numpy and {xp.device.library}"
        ):
            loss.forward(np.zeros((2, 3)), xp.array([0, 1]))


def test_labels_of_a_single_output_are_its_targets(xp: Backend):
    scores = xp.array([[0.3], [-1.2], [2.0]], "float64")
    labels, rows = xp.array([1, 0, 1]), xp.array([[1.0], [0.0], [1.0]], "float64")
    for make in (SigmoidCrossEntropy, SquaredError):
        losses = []
        for targets in (labels, rows):
            loss = make()
            losses.append((float(loss.forward(scores, targets)), to_numpy(loss.backward())))
        assert losses[0][0] == losses[1][0]
        np.testing.assert_array_equal(losses[0][1], losses[1][1])


def test_a_backward_in_another_thread_than_its_forward_is_refused():
    """Two threads with one loss would take each other's gradients in silence."""
    loss, x = SquaredError(), np.ones((2, 3))
    loss(x, 0 * x)
    with ThreadPoolExecutor(1) as thread:
        refused = thread.submit(loss.backward)
        with pytest.raises(RuntimeError, match="was another thread's: give each thread a loss"):
            refused.result()
    np.testing.assert_array_equal(loss.backward(), x / 2)  # which is still there


def test_softmax_of_a_single_output_is_refused(xp: Backend):
    with pytest.raises(ValueError, match="two classes or more"):
        SoftmaxCrossEntropy().forward(xp.array([[1.0], [2.0]]), xp.array([0, 0]))


# What scores answer ------------------------------------------------------------------------------


class Own(Loss):
    """A loss that says nothing of its answers."""

    def compute(self, scores, targets, weights):
        raise NotImplementedError


CLASS, NUMBER = Answers("class"), Answers("number")
YES_ABOVE_0, YES_ABOVE_HALF = Answers("yes or no", cut=0.0), Answers("yes or no", cut=0.5)
ONE_HOT, SOFT = np.eye(3)[[0, 2, 1]], np.full((2, 3), 1 / 3)
MARKS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]])  # any number of classes

ANSWERS = {
    "softmax, labels": (SoftmaxCrossEntropy(), (3,), np.array([0, 2]), 3, CLASS),
    "softmax, labels of unknown number": (SoftmaxCrossEntropy(), (3,), np.array([0]), None, CLASS),
    "softmax, one-hot rows": (SoftmaxCrossEntropy(), (3,), ONE_HOT, None, CLASS),
    "softmax, soft rows": (SoftmaxCrossEntropy(), (3,), SOFT, 3, CLASS),
    "softmax, smoothed": (SoftmaxCrossEntropy(0.1), (3,), np.array([0, 2]), 3, CLASS),
    "sigmoid, labels of one output": (
        SigmoidCrossEntropy(), (1,), np.array([0, 1]), 2, YES_ABOVE_0
    ),
    "sigmoid, a column": (SigmoidCrossEntropy(), (1,), np.ones((4, 1)), None, YES_ABOVE_0),
    "sigmoid, several answers": (SigmoidCrossEntropy(), (3,), MARKS * 1.0, 3, YES_ABOVE_0),
    "sigmoid, several answers without classes": (
        SigmoidCrossEntropy(), (3,), MARKS, None, YES_ABOVE_0
    ),
    "sigmoid, soft answers": (SigmoidCrossEntropy(), (3,), SOFT, None, YES_ABOVE_0),
    "sigmoid, masks": (SigmoidCrossEntropy(), (2, 2), np.ones((4, 2, 2)), None, YES_ABOVE_0),
    "sigmoid, labels of several outputs": (
        SigmoidCrossEntropy(), (3,), np.array([0, 2]), 3, CLASS
    ),
    "squares, two classes of one output": (
        SquaredError(), (1,), np.array([0, 1]), 2, YES_ABOVE_HALF
    ),
    "squares, two classes of which one is met": (
        SquaredError(), (1,), np.array([0, 0]), 2, YES_ABOVE_HALF
    ),
    "squares, labels 0 and 1 of one output": (
        SquaredError(), (1,), np.array([0, 1]), None, YES_ABOVE_HALF
    ),
    "squares, True and False": (
        SquaredError(), (1,), np.array([True, False]), None, YES_ABOVE_HALF
    ),
    "squares, a column of 0 and 1": (
        SquaredError(), (1,), np.array([[0], [1]], "uint8"), None, YES_ABOVE_HALF
    ),
    "squares, whole numbers": (SquaredError(), (1,), np.array([0, 1, 2]), None, NUMBER),
    "squares, -1 and 1": (SquaredError(), (1,), np.array([-1, 1]), None, NUMBER),
    "squares, three classes of one output": (
        SquaredError(), (1,), np.array([0, 1, 2]), 3, NUMBER
    ),
    "squares, numbers 0. and 1.": (SquaredError(), (1,), np.array([[0.0], [1.0]]), None, NUMBER),
    "squares, numbers": (SquaredError(), (3,), SOFT, None, NUMBER),
    "squares, one-hot without classes": (SquaredError(), (3,), ONE_HOT, None, NUMBER),
    "squares, one-hot": (SquaredError(), (3,), ONE_HOT, 3, CLASS),
    "squares, one-hot of bools": (SquaredError(), (3,), ONE_HOT.astype(bool), 3, CLASS),
    "squares, soft rows": (SquaredError(), (3,), SOFT, 3, CLASS),
    "squares, rows of several ones": (SquaredError(), (3,), MARKS * 1.0, 3, YES_ABOVE_HALF),
    "squares, labels": (SquaredError(), (3,), np.array([0, 2]), None, CLASS),
    "squares, images": (SquaredError(), (2, 2), np.ones((4, 2, 2)), None, NUMBER),
    "squares, complex": (SquaredError(), (2,), np.ones((4, 2), complex), None, NUMBER),
    "squares, NaN": (SquaredError(), (1,), np.array([[np.nan]]), None, NUMBER),
    "own, labels": (Own(), (3,), np.array([0, 2]), None, CLASS),
    "own, rows of classes": (Own(), (3,), SOFT, 3, CLASS),
    "own, numbers": (Own(), (3,), SOFT, None, None),
    "own, one output": (Own(), (1,), np.array([0, 1]), 2, None),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_a_loss_says_what_its_scores_answer(xp: Backend, case):
    loss, outputs, targets, classes, expected = case
    assert loss.answers(outputs, xp.array(targets), classes) == expected


class TestGuessing:
    """The best constant answer, found by hand: no other costs less."""

    def test_classes_are_guessed_by_their_shares(self):
        labels = np.array([0, 0, 0, 1, 2, 2])
        shares = np.array([1 / 2, 1 / 6, 1 / 3])
        expected = -(shares * np.log(shares)).sum()
        assert SoftmaxCrossEntropy().of_guessing((3,), labels) == pytest.approx(expected)

    def test_samples_count_by_their_weights(self):
        labels, weights = np.array([0] * 19 + [1]), np.array([1.0] * 19 + [19])
        assert SoftmaxCrossEntropy().of_guessing((2,), labels, weights) == pytest.approx(np.log(2))
        assert SoftmaxCrossEntropy().of_guessing((2,), labels) == pytest.approx(0.1985, abs=1e-4)

    def test_answers_are_guessed_by_their_odds(self):
        targets = np.array([[1.0, 0], [1, 0], [1, 1], [0, 0]])
        expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) * 2
        assert SigmoidCrossEntropy().of_guessing((2,), targets) == pytest.approx(expected)

    def test_numbers_are_guessed_by_their_mean(self):
        targets = np.array([[1.0, 2], [3, 2], [5, 8]])
        expected = ((targets - targets.mean(axis=0)) ** 2).sum() / 2 / 3
        assert SquaredError().of_guessing((2,), targets) == pytest.approx(expected)

    def test_a_class_that_does_not_occur_costs_nothing(self):
        assert SoftmaxCrossEntropy().of_guessing((4,), np.zeros(5, np.int64)) == pytest.approx(0)

    @pytest.mark.parametrize(
        "loss",
        [
            SoftmaxCrossEntropy(),
            SoftmaxCrossEntropy(label_smoothing=0.2),
            SigmoidCrossEntropy(),
            SquaredError(),
        ],
        ids=repr,
    )
    def test_no_other_constant_costs_less(self, loss):
        rng = np.random.default_rng(0)
        rows = np.eye(3)[rng.integers(0, 3, 50)]
        best, best_scores = loss.of_guessing((3,), rows), loss.constant(rows.mean(axis=0))
        for _ in range(20):
            others = best_scores + rng.normal(0, 0.3, 3)
            assert float(loss.forward(np.tile(others, (50, 1)), rows)) >= best - 1e-12

    def test_it_is_the_same_on_every_library(self, xp: Backend):
        labels = np.array([0, 2, 2, 1])
        expected = SoftmaxCrossEntropy().of_guessing((3,), labels)
        assert SoftmaxCrossEntropy().of_guessing((3,), xp.array(labels)) == expected
