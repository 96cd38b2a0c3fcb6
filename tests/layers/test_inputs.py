"""What a network's samples become."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.arrays import dtype_name, to_numpy
from xpnet.data import Dataset
from xpnet.layers import Flatten, Linear, ReLU, Rescale, Sequential
from xpnet.losses import SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD
from xpnet.training import Trainer


def network(*first, dtype="float32", inputs=(2,), outputs=2):
    return Sequential([*first, Linear(outputs)], input_shape=inputs, dtype=dtype)


class TestPredict:
    @pytest.mark.parametrize(
        "x",
        [
            [[1, 3]], ((1.0, 3.0),), np.array([[1, 3]], np.uint8), np.array([[1, 3]], np.float16),
            np.array([[1, 3]], np.longdouble), np.array([[1, 3]], object),
        ],
        ids=repr,
    )  # fmt: skip
    def test_numbers_of_every_kind_give_the_same_scores(self, xp: Backend, x):
        net = network()
        expected = net.predict(np.array([[1, 3]], np.float32))
        np.testing.assert_array_equal(net.to(xp.device).predict(x), expected, strict=True)

    def test_truth_values_are_0_and_1(self, xp: Backend):
        net = network().to(xp.device)
        np.testing.assert_array_equal(
            net.predict(xp.array([[True, False]])), net.predict([[1.0, 0.0]])
        )

    def test_one_input_takes_a_row_of_numbers(self):
        net = network(inputs=(1,))
        np.testing.assert_array_equal(net.predict([1, 2]), net.predict([[1], [2]]))

    def test_integers_stay_integers_where_the_first_layer_takes_them(self, xp: Backend):
        x = xp.array([[0, 255]], "uint8")
        assert dtype_name(network(Rescale(1 / 255)).to(xp.device).asinput(x)) == "uint8"
        assert dtype_name(network(Flatten()).to(xp.device).asinput(x)) == "float32"
        assert dtype_name(network(dtype="complex128").to(xp.device).asinput(x)) == "float64"


@pytest.mark.parametrize(("dtype", "most"), [("float32", 2**24), ("float64", 2**53)])
def test_whole_numbers_that_a_float_cannot_hold_are_refused(xp: Backend, dtype, most):
    net = network(dtype=dtype).to(xp.device)
    net.predict(xp.array([[most, -most]]))
    for wrong in ([[most + 1, 0]], [[0, -most - 1]]):
        with pytest.raises(ValueError, match=f"^x: expected whole numbers of at most {most}, up"):
            net.predict(xp.array(wrong))
    pixels = network(Rescale(1 / 255), dtype=dtype).to(xp.device)
    with pytest.raises(ValueError, match=f"^x: expected whole numbers of at most {most}, up"):
        pixels.predict(xp.array([[most + 1, 0]]))
    data = Dataset(xp.array([[0.5, 1]]), xp.array([[most + 1, 0]]), name="d")
    with pytest.raises(ValueError, match=f"^d: t: expected whole numbers of at most {most}"):
        Trainer(net, SquaredError(), SGD()).fit(data, 1)


class TestPixelsScaledTwice:
    WORDS = r'no number is above 1, and Rescale "0" multiplies by 0\.00392 .* leave Rescale out'

    @staticmethod
    def trainer(place, *first) -> Trainer:
        net = Sequential([*first, Linear(2)], input_shape=(2,)).to(place)
        return Trainer(net, SoftmaxCrossEntropy(), SGD())

    def test_they_are_told_once_for_a_data_set_and_its_parts(self, xp: Backend):
        data = Dataset(xp.array(np.random.default_rng(0).random((200, 2))), xp.array([0, 1] * 100))
        train, held_out = data.split(0.5)
        made = self.trainer(xp.device, Rescale(1 / 255))
        with pytest.warns(UserWarning, match="^data: " + self.WORDS):
            made.fit(train, 1)
        made.fit(train, 2, validation=held_out)
        made.evaluate(data)

    def test_a_prediction_is_told_too(self):
        with pytest.warns(UserWarning, match="^x: " + self.WORDS):
            network(Rescale(1 / 255)).predict([[0.5, 1.0]])

    @pytest.mark.parametrize(
        ("first", "x"),
        [
            ((Rescale(1 / 255),), np.ones((200, 2), np.uint8)),
            ((Rescale(1 / 255),), np.zeros((200, 2))),
            ((Rescale(1 / 255),), np.repeat([[0.5, 0.5], [0.5, 255.0]], [199, 1], axis=0)),
            ((Rescale(0.5),), np.ones((200, 2))),
            ((ReLU(),), np.ones((200, 2))),
        ],
        ids=["bytes", "black", "one bright", "no pixels", "no Rescale"],
    )
    def test_what_may_be_meant_is_not(self, xp: Backend, first, x):
        net = Sequential([*(type(f)(**f.config()) for f in first), Linear(2)], input_shape=(2,))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            net.to(xp.device).predict(xp.array(x))


class TestTargets:
    """What targets mean is for the network's outputs to say."""

    @staticmethod
    def fitted(xp: Backend, t, outputs, loss=SquaredError, **of_data) -> Trainer:
        x = xp.array(np.eye(4, 2))
        net = network(outputs=outputs).to(xp.device)
        made = Trainer(net, loss(), SGD(lr=0.1))
        made.fit(Dataset(x, t, **of_data), 2)
        return made

    @pytest.mark.parametrize("t", [[0, 1, 2, 0], [0.0, 1.0, 2.0, 0.0], [[0], [1], [2], [0]]])
    def test_of_several_outputs_they_are_labels(self, xp: Backend, t):
        one = self.fitted(xp, t, 3, SoftmaxCrossEntropy)
        same = self.fitted(xp, np.array([0, 1, 2, 0]).tolist(), 3, SoftmaxCrossEntropy, classes=3)
        rows = np.eye(3, dtype=int)[[0, 1, 2, 0]].tolist()
        one_hot = self.fitted(xp, rows, 3, SoftmaxCrossEntropy, classes=3)
        for other in (same, one_hot):
            assert one.history["train_loss"] == other.history["train_loss"]
        assert one.history["train_accuracy"] == same.history["train_accuracy"] != [None] * 2

    def test_of_a_single_output_they_are_numbers_below_zero_too(self, xp: Backend):
        losses = [
            self.fitted(xp, t, 1).history["train_loss"]
            for t in ([-3, 1, 5, 0], [-3.0, 1.0, 5.0, 0.0], [[-3], [1], [5], [0]])
        ]
        assert losses[0] == losses[1] == losses[2]

    def test_in_the_shape_of_the_outputs_they_are_numbers(self, xp: Backend):
        whole = self.fitted(xp, [[-1, 2], [3, 4], [5, 6], [7, 8]], 2)
        floats = self.fitted(xp, [[-1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], 2)
        np.testing.assert_array_equal(
            to_numpy(whole.net.params["0.W"]), to_numpy(floats.net.params["0.W"])
        )
