"""Several answers made one: the mean probabilities of networks, and of changed copies."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.arrays import to_numpy
from xpnet.data import Batches, Dataset
from xpnet.data.augment import MixUp, Noise, Rotate, Shift
from xpnet.functions import sigmoid, softmax
from xpnet.layers import Flatten, Linear, Rescale, Sequential
from xpnet.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD
from xpnet.training import Ensemble, Trainer

LOSSES = {
    "softmax": (SoftmaxCrossEntropy(), softmax),
    "sigmoid": (SigmoidCrossEntropy(), sigmoid),
    "numbers": (SquaredError(), lambda y: y),
}


def net(
    seed: int, xp: Backend | None = None, outputs: int = 3, dtype: str = "float64"
) -> Sequential:
    layers = [Rescale(1 / 255), Flatten(), Linear(outputs)]
    made = Sequential(layers, input_shape=(1, 6, 5), seed=seed, dtype=dtype)
    return made if xp is None else made.to(xp.device)


def data(n: int = 25) -> Dataset:
    x = np.random.default_rng(0).integers(0, 256, (n, 1, 6, 5), np.uint8)
    return Dataset(x, np.arange(n) % 3, classes=3)


@pytest.mark.parametrize("kind", LOSSES)
def test_networks_answer_with_their_mean_probabilities(xp: Backend, kind):
    loss, link = LOSSES[kind]
    nets = [net(seed, xp) for seed in range(3)]
    scores = Ensemble(nets, loss).predict(data(), batch_size=10)
    expected = np.mean([link(one.predict(data().x)) for one in nets], axis=0)
    np.testing.assert_allclose(link(scores), expected, rtol=1e-10)


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SigmoidCrossEntropy()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_scores_stay_finite(xp: Backend, loss: Loss, dtype):
    scores = [xp.array(np.array([[s, -s]], dtype)) for s in (1e4, -1e4, 3.0)]
    made = to_numpy(loss.averaged(scores))
    link = softmax if isinstance(loss, SoftmaxCrossEntropy) else sigmoid
    expected = np.mean([1, 0, link(np.array([[3.0, -3.0]]))[0, 0]])
    assert link(made)[0, 0] == pytest.approx(expected)
    assert np.isfinite(made).all()


def test_the_mean_of_one_answer_is_that_answer():
    trainer = Trainer(net(0), SoftmaxCrossEntropy(), SGD(0.1))
    assert Ensemble([trainer.net], trainer.loss).evaluate(data()) == trainer.evaluate(data())
    np.testing.assert_array_equal(
        Ensemble([trainer.net], trainer.loss).predict(data()), trainer.net.predict(data().x)
    )


def test_evaluation_is_of_the_mean():
    nets = [net(seed) for seed in range(3)]
    p = np.mean([softmax(one.predict(data().x)) for one in nets], axis=0)
    found = Ensemble(nets, SoftmaxCrossEntropy()).evaluate(data(), batch_size=10)
    assert found.accuracy == (p.argmax(axis=1) == data().t).mean()
    assert found.loss == pytest.approx(-np.log(p[np.arange(25), data().t]).mean())


def test_copies_are_those_that_augments_make(xp: Backend):
    augmented = data().augmented(Shift(1), Rotate(10), Noise(3), seed=4)
    made = net(1, xp)
    found = Ensemble([made], SoftmaxCrossEntropy(), copies=4).predict(augmented, 10)
    host, copies = net(1), []
    for epoch in range(4):
        batches = Batches(augmented, 25, shuffle=False).epoch(epoch)
        copies.append(softmax(host.predict(next(iter(batches))[0])))
    np.testing.assert_allclose(softmax(found), np.mean(copies, axis=0), rtol=1e-10)
    assert not np.allclose(copies[0], copies[1])


def test_a_trainer_evaluates_copies():
    trainer = Trainer(net(0), SoftmaxCrossEntropy(), SGD(0.1))
    augmented = data().augmented(Shift(1))
    expected = Ensemble([trainer.net], trainer.loss, copies=3).evaluate(augmented)
    assert trainer.evaluate(augmented, copies=3) == expected
    assert trainer.evaluate(augmented) == trainer.evaluate(data()) != expected


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Ensemble([], SquaredError()), TypeError, "nets: expected a list of networks"),
        (lambda: Ensemble(net(0), SquaredError()), TypeError, "nets: expected a list of networks"),
        (lambda: Ensemble([net(0), net(0, outputs=2)], SquaredError()), ValueError,
         r"nets: expected networks of one output shape, got \(3,\) and \(2,\)"),
        (lambda: Ensemble([net(0)], SquaredError(), copies=0), ValueError,
         "copies: expected a whole number >= 1, got 0"),
        (lambda: Ensemble([net(0)], SquaredError(), copies=2).evaluate(data()), ValueError,
         r"copies: expected data that says how copies are changed, .*, got no augments"),
        (lambda: Ensemble([net(0)], SquaredError(), copies=2).evaluate(data().augmented(MixUp())),
         ValueError, "got MixUp among them"),
    ],
)  # fmt: skip
def test_mistakes_get_their_sentences(call, error, words):
    with pytest.raises(error, match=words):
        call()
