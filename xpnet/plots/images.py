"""Pictures of images: samples, what was misread, filters, and what layers answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import HostArray, to_numpy
from xpnet.checks import came, nearest, whole_number
from xpnet.layers import Layer, Network
from xpnet.plots.figures import finished, new_axis, whole_ticks

if TYPE_CHECKING:
    from xpnet.data import Dataset

__all__ = ["activations", "filters", "image_grid", "misclassified", "samples"]

LONGEST = 24
"""The characters of a line of words that stand above an image."""


def image_grid(
    images: Mapping[str, Any] | Sequence[tuple[str, Any]],
    path: str | Path | None = None,
    *,
    columns: int = 10,
    title: str = "",
    diverging: bool = False,
    ax: Any = None,
) -> Any:
    """Draw images in a grid, each with its words above it.

    Parameters
    ----------
    images : sequence of (str, array), or a mapping of them
        Of shape (h, w) or (1, h, w), grey, or (3, h, w), red, green and blue: whole numbers of 0 to
        255, or others of 0 to 1; others again are brought there from their least to their most.
    path : path, optional
        The picture's file; its suffix decides the format.
    columns : int
        Images in a row.
    title : str
    diverging : bool
        Whether the numbers of images have signs (weights), and all images share one scale: of grey
        ones 0 is white, below it blue, above it red; of coloured ones 0 is grey.
    ax : matplotlib Axes, optional
        Where to draw instead of in a new figure.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        There is nothing to draw, or an array is no image.

    Examples
    --------
    What a network makes of three samples:

    >>> answers = net.predict(data.x[:3]).argmax(axis=1)
    >>> image_grid([(f"a {answer}?", x) for answer, x in zip(answers, data.x)])
    """
    pairs = list(images.items() if isinstance(images, Mapping) else images)
    arrays = [_checked(image) for _, image in pairs]
    if not arrays:
        raise ValueError("image_grid: expected at least one image, got none")
    words = ["\n".join(line[:LONGEST] for line in str(word).split("\n")) for word, _ in pairs]
    lines = max(word.count("\n") + 1 if word else 0 for word in words)
    longest = max(len(line) for word in words for line in word.split("\n"))
    columns = min(columns, len(arrays))
    rows = -(-len(arrays) // columns)
    # An image is 1 by 1; a letter is about a twelfth wide and a line of them a fifth high.
    width, height = max(1.1, 0.085 * longest + 0.1), 1.1 + 0.22 * lines
    inch = 0.8 if diverging else 0.87  # of an image, beside the bar of colours
    size = max(0.86 * width * columns, 3.2), rows * height * inch + 0.35 * bool(title)
    axis = new_axis(ax, *size)  # one for all images: fifty would take seconds to lay out
    reach = max(float(abs(array).max()) for array in arrays) or 1.0
    look = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach} if diverging else {"cmap": "gray_r"}
    for number, (word, array) in enumerate(zip(words, arrays, strict=True)):
        x, y = number % columns * width, -(number // columns) * height
        shown = axis.imshow(
            _coloured(array, reach if diverging else None)
            if array.shape[:-2] == (3,)
            else array.reshape(array.shape[-2:]),
            extent=(x, x + 1, y - 1, y),
            interpolation="nearest",
            **look,
        )
        axis.text(x + 0.5, y + 0.06, word, ha="center", fontsize="small", linespacing=1.0)
    side = max(0.05, (width - 1) / 2)
    low = -rows * height + height - 1.05
    axis.set(xlim=(-side, width * (columns - 1) + 1 + side), ylim=(low, height - 1))
    axis.set_axis_off()
    if diverging and any(array.shape[:-2] != (3,) for array in arrays):
        axis.figure.colorbar(shown, ax=axis, fraction=0.04, label="weight")
    return finished(axis, path, title, own=ax is None, fontsize="medium")


def _checked(image: Any) -> HostArray:
    """Return an image on the host."""
    array = to_numpy(image)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[0] not in (1, 3)):
        raise ValueError(
            f"image_grid: expected images (h, w), (1, h, w) or (3, h, w), got {tuple(array.shape)}"
        )
    return array


def _coloured(array: HostArray, reach: float | None) -> HostArray:
    """Return an image (h, w, 3) of bytes as they are, of other numbers from 0 to 1."""
    image: HostArray = np.moveaxis(array, 0, -1)
    if reach is not None:
        return 0.5 + image / (2 * reach)
    if image.dtype.kind in "ui" and image.min() >= 0 and image.max() <= 255:
        return image
    low, high = min(float(image.min()), 0.0), max(float(image.max()), 1.0)
    return (image - low) / (high - low)


def samples(
    data: Dataset,
    path: str | Path | None = None,
    *,
    count: int = 30,
    columns: int = 10,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the first samples of a data set of images, each with its class or target above it.

    Parameters
    ----------
    data : Dataset
        ``x`` of shape (n, h, w), (n, 1, h, w) or (n, 3, h, w); ``class_names`` are written where it
        has them.
    path : path, optional
        The picture's file; its suffix decides the format.
    count : int
        Samples at the most.
    columns : int
        Images in a row.
    title : str
    ax : matplotlib Axes, optional
        Where to draw instead of in a new figure.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        The samples are no images.
    """
    some = data.take(min(whole_number("count", count, 1), len(data)))
    images = _images("samples", some)
    return image_grid(
        list(zip(some.target_names(), images, strict=True)),
        path,
        columns=columns,
        title=title,
        ax=ax,
    )


