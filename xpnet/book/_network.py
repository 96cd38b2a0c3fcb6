"""What the book's networks have in common."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.arrayfiles import write_arrays
from xpnet.arrays import Array, namespace
from xpnet.book._files import read_params
from xpnet.book.gradient import numerical_gradient
from xpnet.book.layers import Affine, BatchNormalization, Convolution, Dropout, SoftmaxWithLoss
from xpnet.devices import device_of

__all__ = ["Network", "Params", "through"]


class Params(dict[str, Any]):
    """Parameters by name; assigning one gives it to the layer that uses it, too.

    They hold the layers, and not the network, which is freed as soon as it is dropped.

    Attributes
    ----------
    layers : OrderedDict of str to layer, or list of layers
        Those of the network.
    """

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.layers = layers
        self._places: dict[str, tuple[Any, str]] = {}

    def bind(self, key: Any, **names: str) -> None:
        """Let attributes of the layer at a key, or index, follow the parameters of some names."""
        for attribute, name in names.items():
            self._places[name] = key, attribute

    def owners(self) -> dict[str, tuple[Any, str]]:
        """Return, for each name, the layer and its attribute, in the order of the layers."""
        places = self._places.items()
        return {name: (self.layers[key], attribute) for name, (key, attribute) in places}

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        # unpickling sets items before there are places
        if name in vars(self).get("_places", ()):
            key, attribute = self._places[name]
            setattr(self.layers[key], attribute, value)

    def update(self, *args: Any, **values: Any) -> None:
        """Assign several parameters."""
        for name, value in dict(*args, **values).items():
            self[name] = value

    def __ior__(self, other: Any) -> Params:  # type: ignore[override,misc]
        self.update(other)
        return self


def through(layers: Iterable[Any], x: Array, train_flg: bool) -> Array:
    """Return what layers make of x, those that tell training from inference told which it is."""
    for layer in layers:
        if isinstance(layer, (Dropout, BatchNormalization)):
            x = layer.forward(x, train_flg)
        else:
            x = layer.forward(x)
    return x


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
        self._params = Params(OrderedDict())
        self.last_layer: Any = SoftmaxWithLoss()

    @property
    def params(self) -> Params:
        """The parameters by name; of a dict that is assigned, the layers take each array."""
        return self._params

    @params.setter
    def params(self, values: Mapping[str, Any]) -> None:
        self._params.update(values)

    @property
    def layers(self) -> Any:
        """The layers by name, or in a list."""
        return self._params.layers

    @layers.setter
    def layers(self, layers: Any) -> None:
        self._params.layers = layers

    def _in_order(self) -> Iterable[Any]:
        layers = self._params.layers
        ordered: Iterable[Any] = layers.values() if isinstance(layers, dict) else layers
        return ordered

    def predict(self, x: Array) -> Array:
        """Return the scores of a batch, shape (n, k)."""
        for layer in self._in_order():
            x = layer.forward(x)
        return x

    def loss(self, x: Array, t: Array) -> Array:
        """Return the loss of a batch with its targets, labels or one-hot."""
        return self.last_layer.forward(self.predict(x), t)

    def _training_loss(self, x: Array, t: Array) -> Array:
        """Return the loss that the gradients are those of."""
        return self.loss(x, t)

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
        return np.float64(right / n)

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of the loss in training, by differences, for each parameter."""
        return {
            name: numerical_gradient(lambda _: self._training_loss(x, t), self.params[name])
            for name in self.params.owners()
        }

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of the loss in training, by backpropagation, for each parameter."""
        self._training_loss(x, t)
        dout = self.last_layer.backward(1)
        first, *rest = self._in_order()
        for layer in reversed(rest):
            dout = layer.backward(dout)
        # nobody asks for the gradient of the images, which takes as long as that of W1
        (first.slopes if type(first) in (Affine, Convolution) else first.backward)(dout)
        return {
            name: getattr(layer, f"d{attribute}")
            for name, (layer, attribute) in self.params.owners().items()
        }

    def save_params(self, file_name: str | Path = "params.pkl") -> None:
        """Write the parameters to a safetensors file, whatever its suffix."""
        write_arrays(file_name, self.params, {})

    def load_params(self, file_name: str | Path = "params.pkl") -> None:
        """Take the parameters from a file that ``save_params`` wrote, xpnet's or the book's.

        Raises
        ------
        ValueError
            The file is none, or its arrays do not fit; nothing has changed then.
        OSError
            It cannot be read.
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
            self.params[name] = device_of(own).asarray(arrays[name].copy())  # none shared
