"""The summary: a string in every use, a table for notebooks, with or without a step's memory."""

from __future__ import annotations

import copy
import pickle
from xml.etree import ElementTree

from xpnet.layers import Linear, ReLU, Sequential
from xpnet.optimizers import Adam


def network() -> Sequential:
    return Sequential([Linear(3), ReLU(), Linear(2)], input_shape=(4,))


def cells(html: str) -> list[list[list[str]]]:
    """Return the cells of tables in HTML, which is XML too."""
    tables = ElementTree.fromstring(f"<div>{html}</div>")
    return [[[cell.text or "" for cell in row] for row in table] for table in tables]


def test_it_is_a_string_that_shows_itself_as_it_prints():
    summary = network().summary()
    assert isinstance(summary, str)
    assert repr(summary) == f"{summary}" == str(summary)
    assert summary.memory is None


def test_copies_and_pickles_are_its_text():
    summary = network().summary(batch_size=4)
    assert copy.copy(summary) == pickle.loads(pickle.dumps(summary)) == summary


def test_the_memory_of_a_step_stands_below_the_table_of_the_layers():
    net = network()
    table, memory = net.summary(batch_size=4, optimizer=Adam()).split("\n\n")
    assert table == net.summary()
    title, *lines = memory.splitlines()
    assert title == "memory of a training step of 4 samples on cpu"
    names = [line.split("  ")[0] for line in lines]
    assert names == [
        "parameters", "gradients", "what Adam remembers", "kept for the backward pass",
        "peak of a step",
    ]  # fmt: skip
    assert len({len(line) for line in lines}) == 1


def test_a_notebook_shows_the_same_cells_as_tables():
    net = network()
    (layers,) = cells(net.summary()._repr_html_())
    assert layers[0] == ["layer", "output", "parameters", "FLOPs", "bytes kept"]
    assert [row[0] for row in layers[1:]] == ["0 Linear", "1 ReLU", "2 Linear", "total"]
    summary = net.summary(batch_size=4)
    again, memory = cells(summary._repr_html_())
    assert again == layers
    for name, number in memory[1:]:
        assert any(line.startswith(name) and line.endswith(number) for line in summary.split("\n"))
