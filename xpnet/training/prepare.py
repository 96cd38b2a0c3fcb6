"""A data set made ready for a network, or refused with a sentence."""

from __future__ import annotations

from xpnet.arrays import dtype_kind, namespace, to_numpy
from xpnet.data import Dataset
from xpnet.layers import Network
from xpnet.losses import Answers, Loss

__all__ = ["answers", "check_dataset", "check_fit", "prepared"]


def check_dataset(data: Dataset) -> None:
    """Raise one clear sentence unless this is a data set."""
    if not isinstance(data, Dataset):
        raise TypeError(f"expected a Dataset, such as Dataset(x, t), got {type(data).__name__}")


def check_fit(net: Network, data: Dataset) -> None:
    """Raise one clear sentence unless a data set fits a network."""
    check_dataset(data)
    came = tuple(data.x.shape[1:])
    if came != net.input_shape:
        raise ValueError(f"{data.name}: expected samples of shape {net.input_shape}, got {came}")
    scores = net.output_shape
    if not _has_labels(data):
        if tuple(data.t.shape[1:]) != scores:
            raise ValueError(
                f"{data.name}: expected targets of shape {scores}, the network's output, "
                f"got {tuple(data.t.shape[1:])}"
            )
    elif len(scores) == 1 and scores[0] > 1:
        highest = int(to_numpy(data.t).max())
        if highest >= scores[0]:
            raise ValueError(
                f"{data.name}: expected labels below {scores[0]}, the network's number of "
                f"classes, got {highest}"
            )


def answers(net: Network, loss: Loss, data: Dataset) -> Answers | None:
    """Return what a network's scores answer, as its loss says for the targets of a data set."""
    return loss.answers(net.output_shape, data.t, data.classes)


def prepared(net: Network, data: Dataset) -> Dataset:
    """Return a data set with real numbers in a network's dtype; integers stay as they are."""
    kind = dtype_kind(namespace(data.x), data.x.dtype)
    if kind == "real" and net.dtype.startswith("float"):
        return data.astype(net.dtype)
    return data


def _has_labels(data: Dataset) -> bool:
    return dtype_kind(namespace(data.t), data.t.dtype) == "exact"
