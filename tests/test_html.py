"""What notebooks show of objects: it is escaped, small, and needs no library of pictures."""

from __future__ import annotations

import base64
import io
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import xpnet
from tests.conftest import Backend
from xpnet import html
from xpnet.data import Dataset
from xpnet.data.augment import Rotate
from xpnet.layers import Conv2d, Flatten, Linear, ReLU, Sequential
from xpnet.training import Evaluation, History, Trainer

NAMES = ["<b>an ant</b>", "a bee & co"]
RNG = np.random.default_rng(0)


class Page(HTMLParser):
    """What a page holds: the cells of its tables by row, its images, and whether tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.images: list[bytes] = []
        self.lines = 0
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "img":
            self.images.append(base64.b64decode(str(given["src"]).partition(",")[2]))
        self.lines += tag == "polyline"
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def page(shown: object) -> Page:
    text = shown._repr_html_()  # type: ignore[attr-defined]
    assert len(text) < 200_000
    assert "<b>" not in text
    return Page(text)


def convnet() -> Sequential:
    layers = [Conv2d(2, 3), ReLU(), Flatten(), Linear(2)]
    return Sequential(layers, input_shape=(1, 8, 8))


def test_text_is_escaped_and_short() -> None:
    made = Page(html.table(["<b>"], [["&" * 500], ["x"]], "a <caption>"))
    assert made.rows[0] == ["<b>"]
    assert made.rows[1][0] == "&" * 76 + " ..."


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (100, 300), (1, 1)])
def test_images_are_files_that_others_read(shape: tuple[int, ...]) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = RNG.integers(0, 256, shape, np.uint8)
    (file,) = Page(html.image(pixels, "<b>")).images
    step = -(-max(shape[:2]) // 64)
    np.testing.assert_array_equal(image.open(io.BytesIO(file)), pixels[::step, ::step])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "bool", "float16", "float64"])
def test_pixels_of_any_numbers_become_bytes(dtype: str) -> None:
    images = np.array([[[0, 1], [0, 1]]]).astype(dtype)
    expected = images if dtype == "uint8" else images.astype("uint8") * 255
    np.testing.assert_array_equal(html.pixels(images), expected)
    three = np.repeat(images[:, None], 3, axis=1)
    assert html.pixels(three).shape == (1, 2, 2, 3)
    assert html.pixels(images[:, None]).shape == (1, 2, 2)


@pytest.mark.parametrize(
    "numbers",
    [
        np.zeros((2, 3)), np.zeros((2, 2, 3, 3)), np.full((1, 2, 2), np.nan),
        np.zeros((1, 2, 2), "c8"), np.zeros((1, 0, 2)),
    ],
)  # fmt: skip
def test_what_is_no_image_is_none(numbers: np.ndarray) -> None:
    assert html.pixels(numbers) is None


def test_curves_have_gaps_and_dots_where_there_are_no_neighbours() -> None:
    made = html.curve(
        "a <loss>", {"train": [1, 2, None, 3, np.nan, 4, np.float32(5)], "untaken": [None]}
    )
    assert made.count("<polyline") == 2
    assert made.count("<circle") == 1
    assert "untaken" not in made
    assert "a &lt;loss&gt;" in made
    assert html.curve("none", {"a": [], "b": [None, "text", np.inf, [1]]}) == ""
    flat, long = html.curve("flat", {"a": [1, 1]}), html.curve("long", {"a": list(range(10**5))})
    assert "nan" not in flat
    assert len(long) < 10_000


def test_a_data_set_shows_its_classes_and_samples(xp: Backend) -> None:
    x = RNG.integers(0, 256, (300, 1, 8, 8), np.uint8)
    made = page(Dataset(xp.array(x), xp.array(np.arange(300) % 3 // 2), class_names=NAMES))
    assert ["samples", "300"] in made.rows
    assert ["", "<b>an ant</b>: 200"] in made.rows
    assert len(made.images) == 12


def test_a_data_set_says_how_it_is_augmented() -> None:
    data = Dataset(np.zeros((3, 1, 4, 4), np.uint8), [0, 1, 0])
    assert ["augmented by", "Rotate(degrees=9.0)"] in page(data.augmented(Rotate(9))).rows


@pytest.mark.parametrize(
    ("x", "t", "options"),
    [
        (np.zeros((3, 2)), [0.5, 1, 2], {}),
        (np.zeros((3, 2)), np.zeros((3, 4)), {}),
        (np.full((3, 4, 4), np.nan), [0, 1, 2], {"classes": 500}),
        (np.zeros((3, 4, 4), "complex64"), np.eye(3), {"classes": 3}),
        (np.zeros((3, 5, 4, 4)), [0, 1, 0], {"weights": [1, 2, 3], "name": "<b>"}),
        (np.zeros(3), np.zeros(3, "complex64"), {}),
        (np.zeros((3, 4, 4)), np.array([1, 2, 3j]), {}),
    ],
)
def test_data_of_any_kind_shows_itself(x, t, options) -> None:
    assert ["samples", "3"] in page(Dataset(x, t, **options)).rows


def test_a_network_shows_its_layers_and_what_they_hold() -> None:
    net = convnet()
    rows = page(net).rows
    assert rows[1] == ["0 Conv2d(filters=2, size=(3, 3))", "2 x 6 x 6", "20"]
    assert rows[-1] == ["in all", "", str(sum(a.size for a in net.params.values()))]
    assert len(page(Sequential([ReLU() for _ in range(300)], input_shape=(3,))).rows) < 70
    assert page(Sequential([Linear(3)])).rows == [["layer", "output", "parameters"]]
    assert page(Sequential([Sequential([Linear(2)])], input_shape=(3,)).layers[0]).rows


def test_a_history_shows_its_curves_and_last_rows() -> None:
    rows = [
        {"epoch": k, "train_loss": 1 / k, "validation_loss": None, "<b>": [k]} for k in range(1, 31)
    ]
    made = page(History(rows))
    assert made.lines == 1
    assert made.rows[0] == ["epoch", "train loss", "<b>"]
    assert [row[0] for row in made.rows[1:]] == [str(k) for k in range(21, 31)]
    assert page(History()).lines == 0


def test_an_evaluation_shows_what_was_measured() -> None:
    made = page(Evaluation(0.5, None, 8, mean_absolute_error=0.25))
    assert made.rows[1:] == [["loss", "0.5"], ["samples", "8"], ["mean absolute error", "0.25"]]


def test_a_trainer_says_what_it_trains() -> None:
    trainer = Trainer(convnet(), xpnet.SoftmaxCrossEntropy(), xpnet.SGD(lr=0.1))
    assert re.fullmatch(
        r"Trainer\(Sequential \(1, 8, 8\) -> \(2,\), 166 parameters; SoftmaxCrossEntropy\(.*\); "
        r"SGD\(lr=0\.1.*\); epoch 0, on cpu\)",
        repr(trainer),
    )
    assert page(trainer).lines == 0
    data = Dataset(np.zeros((4, 1, 8, 8), "float32"), [0, 1, 0, 1])
    trainer.fit(data, epochs=2, batch_size=2)
    assert "epoch 2, on cpu" in repr(trainer)
    assert page(trainer).lines > 0


def test_nothing_of_it_needs_a_library_of_pictures(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert page(Dataset(np.zeros((3, 4, 4)), [0, 1, 2])).images
    assert page(History([{"epoch": 1, "train_loss": 1.0}])).rows
