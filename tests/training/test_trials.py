"""The folder of a search: killed and gone on with, refused where it is another's or damaged."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnet
from tests.faults import faults, full
from tests.training import searches
from tests.training.searches import KINDS, digest, labels, made, numbers, searched, told
from xpnet.data import Dataset
from xpnet.training import Callback, LogUniform, SuccessiveHalving, Trial, random_search

KIND = "classification, halving"


@pytest.mark.parametrize(
    "kind",
    [
        kind if "halving" in kind and "steered" not in kind
        else pytest.param(kind, marks=pytest.mark.slow)
        for kind in KINDS
    ],
)  # fmt: skip
def test_a_search_that_is_killed_again_and_again_ends_as_one_that_is_not(
    kind: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.training.searches", kind, str(tmp_path / "search")]
    killed, gone_on, whole = subprocess.check_output(command, text=True).split()
    assert int(killed) >= 8
    assert gone_on == whole


class Steps(Callback):
    """The number of steps made."""

    made = 0

    def step_ends(self, trainer: xpnet.Trainer) -> None:
        self.made += 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_that_is_finished_is_not_made_again(kind: str, tmp_path: Path) -> None:
    first, again, reported = Steps(), Steps(), []
    whole = searched(kind, first, folder=tmp_path)
    found = searched(kind, again, folder=tmp_path, report=reported.append)
    assert (again.made, reported) == (0, [])
    assert first.made > 0
    assert digest(whole) == digest(found) == digest(searched(kind))
    assert pickle.loads(pickle.dumps(told(found))) == told(found)


def test_trainers_that_do_not_go_on_leave_nothing(tmp_path: Path) -> None:
    best = searched(KIND, folder=tmp_path)[0]
    checkpoints = [path.name for path in tmp_path.glob("*fold*")]
    assert checkpoints == [f"trial-{best.number}-fold-0.safetensors"]


def test_more_trials_are_made_beside_those_that_are_there(tmp_path: Path) -> None:
    def search(trials: int, *callbacks: Callback, **given: Any) -> list[Trial]:
        make = made(2, xpnet.SoftmaxCrossEntropy(), *callbacks)
        return random_search(make, labels(), searches.SPACE, trials, 2, 10, seed=3, **given)

    steps = Steps()
    search(3, folder=tmp_path)
    more = search(5, steps, folder=tmp_path)
    assert steps.made == 2 * 2 * 4  # of two trials, each of two epochs of four steps
    assert digest(more) == digest(search(5))
    fewer = search(3, folder=tmp_path)
    assert told(fewer) == told(search(3))


class Interrupts(Callback):
    """Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def step_ends(self, trainer: xpnet.Trainer) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [3, 21, 27])
def test_a_search_that_is_interrupted_goes_on(step: int, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        searched(KIND, Interrupts(step), folder=tmp_path)
    assert digest(searched(KIND, folder=tmp_path)) == digest(searched(KIND))


class DiesAsAFitEnds(Callback):
    """Ctrl-C between the last epoch of a fit that another callback ended and its checkpoint."""

    def __init__(self) -> None:
        self.left = 1

    def fit_ends(self, trainer: xpnet.Trainer) -> None:
        if trainer.finished and trainer.fit_epochs == 2 and self.left:
            self.left = 0
            raise KeyboardInterrupt


def test_a_fit_that_a_callback_ended_ends_there_again(tmp_path: Path) -> None:
    kind = "classification, halving, steered"
    with pytest.raises(KeyboardInterrupt):
        searched(kind, DiesAsAFitEnds(), folder=tmp_path)
    assert digest(searched(kind, folder=tmp_path)) == digest(searched(kind))


@pytest.mark.parametrize("k", [1, 3, 8, 20, 47])
def test_a_disk_that_fails_loses_nothing(k: int, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), faults(k, full):
        searched(KIND, folder=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]
    assert digest(searched(KIND, folder=tmp_path)) == digest(searched(KIND))


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "epochs": ({"epochs": 6}, "epochs expected 5, got 6"),
    "halving": (
        {"halving": 3},
        r"halving expected 'SuccessiveHalving\(factor=2, min_epochs=1\)', got .*factor=3",
    ),
    "no halving": ({"halving": None}, "halving expected 'Succ.*, got None; trials expected 5, got"),
    "folds": ({"folds": 2}, "folds expected None, got 2"),
    "held out": ({"held_out": 0.3}, r"held_out expected 0\.2, got 0\.3"),
    "metric": ({"metric": "train_loss"}, "metric expected None, got 'train_loss'"),
    "validation": ({"validation": labels()}, "validation expected None, got 'x float64 .*checksum"),
}


