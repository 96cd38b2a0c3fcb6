"""Kinds of targets: their loss, their numbers, and what scores answer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import DataConversionWarning

from tests.conftest import Backend
from xpnet.arrays import to_numpy
from xpnet.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.sklearn.targets import Labels, Marks, Numbers, classes_of

SCORES = np.array([[0.0, 2.0, -1.0], [3.0, -4.0, 1.0]])


def test_labels_are_numbered_in_the_order_of_their_names(xp: Backend):
    kind = classes_of(np.array(["b", "c", "a", "b"]))
    assert isinstance(kind, Labels)
    assert (kind.outputs, kind.classes, kind.names.tolist()) == (3, 3, ["a", "b", "c"])
    assert isinstance(kind.loss(), SoftmaxCrossEntropy)
    assert kind.encode(np.array(["a", "c"])).tolist() == [0, 2]
    assert kind.answers(xp.array(SCORES)).tolist() == ["b", "a"]
    shares = to_numpy(kind.probabilities(xp.array(SCORES)))
    np.testing.assert_allclose(shares, np.exp(SCORES) / np.exp(SCORES).sum(axis=1)[:, None])
    np.testing.assert_allclose(
        to_numpy(kind.log_probabilities(xp.array(SCORES))), np.log(shares), rtol=1e-6
    )


@pytest.mark.parametrize("names", [[5, 7, 9], [-1.0, 0.0, 2.0], [False, True]])
def test_numbers_as_labels_are_answered_by_numbers_of_their_dtype(names, xp: Backend):
    names = np.array(names)
    kind = classes_of(names)
    found = kind.answers(xp.array(SCORES[:, : len(names)]))
    assert to_numpy(found).dtype == names.dtype
    assert to_numpy(found).tolist() == [names[1], names[0]]


def test_classes_that_are_named_need_no_sample():
    assert classes_of(np.array([1, 1]), [3, 1, 2]).names.tolist() == [1, 2, 3]


def test_rows_of_zeros_and_ones_are_marks(xp: Backend):
    y = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]])
    kind = classes_of(y)
    assert isinstance(kind, Marks)
    assert (kind.outputs, kind.classes, kind.names.tolist()) == (3, None, [0, 1, 2])
    assert isinstance(kind.loss(), SigmoidCrossEntropy)
    assert (kind.encode(y) == y).all()
    assert to_numpy(kind.answers(xp.array(SCORES))).tolist() == [[0, 1, 0], [1, 0, 1]]
    shares = to_numpy(kind.probabilities(xp.array(SCORES)))
    np.testing.assert_allclose(shares, 1 / (1 + np.exp(-SCORES)))
    np.testing.assert_allclose(to_numpy(kind.log_probabilities(xp.array(SCORES))), np.log(shares))


@pytest.mark.parametrize(("shape", "outputs"), [((), 1), ((1,), 1), ((3,), 3)])
def test_numbers_keep_their_shape(shape, outputs, xp: Backend):
    kind, y = Numbers(shape), np.ones((2, *shape))
    assert kind.outputs == outputs
    assert isinstance(kind.loss(), SquaredError)
    assert kind.encode(y).shape == (2, outputs)
    assert tuple(kind.answers(xp.array(SCORES[:, :outputs])).shape) == y.shape


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([1, 1, 1], "at least two classes, got one class, 1"),
        (["a", "a"], "at least two classes, got one class, 'a'"),
        ([0.5, 1.5, 2.5], "Unknown label type: continuous"),
        (["a", None, "b"], "all words or all numbers, got NoneType and str"),
        ([[0, 2], [1, 3]], "2 columns of classes: .*MultiOutputClassifier"),
    ],
)
def test_what_are_no_classes_is_refused(y, match):
    with pytest.raises((ValueError, TypeError), match=match):
        classes_of(np.array(y))


def test_targets_of_another_kind_than_before_are_refused():
    with pytest.raises(ValueError, match="previously unseen labels"):
        Labels(np.array([0, 1])).encode(np.array([0, 2]))
    with pytest.raises(ValueError, match=r"3 columns of marks, got \(2,\)"):
        Marks(np.arange(3)).encode(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"shape \(2,\) a sample, as before, got \(\)"):
        Numbers((2,)).encode(np.zeros(4))
    with pytest.warns(DataConversionWarning):
        Labels(np.array([0, 1])).encode(np.array([[0], [1]]))
