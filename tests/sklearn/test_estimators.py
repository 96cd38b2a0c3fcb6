"""The estimators: scikit-learn's own checks, its tools around them, and what they learn."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import xpnet
from tests.conftest import Backend
from xpnet.arrays import library, to_numpy
from xpnet.devices import device_of
from xpnet.layers import Conv2d, Flatten, Linear, ReLU, Rescale, Sequential
from xpnet.sklearn import NetworkClassifier, NetworkRegressor
from xpnet.training import Callback

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)


@dataclass
class Layers:
    """A function that makes networks, and prints alike in every process."""

    dtype: str = "float32"

    def __call__(self, input_shape, outputs, seed):
        layers = [Flatten(), Linear(50), ReLU(), Linear(outputs)]
        return Sequential(layers, input_shape=input_shape, seed=seed, dtype=self.dtype)


QUICK = {
    "hidden": (16,),
    "epochs": 20,
    "batch_size": 30,
    "learning_rate": 0.01,
    "random_state": 0,
}


def quick(**settings):
    return NetworkClassifier(**QUICK | settings)


def regressor(**settings):
    return NetworkRegressor(**QUICK | settings)


def flat(estimator):
    """Return all learned numbers of an estimator."""
    return to_numpy(estimator.net_.params.flat)


@parametrize_with_checks([NetworkClassifier(), NetworkRegressor()])
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def test_their_tags_say_what_they_take_and_so_what_is_checked():
    classifier, other = get_tags(NetworkClassifier()), get_tags(NetworkRegressor(net=Layers()))
    assert classifier.classifier_tags.multi_label
    assert classifier.classifier_tags.multi_class
    assert other.target_tags.multi_output
    assert classifier.array_api_support
    assert other.array_api_support
    assert (classifier.input_tags.three_d_array, other.input_tags.three_d_array) == (False, True)
    assert not classifier.non_deterministic
    assert not classifier.no_validation
    assert not other.input_tags.sparse


@pytest.mark.slow
@parametrize_with_checks(
    [
        NetworkClassifier((30, 20), activation="tanh", optimizer="momentum", learning_rate=0.1),
        NetworkClassifier(net=Layers("float64"), weight_decay=1e-4, learning_rate=0.01),
        NetworkClassifier(optimizer=xpnet.AdamW(0.01), epochs=50, verbose=True),
        NetworkRegressor((30, 20), activation="swish", optimizer="rmsprop", batch_size=1000),
        NetworkRegressor(net=Layers("float64"), optimizer=xpnet.Adam(0.003)),
        NetworkRegressor((), schedule=xpnet.schedules.cosine(), learning_rate=0.05),
    ]
)
def test_scikit_learns_checks_pass_with_other_settings(estimator, check):
    check(estimator)


ARRAY_API_CHECKS = """
from sklearn.utils.estimator_checks import estimator_checks_generator
from unittest import SkipTest
from xpnet.sklearn import NetworkClassifier, NetworkRegressor

made = set()
for kind in (NetworkClassifier, NetworkRegressor):
    for estimator, check in estimator_checks_generator(kind(epochs=5)):
        about = getattr(check, "keywords", {})
        if "array_api" in check.func.__name__:
            try:
                check(estimator)
                made.add((check.func.__name__, about.get("array_namespace")))
            except SkipTest:
                pass
print(sorted(map(str, made)))
"""


def test_scikit_learns_checks_of_array_libraries_pass():
    """They need an environment variable that is set before anything is imported."""
    pytest.importorskip("sklearn", "1.9")
    pytest.importorskip("numpy", "2.1")  # whose from_dlpack takes the device that they name
    environment = os.environ | {"SCIPY_ARRAY_API": "1"}
    command = [sys.executable, "-c", ARRAY_API_CHECKS]
    made = subprocess.check_output(command, env=environment, text=True)
    assert "check_array_api_input', 'array_api_strict'" in made
    assert "check_array_api_same_namespace', 'array_api_strict'" in made
    if find_spec("torch"):  # of two libraries
        assert "check_array_api_mixed_inputs" in made


class TestLearning:
    def test_without_hidden_layers_a_classifier_is_logistic_regression(self):
        weights = np.random.default_rng(0).integers(0, 4, len(Y))
        own = NetworkClassifier((), learning_rate=0.05, epochs=1000, batch_size=150, random_state=0)
        own.set_params(weight_decay=0.01).fit(X, Y, sample_weight=weights)
        # half the squared weights times C in a sum is a decay of 1 / C in a mean's gradient
        other = LogisticRegression(C=1 / (0.01 * weights.sum()), tol=1e-8, max_iter=1000)
        other.fit(X, Y, sample_weight=weights)
        np.testing.assert_allclose(own.predict_proba(X), other.predict_proba(X), atol=1e-3)
        assert own.score(X, Y, weights) == pytest.approx(other.score(X, Y, weights))

    def test_without_hidden_layers_a_regressor_is_least_squares(self):
        x = np.random.default_rng(0).normal(size=(100, 4))
        y = np.column_stack([x @ [1.0, -2.0, 0.5, 3.0] + 1, np.sin(x[:, 0])])
        own = NetworkRegressor((), learning_rate=0.05, epochs=1000, random_state=0).fit(x, y)
        other = LinearRegression().fit(x, y)
        np.testing.assert_allclose(own.predict(x), other.predict(x), atol=1e-6)
        assert own.score(x, y) == pytest.approx(other.score(x, y))

    def test_epochs_of_partial_fit_are_those_of_fit(self):
        whole = quick(batch_size=150, epochs=5).fit(X, Y)
        parts = quick(batch_size=150)
        for _ in range(5):
            parts.partial_fit(X, Y, classes=[0, 1, 2])
        np.testing.assert_allclose(flat(parts), flat(whole), rtol=1e-9)
        assert parts.n_iter_ == whole.n_iter_ == 5
        assert parts.history_["epoch"] == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(parts.history_["train_loss"], whole.history_["train_loss"])
        assert parts.loss_ == parts.history_[-1]["train_loss"]

    def test_partial_fit_goes_on_where_fit_ended_and_takes_its_batches_in_other_orders(self):
        once = regressor(batch_size=30).fit(X, X[:, 0])
        again = pickle.loads(pickle.dumps(once)).partial_fit(X, X[:, 0])
        assert again.n_iter_ == once.n_iter_ + 1
        assert again.optimizer_.steps == once.optimizer_.steps + 5
        orders = []

        class Looks(Callback):
            def fit_begins(self, trainer, epochs, steps):
                orders.append(trainer.runner.batches.order(trainer.epoch).tolist())

        again.set_params(callbacks=[Looks()])
        again.partial_fit(X, X[:, 0]).partial_fit(X, X[:, 0])
        assert orders[0] != orders[1]

    def test_a_warm_start_goes_on_with_the_weights_and_a_cold_one_does_not(self):
        model = quick(epochs=3, warm_start=True).fit(X, Y)
        before, first = flat(model).copy(), model.net_
        model.set_params(epochs=1, learning_rate=1e-12).fit(X, Y)
        assert model.net_ is first
        np.testing.assert_allclose(flat(model), before, atol=1e-9)
        assert model.n_iter_ == 1
        model.set_params(warm_start=False).fit(X, Y)
        assert model.net_ is not first

    def test_equal_seeds_give_equal_bits_and_others_others(self):
        settings = {"dropout": 0.2, "early_stopping": True, "batch_size": 20}
        one, two = (quick(**settings).fit(X, Y) for _ in range(2))
        assert (flat(one) == flat(two)).all()
        assert one.history_["validation_loss"] == two.history_["validation_loss"]
        assert not np.allclose(flat(one), flat(quick(**settings, random_state=1).fit(X, Y)))
        drawn = np.random.RandomState(0)
        first, second = (quick(random_state=drawn).fit(X, Y) for _ in range(2))
        assert not np.allclose(flat(first), flat(second))

    def test_samples_in_float32_are_computed_in_float32(self):
        single = quick().fit(X.astype("float32"), Y)
        assert single.net_.dtype == single.predict_proba(X).dtype == "float32"
        assert quick().fit(X, Y).net_.dtype == "float64"

    def test_the_schedule_is_that_of_the_whole_fit(self):
        model = quick(schedule=xpnet.schedules.cosine(), epochs=4).fit(X, Y)
        by_hand = [0.01 * xpnet.schedules.cosine()(5 * k - 1, 20) for k in (1, 2, 3, 4)]
        assert model.history_["lr"] == pytest.approx(by_hand)
        assert model.partial_fit(X, Y).history_[-1]["lr"] == 0.01

    def test_a_diverging_fit_says_so(self):
        told = pytest.raises(xpnet.training.DivergedError, match="learning rate")
        with np.errstate(all="ignore"), told:
            regressor(optimizer="sgd", learning_rate=1e6).fit(X, X[:, 0])


class TestEarlyStopping:
    def test_it_ends_the_fit_and_brings_the_best_weights_back(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(200, 10)), rng.integers(0, 2, 200)  # nothing to learn but by heart
        model = quick(hidden=(100,), epochs=400, early_stopping=True, batch_size=100)
        model.set_params(patience=5, validation_fraction=0.3).fit(x, y)
        losses = model.history_["validation_loss"]
        assert 5 <= model.n_iter_ == len(losses) < 400
        assert min(losses) == losses[-6] < losses[-1]
        data = xpnet.data.Dataset(x, y, classes=2)
        held_out = data.split(0.3, model._seed, stratify=True)[1]
        trainer = xpnet.Trainer(model.net_, xpnet.SoftmaxCrossEntropy(), xpnet.SGD())
        assert trainer.evaluate(held_out).loss == pytest.approx(min(losses))

    def test_a_difference_below_tol_is_none(self):
        model = quick(epochs=100, early_stopping=True, patience=3, tol=10).fit(X, Y)
        assert model.n_iter_ == 4  # the first is the best

    def test_as_large_a_share_of_each_class_is_held_out(self):
        seen = []

        class Looks(Callback):
            def fit_begins(self, trainer, epochs, steps):
                seen.extend(to_numpy(trainer.runner.batches.data.t))

        quick(early_stopping=True, validation_fraction=0.2, callbacks=[Looks()]).fit(X, Y)
        assert np.bincount(seen).tolist() == [40, 40, 40]

    def test_without_it_nothing_is_held_out(self):
        model = quick().fit(X, Y)
        assert model.n_iter_ == 20
        assert model.history_["validation_loss"] == [None] * 20


class TestTargets:
    def test_classes_may_be_words(self):
        names = np.array(["setosa", "versicolor", "virginica"])
        words, numbers = quick().fit(X, names[Y]), quick().fit(X, Y)
        assert words.classes_.tolist() == names.tolist()
        assert (words.predict(X) == names[numbers.predict(X)]).all()
        assert words.score(X, names[Y]) == numbers.score(X, Y) > 0.9

    def test_probabilities_are_in_the_order_of_the_classes(self):
        model = quick().fit(X, -Y)
        sure = model.classes_[model.predict_proba(X).argmax(axis=1)]
        assert model.classes_.tolist() == [-2, -1, 0]
        assert (sure == model.predict(X)).all()

    def test_log_probabilities_are_finite_where_probabilities_are_rounded_to_0(self):
        model = quick().fit(X, Y)
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(
                model.predict_log_proba(X), np.log(model.predict_proba(X)), atol=1e-6
            )
        far = model.predict_log_proba(1e4 * X)
        assert np.isfinite(far).all()
        assert far.min() < -800

    def test_a_sample_may_have_several_classes(self):
        x, y = make_multilabel_classification(300, 10, n_classes=4, random_state=0)
        x = StandardScaler().fit_transform(x)
        model = quick(epochs=100).fit(x, y)
        marks, shares = model.predict(x), model.predict_proba(x)
        assert (marks == (shares > 0.5)).all()
        assert (marks == y).mean() > 0.9
        np.testing.assert_allclose(np.exp(model.predict_log_proba(x)), shares, rtol=1e-5)
        assert model.score(x, y) == (marks == y).all(axis=1).mean()

    @pytest.mark.parametrize("shape", [(150,), (150, 1), (150, 3)])
    def test_predictions_have_the_shape_of_the_targets(self, shape):
        y = np.random.default_rng(0).normal(size=shape)
        assert regressor(epochs=1).fit(X, y).predict(X[:7]).shape == (7, *shape[1:])

    def test_whole_numbers_are_numbers_to_a_regressor(self):
        y = np.arange(150) % 2  # which would be classes to a loss
        model = regressor().fit(X, y)
        assert model.history_[-1]["train_accuracy"] is None
        assert model.history_[-1]["train_mean_absolute_error"] > 0


class TestWeights:
    def test_a_rare_class_is_found_where_classes_are_balanced(self):
        rng = np.random.default_rng(0)

        def draw(n):  # rare in a fifth of the square, and still the rarer one there
            y = (np.arange(n) % 20 == 0).astype(int)
            x = rng.random((n, 2))
            x[y == 1, 0] /= 5
            return StandardScaler().fit_transform(x), y

        (x, y), (x_test, y_test) = draw(2000), draw(2000)
        plain = quick(epochs=60).fit(x, y).predict(x_test)
        balanced = quick(epochs=60, class_weight="balanced").fit(x, y).predict(x_test)
        assert recall_score(y_test, plain) == 0
        assert recall_score(y_test, balanced) >= 0.6
        assert balanced_accuracy_score(y_test, balanced) >= 0.75

    @pytest.mark.parametrize(
        ("class_weight", "each"),
        [("balanced", {"a": 3, "b": 3 / 4, "c": 3 / 4}), ({"b": 5}, {"a": 1, "b": 5, "c": 1})],
    )
    def test_class_weights_are_weights_of_samples(self, class_weight, each):
        y = np.array(["a"] * 5 + ["b"] * 20 + ["c"] * 20)
        x, own = X[:45], np.linspace(0.5, 2, 45)
        by_class = quick(class_weight=class_weight).fit(x, y, sample_weight=own)
        by_sample = quick().fit(x, y, sample_weight=own * [each[name] for name in y])
        np.testing.assert_allclose(flat(by_class), flat(by_sample), rtol=1e-4)
        assert not np.allclose(flat(by_class), flat(quick().fit(x, y, sample_weight=own)))


class TestTools:
    def test_a_search_over_a_pipeline_in_two_processes_finds_what_one_does(self):
        model = make_pipeline(StandardScaler(), quick())
        choices = {
            "networkclassifier__hidden": [(1,), (16,)],
            "networkclassifier__optimizer": ["sgd", xpnet.Adam()],
        }
        two, one = (GridSearchCV(model, choices, cv=3, n_jobs=n).fit(X, Y) for n in (2, None))
        assert two.best_params_ == one.best_params_
        assert two.best_score_ == one.best_score_ > 0.9

    def test_cross_validation(self):
        scores = cross_val_score(quick(), X, Y, cv=5)
        assert scores.mean() > 0.9

    def test_a_saved_model_predicts_the_same_in_another_process(self, tmp_path):
        model = make_pipeline(StandardScaler(), quick()).fit(X, Y)
        joblib.dump((model, X), tmp_path / "model.joblib")
        program = (
            "import joblib, sys; model, x = joblib.load(sys.argv[1]);"
            "joblib.dump(model.predict_proba(x), sys.argv[2])"
        )
        files = str(tmp_path / "model.joblib"), str(tmp_path / "found.joblib")
        subprocess.run([sys.executable, "-c", program, *files], check=True)
        assert (joblib.load(files[1]) == model.predict_proba(X)).all()

    def test_a_copy_by_pickle_trains_on_as_the_original(self):
        model = quick(epochs=2, batch_size=20).fit(X, Y)
        copy = pickle.loads(pickle.dumps(model))
        assert (flat(copy.partial_fit(X, Y)) == flat(model.partial_fit(X, Y))).all()

    def test_a_clone_has_the_settings_and_nothing_learned(self):
        optimizer = xpnet.Momentum(0.1)
        model = quick(optimizer=optimizer, learning_rate=0.03).fit(X, Y)
        again = clone(model)
        assert not hasattr(again, "net_")
        assert again.get_params()["optimizer"].lr == 0.1
        assert (flat(again.fit(X, Y)) == flat(model)).all()
        assert optimizer.steps == 0  # it was copied
        assert optimizer.lr == 0.1
        assert model.optimizer_.lr == 0.03
        assert type(model.optimizer_) is xpnet.Momentum

    @pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
    def test_frames_give_names_to_features(self, frame):
        names = ["length", "width", "petal length", "petal width"]
        table = frame(dict(zip(names, X.T, strict=True)))
        model = quick().fit(table, table["length"].to_numpy() > 0)
        assert model.feature_names_in_.tolist() == names
        assert model.n_features_in_ == 4
        assert (model.predict(table) == quick().fit(X, X[:, 0] > 0).predict(X)).all()
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(table[names[::-1]])

    def test_a_series_of_words_is_a_target(self):
        y = pd.Series(Y).map({0: "s", 1: "ve", 2: "vi"})
        assert quick().fit(pd.DataFrame(X), y).classes_.tolist() == ["s", "ve", "vi"]

    def test_callbacks_are_called_and_rows_are_printed(self, capsys):
        class Counts(Callback):
            steps = 0

            def step_ends(self, trainer):
                self.steps += 1

        counts = Counts()
        quick(epochs=3, batch_size=50, callbacks=(counts,), verbose=True).fit(X, Y)
        assert counts.steps == 9
        assert len(capsys.readouterr().out.splitlines()) == 4

    def test_the_docstrings_tell_every_setting(self):
        for kind in (NetworkClassifier, NetworkRegressor):
            told = kind.__doc__
            assert "<" not in told.replace("<=", "").replace(">>>", "")
            parameters = told.partition("Parameters")[2].partition("Attributes")[0]
            for name in kind().get_params():
                assert f"\n{name}" in parameters or f", {name} : " in parameters, name
            attributes = told.partition("Attributes")[2].partition("Notes")[0]
            for name in vars(kind(epochs=1).fit(X, Y)).keys() - kind().get_params().keys():
                assert name.startswith("_") or f"\n{name} :" in attributes, name


class TestImages:
    DIGITS = xpnet.data.load("digits")[0].take(400)

    @staticmethod
    def convnet(input_shape, outputs, seed):
        layers = [Rescale(1 / 255), Conv2d(8, 5, stride=3), ReLU(), Flatten(), Linear(outputs)]
        return Sequential(layers, input_shape=input_shape, seed=seed)

    def test_a_network_of_ones_own_takes_bytes_as_they_are(self):
        seen = []

        class Looks(Callback):
            def fit_begins(self, trainer, epochs, steps):
                seen.append(trainer.runner.batches.data.x.dtype)

        x, y = self.DIGITS.x, self.DIGITS.t
        model = quick(net=self.convnet, callbacks=[Looks()]).fit(x, y)
        assert seen == [np.uint8]
        assert model.score(x, y) > 0.95
        assert (model.predict(x) == model.net_.predict(x).argmax(axis=1)).all()

    def test_without_one_images_are_refused(self):
        with pytest.raises(ValueError, match="dim 4"):
            quick().fit(self.DIGITS.x, self.DIGITS.t)

    def test_images_of_another_size_are_refused(self):
        model = quick(net=self.convnet, epochs=1).fit(self.DIGITS.x, self.DIGITS.t)
        with pytest.raises(ValueError, match=r"28, 28"):
            model.predict(self.DIGITS.x[:, :, :20])


class TestDevices:
    def test_samples_stay_on_their_device_and_predictions_come_back_there(self, xp: Backend):
        x, y = xp.array(X, "float32"), xp.array(Y)
        model, host = quick().fit(x, y), quick().fit(X.astype("float32"), Y)
        assert model.net_.device == xp.device
        for method in ("predict", "predict_proba", "predict_log_proba"):
            found, expected = getattr(model, method)(x), getattr(host, method)(X)
            assert library(found).name == library(x).name
            assert device_of(found) == xp.device
            np.testing.assert_allclose(to_numpy(found), expected, atol=1e-4)
        assert model.score(x, y) == host.score(X, Y)
        again = regressor().fit(x, x[:, 0], sample_weight=xp.array(np.ones(150))).predict(x)
        assert (device_of(again), tuple(again.shape)) == (xp.device, (150,))
        assert model.partial_fit(x, y).n_iter_ == 21

    def test_words_of_samples_elsewhere_are_numpys(self, xp: Backend):
        names = np.array(["a", "b", "c"])
        found = quick(epochs=2).fit(xp.array(X), names[Y]).predict(xp.array(X))
        assert isinstance(found, np.ndarray)
        assert set(found) <= set(names)

    def test_a_device_that_is_named_is_where_it_trains(self, xp: Backend):
        model = quick(device=xp.device.name, epochs=3).fit(X, Y)
        assert model.net_.device == xp.device
        assert isinstance(model.predict(X), np.ndarray)

    def test_several_batches_of_scores_are_one(self, xp: Backend):
        model = quick(epochs=1).fit(xp.array(X, "float32"), Y)
        many = np.tile(X, (15, 1)).astype("float32")
        few, scores = (to_numpy(model.predict_proba(xp.array(x))) for x in (many[:150], many))
        np.testing.assert_allclose(scores, np.tile(few, (15, 1)), rtol=1e-4)
