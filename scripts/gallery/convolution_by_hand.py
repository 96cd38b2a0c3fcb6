"""Convolution by hand: what the layer answers, and each gradient, as plain loops find them."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.arrays import Array
from xpnet.book import util
from xpnet.layers import Conv2d, Sequential

ROWS = ("L1",)
TITLE = "Convolution by hand: padding, stride, channels, filters, a bias each, a batch"

IMAGE = [[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]]
LARGE = [[(j - i + 1) % 4 for j in range(7)] for i in range(7)]  # the image, continued
FILTER = [[2, 0, 1], [0, 1, 2], [1, 0, 2]]
TIMES = "\N{ASTERISK OPERATOR}"

# caption: (image, pad, stride, bias, output)
EXAMPLES: dict[str, tuple[Any, int, int, int, Any]] = {
    "4x4 with 3x3": (IMAGE, 0, 1, 0, [[15, 16], [6, 15]]),
    "bias 3": (IMAGE, 0, 1, 3, [[18, 19], [9, 18]]),
    "padding 1": (
        IMAGE, 1, 1, 0, [[7, 12, 10, 2], [4, 15, 16, 10], [10, 6, 15, 6], [8, 10, 4, 3]],
    ),
    "7x7, stride 2": (LARGE, 0, 2, 0, [[15, 17, 15], [17, 15, 17], [15, 17, 15]]),
}  # fmt: skip

# name: (channels, filters, (kh, kw), stride, pad, (h, w))
CASES = {
    "padding 1": (1, 1, (3, 3), 1, 1, (4, 4)),
    "stride 2": (1, 1, (3, 3), 2, 0, (7, 7)),
    "three channels": (3, 1, (3, 3), 1, 0, (4, 4)),
    "three channels, four filters": (3, 4, (3, 3), 1, 0, (5, 5)),
    "all at once, 2x3 filters": (3, 4, (2, 3), 2, 1, (7, 6)),
    "5x5 filters, stride 3, padding 2": (2, 3, (5, 5), 3, 2, (9, 8)),
}


def run(demo: harness.Demo) -> None:
    """Show the text's example, every variation against loops, the sizes, and im2col."""
    pictured: dict[str, Any] = {}
    for name, (image, pad, stride, bias, expected) in EXAMPLES.items():
        net = layer(demo, np.array([[FILTER]]), np.array([bias]), stride, pad, np.shape(image))
        y = xpnet.to_numpy(net.forward(demo.device.asarray([[image]], "float32")))[0, 0]
        demo.figure(name, y, str(expected), y.tolist() == expected)
        if not bias:
            pictured[f"{name}: {len(y)}x{len(y)} places" + ", the padding grey" * pad] = equation(
                image, pad, stride, y
            )
    rng = random.Random(demo.seed)
    for name, case in CASES.items():
        errors = [against_loops(demo, rng, dtype, *case) for dtype in ("float32", "float64")]
        worst = np.max(errors, axis=0)
        demo.figure(
            f"{name}: largest error of y, dW, db, dx", worst, "0: whole numbers", not worst.any()
        )
    sizes(demo)
    columns(demo, rng)
    _drawings.marked_arrays(
        pictured,
        demo.picture("convolution_by_hand"),
        title="A window (blue) times the filter (green), summed, is a cell of the output",
    )


def layer(
    demo: harness.Demo, W: Any, b: Any, stride: int, pad: int, size: Any, dtype: str = "float32"
) -> Sequential:
    """Return a network of one convolution with these weights, for images of a size."""
    filters, channels, kh, kw = W.shape
    convolution = Conv2d(filters, (kh, kw), stride=stride, pad=pad)
    net = Sequential([convolution], input_shape=(channels, *size), dtype=dtype)
    net.params["0.W"], net.params["0.b"] = W.astype(dtype), b.astype(dtype)
    return net.to(demo.device)


def places(size: int, filter_size: int, stride: int, pad: int) -> int:
    """Count the places where a filter lies within an image and its frame, by trying each."""
    return sum(at + filter_size <= size + 2 * pad for at in range(0, size + 2 * pad, stride))


def products(x: Any, W: Any, stride: int, pad: int) -> Iterator[tuple[Any, Any, Any]]:
    """Yield, of each product in a convolution, its places in the output, in x and in W."""
    (n, _, *size), (filters, channels, *kernel) = x.shape, W.shape
    oh, ow = (places(a, k, stride, pad) for a, k in zip(size, kernel, strict=True))
    for k, f, p, q, c, i, j in np.ndindex(n, filters, oh, ow, channels, *kernel):
        row, column = p * stride + i - pad, q * stride + j - pad
        if 0 <= row < size[0] and 0 <= column < size[1]:  # else the frame, which is zero
            yield (k, f, p, q), (k, c, row, column), (f, c, i, j)


