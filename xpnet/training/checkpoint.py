"""Checkpoints: everything that a run's future depends on, in one safetensors file.

Random numbers are functions of seed and step, so beside the arrays a seed, the epoch and the
number of steps are enough to go on bit for bit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from xpnet.arrayfiles import read_arrays, write_arrays
from xpnet.layers import Network
from xpnet.layers.network import described
from xpnet.losses import Loss
from xpnet.optimizers import Optimizer
from xpnet.schedules import Schedule
from xpnet.serialize import check_arrays, restore
from xpnet.training.history import History

__all__ = ["Resumable", "load_checkpoint", "save_checkpoint"]


class Resumable(Protocol):
    """What a checkpoint holds of a run, and brings back."""

    net: Network
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    seed: int
    epoch: int
    began: int | None
    history: History


def save_checkpoint(trainer: Resumable, path: str | Path) -> None:
    """Write a trainer's network, optimizer and position in its run."""
    arrays = {f"params/{name}": array for name, array in trainer.net.params.items()}
    arrays |= {f"state/{name}": array for name, array in trainer.net.state.items()}
    arrays |= {f"slots/{name}": array for name, array in trainer.optimizer.state().items()}
    write_arrays(path, arrays, {"checkpoint": _position(trainer)})


def _position(trainer: Resumable) -> dict[str, Any]:
    return {
        "network": json.loads(json.dumps(described(trainer.net))),  # as it comes out of a file
        "seed": trainer.seed,
        "optimizer": [type(trainer.optimizer).__name__, trainer.optimizer.config()],
        "loss": [type(trainer.loss).__name__, trainer.loss.config()],
        "schedule": [
            float(trainer.schedule(step, 100)) for step in range(0, 100, 7)
        ],  # told by values
        "steps": trainer.optimizer.steps,
        "epoch": trainer.epoch,
        "began": trainer.began,
        "history": trainer.history.rows,
    }


def load_checkpoint(trainer: Resumable, path: str | Path) -> None:
    """Bring a trainer, made as the one that was saved, to the saved position.

    Raises
    ------
    ValueError
        The file is no checkpoint, or is of another network, optimizer, loss, schedule or seed;
        nothing has changed then.
    """
    arrays, about = read_arrays(path)
    if "checkpoint" not in about:
        raise ValueError(f"{path}: holds no checkpoint")
    saved, own = about["checkpoint"], _position(trainer)
    for part in ("optimizer", "loss", "schedule", "seed"):
        if saved[part] != own[part]:
            raise ValueError(f"{path}: expected {part} {own[part]}, got {saved[part]}")
    check_arrays(trainer.net, arrays, str(path))
    if saved["network"] != own["network"]:
        raise ValueError(f"{path}: {_difference(own['network'], saved['network'])}")
    restore(trainer.net, arrays, str(path))
    slots = {
        name.removeprefix("slots/"): a for name, a in arrays.items() if name.startswith("slots/")
    }
    trainer.optimizer.load_state(slots, saved["steps"])
    trainer.epoch, trainer.began = saved["epoch"], saved["began"]
    trainer.history = History(saved["history"])


def _difference(own: Any, saved: Any, at: str = "network") -> str:
    """Return where two descriptions of networks that are not equal differ."""
    if type(own) is type(saved) is dict and own.keys() == saved.keys():
        key = next(key for key in own if own[key] != saved[key])
        return _difference(own[key], saved[key], f"{at}.{key}")
    if type(own) is type(saved) is list and len(own) == len(saved):
        i = next(i for i, one in enumerate(own) if one != saved[i])
        return _difference(own[i], saved[i], f"{at}.{i}")
    return f"expected {at} {own!r}, got {saved!r}"