def _images(function: str, data: Dataset) -> HostArray:
    shape = tuple(data.x.shape[1:])
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] not in (1, 3)):
        raise ValueError(
            f"{function}: expected images (n, h, w), (n, 1, h, w) or (n, 3, h, w), got "
            f"{data.name} of shape {tuple(data.x.shape)}"
        )
    return to_numpy(data.x)


def misclassified(
    data: Dataset,
    wrong: Any,
    path: str | Path | None = None,
    *,
    count: int = 30,
    columns: int = 10,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the samples that a network gets wrong: their class, and the one taken for it.

    Parameters
    ----------
    data : Dataset
        Of images: see :func:`samples`.
    wrong : Misclassified
        What :func:`xpnet.training.metrics.misclassified` returns: those it is surest of first.
    path : path, optional
        The picture's file; its suffix decides the format.
    count : int
        Samples at the most.
    columns : int
        Images in a row.
    title : str
    ax : matplotlib Axes, optional
        Where to draw instead of in a new figure.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    TypeError
        ``wrong`` is something else.
    ValueError
        The samples are no images.

    Examples
    --------
    >>> misclassified(test, metrics.misclassified(net.predict(test.x), test.t))
    """
    if not all(hasattr(wrong, name) for name in ("indices", "labels", "guesses")):
        raise TypeError(
            f"misclassified: expected metrics.misclassified(net.predict(data.x), data.t), got "
            f"{came(wrong)}"
        )
    count = min(whole_number("count", count, 1), int(wrong.indices.shape[0]))
    indices, labels, guesses = (
        to_numpy(part[:count]) for part in (wrong.indices, wrong.labels, wrong.guesses)
    )
    if not len(indices):
        axis = new_axis(ax, 3.2, 1)
        axis.text(0.5, 0.5, "none is misclassified", ha="center", va="center")
        axis.set_axis_off()
        return finished(axis, path, title, own=ax is None, fontsize="medium")
    between = "\n" if data.class_names else " "
    words = [
        f"{data.class_name(label)}{between}as {data.class_name(guess)}"
        for label, guess in zip(labels, guesses, strict=True)
    ]
    images = _images("misclassified", data.select(indices))
    return image_grid(
        list(zip(words, images, strict=True)), path, columns=columns, title=title, ax=ax
    )


def filters(
    net: Network,
    layer: str | None = None,
    path: str | Path | None = None,
    *,
    count: int | None = None,
    columns: int = 10,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the weights of a layer: those of each filter, or of each unit, as images.

    The filters of one channel are grey images, of three coloured ones; of more channels each
    filter has a row, with an image for each channel.  The weights of a unit, of a Linear layer, are
    put back into the shape of the images before it; where there are none the whole matrix is drawn.

    Parameters
    ----------
    net : Network
    layer : str, optional
        The path of a layer that has weights W; by default of the first.
    path : path, optional
        The picture's file; its suffix decides the format.
    count : int, optional
        Filters or units at the most: by default 60, and 10 where each has a row.
    columns : int
        Images in a row; of channels at the most.
    title : str
    ax : matplotlib Axes, optional
        Where to draw instead of in a new figure.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        There is no such layer, or it has no weights.
    """
    layer = _weighted(net, layer)
    weights = _stacked(net, layer)
    if np.iscomplexobj(weights):
        weights = abs(weights)
    if weights.ndim == 2:
        return _matrix(weights, path, title, ax)
    channels = weights.shape[1]
    rows = channels not in (1, 3)
    weights = weights[: (10 if rows else 60) if count is None else whole_number("count", count, 1)]
    if rows:
        columns = min(columns, channels)
    images = [one[c] for one in weights for c in range(columns)] if rows else list(weights)
    pairs = [("", image) for image in images]
    return image_grid(pairs, path, columns=columns, title=title, diverging=True, ax=ax)


def _weighted(net: Network, path: str | None) -> str:
    """Return the path of a layer with weights, or raise."""
    known = [one for one, layer in net.walk(innermost=False) if "W" in layer.own.params]
    if not known:
        raise ValueError("filters: no layer of this network has weights W")
    if path is not None and path not in known:
        raise ValueError(
            f"filters: expected the path of a layer with weights W, one of {known}, got "
            f"{came(path)}{nearest(path, known)}"
        )
    return known[0] if path is None else path


def _stacked(net: Network, path: str) -> HostArray:
    """Return weights as (filters, channels, kh, kw), or as (inputs, units)."""
    before: list[Layer] = []
    for name, one in net.walk():
        before.append(one)
        if name == path:
            break
    weights = to_numpy(before[-1].own.params["W"])
    shape = _shape_before(before, weights.shape[0]) if weights.ndim == 2 else None
    return weights if shape is None else weights.T.reshape(-1, *shape)


def _shape_before(layers: list[Layer], inputs: int) -> tuple[int, ...] | None:
    """Return the shape of the images that the last of some layers takes as rows, if it does."""
    for k, layer in enumerate(reversed(layers)):
        if k and layer.own.params:
            return None
        shape = tuple(layer.input_shape)
        if len(shape) in (2, 3) and math.prod(shape) == inputs:
            return (1, *shape)[-3:]
    return None


def _matrix(weights: HostArray, path: str | Path | None, title: str, ax: Any) -> Any:
    """Draw a matrix of weights, a column for each unit."""
    axis = new_axis(ax, 5, 4)
    reach = float(abs(weights).max()) or 1.0
    shown = axis.imshow(
        weights, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest"
    )
    _count_units(axis, "unit", "input")
    axis.figure.colorbar(shown, ax=axis, label="weight")
    return finished(axis, path, title, own=ax is None, fontsize="medium")


def _count_units(axis: Any, xlabel: str, ylabel: str) -> None:
    axis.set(xlabel=xlabel, ylabel=ylabel)
    whole_ticks(axis.xaxis)
    whole_ticks(axis.yaxis)


def activations(
    net: Network,
    data: Dataset,
    layer: str,
    path: str | Path | None = None,
    *,
    count: int | None = None,
    columns: int = 10,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw what a layer within a network answers to the first samples of a data set.

    Of a layer whose outputs are images each sample has a row: itself, where it is an image, and
    the first channels of the answer.  Of other layers each sample has a row of one colour a unit,
    those of a class one below the other.

    Parameters
    ----------
    net : Network
    data : Dataset
    layer : str
        The path of the layer, such as ``"2"``.
    path : path, optional
        The picture's file; its suffix decides the format.
    count : int, optional
        Samples at the most: by default 6 with images, 40 without.
    columns : int
        Images in a row.
    title : str
    ax : matplotlib Axes, optional
        Where to draw instead of in a new figure.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        There is no such layer.
    """
    shape = _output_shape(net, layer)
    images = len(shape) == 3
    wanted = (6 if images else 40) if count is None else whole_number("count", count, 1)
    some = data.take(min(wanted, len(data)))
    found = _answers(net, some, layer)
    if not images:
        names, order = some.target_names(), list(range(len(some)))
        if some.has_labels:
            order = np.argsort(to_numpy(some.t), kind="stable").tolist()
        rows = found.reshape(len(found), -1)[order]
        return _units(rows, [names[k] for k in order], path, title, ax)
    pairs: list[tuple[str, Any]] = []
    for word, x, channels in zip(some.target_names(), to_numpy(some.x), found, strict=True):
        own = [(word, x)] if x.ndim in (2, 3) and x.shape[:-2] in ((), (1,), (3,)) else []
        pairs += own + [("", one) for one in channels[: columns - len(own)]]
    return image_grid(pairs, path, columns=len(pairs) // len(found), title=title, ax=ax)


def _output_shape(net: Network, path: str) -> tuple[int, ...]:
    layers = dict(net.walk(innermost=False))
    if path not in layers or not path:
        raise ValueError(
            f"activations: expected the path of a layer, such as {list(layers)[-1]!r}, got "
            f"{came(path)}{nearest(path, layers)}"
        )
    return tuple(layers[path].output_shape)


def _answers(net: Network, data: Dataset, path: str) -> HostArray:
    """Return a layer's outputs for samples, complex ones by their modulus."""
    found: list[Any] = []
    with net.hook(path, lambda path, x, y: found.append(y)):
        net.predict(data.x, batch_size=len(data))
    y = to_numpy(found[0])
    return abs(y) if np.iscomplexobj(y) else y


def _units(found: HostArray, words: list[str], path: str | Path | None, title: str, ax: Any) -> Any:
    """Draw the outputs of units, a row for each sample."""
    axis = new_axis(ax, 7, 0.16 * len(found) + 1.2)
    shown = axis.imshow(found, cmap="viridis", aspect="auto", interpolation="nearest")
    _count_units(axis, "unit", "sample")
    if any(words):
        axis.set_yticks(range(len(found)), words, fontsize="x-small")
    axis.figure.colorbar(shown, ax=axis, label="output")
    return finished(axis, path, title, own=ax is None, fontsize="medium")
