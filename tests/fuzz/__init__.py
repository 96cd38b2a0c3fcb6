"""Damaged files for every reader: each must be read, or refused by one sentence with its path.

``python -m tests.fuzz`` reads as many as it is told and prints what came, with memory and time.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import random
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import xpnet
from xpnet.book._files import read_params
from xpnet.data import catalog, from_arrays, from_csv, idx, load_spreadsheet, save_spreadsheet
from xpnet.data.archives import npy_array
from xpnet.data.folders import image_header, image_pixels
from xpnet.data.layouts import CifarArchive
from xpnet.layers import BatchNorm, Conv2d, Flatten, Linear, ReLU, Residual, Sequential
from xpnet.training.history import History
from xpnet.training.trials import Trial, read_trial, write_trial

Bytes = Callable[[bytes], bytes]


class Reader(NamedTuple):
    """What is read of one kind of file.

    ``samples`` writes some into a folder; ``inside(raw, change)`` changes what is packed or sealed
    in one, so that the change gets past digests and checksums.
    """

    suffix: str
    read: Callable[[Path], Any]
    samples: Callable[[Path], list[bytes]]
    inside: Callable[[bytes, Bytes], bytes] = lambda raw, change: change(raw)


# Samples, and what is within them


def _idx(folder: Path) -> list[bytes]:
    arrays = [
        np.arange(60, dtype=np.uint8).reshape(3, 4, 5),
        np.arange(7, dtype=np.float64),
        np.zeros((0, 2), np.int16),
    ]
    found = []
    for array in arrays:
        for name in ("a", "a.gz"):
            idx.write(folder / name, array)
            found.append((folder / name).read_bytes())
    return found


def _inside_gzip(raw: bytes, change: Bytes) -> bytes:
    if not raw.startswith(b"\x1f\x8b"):
        return change(raw)
    return gzip.compress(change(gzip.decompress(raw)), mtime=0)


def _digits() -> xpnet.data.Dataset:
    x = (np.arange(3 * 400) * 7 % 256).astype(np.uint8).reshape(3, 1, 20, 20)
    return xpnet.data.Dataset(x, np.array([0, 1, 9]), classes=10)


def _spreadsheets(suffix: str) -> Callable[[Path], list[bytes]]:
    def samples(folder: Path) -> list[bytes]:
        path = folder / f"a{suffix}"
        save_spreadsheet(_digits(), path)
        return [path.read_bytes()]

    return samples


def _inside_zip(raw: bytes, change: Bytes) -> bytes:
    """Change one member of an archive, the one whose turn the change's own draws decide."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(packed, "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        for name in random.Random(len(change(raw))).sample(sorted(members), 1):
            members[name] = change(members[name])
        for name, member in members.items():
            new.writestr(zipfile.ZipInfo(name), member, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _tables(folder: Path) -> list[bytes]:
    numbers = "\n".join(f"{k % 3},{k},{k / 7},{-k}" for k in range(40))
    words = "\n".join(f'"{word}",{k},"{k}"' for k, word in enumerate(["cat", "dog", "a b"] * 9))
    return [f"label,a,b,c\n{numbers}\n".encode(), f"label,a,b\n{words}\n".encode()]


def _read_table(path: Path) -> Any:
    return from_csv(path, target=0)


def _npz(folder: Path) -> list[bytes]:
    np.savez_compressed(folder / "a.npz", x=np.arange(12.0).reshape(4, 3), t=np.arange(4))
    return [(folder / "a.npz").read_bytes()]


def _npy(folder: Path) -> list[bytes]:
    np.save(folder / "a.npy", np.arange(12.0).reshape(4, 3))
    return [(folder / "a.npy").read_bytes()]


def _images(suffix: str) -> Callable[[Path], list[bytes]]:
    def samples(folder: Path) -> list[bytes]:
        colours = (np.arange(16 * 16 * 3) * 5 % 256).astype(np.uint8).reshape(16, 16, 3)
        found = []
        for pixels in (colours, colours[..., 0]):
            packed = io.BytesIO()
            Image.fromarray(pixels).save(packed, suffix)
            found.append(packed.getvalue())
        return found

    return samples


def _read_image(path: Path) -> Any:
    image_header(path)
    return image_pixels(path, (8, 8), 3)


def _emnist(folder: Path) -> list[bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for part in ("train", "test"):
            for kind, shape in (("images-idx3", (3, 28, 28)), ("labels-idx1", (3,))):
                idx.write(folder / "a.gz", np.ones(shape, np.uint8))
                name = f"gzip/emnist-letters-{part}-{kind}-ubyte.gz"
                archive.writestr(name, (folder / "a.gz").read_bytes())
    return [packed.getvalue()]


def _cifar(folder: Path) -> list[bytes]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in (*CifarArchive.TRAIN, CifarArchive.TEST):
            member = tarfile.TarInfo(f"{CifarArchive.FOLDER}/{name}")
            member.size = 3073
            archive.addfile(member, io.BytesIO(bytes(range(256)) * 13))
    return [packed.getvalue()]


def _parts(name: str, **changed: Any) -> Callable[[Path], Any]:
    """Return a reader of an archive that takes whatever digest it has."""
    return replace(catalog.SOURCES[name].layout, **changed).parts


def _pickles(folder: Path) -> list[bytes]:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=3).astype("f4")
    params = {"W1": np.asfortranarray(rng.normal(size=(2, 3))), "b1": shared, "b2": shared}
    return [pickle.dumps(params, protocol) for protocol in range(6)]


def _network() -> Sequential:
    layers = [
        Conv2d(2, 3, bias=False), BatchNorm(), ReLU(), Flatten(), Residual([Linear(8)]), Linear(2)
    ]  # fmt: skip
    return Sequential(layers, input_shape=(1, 4, 4), seed=1)


def _models(folder: Path) -> list[bytes]:
    _network().save(folder / "net")
    return [(folder / "net").read_bytes()]


def _trainer() -> xpnet.Trainer:
    return xpnet.Trainer(_network(), xpnet.SoftmaxCrossEntropy(), xpnet.Adam())


def _checkpoints(folder: Path) -> list[bytes]:
    data = xpnet.data.Dataset(np.ones((8, 1, 4, 4), "float32"), np.arange(8) % 2)
    trainer = _trainer()
    trainer.fit(data, 1, 4)
    trainer.save(folder / "run")
    return [(folder / "run").read_bytes()]


def _trials(folder: Path) -> list[bytes]:
    rows = [{"epoch": 1, "validation_loss": 0.5}, {"epoch": 2, "validation_loss": 0.25}]
    history, rungs = History(rows), {1: (0.5, 0.5), 2: (0.25, 0.25)}
    write_trial(
        folder / "t", Trial(3, {}, rungs, (history, history), "validation_loss", None, 0.25)
    )
    return [(folder / "t").read_bytes()]


def _read_trial(path: Path) -> float:
    return read_trial(path, 3, 2, {}).score


def _restore(path: Path) -> None:
    _trainer().restore(path)


def _sealed(raw: bytes, change: Bytes) -> bytes:
    """Change a file of arrays and put the digest of what came into it."""
    changed = bytearray(change(raw))
    found = re.search(rb'\\"digest\\": \\"([0-9a-f]{64})', bytes(changed))
    if found:
        changed[slice(*found.span(1))] = b"0" * 64
        changed[slice(*found.span(1))] = hashlib.sha256(changed).hexdigest().encode()
    return bytes(changed)


def _histories(folder: Path) -> list[bytes]:
    rows = [{"epoch": i, "train_loss": 0.1 * i, "validation_loss": None} for i in range(5)]
    return ["".join(json.dumps(row) + "\n" for row in rows).encode()]


READERS = {
    "idx": Reader("", idx.read, _idx, _inside_gzip),
    "csv": Reader(".csv", load_spreadsheet, _spreadsheets(".csv")),
    "npz": Reader(".npz", load_spreadsheet, _spreadsheets(".npz"), _inside_zip),
    "xlsx": Reader(".xlsx", load_spreadsheet, _spreadsheets(".xlsx"), _inside_zip),
    "table": Reader(".csv", _read_table, _tables),
    "arrays": Reader(".npz", from_arrays, _npz, _inside_zip),
    "array": Reader(".npy", npy_array, _npy),
    "png": Reader(".png", _read_image, _images("png")),
    "jpeg": Reader(".jpg", _read_image, _images("jpeg")),
    "emnist": Reader(".zip", _parts("emnist-letters"), _emnist, _inside_zip),
    "cifar": Reader(".tar.gz", _parts("cifar-10", rows=1), _cifar, _inside_gzip),
    "pickle": Reader(".pkl", read_params, _pickles),
    "model": Reader(".safetensors", xpnet.load, _models, _sealed),
    "checkpoint": Reader(".safetensors", xpnet.load, _checkpoints, _sealed),
    "restore": Reader(".safetensors", _restore, _checkpoints, _sealed),
    "trial": Reader(".safetensors", _read_trial, _trials, _sealed),
    "history": Reader(".jsonl", History.load, _histories),
}


# Damage

_NUMBERS = [bytes(n) for n in (1, 2, 4, 8)] + [
    b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0",
    b"\xff" * 8, b"9999999999", b"-1", b"1e999", b"nan", b"null", b"[]", b"{}", b'"x"', b"true",
]  # fmt: skip


def _flipped(raw: bytearray, rng: random.Random, _: list[bytes]) -> None:
    for _flip in range(rng.choice((1, 1, 1, 2, 8))):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)


def _truncated(raw: bytearray, rng: random.Random, _: list[bytes]) -> None:
    del raw[rng.randrange(len(raw)) :]


def _cut(raw: bytearray, rng: random.Random, _: list[bytes]) -> None:
    start = rng.randrange(len(raw))
    del raw[start : start + rng.choice((1, 4, 30, 300))]


def _spliced(raw: bytearray, rng: random.Random, samples: list[bytes]) -> None:
    other = rng.choice(samples)
    start, at = rng.randrange(len(other)), rng.randrange(len(raw))
    raw[at:at] = other[start : start + rng.choice((1, 8, 64, 512))]


def _repeated(raw: bytearray, rng: random.Random, _: list[bytes]) -> None:
    start = rng.randrange(len(raw))
    block = raw[start : start + rng.choice((1, 2, 5, 20, 100))]
    raw[start:start] = block * rng.choice((1, 2, 10, 200, 2000))


def _scribbled(raw: bytearray, rng: random.Random, _: list[bytes]) -> None:
    at, count = rng.randrange(len(raw)), rng.choice((1, 2, 4, 16))
    raw[at : at + count] = rng.randbytes(count)


def _field(raw: bytearray, rng: random.Random, _: list[bytes]) -> None:
    """Put a number where headers have theirs, or in the place of one in a text."""
    value = rng.choice(_NUMBERS)
    numbers = [found.span() for found in re.finditer(rb"\d+", bytes(raw[:5000]))]
    if numbers and rng.random() < 0.5:
        raw[slice(*rng.choice(numbers))] = value
    else:
        at = rng.randrange(min(64, len(raw)))
        raw[at : at + len(value)] = value


