"""The book's nodes of a computational graph over plain numbers (``ch05/layer_naive.py``)."""

from __future__ import annotations

from typing import Any

__all__ = ["AddLayer", "MulLayer"]


class MulLayer:
    """The product of two numbers."""

    def __init__(self) -> None:
        self.x: Any = None
        self.y: Any = None

    def forward(self, x: Any, y: Any) -> Any:
        """Return ``x y``."""
        self.x, self.y = x, y
        return x * y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """Return the gradients of x and y."""
        return dout * self.y, dout * self.x


class AddLayer:
    """The sum of two numbers."""

    def forward(self, x: Any, y: Any) -> Any:
        """Return ``x + y``."""
        return x + y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """Return the gradients of x and y."""
        return dout * 1, dout * 1
