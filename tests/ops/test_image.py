"""Images changed as bytes: what SciPy makes of them, and the same bits on every library."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.arrays import to_numpy
from xpnet.ops import image
from xpnet.ops.image import ONE

SIZES = [(28, 28), (5, 9), (1, 1), (2, 7)]


def images(
    size: tuple[int, int], n: int = 4, channels: int = 3, dtype: str = "uint8"
) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, channels, *size)).astype(dtype)


def matrices(n: int, size: tuple[int, int], seed: int = 1) -> np.ndarray:
    """Return maps near the identity."""
    rng = np.random.default_rng(seed)
    made = rng.normal(0, 0.2, (n, 2, 3)) + np.eye(2, 3)
    made[:, :, 2] *= max(size)
    return np.rint(made.reshape(n, 6) * ONE).astype(np.int32)


def fields(n: int, k: int = 4) -> np.ndarray:
    return np.rint(np.random.default_rng(2).normal(0, 2, (n, 2, k, k)) * ONE).astype(np.int32)


IDENTITY = np.array([[ONE, 0, 0, 0, ONE, 0]], np.int32)

CALLS = {
    "warp": lambda x: (image.warp, (matrices(len(x), x.shape[2:]), None), {"fill": 7}),
    "bend": lambda x: (
        image.warp, (matrices(len(x), x.shape[2:]), fields(len(x))), {"fill": 0}
    ),
    "cut out": lambda x: (
        image.cut_out, (np.random.default_rng(3).integers(-3, 12, (len(x), 4)).astype("int32"),),
        {"fill": 200},
    ),
    "noise": lambda x: (
        image.add_noise, (np.random.default_rng(4).integers(0, 2**32, len(x)),), {"std": 30.0}
    ),
    "mix": lambda x: (
        image.mix,
        (x[::-1].copy(), np.random.default_rng(5).integers(0, 257, len(x)).astype("int32")), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("size", SIZES)
def test_bytes_are_the_same_on_every_library(xp: Backend, call, size):
    x = images(size)
    op, given, how = CALLS[call](x)
    expected = op.generic(x, *given, **how)
    made = op(xp.array(x), *(a if a is None else xp.array(a) for a in given), **how)
    np.testing.assert_array_equal(to_numpy(made), expected)
    assert to_numpy(made).dtype == np.uint8


@pytest.mark.parametrize("call", CALLS)
def test_floats_are_changed_as_bytes_are(xp: Backend, call):
    x = images((28, 28))
    op, given, how = CALLS[call](x)
    given = [a.astype("float32") if a is not None and a.dtype == np.uint8 else a for a in given]
    made = op(
        xp.array(x.astype("float32")), *(a if a is None else xp.array(a) for a in given), **how
    )
    expected = op.generic(x, *CALLS[call](x)[1], **how)
    found = np.clip(to_numpy(made), 0, 255)
    assert found.dtype == np.float32
    assert abs(found - expected).max() <= 0.51


@pytest.mark.parametrize("size", SIZES)
def test_pixels_lie_where_scipy_has_them(size):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = images(size, channels=1)
    maps = matrices(len(x), size)
    made = image.warp(x, maps, None, fill=0)
    for own, source, row in zip(made[:, 0], x[:, 0], maps / ONE, strict=True):
        framed = np.pad(source.astype(float), 1)  # what lies outside is 0 at once
        theirs = ndimage.affine_transform(
            framed, row.reshape(2, 3)[:, :2], row[[2, 5]] + 1, output_shape=size, order=1
        )
        assert abs(own - theirs).max() <= 2  # places are cut to 1/256 of a pixel


def test_the_identity_changes_nothing(xp: Backend):
    x = images((9, 6))
    made = image.warp(xp.array(x), xp.array(np.repeat(IDENTITY, 4, 0)), None, fill=9)
    np.testing.assert_array_equal(to_numpy(made), x)


def test_whole_steps_move_pixels_whole():
    x = images((5, 6), n=1)
    made = image.warp(x, IDENTITY + np.array([[0, 0, ONE, 0, 0, -2 * ONE]], np.int32), None, fill=3)
    np.testing.assert_array_equal(made[:, :, :-1, 2:], x[:, :, 1:, :-2])
    assert (made[:, :, -1, :] == 3).all()
    assert (made[:, :, :, :2] == 3).all()


def test_between_nodes_displacements_follow_the_smooth_step():
    """Written again, in floats."""
    h, w, nodes = 13, 22, fields(2, 4)
    found = image._between(nodes[:, 0].astype(np.int64), h, w) / ONE
    for i in range(h):
        for j in range(w):
            y, x = 3 * i / (h - 1), 3 * j / (w - 1)
            p, q = min(int(y), 2), min(int(x), 2)
            s, t = (3 * d**2 - 2 * d**3 for d in (y - p, x - q))
            four = nodes[:, 0, p : p + 2, q : q + 2] / ONE
            rows = four[:, 0] * (1 - s) + four[:, 1] * s
            assert found[:, i, j] == pytest.approx(rows[:, 0] * (1 - t) + rows[:, 1] * t, abs=0.1)


@pytest.mark.parametrize("std", [0.0, 5.0, 30.0])
def test_noise_is_nearly_normal(std):
    x = np.full((50, 1, 40, 40), 128, np.uint8)
    moved = image.add_noise(x, np.arange(50), std=std).astype(float) - 128
    assert moved.mean() == pytest.approx(0, abs=0.1 + std / 100)
    assert moved.std() == pytest.approx(std, rel=0.02, abs=0.01)
    if std:
        near = (abs(moved) <= std + 0.5).mean() - (abs(moved) == std).mean() / 2
        assert near == pytest.approx(0.683, abs=0.03)
        assert len(np.unique(moved[0])) > 20
        assert abs(np.corrcoef(moved[:25].ravel(), moved[25:].ravel())[0, 1]) < 0.02


def test_noise_ends_at_black_and_white():
    x = np.array([[0, 255]], np.uint8).repeat(200, 0)
    made = image.add_noise(x, np.arange(200), std=40.0)
    assert made[:, 0].max() < 200
    assert made[:, 1].min() > 55


def test_shares_of_a_mix():
    x, partners = np.array([[200], [200], [200]], np.uint8), np.zeros((3, 1), np.uint8)
    made = image.mix(x, partners, np.array([256, 0, 64], np.int32))
    np.testing.assert_array_equal(made[:, 0], [200, 0, 50])
