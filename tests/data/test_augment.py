"""Augmented data: each draw is a function of seed, epoch and sample, and evaluation sees none."""

from __future__ import annotations

import pickle
import signal

import numpy as np
import pytest

from tests.conftest import Backend
from tests.training.test_checkpoint import Interrupt, position
from xpnet.arrays import to_numpy
from xpnet.data import Batches, Dataset
from xpnet.data.augment import (
    Augmentation,
    CutOut,
    Elastic,
    Flip,
    MixUp,
    Noise,
    Rotate,
    Scale,
    Shear,
    Shift,
    Warp,
)
from xpnet.layers import Dropout, Flatten, Linear, ReLU, Rescale, Sequential
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.optimizers import Adam
from xpnet.training import Callback, Checkpoint, Trainer

ALL = (Shift(2), Rotate(15), Scale(0.8, 1.2), Shear(10), Flip(), Elastic(1, 4), CutOut(4), Noise(9))


def data(n: int = 40, channels: int = 1) -> Dataset:
    rng = np.random.default_rng(0)
    t = np.arange(n) % 4
    x = rng.integers(0, 120, (n, channels, 12, 10)) + 30 * t[:, None, None, None]
    return Dataset(x.astype(np.uint8), t, classes=4)


def by_sample(batches: Batches, epoch: int) -> dict[int, np.ndarray]:
    """Return the images of an epoch by the numbers of the samples, that their targets are."""
    found = {}
    for x, t in batches.epoch(epoch):
        found |= dict(zip(to_numpy(t).tolist(), to_numpy(x), strict=True))
    return found


def numbered(n: int = 23) -> Dataset:
    return Dataset(data(n).x, np.arange(n))


def test_a_data_set_says_how_it_is_augmented_and_so_do_its_copies_and_parts():
    augmented = data().augmented(Shift(1), Noise(3))
    parts = augmented.split(0.5, seed=0)
    for one in (augmented, pickle.loads(pickle.dumps(augmented)), *parts, augmented.to("cpu")):
        assert repr(one).endswith("on cpu, augmented by Shift(pixels=1), Noise(std=3.0))")
        assert one.augmentation.described() == augmented.augmentation.described()


class TestDraws:
    def test_each_is_a_function_of_seed_epoch_and_sample(self):
        augmented = numbered().augmented(*ALL, seed=5)
        first = by_sample(Batches(augmented, 7, seed=0), 3)
        again = by_sample(Batches(augmented, 4, seed=9), 3)  # other batches, another order
        assert first.keys() == again.keys() == set(range(23))
        for number, x in first.items():
            np.testing.assert_array_equal(again[number], x)
        for other in (
            by_sample(Batches(augmented, 7), 4),
            by_sample(Batches(numbered().augmented(*ALL, seed=6), 7), 3),
        ):
            assert sum(np.array_equal(other[number], x) for number, x in first.items()) == 0

    def test_a_part_of_the_data_has_the_draws_of_the_whole(self):
        augmented = numbered().augmented(Rotate(20), Noise(5))
        whole, part = (
            by_sample(Batches(augmented, 5), 1),
            by_sample(Batches(augmented.take(9), 5), 1),
        )
        for number, x in part.items():
            np.testing.assert_array_equal(whole[number], x)

    @pytest.mark.parametrize("resident", [True, False])
    def test_they_are_the_same_on_every_library(self, xp: Backend, resident):
        augmented = numbered().augmented(*ALL)
        expected = by_sample(Batches(augmented, 7), 2)
        found = by_sample(Batches(augmented, 7, device=xp.device, resident=resident), 2)
        for number, x in expected.items():
            np.testing.assert_array_equal(found[number], x)

    def test_neighbouring_moves_are_one_resampling(self):
        stages = Augmentation(ALL).stages
        assert [type(stage) for stage in stages] == [Warp, CutOut, Noise]
        assert len(Augmentation([Rotate(), Elastic(), Shift()]).stages) == 1
        assert len(Augmentation([Elastic(), Rotate(), Elastic()]).stages) == 2

    def test_one_after_the_other_is_what_all_at_once_are(self):
        """To the rounding of resampling twice: of a smooth image."""
        rows, columns = np.mgrid[:40, :40]
        x = (120 + 100 * np.sin(rows / 6) * np.cos(columns / 7)).astype(np.uint8)[None, None]

        class Fixed(Shift):
            def moves(self, rng, n):
                angle = 0.3
                turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
                return np.array([turn]), np.zeros((1, 2))

        class Moved(Shift):
            def moves(self, rng, n):
                return np.eye(2), np.array([[3.0, -5.0]])

        rng = np.random.default_rng(0)
        both = Warp([Fixed(), Moved()])
        once = both.apply(x, *both.draw(rng, 1, (40, 40)))
        twice = x
        for stage in (Warp([Fixed()]), Warp([Moved()])):
            twice = stage.apply(twice, *stage.draw(rng, 1, (40, 40)))
        inner = (..., slice(12, 28), slice(12, 28))
        assert abs(once[inner].astype(int) - twice[inner]).max() <= 4
        assert abs(once[inner].astype(int) - x[inner]).max() > 40


