"""Metrics: which samples count as classified rightly, and what a network's insides show."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import Backend, assert_close
from xpnet import models
from xpnet.arrays import dtype_name, to_numpy
from xpnet.devices import device_of
from xpnet.layers import Linear, ReLU
from xpnet.training import Evaluation, metrics
from xpnet.training.metrics import correct

SCORES = [[0.1, 2.0, -1.0], [3.0, 1.0, 2.0], [-5.0, -3.0, -1.0], [0.0, 1.0, 0.5]]  # 1, 0, 2, 1


@pytest.mark.parametrize(
    ("labels", "right"), [([1, 0, 2, 1], 4), ([1, 0, 2, 0], 3), ([0, 1, 0, 2], 0)]
)
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_the_highest_score_is_the_guess(xp: Backend, labels, right, dtype):
    count = correct(xp.array(SCORES, "float32"), xp.array(labels, dtype))
    assert to_numpy(count).shape == ()
    assert int(count) == right
    assert dtype_name(count) == "int64"
    assert device_of(count) == xp.device


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_rows_mark_their_class_by_the_largest_number(xp: Backend, dtype):
    rows = np.eye(3)[[1, 0, 2, 0]]
    assert int(correct(xp.array(SCORES, "float32"), xp.array(rows, dtype))) == 3
    if dtype != "int64":
        soft = 0.1 / 3 + 0.9 * rows
        assert int(correct(xp.array(SCORES, "float32"), xp.array(soft, dtype))) == 3


@pytest.mark.parametrize(("labels", "right"), [([1, 0, 0, 1], 4), ([0, 0, 1, 1], 2)])
@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_a_single_output_above_zero_says_yes(xp: Backend, labels, right, dtype):
    scores = xp.array([[0.5], [-0.5], [0.0], [9.0]], "float32")
    assert int(correct(scores, xp.array(labels, dtype))) == right


@pytest.mark.parametrize(
    ("scores", "targets"),
    [
        (np.zeros((4, 1)), np.zeros((4, 1))),
        (np.zeros((4, 3)), np.zeros(4)),
        (np.zeros(4), np.zeros(4)),
        (np.zeros((4, 3, 2)), np.zeros((4, 3, 2))),
        (np.zeros((4, 3), complex), np.zeros((4, 3), complex)),
    ],
    ids=["one number", "numbers", "flat", "images", "complex"],
)
def test_where_there_are_no_classes_nothing_is_counted(xp: Backend, scores, targets):
    assert correct(xp.array(scores), xp.array(targets)) is None


def test_nothing_is_right_for_scores_that_are_not_numbers(xp: Backend):
    count = correct(xp.array(np.full((3, 4), np.nan)), xp.array([1, 2, 3]))
    assert int(count) == 0


def test_an_evaluation_is_a_tuple_with_names():
    result = Evaluation(0.5, 0.75, 8)
    assert (result.loss, result.accuracy, result.samples) == tuple(result) == (0.5, 0.75, 8)


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
