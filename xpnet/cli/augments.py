"""How images are changed as they are trained on, in words: ``shift=2,rotate=10,flip``."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

from xpnet.checks import nearest
from xpnet.cli.parsing import comma_separated
from xpnet.data import augment
from xpnet.data.augment import Augment

__all__ = ["BY_NAME", "augmenting", "words"]

BY_NAME: dict[str, type[Augment]] = {
    "shift": augment.Shift,
    "rotate": augment.Rotate,
    "scale": augment.Scale,
    "shear": augment.Shear,
    "flip": augment.Flip,
    "elastic": augment.Elastic,
    "cut-out": augment.CutOut,
    "noise": augment.Noise,
    "mix-up": augment.MixUp,
}


def words(text: str) -> list[str]:
    """Return the changes that commas divide, once it is known that there are such."""
    found = comma_separated(text)
    try:
        augment.Augmentation(augmenting(found))
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return found


def augmenting(found: Sequence[str]) -> list[Augment]:
    """Return the changes of such words as ``shift=2`` and ``scale=0.8:1.2``."""
    return [_made(word) for word in found]


def _made(word: str) -> Augment:
    name, _, values = word.partition("=")
    if name not in BY_NAME:
        raise ValueError(
            f"invalid choice: {name!r} (choose from {', '.join(BY_NAME)}){nearest(name, BY_NAME)}"
        )
    return BY_NAME[name](*map(_value, values.split(":") if values else ()))


def _value(text: str) -> float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
