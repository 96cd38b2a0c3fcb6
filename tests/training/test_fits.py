"""The fits of a run, matched with the calls of a script that is run again."""

from __future__ import annotations

from typing import Any

import pytest

from xpnet.training.fits import Fit, Fits, differences


def given(**changes: Any) -> dict[str, Any]:
    return {"epochs": 3, "batch_size": 10, "device": "cpu", "precision": "float32", **changes}


def past() -> list[Fit]:
    """A run of a finished fit and one that was interrupted."""
    return [Fit(given(), 0, finished=True), Fit(given(epochs=5), 3)]


def test_calls_are_matched_in_order():
    fits = Fits(past())
    first = fits.begin(given(), 4, resume=True)
    second = fits.begin(given(epochs=5), 4, resume=True)
    assert (first.finished, second.finished) == (True, False)
    assert (second.began, second.last) == (3, 8)
    second.finished = True
    third = fits.begin(given(), 8, resume=True)
    assert (third.began, len(fits.all)) == (8, 3)


def test_a_call_that_is_given_something_else_is_refused_by_its_number():
    fits = Fits(past())
    fits.begin(given(), 4, resume=True)
    with pytest.raises(ValueError, match=r"number 2 of this run.*: epochs expected 5, got 6: give"):
        fits.begin(given(epochs=6), 4, resume=True)
    assert fits.begin(given(epochs=5), 4, resume=True) is fits.all[1]


def test_a_new_fit_leaves_the_others_behind():
    fits = Fits(past())
    new = fits.begin(given(epochs=7), 4, resume=False)
    assert (fits.all[-1], new.began, fits.current) == (new, 4, new)
    assert all(fit.finished for fit in fits.all[:-1])


def test_an_interrupted_fit_goes_on_in_the_same_process():
    fits = Fits()
    fit = fits.begin(given(), 0, resume=True)
    with pytest.raises(ValueError, match="epochs expected 3, got 4"):
        fits.begin(given(epochs=4), 1, resume=True)
    assert fits.current is fit
    assert fits.begin(given(), 1, resume=True) is fit
    fit.finished = True
    assert fits.begin(given(), 3, resume=True) is not fit


def test_another_device_is_refused_or_mentioned():
    with pytest.raises(ValueError, match=r"device expected 'cpu', got 'gpu:0': .*exact=False"):
        Fits(past()).begin(given(device="gpu:0"), 4, resume=True)
    with pytest.warns(RuntimeWarning, match=r"last bits .*: device expected 'cpu', got 'gpu:0'"):
        Fits(past(), exact=False).begin(given(device="gpu:0"), 4, resume=True)
    with pytest.raises(ValueError, match=r"batch_size expected 10, got 9"):
        Fits(past(), exact=False).begin(given(batch_size=9), 4, resume=True)


def test_other_frozen_layers_are_refused():
    def begin(*frozen: str) -> Fit:
        past = Fit(given(frozen=["0"]), 0, frozen=["0", "2"])
        return Fits([past]).begin(given(frozen=list(frozen)), 0, resume=True)

    assert begin("0").given == given(frozen=["0"])
    assert begin("0", "2").given == given(frozen=["0"])  # as a callback had left it
    with pytest.raises(
        ValueError, match=r"something else: frozen expected \['0'\], got \[\]: give"
    ):
        begin()
    older = Fits([Fit(given(), 0)]).begin(given(frozen=["0"]), 0, resume=True)
    assert older.given["frozen"] == ["0"]  # it did not say


def test_the_rate_as_restored_or_as_the_fit_began_goes_on_and_another_is_refused():
    def begin(lr: float) -> Fit:
        interrupted = Fit(given(), 0, hyperparameters={"lr": 0.1}, left={"lr": 0.05})
        fits = Fits([interrupted], {"lr": 0.05})
        return fits.begin(given(), 0, resume=True, hyperparameters={"lr": lr})

    assert begin(0.1).left == begin(0.05).left == {"lr": 0.05}
    with pytest.raises(ValueError, match=r"something else: lr expected 0\.1, got 0\.2: give it"):
        begin(0.2)


def test_differences_are_told_by_name():
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == {
        "b": "b expected 2, got 3",
    }


def test_what_an_older_file_does_not_know_is_no_difference():
    old = Fit({"epochs": 3, "batch_size": 10}, 0)
    assert Fits([old]).begin(given(), 0, resume=True, hyperparameters={"lr": 1}) is old
