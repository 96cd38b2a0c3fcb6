"""Pictures: each function draws one, returns its figure, and writes it to a file if asked to.

A figure shows itself in a notebook as the value of a cell.  Matplotlib is imported only when a
picture is drawn, and no state of ``matplotlib.pyplot`` is touched.
"""

from typing import TYPE_CHECKING

from xpnet.checks import names_in
from xpnet.plots.counts import bars, confusion, histograms, reliability
from xpnet.plots.figures import PlotError, legend_below, new_figure, new_panels, save_figure
from xpnet.plots.images import activations, filters, image_grid, misclassified, samples
from xpnet.plots.lines import curves, line_panels, loss_over_rates, training_curves
from xpnet.plots.regions import decision_regions

__all__ = [
    "PlotError",
    "activations",
    "bars",
    "confusion",
    "curves",
    "decision_regions",
    "filters",
    "histograms",
    "image_grid",
    "legend_below",
    "line_panels",
    "loss_over_rates",
    "misclassified",
    "new_figure",
    "new_panels",
    "reliability",
    "samples",
    "save_figure",
    "training_curves",
]

if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(__name__, __all__)
