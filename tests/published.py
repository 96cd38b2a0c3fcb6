"""Small files in the layouts in which EMNIST and CIFAR-10 are published."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xpnet.data import catalog


def idx(array: np.ndarray) -> bytes:
    """Return a packed file of bytes in the IDX format, by the format's definition."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def emnist(path: Path, split: str, parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Write upright images and the labels of a split as NIST does: turned over the diagonal."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gzip/", b"")
        archive.writestr("gzip/emnist-other-train-images-idx3-ubyte.gz", b"of another split")
        for part, (images, labels) in parts.items():
            turned = np.stack([image.T for image in images])
            prefix = f"gzip/emnist-{split}-{part}"
            archive.writestr(f"{prefix}-images-idx3-ubyte.gz", idx(turned))
            archive.writestr(f"{prefix}-labels-idx1-ubyte.gz", idx(labels))


def cifar(path: Path, batches: dict[str, bytes], folder: str = "cifar-10-batches-bin") -> None:
    """Write batches as Toronto does."""
    with tarfile.open(path, "w:gz") as archive:
        top = tarfile.TarInfo(folder)
        top.type = tarfile.DIRTYPE
        archive.addfile(top)
        for name, raw in {"batches.meta.txt": b"airplane\n", **batches}.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))


def published(monkeypatch: pytest.MonkeyPatch, name: str, path: Path, **changed: object) -> None:
    """Let the catalog take a file for the published one; ``changed`` is of its layout."""
    entry = catalog.SOURCES[name]
    file = entry.layout.file
    digest = hashlib.new(file.digest.algorithm, path.read_bytes()).hexdigest()
    file = replace(file, digest=replace(file.digest, hexdigest=digest))
    layout = replace(entry.layout, file=file, **changed)
    monkeypatch.setitem(catalog.SOURCES, name, replace(entry, layout=layout))
