"""Pictures of images."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from tests.conftest import Backend
from xpnet import models, plots
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.layers import Conv2d, Flatten, Linear, ReLU, Sequential
from xpnet.training import metrics


@pytest.mark.parametrize("diverging", [False, True])
def test_image_grid(diverging: bool, tmp_path: Path) -> None:
    images = [("7", np.eye(5)), ("", np.zeros((1, 5, 5)))] * 6
    plots.image_grid(images, tmp_path / "i.png", title="title", diverging=diverging)
    plots.image_grid({"one": np.eye(3)}, tmp_path / "one.svg")
    assert (tmp_path / "i.png").exists()
    assert (tmp_path / "one.svg").exists()


def test_image_grid_says_what_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        plots.image_grid([], tmp_path / "no.png")
    for shape in ((5,), (2, 5, 5), (1, 1, 5, 5)):
        with pytest.raises(ValueError, match="expected images"):
            plots.image_grid([("", np.ones(shape))], tmp_path / "no.png")


def test_image_grid_shows_colours_where_there_are_three_channels(tmp_path, drawn):
    colours = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    plots.image_grid([("ship", colours), ("7", colours[:1])], tmp_path / "i.png")
    shown, grey = drawn[0].axes[0].images
    np.testing.assert_array_equal(shown.get_array(), colours.transpose(1, 2, 0))
    np.testing.assert_array_equal(grey.get_array(), colours[0])


NAMES = ["ant", "bee"]
RNG = np.random.default_rng(0)


def grid(figure: Figure) -> tuple[list[str], list[np.ndarray]]:
    """Return the words and the pixels of the images of a picture."""
    axis = figure.axes[0]
    return [t.get_text() for t in axis.texts], [np.asarray(i.get_array()) for i in axis.images]


def test_samples_are_drawn_with_the_names_of_their_classes(xp: Backend) -> None:
    x = RNG.integers(0, 256, (5, 3, 4, 6), np.uint8)
    data = Dataset(xp.array(x), xp.array([0, 1, 1, 0, 1]), class_names=NAMES)
    words, images = grid(plots.samples(data, count=3))
    assert words == ["ant", "bee", "bee"]
    np.testing.assert_array_equal(images, x[:3].transpose(0, 2, 3, 1))


def test_samples_without_names_show_what_their_targets_are() -> None:
    x = np.zeros((2, 4, 4))
    assert grid(plots.samples(Dataset(x, [3, 1])))[0] == ["3", "1"]
    assert grid(plots.samples(Dataset(x, [0.25, 1.5])))[0] == ["0.25", "1.5"]
    assert grid(plots.samples(Dataset(x, np.eye(2), classes=2)))[0] == ["0", "1"]
    assert grid(plots.samples(Dataset(x, np.eye(2) * 0.5)))[0] == ["", ""]
    with pytest.raises(ValueError, match=r"^samples: expected images .* data of shape \(2, 4\)$"):
        plots.samples(Dataset(np.zeros((2, 4)), [0, 1]))


def test_misread_samples_are_drawn_the_surest_first(xp: Backend) -> None:
    x = RNG.integers(0, 256, (4, 1, 3, 3), np.uint8)
    labels = xp.array([0, 1, 1, 0])
    scores = xp.array([[0.0, 1.0], [0.0, 2.0], [3.0, 0.0], [4.0, 0.0]])
    wrong = metrics.misclassified(scores, labels)
    words, images = grid(plots.misclassified(Dataset(xp.array(x), labels, 2), wrong))
    assert words == ["1 as 0", "0 as 1"]
    np.testing.assert_array_equal(images, x[[2, 0], 0])
    named = Dataset(xp.array(x), labels, class_names=NAMES)
    assert grid(plots.misclassified(named, wrong, count=1))[0] == ["bee\nas ant"]


def test_where_nothing_is_misread_the_picture_says_so() -> None:
    none = metrics.misclassified(np.eye(2), np.arange(2))
    figure = plots.misclassified(Dataset(np.zeros((2, 3, 3)), [0, 1]), none)
    assert grid(figure) == (["none is misclassified"], [])


def test_scores_are_no_misread_samples() -> None:
    with pytest.raises(TypeError, match=r"^misclassified: expected metrics.misclassified\(net"):
        plots.misclassified(Dataset(np.zeros((2, 3, 3)), [0, 1]), np.eye(2))


def test_long_words_stay_beside_each_other() -> None:
    pairs = [("a very long name of a class", np.eye(3))] * 4
    figure = plots.image_grid(pairs)
    figure.draw_without_rendering()
    extents = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(extents))


def convnet(where: str = "cpu") -> Sequential:
    layers = [Conv2d(4, 3), ReLU(), Conv2d(3, 3), Flatten(), Linear(6), ReLU(), Linear(2)]
    return Sequential(layers, input_shape=(1, 8, 8)).to(where)


def test_filters_of_any_layer_are_drawn(xp: Backend) -> None:
    net = convnet(xp.device)
    weights = {path: to_numpy(net.params[f"{path}.W"]) for path in ("0", "2", "4", "6")}
    np.testing.assert_array_equal(grid(plots.filters(net))[1], weights["0"][:, 0])
    by_channel = grid(plots.filters(net, "2", columns=2))[1]
    np.testing.assert_array_equal(by_channel, weights["2"][:, :2].reshape(6, 3, 3))
    units = grid(plots.filters(net, "4"))[1]  # three channels of 4x4 before it: in colours
    reach = abs(weights["4"]).max()
    shapes = weights["4"].T.reshape(6, 3, 4, 4).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(units, 0.5 + shapes / (2 * reach), rtol=1e-6)
    np.testing.assert_array_equal(grid(plots.filters(net, "6"))[1], weights["6"][None])


def test_units_of_the_first_layer_are_drawn_as_images_of_what_they_see() -> None:
    net = models.mlp((4,), 3, input_shape=(1, 5, 6))
    path = next(path for path in net.params if path.endswith("W")).removesuffix(".W")
    shown = grid(plots.filters(net, path, count=2))[1]
    np.testing.assert_array_equal(shown, net.params[f"{path}.W"].T.reshape(4, 5, 6)[:2])


def test_filters_say_where_weights_are() -> None:
    with pytest.raises(ValueError, match=r"weights W, one of \['0', '2', '4', '6'\], got '1'"):
        plots.filters(convnet(), "1")
    with pytest.raises(ValueError, match="no layer of this network has weights W"):
        plots.filters(Sequential([ReLU()], input_shape=(3,)))


def test_weights_that_are_complex_are_drawn_by_their_moduli() -> None:
    net = Sequential([Linear(2)], input_shape=(3,), dtype="complex64")
    np.testing.assert_array_equal(grid(plots.filters(net))[1], abs(net.params["0.W"])[None])


def test_hidden_layers_are_drawn_as_they_answer(xp: Backend) -> None:
    net, x = convnet(xp.device), RNG.random((5, 1, 8, 8)).astype("float32")
    data = Dataset(xp.array(x), xp.array([1, 0, 1, 0, 0]), 2)
    answers = metrics.activations(net, xp.array(x))
    maps, units = (to_numpy(answers[path]) for path in ("0", "5"))
    words, images = grid(plots.activations(net, data, "0", count=2, columns=3))
    assert words == ["1", "", "", "0", "", ""]
    np.testing.assert_array_equal(images[0], x[0, 0])
    np.testing.assert_allclose(images[1:3], maps[0, :2], rtol=1e-5)
    figure = plots.activations(net, data, "5")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["0", "0", "0", "1", "1"]
    np.testing.assert_allclose(grid(figure)[1][0], units[[1, 3, 4, 0, 2]], rtol=1e-5)


def test_activations_say_which_layers_there_are() -> None:
    with pytest.raises(ValueError, match="expected the path of a layer, such as '6', got '9'"):
        plots.activations(convnet(), Dataset(np.zeros((1, 1, 8, 8), "float32"), [0]), "9")


def test_units_behind_others_have_no_images_whatever_their_number() -> None:
    net = Sequential([Linear(30), ReLU(), Linear(2)], input_shape=(1, 5, 6))
    np.testing.assert_array_equal(grid(plots.filters(net, "2"))[1], net.params["2.W"][None])
