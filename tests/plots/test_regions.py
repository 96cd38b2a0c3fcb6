"""Pictures of what a classifier answers in the plane."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from xpnet import plots


def test_points_lie_in_the_plane_by_their_labels() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    panels = {"or": (lambda grid: grid.sum(axis=1), np.array([0, 1, 1]))}
    axis = plots.decision_regions(panels, points, lines={"or": {"x": (1, 1, -0.5)}}).axes[0]
    drawn = {line.get_label(): line.get_xydata() for line in axis.lines}
    np.testing.assert_array_equal(drawn["0"], points[:1])
    np.testing.assert_array_equal(drawn["1"], points[1:])
    with pytest.raises(ValueError, match="the line 'x' has no direction"):
        plots.decision_regions(panels, points, lines={"or": {"x": (0, 0, 1)}})
    with pytest.raises(ValueError, match=r"expected points \(n, 2\), got \(3, 3\)"):
        plots.decision_regions(panels, np.eye(3))
