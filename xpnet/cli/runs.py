"""The folder of a run: what lies there while it goes on and when it is done."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from xpnet.checks import nearest
from xpnet.cli.parsing import Parser
from xpnet.cli.process import Interrupted
from xpnet.files import contents, json_value, reading, replacing, versions
from xpnet.training.checkpoint import read_metadata

__all__ = [
    "CHECKPOINT",
    "CONFIG",
    "KEPT",
    "OWN",
    "SUMMARY",
    "begun",
    "config_arguments",
    "made_of",
    "owned",
    "remove_checkpoint",
    "saved_arguments",
    "saved_summary",
    "telling_what_is_left",
    "what_is_left",
    "write_json",
]

CHECKPOINT = "checkpoint.safetensors"
CONFIG = "config.json"
SUMMARY = "summary.json"

# What a run is made of beside these is given again by its checkpoint.
OWN = (
    "checkpoint_seconds", "config", "data_dir", "json", "out", "overwrite", "processes", "profile",
    "prog", "quiet", "resume",
)  # fmt: skip

# Of these, what a run that goes on wants too.
KEPT = ("data_dir", "checkpoint_seconds")


def made_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that decide a run's numbers."""
    return {name: value for name, value in vars(args).items() if name not in OWN}


def begun(args: argparse.Namespace | None) -> bool:
    """Return whether there is a run that is not finished."""
    return args is not None and args.out is not None and bool(versions(args.out / CHECKPOINT))


def what_is_left(args: argparse.Namespace | None) -> str:
    """Return in words what an interrupted run has left."""
    if args is None or args.out is None:
        return "without --out nothing is kept"
    if not begun(args):
        return "no step was made, and nothing written"
    resume = "xpnet resume" if args.prog.startswith("xpnet") else "--resume"
    return f"go on with {resume} {shlex.quote(str(args.out))}"


@contextlib.contextmanager
def telling_what_is_left(args: argparse.Namespace) -> Iterator[None]:
    """Let what ends a run bear a note of how to go on."""
    try:
        yield
    except Interrupted as signalled:
        signalled.add_note(what_is_left(args))
        raise
    except OSError as error:
        if begun(args):
            error.add_note(what_is_left(args))
        raise


@contextlib.contextmanager
def owned(out: Path | None, prog: str) -> Iterator[None]:
    """Keep a folder from other runs, until this process ends."""
    if out is None:
        yield
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"--out {out}: expected a folder, got a file: name another") from None
    lock = filelock.FileLock(out / ".lock", blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(
            f"--out: another {prog} is writing to {out}: wait for it, or name another folder"
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file
            Path(lock.lock_file).unlink()
        lock.release()


def saved_arguments(out: Path) -> dict[str, Any] | None:
    """Return the arguments of the run in a folder, finished or not; None if there is none."""
    if versions(out / CHECKPOINT):
        metadata = read_metadata(out / CHECKPOINT)
        with reading(out / CHECKPOINT, "no checkpoint of this command"):
            return dict(metadata["arguments"])
    summary = saved_summary(out)
    return None if summary is None else dict(summary["arguments"])


def saved_summary(out: Path) -> dict[str, Any] | None:
    """Return the summary of the finished run in a folder; None if there is none."""
    path = out / SUMMARY
    if not path.exists():
        return None
    with reading(path, "no summary of a run"):
        summary = dict(json_value(contents(path).decode()))
        return summary | {
            "arguments": dict(summary["arguments"]),
            "test_accuracy": float(summary["test_accuracy"]),
        }


def config_arguments(path: Path, grammar: Parser, given: set[str]) -> list[str]:
    """Return the command line that a file of arguments stands for, without those given otherwise.

    Parameters
    ----------
    path : Path
        Such as the ``config.json`` of a run, or the folder that it lies in.
    given : set of str
        The arguments of the command line itself, which win.

    Raises
    ------
    ValueError
        The file is none, or a name in it is no argument's.
    """
    path = path / CONFIG if path.is_dir() else path
    with reading(path, "no arguments of a run"):
        found = dict(json_value(contents(path).decode()))
    grammar.origin = f"{path}: "
    flags = {action.dest: action.option_strings[-1] for action in grammar._actions}
    known = flags.keys() - {"help", "config", "resume", "overwrite", "json", "quiet"}
    line = []
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in known:
            raise ValueError(f"{path}: {key!r} is no argument{nearest(name, known)}")
        if name not in given and value is not None and value is not False:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            line.append(flags[name] if value is True else f"{flags[name]}={text}")
    return line


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people to read, whole or not at all."""
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=2) + "\n")


def remove_checkpoint(args: argparse.Namespace) -> None:
    """Remove what nobody will go on with."""
    for checkpoint in versions(args.out / CHECKPOINT) if args.out else []:
        checkpoint.unlink(missing_ok=True)
