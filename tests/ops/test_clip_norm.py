"""Clipping by norm: NumPy's body against the generic one, and both against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from xpnet.ops.update import clip_norm

RTOL = {"float32": 2e-5, "float64": 1e-12, "complex64": 2e-5}


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-3, 1.0, 1e3, 1e25])
def test_both_bodies_shorten_to_the_norm(dtype, size, scale):
    values = np.random.default_rng(size).normal(size=size) * scale
    norm = float(np.linalg.norm(values))
    for run in (clip_norm, clip_norm.generic):
        g = values.astype(dtype)
        run(g, max_norm=0.5)
        np.testing.assert_allclose(g, values * min(1, 0.5 / max(norm, 0.5)), rtol=RTOL[dtype])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_leaves_none(bad):
    for run in (clip_norm, clip_norm.generic):
        g = np.array([1.0, bad, 2.0], np.float32)
        run(g, max_norm=0.5)
        assert np.isnan(g).all()