def only(*augments, x=None, epochs=200):
    """Return what becomes of one image in many epochs."""
    x = data(1).x if x is None else x
    batches = Batches(Dataset(x, [0]).augmented(*augments), 1)
    return np.concatenate([to_numpy(batch) for e in range(epochs) for batch, _ in batches.epoch(e)])


DOT = np.zeros((1, 1, 21, 21), np.uint8)
DOT[0, 0, 10, 16] = 255  # right of the centre


class TestEachAugment:
    def place(self, images):
        """Return the centres of gravity, from the image's centre."""
        weights = images[:, 0] / images[:, 0].sum(axis=(1, 2), keepdims=True)
        rows, columns = np.mgrid[-10:11, -10:11]
        return (weights * rows).sum(axis=(1, 2)), (weights * columns).sum(axis=(1, 2))

    def test_shifts_are_whole_and_within_bounds(self):
        rows, columns = self.place(only(Shift(2), x=DOT))
        assert set(rows.tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
        assert set(columns.tolist()) == {4.0, 5.0, 6.0, 7.0, 8.0}

    def test_turns_keep_the_distance_from_the_centre(self):
        rows, columns = self.place(only(Rotate(30), x=DOT))
        np.testing.assert_allclose(np.hypot(rows, columns), 6, atol=0.4)
        angle = np.degrees(np.arctan2(rows, columns))
        assert -31 < angle.min() < -25
        assert 25 < angle.max() < 31

    def test_scales_move_away_or_nearer(self):
        rows, columns = self.place(only(Scale(0.5, 1.5), x=DOT))
        np.testing.assert_allclose(rows, 0, atol=0.1)
        assert 2.8 < columns.min() < 3.5
        assert 8 < columns.max() < 9.2

    def test_shears_move_what_is_off_the_middle_row(self):
        x = np.zeros_like(DOT)
        x[0, 0, 15, 10] = 255
        rows, columns = self.place(only(Shear(45), x=x))
        np.testing.assert_allclose(rows, 5, atol=0.1)
        assert columns.min() < -4
        assert columns.max() > 4

    @pytest.mark.parametrize("axis", ["horizontal", "vertical"])
    def test_flips_are_mirror_images(self, axis):
        x = data(1).x
        mirrored = x[..., ::-1] if axis == "horizontal" else x[..., ::-1, :]
        made = only(Flip(axis, rate=0.3), x=x)
        flipped = [np.array_equal(one, mirrored[0]) for one in made]
        kept = [np.array_equal(one, x[0]) for one in made]
        assert np.mean(flipped) == pytest.approx(0.3, abs=0.1)
        assert all(a != b for a, b in zip(flipped, kept, strict=True))

    def test_squares_are_cut_out(self):
        x = np.full((1, 2, 20, 20), 9, np.uint8)
        for one in only(CutOut(6, fill=1), x=x, epochs=50):
            cut = (one == 1).sum()
            assert 0 < cut <= 2 * 36
            assert cut + (one == 9).sum() == one.size

    def test_bending_moves_by_its_strength(self):
        rows, columns = self.place(only(Elastic(1.0, 5), x=DOT))
        assert np.std(rows) == pytest.approx(0.75, abs=0.3)
        assert np.std(columns) == pytest.approx(0.75, abs=0.3)


class TestMixUp:
    def test_targets_are_mixed_as_samples_are(self):
        x = np.zeros((4, 1, 3, 3), np.uint8)
        x[2:] = 200
        batches = Batches(Dataset(x, [0, 0, 1, 1], classes=2).augmented(MixUp(1.0)), 4)
        seen = 0
        for epoch in range(20):
            for images, t in batches.epoch(epoch):
                assert t.shape == (4, 2)
                np.testing.assert_allclose(t.sum(axis=1), 1, rtol=1e-6)
                np.testing.assert_allclose(images[:, 0, 0, 0], 200 * t[:, 1], atol=0.51)
                seen += ((t > 0.1) & (t < 0.9)).any(axis=1).sum()
        assert seen > 10

    def test_numbers_and_weights_are_mixed_too(self):
        made = Dataset(np.zeros((3, 1, 2, 2), np.uint8), np.array([[0.0], [2.0], [4.0]]))
        made = made.weighted([1.0, 2.0, 3.0]).augmented(MixUp(1.0))
        for _, t, weights in Batches(made, 3, shuffle=False).epoch(0):
            np.testing.assert_allclose(weights, t[:, 0] / 2 + 1, rtol=1e-6)

    def test_rows_of_whole_numbers_are_mixed_as_numbers(self):
        rows = np.array([[1, 0], [0, 1], [1, 1]])
        made = Dataset(np.zeros((3, 1, 2, 2), np.uint8), rows).augmented(MixUp(1.0))
        mixed = [t for e in range(9) for _, t in Batches(made, 3, shuffle=False).epoch(e)]
        assert all(t.shape == (3, 2) for t in mixed)
        assert any(((t > 0.1) & (t < 0.9)).any() for t in mixed)

    def test_a_network_learns_of_mixed_samples(self):
        rng, t = np.random.default_rng(0), np.arange(200) % 4
        x = rng.integers(0, 90, (200, 1, 12, 10), np.uint8)
        x[np.arange(200), 0, 3 * t] += 100
        trainer = made()
        trainer.fit(Dataset(x, t, classes=4).augmented(MixUp(0.4)), 20, 20)
        assert trainer.evaluate(Dataset(x, t)).accuracy > 0.95
        assert trainer.history[-1]["train_loss"] > 0.2  # as of targets that are mixed


def made(*callbacks: Callback, xp: Backend | None = None, graph: str = "auto") -> Trainer:
    layers = [Rescale(1 / 255), Flatten(), Linear(12), ReLU(), Dropout(0.1), Linear(4)]
    net = Sequential(layers, input_shape=(1, 12, 10), seed=1)
    return Trainer(
        net if xp is None else net.to(xp.device), SoftmaxCrossEntropy(), Adam(0.01),
        callbacks=callbacks, graph=graph,
    )  # fmt: skip


KINDS = {"all": ALL, "mixed": (*ALL, MixUp(0.4)), "shifts": (Shift(1),)}


class TestTraining:
    def test_evaluation_sees_the_samples_as_they_are(self):
        trainer = made()
        assert trainer.evaluate(data().augmented(*ALL)) == trainer.evaluate(data())
        trainer.fit(data().augmented(*ALL), 1, 10, validation=data().augmented(*ALL))
        assert trainer.history[-1]["validation_loss"] == trainer.evaluate(data()).loss

    def test_training_does_not(self):
        runs = [made(), made()]
        for trainer, given in zip(runs, (data(), data().augmented(Shift(1))), strict=True):
            trainer.fit(given, 2, 10)
        assert runs[0].history["train_loss"] != runs[1].history["train_loss"]

    @pytest.mark.parametrize(
        ("kind", "interrupt"), [("mixed", Interrupt(1, 2)), ("all", Interrupt(1))]
    )
    def test_a_resumed_run_ends_as_one_never_interrupted(
        self, tmp_path, kind, interrupt, xp: Backend
    ):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        train, path = data(45).augmented(*KINDS[kind], seed=3), tmp_path / "run"
        try:
            with pytest.raises(KeyboardInterrupt):
                made(Checkpoint(path), interrupt, xp=xp).fit(train, 3, 10)
        finally:
            signal.signal(signal.SIGINT, before)
        resumed, whole = made(xp=xp), made(xp=xp)
        resumed.restore(path)
        for trainer in (resumed, whole):
            trainer.fit(train, 3, 10)
        assert position(resumed) == position(whole)

    def test_one_that_is_given_other_augments_is_refused(self, tmp_path):
        class Stop(Callback):
            def epoch_ends(self, trainer, row):
                raise KeyboardInterrupt

        path = tmp_path / "run"
        with pytest.raises(KeyboardInterrupt):
            made(Checkpoint(path), Stop()).fit(data().augmented(Shift(1)), 3, 10)
        for other in (data(), data().augmented(Shift(2)), data().augmented(Shift(1), seed=1)):
            resumed = made()
            resumed.restore(path)
            with pytest.raises(ValueError, match="augmentation expected"):
                resumed.fit(other, 3, 10)

    @pytest.mark.gpu
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_replayed_run_has_the_bits_of_the_steps(self, kind):
        runs = []
        for graph in ("on", "off"):
            layers = [Rescale(1 / 255), Flatten(), Linear(12), ReLU(), Dropout(0.1), Linear(4)]
            net = Sequential(layers, input_shape=(1, 12, 10), seed=1).to("gpu")
            trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(0.01), graph=graph)
            trainer.fit(data(87).augmented(*KINDS[kind]), 3, 10)
            runs.append(trainer)
        assert runs[0].not_replayed is None
        assert position(runs[0]) == position(runs[1])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: data().augmented(Shift), TypeError, "expected augments such as Shift"),
        (lambda: data().augmented("rotate"), TypeError, "expected augments such as Shift"),
        (
            lambda: data().augmented(MixUp(), Shift()),
            ValueError,
            "expected MixUp once, as the",
        ),
        (
            lambda: data().augmented(MixUp(), MixUp()),
            ValueError,
            "expected MixUp once, as the",
        ),
        (
            lambda: Dataset([[1.0, 2.0]], [0]).augmented(Shift()),
            ValueError,
            r"expects images of shape \(n, channels, h, w\), .*got float64 of shape \(1, 2\)",
        ),
        (lambda: numbered().augmented(MixUp()), ValueError, "MixUp expects Dataset"),
        (lambda: Shift(1.5), ValueError, "pixels: expected a whole number >= 0, got 1.5"),
        (
            lambda: Scale(1.2, 0.8),
            ValueError,
            "high: expected a number of at least low, 1.2, got",
        ),
        (lambda: Flip("left"), ValueError, "axis: expected 'horizontal' or 'vertical', got 'left'"),
        (lambda: Shear(90), ValueError, "degrees: expected 0 <= degrees < 90, got 90"),
        (lambda: MixUp(0), ValueError, "alpha: expected a number above 0, got 0"),
    ],
)
def test_mistakes_get_their_sentences(call, error, words):
    with pytest.raises(error, match=words):
        call()
