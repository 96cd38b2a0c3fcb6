"""The IDX format: what is read, what is written and what is refused."""

from __future__ import annotations

import gzip
import os
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xpnet.data import idx
from xpnet.files import most_unpacked

CODES = {
    "uint8": (0x08, "B"),
    "int8": (0x09, "b"),
    "int16": (0x0B, "h"),
    "int32": (0x0C, "i"),
    "float32": (0x0D, "f"),
    "float64": (0x0E, "d"),
}
SMALL = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])


def packed(array: np.ndarray) -> bytes:
    """Return IDX bytes by struct alone, the independent oracle."""
    code, letter = CODES[array.dtype.name]
    header = struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + struct.pack(f">{array.size}{letter}", *array.ravel().tolist())


arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
        elements={"allow_nan": False} if dtype.startswith("float") else None,
    )
)


@given(arrays)
def test_parse_reads_what_the_format_says(array):
    found = idx.parse(packed(array), "a")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array, strict=True)


@given(array=arrays, suffix=st.sampled_from(["", ".gz"]))
def test_what_is_written_is_read_back(tmp_path_factory, array, suffix):
    path = tmp_path_factory.mktemp("idx") / f"a{suffix}"
    idx.write(path, array)
    found = idx.read(path)
    np.testing.assert_array_equal(found, array, strict=True)
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert found.flags.owndata
    assert found.flags.writeable


@pytest.mark.parametrize("dtype", CODES)
def test_write_makes_what_the_format_says_of_any_byte_order_and_layout(tmp_path, dtype):
    array = np.arange(6, dtype=dtype).reshape(2, 3)
    for variant in (array, array.astype(array.dtype.newbyteorder(">")), np.asfortranarray(array)):
        idx.write(tmp_path / "a", variant)
        assert (tmp_path / "a").read_bytes() == packed(array)


def test_nan_and_infinity_survive(tmp_path):
    array = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    idx.write(tmp_path / "a.gz", array)
    assert idx.read(tmp_path / "a.gz").tobytes() == array.tobytes()


def test_gzip_bytes_are_reproducible_and_carry_no_time_and_no_name(tmp_path):
    idx.write(tmp_path / "a.gz", np.arange(3, dtype=np.uint8))
    idx.write(tmp_path / "b.gz", np.arange(3, dtype=np.uint8))
    first = (tmp_path / "a.gz").read_bytes()
    assert first == (tmp_path / "b.gz").read_bytes()
    assert first[3] == 0  # no flags, so no name
    assert first[4:8] == bytes(4)
    assert gzip.decompress(first) == bytes([0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 2])


def test_magic_bytes_and_not_the_suffix_tell_gzip(tmp_path):
    (tmp_path / "packed-ubyte").write_bytes(gzip.compress(SMALL))
    (tmp_path / "plain-ubyte.gz").write_bytes(SMALL)
    for name in ("packed-ubyte", "plain-ubyte.gz"):
        assert idx.read(tmp_path / name).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_gzip_of_several_members_is_read_as_one(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(SMALL[:9]) + gzip.compress(SMALL[9:]))
    assert idx.read(tmp_path / "a.gz").tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("kept", [10, 20, -1, -8, -9])
def test_a_truncated_gzip_is_refused_by_name(tmp_path, kept):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(SMALL)[:kept])
    message = re.escape(str(path)) + ": the gzip data is truncated: it breaks off after"
    with pytest.raises(ValueError, match=message):
        idx.read(path)


def test_every_bit_flip_in_a_gzip_is_refused_or_harmless():
    good = gzip.compress(SMALL, mtime=0)
    refused = 0
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = idx.parse(idx.unpack(bytes(flipped), "a"), "a")
        except ValueError:
            refused += 1
        else:  # a flip of the header's time or of bits that pad the last block
            np.testing.assert_array_equal(found, idx.parse(SMALL, "a"))
    assert refused > 0.7 * 8 * len(good)


@pytest.mark.parametrize(
    ("byte", "reason"),
    [(-8, "incorrect data check"), (-1, "incorrect length check"), (2, "unknown compression")],
)
def test_a_bit_flipped_gzip_is_refused_by_name(byte, reason):
    raw = bytearray(gzip.compress(SMALL))
    raw[byte] ^= 1
    with pytest.raises(ValueError, match=rf"^a\.gz: the gzip data is damaged \({reason}"):
        idx.unpack(bytes(raw), "a.gz")


