"""Whatever part of xpnet a demonstration shows is broken, one of its figures misses."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from scripts.gallery import harness
from tests.scripts.gallery.mutations import MUTATIONS, Mutation, mnist

pytest.importorskip("matplotlib")

ON_MNIST = {
    *mnist.MUTATIONS,
    "gradient_check_mnist",
    "numerical_training",
    "spreadsheet_digits",
}
QUICK = {
    ("convolution_by_hand", "no bias"),
    ("pooling_by_hand", "ties to the last"),
    ("apple_graph", "product's dx swapped"),
    ("softmax", "overflow"),
    ("three_layer_forward", "sigmoid a tanh"),
    ("weight_decay_overfitting", "decay times 30"),
    ("dropout_overfitting", "nothing dropped"),
}
"""Those that every run of the tests looks at."""


@pytest.mark.parametrize(
    ("name", "mutation"),
    [
        pytest.param(
            name,
            mutation,
            id=f"{name}-{words}",
            marks=[
                *([] if (name, words) in QUICK else [pytest.mark.slow]),
                *([pytest.mark.mnist] if name in ON_MNIST else []),
            ],
        )
        for name, mutations in MUTATIONS.items()
        for words, mutation in mutations
    ],
)
def test_what_is_broken_is_seen(
    name: str, mutation: Mutation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"scripts.gallery.{name}")
    args = harness.parser().parse_args(["--quick", "--out", str(tmp_path)])
    mutation(monkeypatch)
    row = harness.show(module, harness.demo_of(args))
    assert row["pass"] is False
    assert [figure["name"] for figure in row["figures"] if not figure["pass"]]
