"""The benchmark of growth: its images, its clocks, its model, and that each part measures."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from scripts.bench.scale import __main__ as command
from scripts.bench.scale import images, jobs, ranks, samples, sizes
from scripts.bench.scale.cost import Cost, fitted_reduce, fitted_shards
from xpnet.data import Batches

try:
    jobs.launcher(2)
    LACKING = ""
except RuntimeError as error:
    LACKING = str(error)
needs_mpi = pytest.mark.skipif(bool(LACKING), reason=LACKING)
needs_proc = pytest.mark.skipif(
    not samples.STATUS.exists() or "RssAnon" not in samples.STATUS.read_text(),
    reason="/proc/self/status says nothing of anonymous memory here",
)


class TestImages:
    @pytest.fixture(autouse=True)
    def small_files(self, monkeypatch):
        monkeypatch.setattr(images, "LARGEST", 50)
        monkeypatch.setattr(images, "PIECE", 8)

    @pytest.fixture
    def data(self):
        return xpnet.data.load("digits")[0].take(20)

    def test_each_is_a_function_of_its_number_alone(self, tmp_path, data):
        files = images.write(tmp_path, (30, 70, 120), data)
        whole = Batches(data.augmented(*images.AUGMENTS), 20, shuffle=False)
        expected = [next(whole.epoch(epoch)) for epoch in range(6)]
        for k, parts in enumerate(zip(*expected, strict=True)):
            found = np.concatenate([np.load(paths[k]) for paths in files[120]])
            np.testing.assert_array_equal(found, np.concatenate(parts))
            assert found.dtype == np.uint8
        x = np.concatenate([x for x, _ in expected])
        assert len(np.unique(x.reshape(120, 784), axis=0)) == 120

    def test_a_smaller_set_is_the_first_files_of_a_larger_one(self, tmp_path, data):
        files = images.write(tmp_path, (30, 70, 120), data)
        assert files[120][: len(files[70])] == files[70]
        assert [len(np.load(t)) for _, t in files[120]] == [30, 20, 20, 30, 20]
        x, t = ([str(path) for path in paths] for paths in zip(*files[70], strict=True))
        assert len(xpnet.data.open(x, t, classes=10)) == 70

    def test_files_that_are_there_are_taken(self, tmp_path, data, capsys):
        images.write(tmp_path, (30,), data)
        (before,) = [path.stat().st_mtime_ns for path in tmp_path.glob("*-x.npy")]
        capsys.readouterr()
        images.write(tmp_path, (30, 40), data)
        assert "writing 10 images" in capsys.readouterr().err
        assert next(tmp_path.glob("*-00000030-x.npy")).stat().st_mtime_ns == before

    def test_nothing_is_written_where_there_is_no_room(self, tmp_path, data, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000))
        with pytest.raises(RuntimeError, match=r"expected 23\.6 kB of room .* 1\.0 kB: give"):
            images.write(tmp_path, (30,), data)
        assert list(tmp_path.iterdir()) == []


def test_the_clock_counts_within_epochs_and_not_the_first_steps():
    clock = jobs.Clock()
    clock.epochs = [[0.0], [5.0, 6.0, 8.0], [20.0, 24.0]]
    assert clock.mean(0) == (1 + 2 + 4) / 3
    assert clock.mean(2) == (2 + 4) / 2


def test_cases_are_measured_by_turns():
    calls: list[str] = []
    cases = {name: lambda name=name: calls.append(name) or len(calls) for name in "ab"}
    assert jobs.by_turns(cases, 2) == {"a": [1, 3], "b": [2, 4]}
    assert calls == ["a", "b", "a", "b"]


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"^step failed: KeyError: 'no part'$"):
        jobs.run("step", {"part": "no part", "size": 1})


@needs_proc
class TestSamples:
    def test_the_memory_that_is_told_is_what_is_taken(self):
        with samples._most_anonymous() as most:
            before = most[0]
            ones = np.ones(2**26, np.uint8)
            for _ in range(1000):
                if most[0] > before + 66:  # it was looked at meanwhile
                    break
                time.sleep(0.01)
            del ones
        assert most[0] - before == pytest.approx(67.1, abs=2)

    @pytest.mark.parametrize("cold", [False, True])
    def test_a_fit_of_files_is_measured(self, tmp_path, cold):
        files = images.write(tmp_path, (300,), xpnet.data.load("digits")[0])[300]
        job = {"files": [[str(x), str(t)] for x, t in files], "cold": cold, "threads": 1}
        found = samples.stream(job | {"warm": 2, "steps": 5})
        assert 0.01 < found["step_ms"] < 1e5
        assert 0.01 < found["first_ms"] < 1e5
        assert 10 < found["anonymous_mb"] < 1e5

    def test_the_table_says_what_is_wanted_of_the_largest(self):
        rows = [
            {
                "images": n, "cache": cache, "step_ms": ms, "spread_ms": 0.1,
                "samples_per_second": 1e5 / ms, "first_ms": 5.0, "anonymous_mb": mb,
            }
            for n, cache, ms, mb in [
                (10, "warm", 1.0, 80), (99, "warm", 1.5, 130), (10, "cold", 9.0, 999)
            ]
        ]  # fmt: skip
        found = samples.summed_up(rows)
        assert found.text.splitlines()[-1] == (
            "from 10 to 99 images: anonymous memory +50.0 MB, target 100.00; time 1.50 times, "
            "target 1.20, missed by 25 %; the first batch within 0.005 s, target 1.00"
        )
        lines = found.pictures["samples"].panels["ms a step"]
        assert [list(y) for _, y in lines.values()] == [[1.0, 1.5], [1.0, 1.0], [9.0]]


class TestSizes:
    def test_work_is_that_of_the_products_above_all(self):
        weights = 784 * 16 + 16 * 16 + 16 * 10
        assert 1 < sizes.PARTS["width"].work(16) / (100 * 2 * weights) < 1.1
        batch = sizes.PARTS["batch"]
        assert batch.work(12) == 3 * batch.work(4)
        first, second, third = (sizes.PARTS["depth"].work(n) for n in (1, 2, 3))
        assert 1 < (third - second) / (100 * 2 * 100 * 100) < 1.1
        assert third - second == second - first

    @pytest.mark.parametrize("name", ["batch", "width"])
    def test_the_smallest_is_measured(self, name):
        job = {"part": name, "size": sizes.PARTS[name].sizes[0], "seconds": 0.0, "threads": 1}
        assert 1e-3 < sizes.step(job)["ms"] < 1e5


def test_the_command_prints_writes_and_draws(tmp_path, monkeypatch, capsys):
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed: no picture is drawn")
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(sizes, "PARTS", {"depth": sizes.PARTS["depth"]._replace(quick=1)})
    assert command.main(["depth", "--quick", "--save", "--out", str(tmp_path)]) == 0
    title, names, row = capsys.readouterr().out.splitlines()[:3]
    assert title == "mlp, Adam: hidden layers of 100 units"
    assert (names.split()[0], row.split()[0]) == ("depth", "1")
    (path,) = tmp_path.glob("scale-depth-*.json")
    saved = json.loads(path.read_text())
    assert path.stem == f"scale-depth-{saved['date']}"
    assert saved["versions"]["numpy"] == np.__version__
    assert saved["rows"][0]["step_ms"] == pytest.approx(saved["rows"][0]["expected_ms"])
    assert (tmp_path / "scale-depth.png").read_bytes().startswith(b"\x89PNG")


class TestCost:
    COST = Cost(shard=4e-3, rest=1e-3, latency=2e-5, bandwidth=1e9, bytes=10**6)

    def test_a_step_is_its_shards_the_rest_and_the_sum(self):
        assert self.COST.step(1, 8) == pytest.approx(33e-3)
        assert self.COST.step(4, 8) == pytest.approx(9e-3 + 2 * 2e-5 + 1e-3)
        assert self.COST.step(3, 8) == pytest.approx(13e-3 + math.log2(3) * 2e-5 + 1e-3)

    def test_ranks_that_share_cores_take_turns(self):
        assert self.COST.step(2, 8, 2) == self.COST.step(2, 8)
        assert self.COST.step(8, 8, 2) == pytest.approx(4 * 5e-3 + 3 * 2e-5 + 1e-3)

    def test_what_fits_has_the_parameters_that_the_times_were_made_with(self):
        made = {shards: self.COST.step(1, shards) for shards in (2, 4, 8)}
        assert fitted_shards(made) == pytest.approx((4e-3, 1e-3))
        made = {size: self.COST.all_reduce(2, size) for size in ranks.SIZES}
        assert fitted_reduce(made) == pytest.approx((2e-5, 1e9))

    def test_no_time_is_below_0(self):
        shard, rest = fitted_shards({2: 1.0, 4: 3.0, 8: 7.0})
        assert rest == 0
        assert 0.5 < shard < 7 / 8


class TestRanks:
    @pytest.mark.parametrize("shards", [None, 2])
    def test_a_step_on_one_process_is_measured(self, shards):
        job = {"network": "multi", "run": ranks.Run(0, 1, shards, 8), "steps": 20}
        found = ranks.share(job)
        assert found is not None
        assert list(found) == ["ms"]
        assert 1e-3 < found["ms"] < 1e5

    @needs_mpi
    def test_a_step_on_two_ranks_is_measured_with_its_sum(self):
        job = {"network": "multi", "run": ranks.Run(2, 1, 2, 8), "steps": 20}
        found = jobs.run("share", job, ranks=2)
        assert 0 < found["sum_ms"] < found["ms"]
        count = sum(a.size for a in ranks.NETWORKS["multi"]().params.values())
        assert 1 < found["bytes"] / (4 * count) < 1.01  # the record is summed with them

    @needs_mpi
    def test_sums_of_each_size_are_measured(self):
        found = jobs.run("sums", {"sizes": [1024, 2**21], "repeats": 3}, ranks=2)
        assert 0 < found["us"][0] < found["us"][1]

    def test_the_tables_hold_the_ratios_and_the_model(self):
        cost = Cost(shard=4e-3, rest=1e-3, latency=2e-5, bandwidth=1e9, bytes=10**6)
        ms = {
            ranks.TWO_RANKS: 23.0, ranks.BESIDE[0]: 20.0, ranks.BESIDE[1]: 10.0, ranks.WHOLE: 16.5,
            **{how: 1e3 * cost.step(1, how.shards) for how in (ranks.CUT, *ranks.FEWER)},
            **{how: 1e3 * cost.step(how.ranks, 8, 2) for how in ranks.MORE_RANKS},
        }  # fmt: skip
        rows = [
            {"network": "multi", **how._asdict(), "step_ms": step, "spread_ms": 0.0}
            | ({"sum_ms": 2.3, "bytes": 10**6} if how.ranks else {})
            for how, step in ms.items()
        ]
        least = {size: 1e6 * cost.all_reduce(2, size) for size in ranks.SIZES}
        found = ranks.summed_up(rows, least, own_cores=2)
        for expected in (
            r"2 ranks, 2 shards / 2 threads, 2 shards +1\.15 +1\.15\n",
            r"2 ranks, 2 shards / 2 threads, whole batch +2\.30 +1\.15, missed by 100 %\n",
            r"1 thread, 8 shards / 1 thread, whole batch +2\.00 *\n",
            r"the sum of 1\.0 MB is 2\.300 ms, 10 %, .* by the model 1\.020 ms\n",
            r"\n +8 +21\.060 +0\.000 +21\.060 +6\.060 +ranks take turns on the cores\n",
            r"model: a shard 4\.000 ms, .* 1\.000 ms, latency 20\.0 us, bandwidth 1\.00 GB/s\n",
            r"\n +1024 +1 +6\.200 +2,064,516 +0\.65\n",
            r"\n +1,024 +21\.0 +21\.0\n",
        ):
            assert len(re.findall(expected, found.text)) == 1, expected
        assert found.figures["cost"]["multi"]["shard"] == pytest.approx(cost.shard)
        json.dumps(found.figures)

    def test_without_a_launcher_it_says_what_to_install(self, monkeypatch, capsys):
        monkeypatch.setattr(shutil, "which", lambda name, path: None)
        assert command.main(["ranks", "--quick"]) == 1
        assert capsys.readouterr().err.endswith(
            'error: ranks: mpiexec is missing: pip install "xpnet[mpi]" mpich\n'
        )
