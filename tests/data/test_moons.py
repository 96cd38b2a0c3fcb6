"""Two moons: what is drawn, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from xpnet.data import two_moons


def test_points_and_labels():
    pytest.importorskip("sklearn")
    data = two_moons(101, 0.1, seed=3)
    assert data.x.shape == (101, 2)
    assert data.x.dtype == np.float64
    assert data.t.dtype == np.int64
    assert data.classes == 2
    assert sorted(np.bincount(data.t)) == [50, 51]
    assert two_moons(4, dtype="float32").x.dtype == np.float32


def test_without_noise_they_lie_on_half_circles():
    pytest.importorskip("sklearn")
    data = two_moons(100, 0.0)
    upper, lower = data.x[data.t == 0], data.x[data.t == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1, rtol=1e-12)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1, rtol=1e-12)
    assert (upper[:, 1] >= 0).all()
    assert (lower[:, 1] <= 0.5).all()


def test_the_seed_decides():
    pytest.importorskip("sklearn")
    one, same, other = two_moons(50, seed=1), two_moons(50, seed=1), two_moons(50, seed=2)
    np.testing.assert_array_equal(one.x, same.x)
    np.testing.assert_array_equal(one.t, same.t)
    assert (one.x != other.x).any()


@pytest.mark.parametrize("n", [1, 2.5, True])
def test_too_few_points(n):
    with pytest.raises(ValueError, match="n: expected a whole number >= 2, got"):
        two_moons(n)


def test_negative_noise():
    with pytest.raises(ValueError, match="noise: expected a number >= 0, got -1"):
        two_moons(10, -1)


def test_without_scikit_learn_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"scikit-learn: run `pip install scikit-learn`"):
        two_moons()


def test_importing_the_data_imports_none_of_the_extras():
    code = (
        "import sys, xpnet.data; "
        "print([m for m in ('sklearn', 'openpyxl', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
