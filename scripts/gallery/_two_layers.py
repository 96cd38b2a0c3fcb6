"""A network of one hidden layer in plain NumPy, by the chain rule written out: an oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

Hidden = Literal["tanh", "sigmoid"]
Loss = Literal["squared", "softmax", "logistic"]


def sigmoid(x: Any) -> Any:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-x))


def descend(
    weights: Mapping[str, Any],
    x: Any,
    targets: Any,
    *,
    hidden: Hidden,
    loss: Loss,
    lr: float,
    decay: float = 0.0,
    steps: int = 3,
) -> list[float]:
    """Return the loss before each step of descent on all samples at once, and after the last.

    Parameters
    ----------
    weights : mapping
        W1 (d, h), b1 (h,), W2 (h, k) and b2 (k,).
    x : array, shape (n, d)
    targets : array, shape (n, k)
        One-hot rows.
    hidden : "tanh" or "sigmoid"
        The hidden units' function.
    loss : "squared", "softmax" or "logistic"
        Half the squared error of sigmoids; cross-entropy of softmax; the summed logistic loss of
        sigmoids.  Each is a mean over the samples.
    lr, decay : float
    steps : int
    """
    W1, b1, W2, b2 = (np.array(weights[name]) for name in ("W1", "b1", "W2", "b2"))
    n, losses = len(x), []
    for _ in range(steps + 1):
        z = x @ W1 + b1
        h = np.tanh(z) if hidden == "tanh" else sigmoid(z)
        scores = h @ W2 + b2
        y = np.exp(scores) if loss == "softmax" else sigmoid(scores)
        if loss == "softmax":
            y /= y.sum(axis=1, keepdims=True)
            losses.append(-np.sum(targets * np.log(y)) / n)
        elif loss == "logistic":
            losses.append(-np.sum(targets * np.log(y) + (1 - targets) * np.log(1 - y)) / n)
        else:
            losses.append(np.sum((y - targets) ** 2) / 2 / n)
        delta = (y - targets) / n * (y * (1 - y) if loss == "squared" else 1)
        back = delta @ W2.T * (1 - h**2 if hidden == "tanh" else h * (1 - h))
        W1, b1 = W1 - lr * (x.T @ back + decay * W1), b1 - lr * back.sum(axis=0)
        W2, b2 = W2 - lr * (h.T @ delta + decay * W2), b2 - lr * delta.sum(axis=0)
    return [float(value) for value in losses]
