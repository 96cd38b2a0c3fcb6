"""Metrics of classes, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.functions import softmax
from xpnet.training import metrics

sklearn = pytest.importorskip("sklearn.metrics")

RNG = np.random.default_rng(0)
LABELS = RNG.choice(4, 300, p=[0.5, 0.3, 0.15, 0.05])
SCORES = 1.5 * RNG.normal(size=(300, 4)) + 2 * np.eye(4)[LABELS]
GUESSES = SCORES.argmax(axis=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reports_are_those_of_scikit_learn(xp: Backend, dtype: str) -> None:
    found = metrics.classification_report(xp.array(SCORES, dtype), xp.array(LABELS))
    each = sklearn.precision_recall_fscore_support(LABELS, GUESSES)
    for mine, theirs in zip((found.precision, found.recall, found.f1), each[:3], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    assert found.support == tuple(each[3])
    assert found.accuracy == pytest.approx(sklearn.accuracy_score(LABELS, GUESSES))
    for mean in ("macro", "weighted"):
        theirs = sklearn.precision_recall_fscore_support(LABELS, GUESSES, average=mean)
        np.testing.assert_allclose(getattr(found, mean), theirs[:3], rtol=1e-12)
    assert (found.confusion == sklearn.confusion_matrix(LABELS, GUESSES)).all()


def test_classes_that_are_not_there_or_never_taken_count_0(xp: Backend) -> None:
    scores, labels = np.eye(4)[[0, 0, 1, 3]], np.array([0, 1, 2, 0])
    found = metrics.classification_report(xp.array(scores), xp.array(labels))
    each = sklearn.precision_recall_fscore_support(
        labels, scores.argmax(axis=1), labels=range(4), zero_division=0
    )
    np.testing.assert_allclose([found.precision, found.recall, found.f1], each[:3])


def test_a_report_is_a_table() -> None:
    scores, labels = np.eye(2)[[0, 1, 1]], np.array([0, 1, 0])
    found = metrics.classification_report(scores, labels, ["an <ant>", "a bee"])
    lines = str(found).splitlines()
    assert lines[0].split() == ["class", "precision", "recall", "F1", "samples"]
    assert lines[2].split() == ["an", "<ant>", "1.0000", "0.5000", "0.6667", "2"]
    assert lines[-1].split() == ["accuracy", "0.6667", "3"]
    assert "an &lt;ant&gt;</td>" in found._repr_html_()
    assert "<ant>" not in found._repr_html_()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_best_k_are_those_of_scikit_learn(xp: Backend, k: int) -> None:
    found = metrics.top_k_accuracy(xp.array(SCORES, "float32"), xp.array(LABELS), k)
    theirs = sklearn.top_k_accuracy_score(LABELS, SCORES, k=k, labels=range(4)) if k < 4 else 1
    assert found == pytest.approx(theirs)


def test_of_equal_scores_the_first_is_the_higher_and_nan_is_higher_than_all(xp: Backend) -> None:
    scores = xp.array([[1.0, 1.0, 0.0]] * 2 + [[np.nan, 1.0, 0.0]] * 2)
    labels = [xp.array([0, 0, 1, 1]), xp.array([1, 1, 0, 0]), xp.array([2, 2, 2, 2])]
    assert [metrics.top_k_accuracy(scores, one, 1) for one in labels] == [0.5, 0, 0]
    assert [metrics.top_k_accuracy(scores, one, 2) for one in labels] == [1, 0.5, 0]


def test_top_k_accuracy_says_which_k_there_are() -> None:
    with pytest.raises(ValueError, match="k: expected a whole number from 1 to 4, got 5"):
        metrics.top_k_accuracy(SCORES, LABELS)


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_calibration_is_that_of_scikit_learn(xp: Backend, bins: int) -> None:
    from sklearn.calibration import calibration_curve

    found = metrics.calibration(xp.array(SCORES), xp.array(LABELS), bins)
    sure = softmax(SCORES).max(axis=1)
    right, mean = calibration_curve(GUESSES == LABELS, sure, n_bins=bins)
    there = np.array(found.samples) > 0
    np.testing.assert_allclose(np.array(found.accuracy)[there], right)
    np.testing.assert_allclose(np.array(found.confidence)[there], mean)
    assert np.isnan(np.array(found.accuracy)[~there]).all()
    assert sum(found.samples) == 300
    gaps = abs(right - mean)
    shares = np.array(found.samples)[there] / 300
    assert found.error == pytest.approx((shares * gaps).sum())
    assert found.largest_error == pytest.approx(gaps.max())


def test_a_bin_holds_its_upper_end(xp: Backend) -> None:
    found = metrics.calibration(xp.array([[0.0, 0.0], [1e3, 0.0]]), xp.array([0, 0]), 2)
    assert found.samples == (1, 1)
    assert found.confidence == (0.5, 1.0)


def test_calibration_draws_itself_and_is_a_table() -> None:
    pytest.importorskip("matplotlib")
    found = metrics.calibration(SCORES, LABELS)
    assert found.plot().get_suptitle() == f"expected calibration error {found.error:.4f}"
    assert repr(found).startswith(f"Calibration(error {found.error:.4f}, largest error ")
    rows = sum(1 for n in found.samples if n)
    assert found._repr_html_().count("<tr>") == rows + 2


def test_calibration_wants_finite_scores() -> None:
    with pytest.raises(ValueError, match="calibration: expected finite scores, got NaN"):
        metrics.calibration(np.array([[np.nan, 1.0]]), np.array([0]))


@pytest.mark.parametrize(
    "function", [metrics.classification_report, metrics.top_k_accuracy, metrics.calibration]
)
def test_what_does_not_fit_is_said(function) -> None:
    with pytest.raises(ValueError, match="expected labels of 0 to 3, got 0 to 4"):
        function(SCORES[:2], np.array([0, 4]))
    with pytest.raises(ValueError, match="expected at least one sample, got none"):
        function(SCORES[:0], LABELS[:0])
    with pytest.raises(ValueError, match="n integer labels"):
        function(SCORES, LABELS[:3])


def test_a_report_wants_a_name_for_each_class() -> None:
    with pytest.raises(ValueError, match="class_names: expected one for each of 4 classes, got 2"):
        metrics.classification_report(SCORES, LABELS, ["a", "b"])