@pytest.mark.parametrize("given", OTHERS)
def test_a_folder_of_another_search_is_refused(given: str, tmp_path: Path) -> None:
    searched(KIND, folder=tmp_path)
    other, difference = OTHERS[given]
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        ValueError,
        match=rf"^{tmp_path}/search\.safetensors: another search began there: {difference}.*: give "
        rf"it what it began with, or give another folder$",
    ):
        searched(KIND, folder=tmp_path, **other)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def searched_here(folder: Path, **given: Any) -> list[Trial]:
    """Return the trials of a small search; all that it is given may be other."""
    chosen = {
        "make_trainer": made(2, xpnet.SoftmaxCrossEntropy()), "data": labels(),
        "space": searches.SPACE, "trials": 2, "epochs": 1, "batch_size": 10, "seed": 0,
    }  # fmt: skip
    return random_search(folder=folder, **chosen | given)


def narrow(hidden: int, lr: float, rate: float, rule: Any) -> xpnet.Trainer:
    return made(2, xpnet.SoftmaxCrossEntropy())(hidden, lr / 2, rate, rule)


def shallow(hidden: int, lr: float, rate: float, rule: Any) -> xpnet.Trainer:
    net = xpnet.Sequential([xpnet.layers.Linear(2)], input_shape=(4,))
    loss, schedule = xpnet.SoftmaxCrossEntropy(), xpnet.schedules.one_cycle()
    return xpnet.Trainer(net, loss, rule(lr=lr), schedule=schedule)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"space": searches.SPACE | {"lr": LogUniform(1e-3, 1)}}, "space.lr expected 'LogU.*0.3"),
        ({"space": searches.SPACE | {"rule": [xpnet.SGD]}}, 'space.rule expected "Choice'),
        ({"data": labels().take(30)}, "data expected '.* .40, 4. .*, got '.* .30, 4. "),
        ({"data": Dataset(labels().x, 1 - labels().t)}, "data expected .*, got .*"),
        ({"seed": 1}, "seed expected 0, got 1"),
        ({"batch_size": 20}, "batch_size expected 10, got 20"),
        ({"make_trainer": made(2, xpnet.SquaredError())}, "expected loss .*SquaredError"),
        ({"make_trainer": narrow}, "expected optimizer.lr "),
        ({"make_trainer": shallow}, "the network has no 'params/1"),
    ],
)  # fmt: skip
def test_what_trials_are_made_of_may_not_change(
    given: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    searched_here(tmp_path)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/search\.safetensors: .*{sentence}"):
        searched_here(tmp_path, **given)


def test_functions_as_metrics_and_choices_are_known_by_name(tmp_path: Path) -> None:
    space = {name: LogUniform(0.1, 1) for name in ("lr", "rate")}
    for _ in range(2):

        def score(trainer: xpnet.Trainer, held: Dataset) -> float:
            return float(trainer.net.params.flat[0])

        chosen = space | {"hidden": [3], "rule": [lambda lr: xpnet.SGD(lr=lr)]}
        searched_here(tmp_path, space=chosen, metric=score, maximize=True)
    with pytest.raises(ValueError, match="maximize expected True, got False"):
        searched_here(tmp_path, space=chosen, metric=score, maximize=False)


def test_a_folder_whose_search_is_missing_is_refused(tmp_path: Path) -> None:
    searched_here(tmp_path)
    (tmp_path / "search.safetensors").unlink()
    with pytest.raises(
        ValueError, match=r"search\.safetensors: expected it beside the trials of a search: give an"
    ):
        searched_here(tmp_path)


def test_two_searches_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    def report(trial: Trial) -> None:
        with pytest.raises(
            ValueError, match=f"^{tmp_path}: another process searches there: wait for it, or give"
        ):
            searched_here(tmp_path)
        seen.append(trial.number)

    seen: list[int] = []
    searched_here(tmp_path, report=report)
    assert seen == [0, 1]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of a search that was interrupted after the second comparison, and what shall be."""
    folder = tmp_path_factory.mktemp("interrupted")

    def report(trial: Trial) -> None:
        if trial.epochs == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(KIND, folder=folder, report=report)
    return folder, digest(searched(KIND))


def copied(folder: Path, to: Path) -> list[Path]:
    """Return the names of a search's files, copied."""
    for path in folder.glob("*.safetensors"):
        (to / path.name).write_bytes(path.read_bytes())
    return sorted(to.iterdir())


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "another number"])
def test_a_damaged_file_is_refused_with_a_sentence_and_may_be_removed(
    interrupted: tuple[Path, str], empty: bool, tmp_path: Path
) -> None:
    folder, whole = interrupted
    refused: dict[str, str] = {}
    for path in copied(folder, tmp_path):
        name, raw = path.name, path.read_bytes()
        path.write_bytes(b"" if empty else raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:])
        try:
            assert digest(searched(KIND, folder=tmp_path)) == whole  # it was not needed any more
        except ValueError as error:
            refused[name] = str(error)
        if name in refused and name != "search.safetensors":
            path.unlink()
            assert digest(searched(KIND, folder=tmp_path)) == whole
        for other in tmp_path.glob("*.safetensors"):
            other.unlink()
        copied(folder, tmp_path)
    for name, sentence in refused.items():
        cure = "" if name == "search.safetensors" else "or remove it, and the search makes it again"
        assert re.match(f"^{tmp_path / name}: .*{cure}$", sentence)
        assert "\n" not in sentence
    kinds = {re.sub("[0-9]+", "k", name) for name in refused}
    trial = "trial-k-{}-k.safetensors"
    assert kinds == {"search.safetensors", trial.format("epoch"), trial.format("fold")}


