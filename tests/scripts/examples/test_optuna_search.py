"""A search by Optuna's ask and tell, with pruning through a callback."""

from __future__ import annotations

import pytest

import xpnet
from scripts.examples import optuna_search
from xpnet.data import Dataset


@pytest.fixture
def parts() -> tuple[Dataset, Dataset]:
    return xpnet.data.load("digits")[0].take(300).split(0.3, stratify=True)


def test_optuna_proposes_prunes_and_is_told(parts: tuple[Dataset, Dataset]) -> None:
    study = optuna_search.search(*parts, trials=9)
    states = [trial.state.name for trial in study.trials]
    assert len(states) == 9
    assert set(states) == {"COMPLETE", "PRUNED"}
    for trial in study.trials:
        epochs = list(trial.intermediate_values)
        assert epochs == list(range(1, len(epochs) + 1))
        assert (len(epochs) == optuna_search.EPOCHS) == (trial.state.name == "COMPLETE")
        if trial.state.name == "COMPLETE":
            assert trial.value == trial.intermediate_values[optuna_search.EPOCHS]
    assert study.best_value == max(t.value for t in study.trials if t.state.name == "COMPLETE")
    assert study.best_value > 0.5


def test_it_says_what_was_best(capsys: pytest.CaptureFixture[str]) -> None:
    optuna_search.main("2")
    score, _, _, rate, _, hidden = capsys.readouterr().out.split()
    assert 0 < float(score) <= 1
    assert 1e-4 <= float(rate.strip(",")) <= 0.1
    assert 8 <= int(hidden) <= 128
