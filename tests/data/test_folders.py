"""Images in folders, one folder for each class."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet.data import folders, from_folder

Image = pytest.importorskip("PIL.Image")

COLOURS = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 6), np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Return a PNG of grey (h, w) or coloured (h, w, 3) bytes, by the format's definition."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    packed = zlib.compress(rows)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def put(path: Path, raw: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


@pytest.fixture
def pets(tmp_path) -> Path:
    """Return a folder of two dogs and two cats."""
    for name, pixels in zip(("dog/b", "dog/a", "cat/d", "cat/c"), COLOURS, strict=True):
        put(tmp_path / "pets" / f"{name}.png", png(pixels.transpose(1, 2, 0)))
    return tmp_path / "pets"


# What is read


def test_images_come_class_by_class_and_sorted_by_name(pets):
    data = from_folder(pets)
    np.testing.assert_array_equal(data.x, COLOURS[[3, 2, 1, 0]], strict=True)
    np.testing.assert_array_equal(data.t, np.array([0, 0, 1, 1]), strict=True)
    assert (data.class_names, data.classes, data.name) == (("cat", "dog"), 2, str(pets))


def test_three_lines_train_on_a_folder(pets):
    train = from_folder(pets, size=8)
    net = xpnet.models.mlp((4,), input_shape=train.x.shape[1:], classes=train.classes)
    xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam()).fit(train, 1)


def test_grey_images_have_one_channel_unless_one_is_coloured(pets):
    grey = COLOURS[0, 0]
    for path in pets.rglob("*.png"):
        path.write_bytes(png(grey))
    np.testing.assert_array_equal(from_folder(pets).x, np.stack([grey[None]] * 4), strict=True)
    (pets / "cat/c.png").write_bytes(png(COLOURS[0].transpose(1, 2, 0)))
    data = from_folder(pets)
    np.testing.assert_array_equal(data.x[0], COLOURS[0])
    np.testing.assert_array_equal(data.x[1], np.stack([grey] * 3))
    assert from_folder(pets, channels=1).x.shape == (4, 1, 5, 6)


def test_jpeg_is_read_and_suffixes_may_be_capital(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    for name in ("a.jpg", "b.JPEG", "c.Jpg"):
        Image.fromarray(flat).save(put(tmp_path / "one" / name, b""), "JPEG")
    x = from_folder(tmp_path).x
    assert x.shape == (3, 3, 16, 16)
    assert abs(x.astype(int) - flat[0, 0, :, None, None]).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_of_eight_bits_is_read(tmp_path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new(mode, (8, 4), 1 if mode == "1" else None).save(put(tmp_path / f"one/a.{suffix}", b""))
    x = from_folder(tmp_path).x
    assert x.shape == (1, 1 if mode in ("1", "L", "LA") else 3, 4, 8)
    assert set(np.unique(x)) == ({255} if mode in ("1", "CMYK") else {0})


def test_images_of_many_sizes_are_brought_to_one(pets):
    put(pets / "cat/wide.png", png(np.full((10, 40, 3), 77, np.uint8)))
    data = from_folder(pets, size=(2, 3))
    assert data.x.shape == (5, 3, 2, 3)
    assert (data.x[2] == 77).all()
    assert from_folder(pets, size=7).x.shape == (5, 3, 7, 7)


def test_what_systems_hide_is_passed_over(pets):
    expected = from_folder(pets).x
    for name in (".DS_Store", "Thumbs.db", "cat/._c.png", "cat/desktop.ini", ".git/HEAD"):
        put(pets / name, b"hidden")
    put(pets / "labels.csv", b"beside the folders")
    np.testing.assert_array_equal(from_folder(pets).x, expected)


def test_test_images_take_their_classes_from_the_training_images(pets):
    names = from_folder(pets).class_names
    shutil.rmtree(pets / "cat")
    assert from_folder(pets).t.tolist() == [0, 0]
    data = from_folder(pets, class_names=names)
    assert (data.t.tolist(), data.class_names) == ([1, 1], ("cat", "dog"))


# What is refused

FINE = png(COLOURS[0].transpose(1, 2, 0))
BEGINNING = b"\x89PNG\r\n\x1a\n"


def big(width: int, height: int) -> bytes:
    """Return a PNG whose header promises a size that its bytes do not hold."""
    return FINE.replace(struct.pack(">II", 6, 5), struct.pack(">II", width, height))


REFUSED = {
    "no folder of a class": ({}, "", ": expected a folder for each class, got none"),
    "an image beside the classes": (
        {"cat/a.png": FINE, "b.png": FINE}, "b.png", ": expected images in a folder for each class",
    ),
    "an empty folder": (
        {"cat/a.png": FINE, "dog/.keep": b""}, "dog", ": expected images, but the folder is empty",
    ),
    "parts of the data": (
        {"train/cat/a.png": FINE, "test/cat/a.png": FINE}, "test/cat",
        ": expected images, got a folder: of parts such as train and test read one at a time, "
        "from_folder('",
    ),
    "another format": (
        {"cat/a.png": FINE, "cat/b.webp": b"RIFF"}, "cat/b.webp",
        ": expected a PNG or JPEG image (.png, .jpg, .jpeg): bring it to one of these, or take it",
    ),
    "another format under a known name": (
        {"cat/a.png": b"GIF89a" + bytes(20)}, "cat/a.png",
        ": expected a PNG or JPEG image, got other bytes",
    ),
    "an empty file": ({"cat/a.png": b""}, "cat/a.png", ": expected a PNG or JPEG image, got other"),
    "a truncated image": (
        {"cat/a.png": FINE[:-40]}, "cat/a.png", ": no PNG or JPEG image, or a damaged one (",
    ),
    "a beginning": ({"cat/a.png": BEGINNING + b"\0\0"}, "cat/a.png", ": "),
    "another size": (
        {"cat/a.png": FINE, "cat/b.png": png(np.zeros((4, 6), np.uint8))}, "cat/b.png",
        ": expected images of one size, got 4 x 6 where a.png has 5 x 6: bring all to one by size=",
    ),
    "many pixels": (
        {"cat/a.png": big(9000, 9000).replace(FINE[29:33], struct.pack(
            ">I", zlib.crc32(b"IHDR" + struct.pack(">II", 9000, 9000) + FINE[24:29])))},
        "cat/a.png", ": expected at most 67108864 pixels, got 9000 x 9000: make it smaller",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_folder_of_images_is_refused_by_path(tmp_path, row):
    files, about, message = row
    root = tmp_path / "pets"
    root.mkdir()
    for name, raw in files.items():
        put(root / name, raw)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{root / about}{message}')}") as caught:
        from_folder(root)
    assert "\n" not in str(caught.value)


def test_sixteen_bits_a_channel_are_refused_and_not_cut_off(tmp_path):
    path = put(tmp_path / "one/a.png", b"")
    Image.fromarray(np.full((3, 3), 40_000, np.uint16)).save(path)
    with pytest.raises(
        ValueError, match=r"a\.png: expected 8 bits a channel, got Pillow's mode 'I"
    ):
        from_folder(tmp_path)


def test_images_that_unpack_to_far_more_than_their_size_need_a_size(tmp_path):
    for number in range(6):
        put(tmp_path / f"one/{number}.png", png(np.zeros((4000, 4000), np.uint8)))
    with pytest.raises(
        ValueError, match=r"holds more than \d+ bytes of pixels: .* by size=\.\.\.$"
    ):
        from_folder(tmp_path)
    assert from_folder(tmp_path, size=2).x.shape == (6, 1, 2, 2)


def test_a_folder_of_no_known_class_is_refused(pets):
    message = f"{pets / 'dog'}: expected folders of the classes cat, dgo, got another: did you mean"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        from_folder(pets, class_names=["cat", "dgo"])


def test_arguments_are_checked(pets):
    with pytest.raises(ValueError, match=r"^channels: expected 1 for grey or 3 for colour, got 4$"):
        from_folder(pets, channels=4)
    with pytest.raises(ValueError, match=r"^size: expected a whole number >= 1, got 0$"):
        from_folder(pets, size=0)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        from_folder(pets / "nowhere")


def test_without_pillow_the_sentence_says_what_to_install(pets, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        ImportError, match=r"^images are read with Pillow: run `pip install pillow`"
    ):
        from_folder(pets)


def test_pillow_is_imported_only_when_an_image_is_read():
    code = "import sys, xpnet.data; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_image_is_looked_at_before_its_pixels_are_read(tmp_path):
    path = put(tmp_path / "a.png", FINE)
    assert folders.image_header(path) == (5, 6, "RGB")
    np.testing.assert_array_equal(folders.image_pixels(path, (5, 6), 3), COLOURS[0], strict=True)