def test_trials_whose_files_were_removed_are_made_again_from_their_beginning(
    interrupted: tuple[Path, str], tmp_path: Path
) -> None:
    folder, whole = interrupted
    for path in copied(folder, tmp_path):
        if "epoch" in path.name:
            path.unlink()
    assert len(list(tmp_path.glob("trial-*-fold-*"))) >= 2
    assert digest(searched(KIND, folder=tmp_path)) == whole


def test_a_file_of_something_else_is_no_trial(
    interrupted: tuple[Path, str], tmp_path: Path
) -> None:
    names = {path.name: path for path in copied(interrupted[0], tmp_path)}
    other = next(path for name, path in names.items() if "fold" in name)
    names["trial-0-epoch-1.safetensors"].write_bytes(other.read_bytes())
    with pytest.raises(
        ValueError, match=r"trial-0-epoch-1\.safetensors: holds no trial, or remove"
    ):
        searched(KIND, folder=tmp_path)
    another = names["trial-1-epoch-1.safetensors"].read_bytes()
    names["trial-0-epoch-1.safetensors"].write_bytes(another)
    with pytest.raises(ValueError, match=r"holds no such trial \(number 1 after epoch 1\), or rem"):
        searched(KIND, folder=tmp_path)


def test_a_trial_that_diverged_is_found_again(tmp_path: Path) -> None:
    def make(lr: float) -> xpnet.Trainer:
        net = xpnet.Sequential([xpnet.layers.Linear(2)], input_shape=(4,))
        return xpnet.Trainer(net, xpnet.SquaredError(), xpnet.SGD(lr=lr))

    with np.errstate(all="ignore"):
        whole, found = (
            random_search(make, numbers(), {"lr": [0.1, 1e9]}, 6, 20, 10, folder=tmp_path)
            for _ in range(2)
        )
    assert told(whole) == told(found)
    assert found[-1].diverged
    assert found[-1].score == found[-1].loss == np.inf


@pytest.mark.filterwarnings("ignore:validation_:RuntimeWarning")  # null in a history
def test_a_score_that_is_infinite_is_found_again(tmp_path: Path) -> None:
    far = Dataset(np.full((3, 4), 1e30), np.zeros((3, 2)))
    given: dict[str, Any] = {"validation": far, "metric": "validation_loss", "halving": 2}

    def report(trial: Trial) -> None:
        raise KeyboardInterrupt

    with np.errstate(all="ignore"):
        whole = told(searched("regression", folder=tmp_path / "whole", **given))
        with pytest.raises(KeyboardInterrupt):
            searched("regression", folder=tmp_path / "killed", report=report, **given)
        (tmp_path / "killed" / "trial-0-epoch-1.safetensors").unlink()
        assert (tmp_path / "killed" / "trial-0-fold-0.safetensors").exists()
        found = told(searched("regression", folder=tmp_path / "killed", **given))
    assert np.isinf([trial["loss"] for trial in found]).any()
    assert repr(found) == repr(whole)


def test_another_thread_may_search_elsewhere(tmp_path: Path) -> None:
    found: list[str] = []

    def search(folder: Path) -> None:
        found.append(digest(searched("classification", folder=folder)))

    threads = [threading.Thread(target=search, args=(tmp_path / name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [digest(searched("classification"))] * 2


def test_halving_s_arguments_are_told_by_value(tmp_path: Path) -> None:
    searched(KIND, folder=tmp_path)
    steps = Steps()
    searched(KIND, steps, folder=tmp_path, halving=SuccessiveHalving(2, 1))
    searched(KIND, steps, folder=tmp_path, halving=2)
    assert steps.made == 0
