"""What an estimator is given: whose arrays it leaves where they are, and what it refuses."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator

from tests.conftest import Backend
from xpnet.arrays import library, to_numpy
from xpnet.sklearn import NetworkRegressor, inputs


def samples(X, *, images=False, reset=True, estimator=None):
    return inputs.samples(estimator or BaseEstimator(), X, images=images, reset=reset)


def test_arrays_of_other_libraries_are_left_as_they_are(xp: Backend):
    x = xp.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    assert samples(x) is x
    assert library(samples(x)).name == library(x).name


@pytest.mark.parametrize(
    ("given", "kept"),
    [("float32", "float32"), ("float64", "float64"), ("uint8", "uint8"),
     ("int64", "float32"), ("bool", "float32"), ("object", "float32")],
)  # fmt: skip
def test_numbers_become_such_as_networks_take(given, kept):
    assert samples(np.array([[1, 0]], given)).dtype == kept


def test_features_are_counted_and_held_to_their_number(xp: Backend):
    estimator = BaseEstimator()
    samples(xp.array(np.ones((2, 3))), estimator=estimator)
    assert estimator.n_features_in_ == 3
    with pytest.raises(ValueError, match="X has 4 features, but BaseEstimator is expecting 3"):
        samples(xp.array(np.ones((2, 4))), estimator=estimator, reset=False)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 3, 4)])
def test_images_are_taken_where_they_are_wanted(shape, xp: Backend):
    x = xp.array(np.zeros(shape), "uint8")
    assert tuple(samples(x, images=True).shape) == shape
    with pytest.raises(ValueError, match=r"dim \d|expected samples in an array of shape"):
        samples(x)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused(value, xp: Backend):
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        samples(xp.array([[1.0, value]]))


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (np.ones((1, 2), complex), "[Cc]omplex data not supported"),
        (np.ones(3), "1D array|two axes|shape"),
        (np.ones((0, 3)), r"0 sample|\(0, 3\)"),
    ],
)
def test_other_samples_are_refused_alike_of_every_library(X, match):
    for x in (X, array_api_strict.asarray(X)):
        with pytest.raises(ValueError, match=match):
            samples(x)


def test_sparse_samples_are_refused_in_scikit_learns_words():
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is required"):
        samples(sparse.csr_array(np.eye(3)))


class TestTargets:
    X = np.ones((3, 2))

    def targets(self, y, dtype=None):
        return inputs.targets(NetworkRegressor(), self.X, y, dtype)

    def test_they_come_to_the_host_as_they_are(self, xp: Backend):
        found = self.targets(xp.array([2, 0, 1]))
        assert isinstance(found, np.ndarray)
        assert found.tolist() == [2, 0, 1]
        assert self.targets(["b", "a", "c"]).tolist() == ["b", "a", "c"]

    @pytest.mark.parametrize(
        ("y", "match"),
        [
            (None, "requires y to be passed"),
            ([1, 2], "inconsistent numbers of samples"),
            ([1.0, np.nan, 2.0], "y contains NaN"),
        ],
    )
    def test_what_is_no_target_for_each_sample_is_refused(self, y, match):
        with pytest.raises(ValueError, match=match):
            self.targets(y)


def test_a_score_is_computed_on_the_host(xp: Backend):
    def mean(y, guesses, sample_weight):
        assert all(isinstance(a, np.ndarray) for a in (y, guesses, sample_weight))
        return np.average(y == guesses, weights=sample_weight)

    y, guesses, weights = (xp.array(a) for a in ([0, 1, 1], [0, 1, 0], [1.0, 2.0, 1.0]))
    assert inputs.scored(mean, y, guesses, weights) == 0.75


def test_only_arrays_of_other_libraries_are_brought_to_the_host(xp: Backend):
    x = xp.array([1, 2])
    assert to_numpy(x).tolist() == inputs.on_host(x).tolist()
    words = ["a"]
    assert inputs.on_host(words) is words
    assert inputs.on_host(None) is None
