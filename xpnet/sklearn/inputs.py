"""What an estimator is given: samples and targets, by scikit-learn's rules.

What is no array, and NumPy's arrays, are checked by scikit-learn itself.  Samples in arrays of
other libraries stay where they are, whether scikit-learn's array API dispatch is on or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from xpnet.arrays import Array, HostArray, dtype_kind, library, namespace, to_numpy
from xpnet.convert import as_array, is_array
from xpnet.devices import CPU, device_of

__all__ = ["on_host", "same_namespace", "samples", "scored", "targets"]

DTYPES = (np.float32, np.float64, np.uint8)
"""The dtypes that samples keep; others become the first of them."""


def samples(estimator: Any, X: Any, *, images: bool, reset: bool) -> Array:
    """Return samples as an array of finite numbers, on the device they are on.

    Parameters
    ----------
    images : bool
        Whether a sample may have more axes than one.
    reset : bool
        Whether they tell how many features there are, and their names, or are held to them.
    """
    if _is_of_another_library(X):
        return _of_another_library(estimator, X, images=images, reset=reset)
    checked: HostArray = validate_data(estimator, X, reset=reset, dtype=DTYPES, allow_nd=images)
    return checked


def _is_of_another_library(value: Any) -> bool:
    return is_array(value) and library(value).name != CPU.library


def _of_another_library(estimator: Any, X: Array, *, images: bool, reset: bool) -> Array:
    x = as_array("X", X)
    if x.ndim < 2 or (x.ndim > 2 and not images) or x.shape[0] == 0:
        expected = "two axes or more" if images else "shape (samples, features)"
        raise ValueError(f"X: expected samples in an array of {expected}, got {tuple(x.shape)}")
    validate_data(estimator, x, reset=reset, skip_check_array=True)
    xp = namespace(x)
    kind = dtype_kind(xp, x.dtype)
    if kind == "complex":
        raise ValueError("X: complex data not supported")
    if kind == "real" and not xp.all(xp.isfinite(x)):
        raise ValueError("X: expected finite numbers, got NaN or infinity")
    return x


def targets(estimator: Any, X: Array, y: Any, dtype: Any = None) -> HostArray:
    """Return the targets of samples on the host.

    Parameters
    ----------
    dtype : dtype, optional
        As ``check_array`` takes it; by default they keep their own, words too.
    """
    if y is None:
        validate_data(estimator, X, None, skip_check_array=True)  # raises, in its own words
    checked: HostArray = check_array(
        on_host(y), ensure_2d=False, dtype=dtype, input_name="y", estimator=estimator
    )
    check_consistent_length(X, checked)
    return checked


def on_host(value: Any) -> Any:
    """Return an array of another library as NumPy's; anything else as it is."""
    return to_numpy(value) if _is_of_another_library(value) else value


def scored(metric: Callable[..., float], y: Any, guesses: Array, sample_weight: Any) -> float:
    """Return a metric of scikit-learn's, computed on the host."""
    return float(metric(on_host(y), on_host(guesses), sample_weight=on_host(sample_weight)))


def same_namespace(estimator: Any, X: Array, method: str) -> None:
    """Raise, where scikit-learn dispatches to array libraries, unless ``fit`` had such samples.

    Otherwise samples of any library may follow: they are brought to the network's device.
    """
    here = device_of(X).name
    if get_config()["array_api_dispatch"] and here != estimator.samples_device_:
        raise ValueError(
            f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace "
            f"and device as those passed to fit(): expected {estimator.samples_device_!r}, got "
            f"{here!r}"
        )
