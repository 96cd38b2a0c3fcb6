"""Max and average pooling by hand: what they answer, and where the gradients go."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from scripts.gallery.convolution_by_hand import largest_error, places, whole
from xpnet.layers import AvgPool2d, MaxPool2d
from xpnet.random import Stream

ROWS = ("L2",)
TITLE = "Max and average pooling by hand: windows, ties, channels, and a shift of one pixel"

IMAGE = [[1, 2, 1, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 4, 0, 1]]
SLOPES = [[10, 20], [30, 40]]
EQUAL = [[5, 5], [5, 5]]
ARROW = "\N{RIGHTWARDS ARROW}"

# name: (layer, output of the image, gradient of the image)
EXAMPLES: dict[str, tuple[Any, Any, Any]] = {
    "max pooling": (
        MaxPool2d,
        [[2, 3], [4, 2]],
        [[0, 10, 0, 0], [0, 0, 0, 20], [0, 0, 0, 40], [0, 30, 0, 0]],
    ),
    "average pooling": (
        AvgPool2d,
        [[1, 1.5], [2.25, 1]],
        [[2.5, 2.5, 5, 5], [2.5, 2.5, 5, 5], [7.5, 7.5, 10, 10], [7.5, 7.5, 10, 10]],
    ),
}

# name: (window, stride, padding, (h, w))
CASES = {
    "2x2 windows side by side": ((2, 2), 2, 0, (6, 4)),
    "3x3 windows by 2: they overlap": ((3, 3), 2, 0, (7, 7)),
    "2x3 windows by 2, padding 1": ((2, 3), 2, 1, (5, 6)),
}


def run(demo: harness.Demo) -> None:
    """Pool the text's example, one of ties, random images and a spot that moves; draw them."""
    groups = np.arange(1, 5).reshape(2, 2)
    whose = groups.repeat(2, axis=0).repeat(2, axis=1)
    pictured: dict[str, Any] = {}
    for name, (kind, output, gradient) in EXAMPLES.items():
        y, dx = pool(demo, kind, 2, 2, 0, [[IMAGE]], [[SLOPES]])
        demo.figure(name, y[0, 0], str(output), y[0, 0].tolist() == output)
        demo.figure(f"{name}, gradient", dx[0, 0], str(gradient), dx[0, 0].tolist() == gradient)
        pictured[f"{name}, forward and backward"] = [
            (np.array(IMAGE), whose), ARROW, (y[0, 0], groups), "",
            (np.array(SLOPES), groups), ARROW, (dx[0, 0], whose),
        ]  # fmt: skip
    y, dx = pool(demo, MaxPool2d, 2, 2, 0, [[EQUAL]], [[[[1]]]])
    demo.figure(
        "four equal numbers: gradient",
        dx[0, 0],
        "[[1, 0], [0, 0]], to the first",
        dx[0, 0].tolist() == [[1, 0], [0, 0]],
    )
    pictured["the first of equal numbers takes the gradient"] = [
        (np.array(EQUAL), 1), ARROW, (y[0, 0], 1), "", (np.array([[1]]), 1), ARROW, (dx[0, 0], 1),
    ]  # fmt: skip
    rng = random.Random(demo.seed)
    for name, case in CASES.items():
        for kind in (MaxPool2d, AvgPool2d):
            errors = against_loops(demo, rng, kind, *case)
            short = "max" if kind is MaxPool2d else "average"
            demo.figure(
                f"{short}, {name}: largest error of y, dx",
                errors,
                "at most 1e-14",
                max(errors) <= 1e-14,
            )
    for kind in (MaxPool2d, AvgPool2d):
        shifts(demo, kind)
    _drawings.marked_arrays(
        pictured,
        demo.picture("pooling_by_hand"),
        title="Pooling, 2x2 windows by 2: a colour each window",
    )


def pool(
    demo: harness.Demo, kind: Any, size: Any, stride: int, pad: int, x: Any, dy: Any
) -> tuple[Any, Any]:
    """Return what a layer answers and the gradient that it sends back, on the host."""
    layer = kind(size, stride=stride, pad=pad)
    layer.build(np.shape(x)[1:], Stream(0), "float64")
    y = layer.forward(demo.device.asarray(x, "float64"), train=True)
    dx = layer.backward(demo.device.asarray(dy, "float64"))
    return xpnet.to_numpy(y), xpnet.to_numpy(dx)


def against_loops(
    demo: harness.Demo, rng: random.Random, kind: Any, size: tuple[int, int], stride: int,
    pad: int, image: tuple[int, int],
) -> list[float]:  # fmt: skip
    """Return the largest errors of y and dx for whole numbers, two images of three channels."""
    x = whole(rng, 2, 3, *image)  # nine values: ties in most windows
    steps = [places(a, k, stride, pad) for a, k in zip(image, size, strict=True)]
    dy = whole(rng, 2, 3, *steps)
    y, dx = np.zeros_like(dy), np.zeros_like(x)
    for n, c, p, q in np.ndindex(dy.shape):
        corner = p * stride - pad, q * stride - pad
        window = [(n, c, corner[0] + i, corner[1] + j) for i, j in np.ndindex(size)]
        inside = [at for at in window if 0 <= at[2] < image[0] and 0 <= at[3] < image[1]]
        if kind is MaxPool2d:
            first = max(inside, key=lambda at: x[at])  # the first of equals
            y[n, c, p, q] = x[first]
            dx[first] += dy[n, c, p, q]
        else:
            y[n, c, p, q] = sum(x[at] for at in inside) / len(window)
            for at in inside:
                dx[at] += dy[n, c, p, q] / len(window)
    found = pool(demo, kind, size, stride, pad, x, dy)
    return [largest_error(*pair) for pair in zip(found, (y, dx), strict=True)]


def shifts(demo: harness.Demo, kind: Any) -> None:
    """Count the spots of an 8x8 image whose step to the right the pooled image does not show."""
    moves = [(i, j) for i in range(8) for j in range(7)]
    spots = np.zeros((2, len(moves), 1, 8, 8))
    for k, (i, j) in enumerate(moves):
        spots[0, k, 0, i, j] = spots[1, k, 0, i, j + 1] = 1
    before, after = (pool(demo, kind, 2, 2, 0, x, np.zeros((56, 1, 4, 4)))[0] for x in spots)
    seen = before.any(axis=(1, 2, 3)) & after.any(axis=(1, 2, 3))
    same = int((seen & (before == after).all(axis=(1, 2, 3))).sum())
    demo.figure(
        f"a spot moves by a pixel: {kind.__name__} answers the same, of 56 moves",
        same,
        "32: those within a window",
        same == sum(j % 2 == 0 for _, j in moves),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