def test_bytes_after_a_gzip_are_refused():
    with pytest.raises(ValueError, match=r"^a\.gz: the gzip data is damaged \(incorrect header"):
        idx.unpack(gzip.compress(SMALL) + b"more", "a.gz")


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><html>", b"\n <html>", b"\xef\xbb\xbf<?xml version='1.0'?><Error>"]
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_html_page_is_called_an_html_page(tmp_path, page, pack):
    path = tmp_path / "a.gz"
    path.write_bytes(pack(page))
    message = (
        re.escape(str(path)) + ": expected an IDX file, but it looks like an HTML page "
        r"\(probably the error page of a download\)$"
    )
    with pytest.raises(ValueError, match=message):
        idx.read(path)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "a: expected an IDX file, but it is empty"),
        (
            b"\x89PNG",
            "a: expected an IDX file, which starts with the bytes 00 00, got 89 50",
        ),
        (b"\0\0\x08", "a: the IDX header is truncated: expected at least 4 bytes, got 3"),
        (
            b"\0\0\x0a\x01\0\0\0\0",
            "a: expected an IDX dtype code of 08 (uint8), 09 (int8), 0b (int16), 0c (int32), "
            "0d (float32), 0e (float64), got 0a",
        ),
        (
            SMALL[:11],
            "a: the IDX header is truncated: expected 12 bytes for 2 dimensions, got 11",
        ),
        (SMALL[:-1], "a: expected 18 bytes for a uint8 array of shape (2, 3), got 17"),
        (SMALL + b"\0", "a: expected 18 bytes for a uint8 array of shape (2, 3), got 19"),
        (
            b"\0\0\x0b\x01\0\0\0\x02\0\0",
            "a: expected 12 bytes for a int16 array of shape (2,), got 10",
        ),
        (
            b"\0\0\x08\x41" + b"\0\0\0\x01" * 65 + b"\0",
            f"a: NumPy cannot hold an array of shape {(1,) * 65}",
        ),
        (
            b"\0\0\x08\x04" + b"\xff" * 12 + bytes(4),
            f"a: NumPy cannot hold an array of shape {(2**32 - 1,) * 3 + (0,)}",
        ),
    ],
)
def test_what_is_no_idx_file_is_refused_in_one_sentence(payload, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        idx.parse(payload, "a")


def test_a_plain_file_over_the_size_cap_is_refused_unread(tmp_path):
    path = tmp_path / "a"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 10**12)  # a sparse file
    message = re.escape(f"{path}: holds {10**12} bytes, more than the 18 allowed")
    with pytest.raises(ValueError, match=f"^{message}$"):
        idx.read(path, max_bytes=18)


def test_the_size_cap_is_the_largest_size_allowed(tmp_path):
    for raw in (SMALL, gzip.compress(SMALL * 10)):
        assert idx.unpack(raw, "a", max_bytes=len(idx.unpack(raw, "a"))) in (SMALL, SMALL * 10)
    with pytest.raises(ValueError, match=r"^a: holds 18 bytes, more than the 17 allowed$"):
        idx.unpack(SMALL, "a", max_bytes=17)
    with pytest.raises(ValueError, match=r"^a: decompresses to more than the 17 bytes allowed$"):
        idx.unpack(gzip.compress(SMALL), "a", max_bytes=17)


def test_a_gzip_bomb_is_refused_before_it_is_unpacked():
    bomb = gzip.compress(bytes(2**26))  # 64 MiB of zeros in 64 KiB
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="decompresses to more than the 1000000 bytes"):
            idx.unpack(bomb, "a", max_bytes=10**6)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_bomb_of_many_members_is_refused():
    with pytest.raises(ValueError, match="decompresses to more than the 1000 bytes allowed"):
        idx.unpack(gzip.compress(bytes(100)) * 11, "a", max_bytes=1000)


def test_a_gzip_bomb_is_refused_by_its_own_size_unless_more_is_allowed(tmp_path):
    path = tmp_path / "a.gz"
    size = 2**26 + 1
    path.write_bytes(gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, size) + bytes(size), 1))
    message = f"^{path}: decompresses to more than the {most_unpacked(path.stat().st_size)} bytes"
    with pytest.raises(ValueError, match=message):
        idx.read(path)
    assert idx.read(path, max_bytes=2**27).shape == (size,)


def test_a_gzip_of_many_members_takes_time_in_proportion():
    """Each is looked at by itself: what is left is not copied for each of them."""
    member = gzip.compress(b"")
    assert len(idx.unpack(member * 50_000, "a")) == 0


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint16", "complex64", "U3", "object"])
def test_a_dtype_that_idx_lacks_is_refused(tmp_path, dtype):
    message = (
        f"a: IDX holds arrays of uint8, int8, int16, int32, float32, float64; got {np.dtype(dtype)}"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        idx.write(tmp_path / "a", np.zeros(3, dtype))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    idx.write(tmp_path / "a.gz", np.array([1], np.uint8))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gzip.GzipFile, "write", full)
    with pytest.raises(OSError, match="No space left"):
        idx.write(tmp_path / "a.gz", np.array([2], np.uint8))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["a.gz"]
    assert idx.read(tmp_path / "a.gz").tolist() == [1]


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        idx.read(Path(tmp_path / "nowhere"))
