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

PROGRAMS = [
    "mnist_batched_inference",
    "two_layer_training",
    "optimizer_comparison",
    "weight_initialisation",
    "activation_histograms",
    "batch_norm_scales",
    "weight_decay_overfitting",
    "dropout_overfitting",
    "random_search",
    "search_stages",
    "simple_convnet",
    "misclassified_digits",
    "deep_convnet",
    "filter_pictures",
    "lenet_alexnet",
]


@pytest.mark.gallery
@pytest.mark.parametrize("name", PROGRAMS)
def test_quick_figures_are_as_expected(name: str, tmp_path: Path) -> None:
    module = importlib.import_module(f"scripts.gallery.{name}")
    demo = harness.Demo(xpnet.device("cpu"), 0, 1, tmp_path, None, "quick")
    row = harness.show(module, demo)
    assert row["pass"], [figure for figure in row["figures"] if not figure["pass"]]
    assert row["pictures"]
    for picture in row["pictures"]:
        assert 0 < (tmp_path / picture).stat().st_size < 200_000
