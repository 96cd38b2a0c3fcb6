"""Confusion matrix, misclassified samples, activations, spread and smoothness."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import Backend, assert_close

from xpnet import models, to_numpy
from xpnet.layers import Linear, ReLU
from xpnet.training import metrics

SCORES = [[3.0, 0.0, 0.0], [0.0, 1.0, 0.5], [5.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.4, 0.0]]
LABELS = [0, 1, 2, 2, 0]


def test_confusion_matrix_counts_true_by_taken(xp: Backend) -> None:
    matrix = metrics.confusion_matrix(xp.array(SCORES), xp.array(LABELS, "int64"))
    assert_close(matrix, np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]]), rtol=0)


def test_misclassified_come_by_confidence(xp: Backend) -> None:
    wrong = metrics.misclassified(xp.array(SCORES), xp.array(LABELS, "int32"))
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
