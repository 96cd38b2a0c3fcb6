"""What the book's networks have in common."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xpnet.arrayfiles import write_arrays
from xpnet.arrays import Array, namespace
from xpnet.book._files import read_params
from xpnet.book.gradient import numerical_gradient
from xpnet.book.layers import BatchNormalization, Dropout, SoftmaxWithLoss
from xpnet.devices import device_of

__all__ = ["Network", "Params"]


class Params(dict[str, Any]):
    """Parameters by name; assigning one gives it to the layer that uses it, too."""

    def bind(self, layer: Any, **names: str) -> None:
        """Let a layer's attributes follow the parameters of some names."""
        for attribute, name in names.items():
            self.__dict__.setdefault("_owners", {})[name] = layer, attribute

    def owners(self) -> dict[str, tuple[Any, str]]:
        """Return, for each name, the layer and its attribute, in the order of the layers."""
        # unpickling sets items before there are owners
        found: dict[str, tuple[Any, str]] = self.__dict__.get("_owners", {})
        return found

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        if name in self.owners():
            layer, attribute = self.owners()[name]
            setattr(layer, attribute, value)

    def update(self, *args: Any, **values: Any) -> None:
        """Assign several parameters."""
        for name, value in dict(*args, **values).items():
            self[name] = value

    def __ior__(self, other: Any) -> Params:  # type: ignore[override,misc]
        self.update(other)
        return self


class Network:
    """Layers in a row, and a loss at their end.

    Attributes
    ----------
    params : Params
        The parameters: ``W1``, ``b1`` ...  They are the arrays that the layers use.
    layers : OrderedDict of str to layer, or list of layers
    last_layer : SoftmaxWithLoss
    """

    def __init__(self) -> None:
        self.params = Params()
        self.layers: Any = OrderedDict()
        self.last_layer: Any = SoftmaxWithLoss()
        self.weight_decay_lambda: float = 0

    def _in_order(self) -> list[Any]:
        layers = self.layers
        return list(layers.values() if isinstance(layers, Mapping) else layers)

    def _scores(self, x: Array, train_flg: bool) -> Array:
        for layer in self._in_order():
            if isinstance(layer, (Dropout, BatchNormalization)):
                x = layer.forward(x, train_flg)
            else:
                x = layer.forward(x)
        return x

    def predict(self, x: Array, train_flg: bool = False) -> Array:
        """Return the scores of a batch, shape (n, k)."""
        return self._scores(x, train_flg)

    def loss(self, x: Array, t: Array, train_flg: bool = False) -> Array:
        """Return the loss of a batch with its targets, labels or one-hot; with weight decay."""
        loss = self.last_layer.forward(self._scores(x, train_flg), t)
        if self.weight_decay_lambda:
            for W in self._decayed():
                loss = loss + 0.5 * self.weight_decay_lambda * namespace(W).sum(W**2)
        return loss

    def _decayed(self) -> Iterable[Array]:
        return (value for name, value in self.params.items() if name.startswith("W"))

    def accuracy(self, x: Array, t: Array, batch_size: int = 100) -> float:
        """Return the share of samples whose highest score is at their target.

        Samples are taken ``batch_size`` at a time, the last ones too where they are fewer (the
        book's convolutional networks leave those out and count them as wrong).
        """
        xp, n = namespace(x), int(x.shape[0])
        labels = t if t.ndim == 1 else xp.argmax(t, axis=1)
        right = 0
        for start in range(0, n, batch_size):
            part = slice(start, start + batch_size)
            classes = xp.argmax(self.predict(x[part, ...]), axis=1)
            right += int(xp.count_nonzero(classes == labels[part]))
        return right / n

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of the loss in training, by differences, for each parameter."""
        return {
            name: numerical_gradient(lambda _: self.loss(x, t, train_flg=True), self.params[name])
            for name in self.params.owners()
        }

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of the loss in training, by backpropagation, for each parameter."""
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        for layer in reversed(self._in_order()):
            dout = layer.backward(dout)
        grads = {
            name: getattr(layer, f"d{attribute}")
            for name, (layer, attribute) in self.params.owners().items()
        }
        if self.weight_decay_lambda:
            for name in grads:
                if name.startswith("W"):
                    grads[name] = grads[name] + self.weight_decay_lambda * self.params[name]
        return grads

    def save_params(self, file_name: str | Path = "params.pkl") -> None:
        """Write the parameters to a safetensors file, whatever its suffix."""
        write_arrays(file_name, self.params, {})

    def load_params(self, file_name: str | Path = "params.pkl") -> None:
        """Take the parameters from a file that ``save_params`` wrote, xpnet's or the book's.

        Raises
        ------
        ValueError
            The file is none, or its arrays do not fit; nothing has changed then.
        """
        arrays = read_params(file_name)
        for name in sorted(arrays.keys() ^ self.params.keys()):
            there = "the file lacks" if name in self.params else "the network has no"
            raise ValueError(f"{file_name}: {there} {name!r}")
        for name, own in self.params.items():
            if tuple(own.shape) != arrays[name].shape:
                raise ValueError(
                    f"{file_name}: {name!r}: expected shape {tuple(own.shape)}, "
                    f"got {arrays[name].shape}"
                )
        for name, own in list(self.params.items()):
            self.params[name] = device_of(own).asarray(arrays[name])
