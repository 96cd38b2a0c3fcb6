"""The MNIST demonstrations keep their figures, at their quick length."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

import xpnet
from scripts.gallery import harness

pytest.importorskip("matplotlib")
pytestmark = [
    pytest.mark.mnist,
    pytest.mark.skipif("XPNET_DATA" not in os.environ, reason="XPNET_DATA is not set"),
]

PROGRAMS = {
    "mnist_batched_inference": "H1",
    "two_layer_training": "H2",
    "optimizer_comparison": "H3",
    "weight_initialisation": "H4",
    "activation_histograms": "H5",
    "batch_norm_scales": "H6",
    "weight_decay_overfitting": "H7",
    "dropout_overfitting": "H8",
    "random_search": "H9",
    "simple_convnet": "H10",
    "misclassified_digits": "H10",
    "deep_convnet": "H11",
    "filter_pictures": "H12",
    "lenet_alexnet": "F6",
}


@pytest.mark.gallery
@pytest.mark.parametrize("name", PROGRAMS)
def test_quick_figures_are_as_expected(name: str, tmp_path: Path) -> None:
    module = importlib.import_module(f"scripts.gallery.{name}")
    demo = harness.Demo(xpnet.device("cpu"), 0, 1, tmp_path, None, "quick")
    row = harness.show(module, demo)
    assert row["id"] == [PROGRAMS[name]]
    assert row["pass"], [figure for figure in row["figures"] if not figure["pass"]]
    assert row["pictures"]
    for picture in row["pictures"]:
        assert 0 < (tmp_path / picture).stat().st_size < 200_000
