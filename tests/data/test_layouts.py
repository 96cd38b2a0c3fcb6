"""How published data sets lie in their files: EMNIST and CIFAR-10, in files made here."""

from __future__ import annotations

import gzip
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.published import cifar, emnist, idx, published
from xpnet.data import catalog, load
from xpnet.data.layouts import CifarArchive, EmnistArchive

RNG = np.random.default_rng(0)


IMAGES = RNG.integers(0, 256, (7, 28, 28), np.uint8)
EMNIST_FILE = catalog.SOURCES["emnist-letters"].layout.file
SMALL_CIFAR = CifarArchive(catalog.SOURCES["cifar-10"].layout.file, rows=3)
ROWS = RNG.integers(0, 256, (6, 3, 3073), np.uint8)
ROWS[..., 0] %= 10
NAMES = [*(f"data_batch_{k}.bin" for k in (1, 2, 3, 4, 5)), "test_batch.bin"]
BATCHES = {name: rows.tobytes() for name, rows in zip(NAMES, ROWS, strict=True)}


# EMNIST


@pytest.mark.parametrize(
    ("split", "first", "classes"),
    [
        ("byclass", 0, 62), ("bymerge", 0, 47), ("balanced", 0, 47), ("letters", 1, 26),
        ("digits", 0, 10), ("mnist", 0, 10),
    ],
)  # fmt: skip
def test_each_split_of_emnist_is_upright_and_its_labels_begin_at_0(
    tmp_path, monkeypatch, split, first, classes
):
    labels = np.array([0, classes - 1, 1, 2, 0], np.uint8)
    path = tmp_path / "emnist/gzip.zip"
    path.parent.mkdir()
    parts = {"train": (IMAGES[:5], labels + first), "test": (IMAGES[5:], labels[:2] + first)}
    emnist(path, split, parts)
    published(monkeypatch, f"emnist-{split}", path)
    train, test = load(f"emnist-{split}", tmp_path)
    np.testing.assert_array_equal(train.x, IMAGES[:5, None], strict=True)
    np.testing.assert_array_equal(train.t, labels.astype(np.int64), strict=True)
    np.testing.assert_array_equal(test.x, IMAGES[5:, None], strict=True)
    assert (test.classes, test.name) == (classes, f"emnist-{split}")
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == ["gzip.zip"]


def test_an_archive_that_is_not_the_published_one_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "EMNIST/raw/gzip.zip"
    path.parent.mkdir(parents=True)
    emnist(path, "letters", {"train": (IMAGES, np.ones(7, np.uint8))})
    monkeypatch.setattr(EmnistArchive, "parts", lambda *_: pytest.fail("read"))
    message = (
        f"{path}: the md5 digest of its archive is not that of the published file; delete the "
        f"file to download it again"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load("emnist-letters", tmp_path)


def test_an_archive_of_too_many_bytes_is_not_read_to_its_digest(tmp_path):
    path = tmp_path / "cifar-10/cifar-10-binary.tar.gz"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(170_052_172)
    with pytest.raises(ValueError, match="expected at most 170052171 bytes, got 170052172; delete"):
        load("cifar-10", tmp_path)


def member(kind: str) -> str:
    number = {"images": 3, "labels": 1}[kind]
    return f"gzip/emnist-letters-train-{kind}-idx{number}-ubyte.gz"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({member("labels"): None}, f": expected a member {member('labels')!r}, got only gzip/emn"),
        ({member("images"): b"\x1f\x8bno"}, f", {member('images')}: the gzip data is damaged ("),
        (
            {member("images"): idx(IMAGES[0])},
            ": expected images and as many labels, got shapes (28",
        ),
        ({member("labels"): idx(IMAGES[:3, 0, 0])}, ": expected images and as many labels, got sh"),
        (
            {member("labels"): gzip.compress(b"\0\0\x0c\1\0\0\0\1\0\0\0\1")},
            f", {member('labels')}: expected a uint8 array, got int32",
        ),
        (
            {member("labels"): gzip.compress(b"\0\0\x08\1" + b"\4\0\0\1" + bytes(2**26 + 1))},
            f", {member('labels')}: decompresses to more than the 67108864 bytes allowed",
        ),
    ],
    ids=["missing", "damaged", "no images", "other length", "other dtype", "bomb"],
)
def test_a_damaged_member_of_emnist_is_named(tmp_path, changed, message):
    path = tmp_path / "gzip.zip"
    members = {member("images"): idx(IMAGES), member("labels"): idx(np.ones(7, np.uint8))}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in {**members, **changed}.items():
            if raw is not None:
                archive.writestr(name, raw)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}{message}')}"):
        EmnistArchive(EMNIST_FILE, "letters", 1).parts(path)


