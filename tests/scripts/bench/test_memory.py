"""What a summary tells of a step's memory, against what Linux says that the process took."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bench import memory

ROWS = [(network, bodies) for network in memory.WORKLOADS for bodies in memory.BODIES]
QUICK = {("mlp", "plain"), ("simple-convnet", "compiled"), ("simple-convnet", "plain")}

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="Linux alone tells the highest of late"
)


@pytest.mark.parametrize(
    ("network", "bodies"),
    [pytest.param(*row, marks=() if row in QUICK else pytest.mark.slow) for row in ROWS],
)
def test_what_is_told_is_what_is_measured(network, bodies):
    for library in {"compiled": ["numba"], "torch": ["torch"]}.get(bodies, []):
        pytest.importorskip(library)
    row = memory.measure(network, bodies, memory.WORKLOADS[network])
    assert row.measured - row.fixed > 3e7  # far above the noise of a process
    assert row.peak == pytest.approx(row.measured, rel=0.25)


def test_the_table_has_a_row_for_each_network_and_body(monkeypatch, capsys):
    row = memory.Row("mlp", "plain", 10, fixed=100, kept=2_000, peak=3_000, measured=2_500)
    monkeypatch.setattr(memory, "measure", lambda *about: row)
    memory.main(["--networks", "mlp", "--bodies", "plain", "torch"])
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.split()[:3] == ["network", "bodies", "batch"]
    assert [line.split()[:2] for line in lines] == [["mlp", "plain"], ["mlp", "torch"]]
    assert lines[0].split()[2:] == ["10", "2.0", "kB", "3.0", "kB", "2.5", "kB", "1.200"]
