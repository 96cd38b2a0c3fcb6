"""Fixtures of the tests of pictures."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """Return a list in which the figures that are saved will stand."""
    figures, save = [], Figure.savefig

    def kept(self, *arguments, **options):
        figures.append(self)
        return save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures
