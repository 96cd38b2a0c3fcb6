"""Images in folders, one folder for each class; Pillow is imported here alone, when one is read."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpnet.arrays import HostArray
from xpnet.checks import came, distinct_names, file_path, nearest, pair
from xpnet.data.datasets import Dataset
from xpnet.files import UnreadableError, contents, listed, most_unpacked, reading

__all__ = ["MAX_PIXELS", "Header", "from_folder", "image_header", "image_pixels"]

MAX_PIXELS = 2**26
"""The most pixels that an image may have, each of which takes up to 4 bytes while it is read."""

_SUFFIXES = (".png", ".jpg", ".jpeg")
_BY_THE_SYSTEM = ("Thumbs.db", "desktop.ini")
_MODES = {
    "1": "L", "L": "L", "LA": "L",
    "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB",
}  # fmt: skip
"""What the modes of Pillow are read as; others have more than 8 bits a channel."""


class Header(NamedTuple):
    """What an image says of itself before its pixels are read."""

    height: int
    width: int
    mode: str


def from_folder(
    path: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Read the PNG and JPEG images of a folder that has a folder for each class.

    Parameters
    ----------
    path : path
        Where training and test images lie in folders of their own, one of these.
    size : int or (int, int), optional
        Height and width in pixels that all images are brought to, without regard to their shape;
        by default they must have one size.
    channels : {1, 3}, optional
        1 for grey, 3 for red, green and blue; by default 1 if every image is grey.  Transparency is
        left out.
    class_names : sequence of str, optional
        The folders of the classes, in order: by default all of them, sorted.  For test images give
        those of the training images, ``class_names=train.class_names``, or a class that has no
        folder would move the others.

    Returns
    -------
    Dataset
        ``x`` uint8 of shape (n, channels, height, width), 0 to 255, class by class and sorted by
        name; ``t`` int64 of shape (n,); ``class_names`` as the folders are called.

    Raises
    ------
    ValueError
        There is no folder of a class, or one without images or with something else; images differ
        in size; or one is damaged.  The sentence begins with the path of what it is about.
    OSError
        A file or folder cannot be read.
    ImportError
        Pillow is not installed.

    Notes
    -----
    Nothing is read of images of more than :data:`MAX_PIXELS` pixels.  Without a ``size`` they hold,
    together, no more bytes than :func:`xpnet.files.most_unpacked` tells of their files.

    Examples
    --------
    >>> train = from_folder("pets/train", size=64)
    >>> test = from_folder("pets/test", size=64, class_names=train.class_names)
    """
    path = file_path(path)
    height_width = None if size is None else pair("size", size, 1)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels: expected 1 for grey or 3 for colour, got {came(channels)}")
    names = _class_names(path, class_names)
    files = [(file, t) for t, name in enumerate(names) for file in _images(path / name)]
    if not files:
        raise UnreadableError(f"{path}: expected images in the folders of the classes, got none")
    headers = [image_header(file) for file, _ in files]
    if channels is None:
        channels = 1 if {_MODES[header.mode] for header in headers} == {"L"} else 3
    if height_width is None:
        height_width = _one_size([file for file, _ in files], headers, channels)
    x = np.empty((len(files), channels, *height_width), np.uint8)
    for pixels, (file, _) in zip(x, files, strict=True):
        pixels[...] = image_pixels(file, height_width, channels)
    return Dataset(x, [t for _, t in files], name=str(path), class_names=names)


# What is in the folders


def _class_names(path: Path, given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the classes, once no folder and no image lies beside theirs."""
    entries = _entries(path)
    folders = [entry.name for entry in entries if entry.is_dir()]
    stray = next((one for one in entries if one.suffix.lower() in _SUFFIXES), None)
    if stray is not None and stray.is_file():
        raise UnreadableError(
            f"{stray}: expected images in a folder for each class, got one beside"
        )
    if not folders:
        raise UnreadableError(f"{path}: expected a folder for each class, got none")
    if given is None:
        return tuple(folders)
    names = distinct_names("class_names", given)
    for folder in folders:
        if folder not in names:
            raise UnreadableError(
                f"{path / folder}: expected folders of the classes {listed(names)}, got another"
                f"{nearest(folder, names)}"
            )
    return names


def _images(folder: Path) -> list[Path]:
    """Return the images of a class, sorted; none where it has no folder."""
    if not folder.is_dir():
        return []
    entries = _entries(folder)
    for entry in entries:
        if entry.is_dir():
            raise UnreadableError(
                f"{entry}: expected images, got a folder: of parts such as train and test read one "
                f"at a time, from_folder({str(folder)!r})"
            )
        if entry.suffix.lower() not in _SUFFIXES:
            raise UnreadableError(
                f"{entry}: expected a PNG or JPEG image ({', '.join(_SUFFIXES)}): bring it to one "
                f"of these, or take it away"
            )
    if not entries:
        raise UnreadableError(f"{folder}: expected images, but the folder is empty")
    return entries


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted, but for what systems hide in it."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name not in _BY_THE_SYSTEM
    )


# What is in the images


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Give an image of which no more than the header is read, or raise one sentence."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError:
        raise ImportError("images are read with Pillow: run `pip install pillow`") from None
    raw = contents(file)
    with reading(file, "no PNG or JPEG image, or a damaged one"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of many pixels, and of metadata that nobody reads
        try:
            opened = Image.open(io.BytesIO(raw), formats=("PNG", "JPEG"))
        except UnidentifiedImageError:
            raise UnreadableError(
                f"{file}: expected a PNG or JPEG image, got other bytes"
            ) from None
        with opened as image:
            yield image


def image_header(file: Path) -> Header:
    """Return what an image says of itself, if its pixels may be read."""
    with _opened(file) as image:
        (width, height), mode = image.size, image.mode
    if width * height > MAX_PIXELS:
        raise UnreadableError(
            f"{file}: expected at most {MAX_PIXELS} pixels, got {width} x {height}: make it smaller"
        )
    if mode not in _MODES:
        raise UnreadableError(
            f"{file}: expected 8 bits a channel, got Pillow's mode {mode!r}: scale it to 0 to 255"
        )
    return Header(height, width, mode)


def _one_size(files: list[Path], headers: list[Header], channels: int) -> tuple[int, int]:
    """Return the size of all images, if they have one and what they hold is no bomb."""
    height, width, _ = headers[0]
    for file, header in zip(files, headers, strict=True):
        if (header.height, header.width) != (height, width):
            raise UnreadableError(
                f"{file}: expected images of one size, got {header.height} x {header.width} where "
                f"{files[0].name} has {height} x {width}: bring all to one by size=..."
            )
    most = most_unpacked(sum(file.stat().st_size for file in files))
    if len(files) * channels * height * width > most:
        raise UnreadableError(
            f"{files[0].parent.parent}: holds more than {most} bytes of pixels: bring the images "
            f"to a smaller size by size=..."
        )
    return height, width


def image_pixels(file: Path, size: tuple[int, int], channels: int) -> HostArray:
    """Return the pixels of an image, of shape (channels, *size)."""
    height, width = size
    with _opened(file) as image:
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), 2)  # bilinear, over all pixels that shrink to one
        return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)