_DAMAGE = (_flipped, _truncated, _cut, _spliced, _repeated, _scribbled, _field)


def damaged(rng: random.Random, samples: list[bytes], reader: Reader) -> bytes:
    """Return a sample with one to three kinds of damage, in half of the cases below its seals."""
    seed, times = rng.random(), rng.choice((1, 1, 2, 3))

    def change(raw: bytes) -> bytes:
        own, changed = random.Random(seed), bytearray(raw)
        for _ in range(times):
            if changed:
                own.choice(_DAMAGE)(changed, own, samples)
        return bytes(changed)

    sample = rng.choice(samples)
    return reader.inside(sample, change) if rng.random() < 0.5 else change(sample)


# What came


def files(kind: str, folder: Path, count: int, seed: int = 0) -> Iterator[Path]:
    """Yield a path under which another damaged file lies each time."""
    reader, rng = READERS[kind], random.Random(f"{kind} {seed}")
    samples = reader.samples(folder)
    path = folder / f"damaged{reader.suffix}"
    for _ in range(count):
        path.write_bytes(damaged(rng, samples, reader))
        yield path


def verdict(kind: str, path: Path) -> str:
    """Return "read" or "refused", or what an unclean error was."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            READERS[kind].read(path)
    except ValueError as error:
        said = str(error)
        clean = said.startswith(str(path)) and "\n" not in said
        return "refused" if clean else f"{type(error).__name__}: {said}"
    except OSError as error:
        return "refused" if str(path) in str(error) else f"{type(error).__name__}: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "read"
