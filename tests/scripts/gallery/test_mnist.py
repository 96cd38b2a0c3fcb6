"""The MNIST demonstrations keep their figures, at their quick length."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scripts.gallery.test_basics import show

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
    pytest.param("search_stages", marks=pytest.mark.slow),  # three of random_search
    "simple_convnet",
    "misclassified_digits",
    "deep_convnet",
    "filter_pictures",
    "lenet_alexnet",
]


@pytest.mark.gallery
@pytest.mark.parametrize("name", PROGRAMS)
def test_quick_figures_are_as_expected(name: str, tmp_path: Path) -> None:
    show(name, tmp_path, largest=200_000)
