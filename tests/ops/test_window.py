"""Windows: where they stand, and which pixels their cells meet."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops import naive_oracles as naive
from xpnet.ops import Window

WINDOWS = [(1, 1, 1, 0), (2, 2, 2, 0), (3, 2, 1, 0), (2, 2, 3, 1), (3, 3, 2, 1), (1, 4, 4, 0)]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (8, 6)], ids=str)
def test_its_positions_are_those_that_can_be_tried(window, shape):
    expected = naive.sizes(*shape, *window)
    assert Window(*window).positions(shape) == expected
    assert Window(*window).positions((9, 2, *shape)) == expected


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_the_view_of_a_cell_is_what_it_meets_as_the_window_moves(window):
    own, pad = Window(*window), window[3]
    image = np.arange(1, 43).reshape(1, 1, 6, 7)
    wide = np.pad(image, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows, columns = own.positions(image.shape)
    views = [wide[at] for at in own.views(rows, columns)]
    assert len(views) == own.cells
    seen = np.zeros((own.cells, rows, columns), int)
    for p, q, i, j, row, col in naive.meetings(image.shape, *window):
        seen[i * own.kw + j, p, q] = image[0, 0, row, col]
    np.testing.assert_array_equal(np.concatenate(views)[:, 0], seen)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_it_tiles_an_image_if_no_pixel_is_met_twice_and_none_between_is_left_out(window):
    image = (1, 1, 2 * max(window), 2 * max(window))
    met = [(row, col) for *_, row, col in naive.meetings(image, *window)]
    padded, square = window[3] > 0, window[0] == window[1]
    assert Window(*window).is_tiling == (
        square and not padded and len(met) == len(set(met)) == image[2] * image[3]
    )