def against_loops(
    demo: harness.Demo, rng: random.Random, dtype: str, channels: int, filters: int,
    kernel: tuple[int, int], stride: int, pad: int, size: tuple[int, int],
) -> list[float]:  # fmt: skip
    """Return the largest errors of y, dW, db and dx for whole numbers, a batch of two."""
    x, W = whole(rng, 2, channels, *size), whole(rng, filters, channels, *kernel)
    b = whole(rng, filters)
    steps = [places(a, k, stride, pad) for a, k in zip(size, kernel, strict=True)]
    dy = whole(rng, 2, filters, *steps)
    y, dW, dx = np.zeros_like(dy), np.zeros_like(W), np.zeros_like(x)
    for out, at, weight in products(x, W, stride, pad):
        y[out] += x[at] * W[weight]
        dW[weight] += x[at] * dy[out]
        dx[at] += W[weight] * dy[out]
    db = np.zeros_like(b)
    for out in np.ndindex(dy.shape):
        y[out] += b[out[1]]
        db[out[1]] += dy[out]

    net = layer(demo, W, b, stride, pad, size, dtype)
    found = net.forward(demo.device.asarray(x, dtype), train=True)
    slopes = net.backward(demo.device.asarray(dy, dtype), need_dx=True)
    pairs = ((y, found), (dW, net.grads["0.W"]), (db, net.grads["0.b"]), (dx, slopes))
    return [largest_error(array, expected) for expected, array in pairs]


def sizes(demo: harness.Demo) -> None:
    """Hold the sizes of outputs against the formula, also where it leaves a fraction."""
    tried = wrong = 0
    for size, kernel, pad, stride in itertools.product((4, 7, 10), (1, 3, 4), (0, 1, 2), (1, 2, 3)):
        net = layer(demo, np.ones((1, 1, kernel, kernel)), np.zeros(1), stride, pad, (size, 5))
        rows = net.forward(demo.device.asarray(np.ones((1, 1, size, 5)), "float32")).shape[2]
        tried += 1
        wrong += not rows == net.output_shape[1] == places(size, kernel, stride, pad)
    demo.figure(f"wrong heights of outputs, of {tried}", wrong, "0", wrong == 0)
    asked = ((4, 3, 1, 0), (4, 3, 1, 1), (7, 3, 2, 0), (28, 5, 1, 0), (7, 3, 3, 0))
    formula = [util.conv_output_size(*one) for one in asked]
    expected = [2, 4, 3, 24, 7 / 3]
    demo.figure(
        "(h + 2 pad - kh) / stride + 1 of 4, 4 padded, 7 by 2, 28 by 1, 7 by 3",
        formula,
        "2, 4, 3, 24, 2 1/3",
        bool(np.allclose(formula, expected, rtol=1e-12)),
    )


def columns(demo: harness.Demo, rng: random.Random) -> None:
    """Check im2col's shapes and numbers, and that col2im is its transpose."""
    shapes = [util.im2col(images(demo, whole(rng, n, 3, 7, 7)), 5, 5).shape for n in (1, 10)]
    passed = list(map(tuple, shapes)) == [(9, 75), (90, 75)]
    demo.figure(
        "im2col of (1, 3, 7, 7) and (10, 3, 7, 7), 5x5", shapes, "(9, 75), (90, 75)", passed
    )

    y, x = whole(rng, 2 * 4 * 4, 3 * 3 * 2), whole(rng, 2, 3, 7, 6)
    cells = [  # of the framed image, a row for each window
        [(n, c, p + i, q + j) for c, i, j in np.ndindex(3, 3, 2)]
        for n, p, q in itertools.product(range(2), range(0, 7, 2), range(0, 7, 2))
    ]
    frame, sums = np.zeros((2, 3, 9, 8)), np.zeros((2, 3, 9, 8))
    for at in np.ndindex(x.shape):
        frame[at[0], at[1], at[2] + 1, at[3] + 1] = x[at]
    for row, column in np.ndindex(y.shape):
        sums[cells[row][column]] += y[row, column]
    expected = np.array([[frame[cell] for cell in row] for row in cells])
    found = xpnet.to_numpy(util.im2col(images(demo, x), 3, 2, stride=2, pad=1))
    back = xpnet.to_numpy(util.col2im(images(demo, y), x.shape, 3, 2, stride=2, pad=1))
    first = expected[0].tolist()
    demo.figure(
        "im2col, 3x2, stride 2, padding 1: first row",
        found[0],
        str(first),
        found[0].tolist() == first,
    )
    errors = [largest_error(found, expected), largest_error(back, sums[:, :, 1:-1, 1:-1])]
    demo.figure("largest error of im2col, col2im", errors, "0", not any(errors))
    inner = [float((found * y).sum()), float((x * back).sum())]
    demo.figure("<im2col(x), y> and <x, col2im(y)>", inner, "equal", inner[0] == inner[1])


def equation(image: Any, pad: int, stride: int, y: Any) -> list[Any]:
    """Return image * filter = output for the picture, one window and its cell marked."""
    framed = np.pad(image, pad)
    marks = np.pad(np.full(np.shape(image), 2), pad)
    top = stride  # the second window in either direction
    marks[top : top + 3, top : top + 3] = 1
    cells = np.full(y.shape, 2)
    cells[1, 1] = 1
    return [(framed, marks), TIMES, (np.array(FILTER), 3), "=", (y, cells)]


def whole(rng: random.Random, *shape: int) -> Any:
    """Return random whole numbers from -4 to 4: every sum of their products is exact."""
    numbers = [float(rng.randint(-4, 4)) for _ in range(int(np.prod(shape)))]
    return np.array(numbers).reshape(shape)


def images(demo: harness.Demo, x: Any) -> Array:
    """Return numbers on the device."""
    return demo.device.asarray(x, "float32")


def largest_error(found: Any, expected: Any) -> float:
    """Return the largest difference of two arrays, infinite where their shapes differ."""
    found = xpnet.to_numpy(found)
    return float(abs(found - expected).max()) if found.shape == expected.shape else float("inf")


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
