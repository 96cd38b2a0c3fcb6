"""Which samples count as classified rightly."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import Backend

from xpnet.arrays import dtype_name, to_numpy
from xpnet.devices import device_of
from xpnet.training import Evaluation
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
