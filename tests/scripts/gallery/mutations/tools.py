"""Ways to break a part of xpnet for as long as a test lasts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from xpnet import SGD

Mutation = Callable[[pytest.MonkeyPatch], None]


def changed(owner: Any, name: str, change: Callable[..., Any]) -> Mutation:
    """Return what lets ``owner.name(...)`` be ``change(itself, ...)``."""
    itself = getattr(owner, name)

    @functools.wraps(itself)
    def broken(*args: Any, **options: Any) -> Any:
        return change(itself, *args, **options)

    return lambda patch: patch.setattr(owner, name, broken)


def scaled_gradient(layer: type, name: str, factor: float) -> Mutation:
    """Return what lets a layer's gradient be a multiple of itself."""

    def backward(itself: Any, self: Any, dy: Any, **options: Any) -> Any:
        dx = itself(self, dy, **options)
        self.grads[name][...] *= factor
        return dx

    return changed(layer, "backward", backward)


def together(*mutations: Mutation) -> Mutation:
    """Return what breaks several things at once."""

    def broken(patch: pytest.MonkeyPatch) -> None:
        for mutation in mutations:
            mutation(patch)

    return broken


def instead(owner: Any, name: str, other: Any) -> Mutation:
    """Return what puts another thing in the place of ``owner.name``."""
    return lambda patch: patch.setattr(owner, name, other)


def rate_scaled(optimizer: type, factor: float) -> Mutation:
    """Return what lets an optimizer's rate be a multiple of itself."""

    def rated(itself: Any, self: Any, lr: float = 0.01, *args: Any, **options: Any) -> None:
        itself(self, lr * factor, *args, **options)

    return changed(optimizer, "__init__", rated)


def decay_scaled(factor: float) -> Mutation:
    """Return what lets the weight decay of SGD be a multiple of itself."""
    return changed(SGD, "rule", lambda f, *a, decay, **o: f(*a, decay=factor * decay, **o))
