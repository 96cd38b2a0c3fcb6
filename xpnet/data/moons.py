"""Two moons: points of two interleaved half circles, a problem that no straight line solves."""

from __future__ import annotations

import numpy as np

from xpnet.checks import not_negative, whole_number
from xpnet.data.datasets import Dataset
from xpnet.random import Stream

__all__ = ["two_moons"]


def two_moons(n: int = 200, noise: float = 0.2, seed: int = 0, dtype: str = "float64") -> Dataset:
    """Return points of two interleaved half circles, half of them of each class.

    Parameters
    ----------
    n : int
        Points, at least 2.
    noise : float
        The standard deviation of what is added to each coordinate.
    seed : int
    dtype : str
        Of the points.

    Returns
    -------
    Dataset
        ``x`` of shape (n, 2), shuffled; ``t`` int64 of shape (n,), 0 for the upper moon.

    Raises
    ------
    ValueError
        There are too few points, or the noise is negative.
    ImportError
        scikit-learn, which draws them, is not installed.
    """
    n, noise = whole_number("n", n, 2), not_negative("noise", noise)
    try:
        from sklearn.datasets import make_moons
    except ModuleNotFoundError:
        raise ImportError("two_moons needs scikit-learn: run `pip install scikit-learn`") from None
    words = Stream(seed, "two moons").generator().integers(2**32, size=8)
    x, t = make_moons(n, noise=noise, random_state=np.random.RandomState(words))
    return Dataset(x.astype(dtype), t.astype(np.int64), classes=2, name="two moons")