# CIFAR-10


def test_cifar_is_channels_first_in_the_order_of_its_batches(tmp_path, monkeypatch):
    path = tmp_path / "cifar-10/cifar-10-binary.tar.gz"
    path.parent.mkdir()
    cifar(path, dict(reversed(BATCHES.items())))
    published(monkeypatch, "cifar-10", path, rows=3)
    train, test = load("cifar-10", tmp_path)
    assert (train.x.shape, test.x.shape) == ((15, 3, 32, 32), (3, 3, 32, 32))
    assert (train.x.dtype, train.t.dtype) == (np.uint8, np.int64)
    for k, (batch, row) in enumerate(np.ndindex(5, 3)):
        label, *pixels = ROWS[batch, row].tolist()
        assert train.t[k] == label
        # red by rows, then green, then blue
        assert train.x[k, 0, 0, :3].tolist() == pixels[:3]
        assert train.x[k, 0, 1, 0] == pixels[32]
        assert train.x[k, 2, 31, 31] == pixels[-1]
    np.testing.assert_array_equal(test.x.reshape(3, -1), ROWS[5, :, 1:])
    assert train.class_names[:3] == ("airplane", "automobile", "bird")
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == [path.name]


def huge(path: Path) -> None:
    cifar(path, {"zeros.bin": bytes(2**21), **BATCHES})


def long_name(path: Path) -> None:
    """Write an archive whose first header promises a name of many megabytes."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**33
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + b"a" * 2**21))


def many(path: Path) -> None:
    cifar(path, {f"{k}.bin": b"" for k in range(70)})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: cifar(path, BATCHES, "elsewhere"), "expected members data_batch_1.bin, data"),
        (
            lambda path: cifar(path, {**BATCHES, "test_batch.bin": b"short"}),
            "no .tar.gz archive, or a damaged one (cifar-10-batches-bin/test_batch.bin is not 3 ",
        ),
        (
            lambda path: path.write_bytes(b"<html>"),
            "no .tar.gz archive, or a damaged one (Not a gz",
        ),
        (
            lambda path: path.write_bytes(gzip.compress(b"<html>" * 200)),
            "no .tar.gz archive, or a damaged one (invalid header)",
        ),
        (huge, "no .tar.gz archive, or a damaged one (it unpacks to more than was published)"),
        (long_name, "no .tar.gz archive, or a damaged one (it unpacks to more than was published)"),
        (many, "no .tar.gz archive, or a damaged one (more than 64 members)"),
    ],
    ids=["elsewhere", "short batch", "HTML", "packed HTML", "bomb", "long name", "many members"],
)
def test_what_is_no_archive_of_cifar_is_refused(tmp_path, write, message):
    path = tmp_path / "a.tar.gz"
    write(path)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}"):
        SMALL_CIFAR.parts(path)


def test_a_truncated_archive_of_cifar_is_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    cifar(path, BATCHES)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"no \.tar\.gz archive, or a damaged one \("):
        SMALL_CIFAR.parts(path)


def test_links_in_an_archive_are_not_followed(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ValueError, match=r"damaged one \("):
        SMALL_CIFAR.parts(path)


# All


def test_images_of_another_shape_than_the_entrys_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "emnist/gzip.zip"
    path.parent.mkdir()
    small = {part: (IMAGES[:, :9, :9], np.ones(7, np.uint8)) for part in ("train", "test")}
    emnist(path, "letters", small)
    published(monkeypatch, "emnist-letters", path)
    message = r"^emnist-letters: expected images of shape \(1, 28, 28\), got \(1, 9, 9\)$"
    with pytest.raises(ValueError, match=message):
        load("emnist-letters", tmp_path)
