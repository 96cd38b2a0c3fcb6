"""Machine code on disk: kept, read again, compiled anew where it is damaged or cannot be kept."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

from numba.core.caching import IndexDataCacheFile

from xpnet.ops.numba import cache
from xpnet.ops.numba.jit import inner

pytestmark = pytest.mark.faster_bodies


def double(x):
    return 2 * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(cache.MachineCode, "can_be_kept", True)
    return tmp_path / "kept"


def was_kept() -> bool:
    """Return whether a process that starts afresh would find the function compiled."""
    loop = inner(double)
    assert loop(1.5) == 3.0
    return bool(loop.stats.cache_hits)


def test_machine_code_is_found_by_the_next_process(folder):
    assert [was_kept(), was_kept()] == [False, True]


DAMAGE = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "of another format": lambda data: b"not a pickle",
    "zeros": lambda data: bytes(len(data)),
    "one bit flipped": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_damaged_file_is_compiled_anew_and_written_anew(folder, suffix, damage):
    was_kept()
    (file,) = folder.glob(f"*.{suffix}")
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    assert [was_kept(), was_kept()] == [False, True]


def test_a_file_that_is_gone_is_written_anew(folder):
    was_kept()
    (file,) = folder.glob("*.nbc")
    file.unlink()
    assert [was_kept(), was_kept()] == [False, True]


def test_a_full_disk_is_one_warning_for_all_functions(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(IndexDataCacheFile, "_save_data", full)
    with pytest.warns(RuntimeWarning, match=r"No space left.*set NUMBA_CACHE_DIR") as seen:
        assert [was_kept(), was_kept()] == [False, False]
    assert len(seen) == 1


def test_a_damaged_file_that_cannot_be_replaced_is_compiled_anew_with_one_warning(
    folder, monkeypatch
):
    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    was_kept()
    (file,) = folder.glob("*.nbi")
    file.write_bytes(b"damaged")
    monkeypatch.setattr(IndexDataCacheFile, "_save_index", read_only)
    with pytest.warns(RuntimeWarning, match=r"Read-only file system.*set NUMBA_CACHE_DIR") as seen:
        assert [was_kept(), was_kept()] == [False, False]
    assert len(seen) == 1


def test_a_full_folder_is_still_read(folder, monkeypatch):
    was_kept()
    monkeypatch.setattr(cache.MachineCode, "can_be_kept", False)
    assert was_kept()


def test_the_first_folder_that_can_be_written_is_taken(tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.touch()
    package, user = blocked / "package", tmp_path / "user"
    monkeypatch.setattr(cache.config, "CACHE_DIR", "")
    monkeypatch.setattr(cache, "__file__", str(package / "cache.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(user))
    assert user in cache.find_folder().parents
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert package in cache.find_folder().parents
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(tmp_path / "named"))
    assert tmp_path / "named" in cache.find_folder().parents


def test_a_folder_that_can_be_read_alone_is_taken_before_none(tmp_path, monkeypatch):
    filled = tmp_path / "user" / "numba" / f"xpnet-{cache.SOURCES}"
    filled.mkdir(parents=True)
    monkeypatch.setattr(cache.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(cache, "_can_be_written", lambda folder: False)
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "package" / "cache.py"))
    assert cache.find_folder() == filled


PROGRAM = """
import numpy as np, warnings, xpnet
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    net = xpnet.Sequential([xpnet.layers.Rescale(0.5), xpnet.layers.Linear(2)], input_shape=(3,))
    optimizer = xpnet.SGD()
    print(net.predict(np.ones((2, 3), "uint8")).shape)
    optimizer.update(net.params, net.grads)
print(*(str(one.message) for one in seen), sep="\\n")
"""


def test_a_process_that_can_write_nowhere_computes_with_one_warning(tmp_path):
    """A container: neither the package's folder nor a home can be written."""
    blocked = tmp_path / "a file"
    blocked.touch()
    shape, warning = subprocess.run(
        [sys.executable, "-c", PROGRAM], text=True, check=True, capture_output=True,
        env=os.environ | {"NUMBA_CACHE_DIR": str(blocked), "XPNET_NUMBA": "1"},
    ).stdout.splitlines()  # fmt: skip
    assert shape == "(2, 2)"
    assert warning.startswith(f"compiled loops cannot be kept in {blocked}")
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in warning
