"""Metrics: which samples count as classified rightly, and what a network's insides show."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import Backend, assert_close
from xpnet import models
from xpnet.arrays import to_numpy
from xpnet.devices import device_of
from xpnet.layers import Linear, ReLU
from xpnet.losses import Answers
from xpnet.training import Evaluation, metrics

SCORES = [[0.1, 2.0, -1.0], [3.0, 1.0, 2.0], [-5.0, -3.0, -1.0], [0.0, 1.0, 0.5]]  # 1, 0, 2, 1
CLASS = Answers("class")


@pytest.mark.parametrize(
    ("labels", "right"), [([1, 0, 2, 1], 4), ([1, 0, 2, 0], 3), ([0, 1, 0, 2], 0)]
)
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_a_class_is_that_of_the_highest_score(xp: Backend, labels, right, dtype):
    found = metrics.right_answers(xp.array(SCORES, "float32"), xp.array(labels, dtype), CLASS)
    assert found.shape == (4, 1)
    assert to_numpy(found).sum() == right
    assert device_of(found) == xp.device


def test_two_classes_may_be_labelled_true_and_false(xp: Backend):
    scores = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]])
    found = metrics.right_answers(xp.array(scores), xp.array([True, False, True]), CLASS)
    assert to_numpy(found).ravel().tolist() == [True, True, False]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_rows_mark_their_class_by_the_largest_number(xp: Backend, dtype):
    rows = np.eye(3)[[1, 0, 2, 0]].astype(dtype)
    soft = (0.1 / 3 + 0.9 * rows).astype("float32")
    for targets in (rows, soft):
        found = metrics.right_answers(xp.array(SCORES, "float32"), xp.array(targets), CLASS)
        assert to_numpy(found).ravel().tolist() == [True, True, True, False]


def test_of_classes_that_are_as_likely_each_is_right(xp: Backend):
    rows = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.4, 0.2, 0.4]])
    found = metrics.right_answers(xp.array(SCORES), xp.array(rows), CLASS)
    assert to_numpy(found).ravel().tolist() == [True, False, True, False]


@pytest.mark.parametrize("cut", [0.0, 0.5])
@pytest.mark.parametrize("dtype", ["float64", "int64", "bool"])
def test_a_score_above_the_cut_says_yes(xp: Backend, cut, dtype):
    rng = np.random.default_rng(0)
    scores, wanted = rng.normal(cut, 1, (50, 3)), (rng.random((50, 3)) > 0.4).astype(dtype)
    scores[0], wanted[0] = cut, [True, False, True]  # on the cut is not above it
    answers = Answers("yes or no", cut)
    found = metrics.right_answers(xp.array(scores), xp.array(wanted), answers)
    assert to_numpy(found).tolist() == ((scores > cut) == wanted.astype(bool)).tolist()
    assert to_numpy(found)[0].tolist() == [False, True, False]


@pytest.mark.parametrize("wanted", [[0.1, 0.9, 0.2], [-1.0, 1.0, -1.0], [0.49, 0.51, 0.5]])
def test_a_target_above_a_half_says_yes(xp: Backend, wanted):
    scores = np.array([[-0.1], [0.1], [0.1]])
    targets = np.array(wanted)[:, None]
    found = metrics.right_answers(xp.array(scores), xp.array(targets), Answers("yes or no"))
    assert to_numpy(found).ravel().tolist() == [True, True, False]


def test_labels_answer_for_a_single_output(xp: Backend):
    scores, labels = xp.array([[0.6], [0.4], [0.6]]), xp.array([1, 1, 0])
    found = metrics.right_answers(scores, labels, Answers("yes or no", 0.5))
    assert to_numpy(found).ravel().tolist() == [True, False, False]


def test_masks_have_as_many_answers_as_points(xp: Backend):
    rng = np.random.default_rng(1)
    scores, masks = rng.normal(size=(4, 2, 5)), rng.random((4, 2, 5)) > 0.5
    found = metrics.right_answers(xp.array(scores), xp.array(masks * 1.0), Answers("yes or no"))
    assert to_numpy(found).tolist() == ((scores > 0) == masks).reshape(4, 10).tolist()


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("answers", [CLASS, Answers("yes or no"), Answers("yes or no", 0.5)])
def test_a_score_that_is_no_number_is_never_right(xp: Backend, label, answers):
    width = 2 if answers == CLASS else 1
    scores, labels = xp.array(np.full((3, width), np.nan)), xp.array([label] * 3)
    assert not to_numpy(metrics.right_answers(scores, labels, answers)).any()


def test_complex_scores_answer_with_the_nearest_target(xp: Backend):
    rng = np.random.default_rng(2)
    real, imaginary = rng.normal(size=(2, 20, 3))
    scores, labels = real + 1j * imaginary, np.arange(20) % 3
    squares = (np.abs(scores[:, None, :] - np.eye(3)) ** 2).sum(axis=2)  # to each one-hot row
    found = metrics.right_answers(xp.array(scores), xp.array(labels), CLASS)
    assert to_numpy(found).ravel().tolist() == (squares.argmin(axis=1) == labels).tolist()


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3), (5, 2, 2)], ids=str)
def test_errors_are_distances(xp: Backend, dtype, shape):
    rng = np.random.default_rng(3)
    y, t = rng.normal(size=(2, *shape)).astype(dtype)
    if dtype == "complex128":
        y, t = y + 1j * t, t - 2j * y
    found = to_numpy(metrics.absolute_errors(xp.array(y), xp.array(t)))
    expected = np.hypot((y - t).real, (y - t).imag).reshape(5, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_errors_of_labels_are_distances_to_these_numbers(xp: Backend):
    found = metrics.absolute_errors(xp.array([[1.5], [-1.0]]), xp.array([3, 1]))
    assert to_numpy(found).tolist() == [[1.5], [2.0]]


def test_an_evaluation_is_a_tuple_with_names():
    result = Evaluation(0.5, 0.75, 8)
    assert (result.loss, result.accuracy, result.samples) == result[:3] == (0.5, 0.75, 8)
    assert result.exact_match is result.mean_absolute_error is None


def test_an_evaluation_has_columns_in_a_history():
    assert Evaluation(0.5, 0.75, 8, exact_match=0.25).columns("test") == {
        "test_loss": 0.5, "test_accuracy": 0.75, "test_exact_match": 0.25,
        "test_mean_absolute_error": None,
    }  # fmt: skip


FIVE = [[3.0, 0.0, 0.0], [0.0, 1.0, 0.5], [5.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.4, 0.0]]
FIVE_LABELS = [0, 1, 2, 2, 0]


def test_confusion_matrix_counts_true_by_taken(xp: Backend) -> None:
    matrix = metrics.confusion_matrix(xp.array(FIVE), xp.array(FIVE_LABELS, "int64"))
    assert_close(matrix, np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]]), rtol=0)


def test_misclassified_come_by_confidence(xp: Backend) -> None:
    wrong = metrics.misclassified(xp.array(FIVE), xp.array(FIVE_LABELS, "int32"))
    assert to_numpy(wrong.indices).tolist() == [2, 4]
    assert to_numpy(wrong.labels).tolist() == [2, 0]
    assert to_numpy(wrong.guesses).tolist() == [0, 1]
    sure = np.exp(5) / (np.exp(5) + 2)
    assert to_numpy(wrong.confidence)[0] == pytest.approx(sure)


def test_none_misclassified_is_empty() -> None:
    assert len(metrics.misclassified(np.eye(3), np.arange(3)).indices) == 0


@pytest.mark.parametrize("function", [metrics.confusion_matrix, metrics.misclassified])
def test_bad_labels_are_said(function: object) -> None:
    with pytest.raises(ValueError, match="expected labels of 0 to 2, got 0 to 3"):
        function(np.eye(3), np.array([0, 1, 3]))  # type: ignore[operator]
    with pytest.raises(ValueError, match="n integer labels"):
        function(np.eye(3), np.array([0, 1]))  # type: ignore[operator]
    with pytest.raises(ValueError, match="n integer labels"):
        function(np.eye(3), np.zeros(3))  # type: ignore[operator]


def test_activations_are_each_layer_s_own_outputs() -> None:
    net = models.mlp((5, 4), 3, input_shape=(6,), rescale=None)
    x = np.linspace(-1, 1, 12, dtype="float32").reshape(2, 6)
    found = metrics.activations(net, x)
    assert list(found) == [str(i) for i in range(len(net))]
    np.testing.assert_allclose(found[str(len(net) - 1)], net.forward(x), rtol=1e-6)
    rectified = metrics.activations(net, x, (ReLU,))
    assert all((y >= 0).all() for y in rectified.values())
    assert len(rectified) == 2
    assert len(metrics.activations(net, x, (Linear, ReLU))) == 5


def test_spread_measures(xp: Backend) -> None:
    found = metrics.spread(xp.array([[0.0, 0.0], [2.0, -4.0]], "float64"))
    assert found.mean == -0.5
    assert found.std == pytest.approx(np.std([0, 0, 2, -4]))
    assert (found.low, found.high, found.zeros) == (-4, 2, 0.5)
    with pytest.raises(ValueError, match="at least one number"):
        metrics.spread(xp.array(np.zeros((0, 3))))


def test_smoothness_tells_waves_from_noise(xp: Backend) -> None:
    wave = np.sin(np.linspace(0, 3, 8))[:, None] * np.cos(np.linspace(0, 3, 8))
    assert metrics.smoothness(xp.array(wave[None, None])) > 0.7
    board = np.indices((8, 8)).sum(axis=0) % 2 - 0.5
    assert metrics.smoothness(xp.array(board[None, None])) == pytest.approx(-1)
    assert metrics.smoothness(xp.array(np.ones((2, 1, 3, 3)))) == 0
    with pytest.raises(ValueError, match="more than one pixel"):
        metrics.smoothness(xp.array(np.ones((2, 1, 1, 1))))
