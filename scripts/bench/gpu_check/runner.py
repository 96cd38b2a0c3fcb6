"""Runs parts one after the other, so that whatever ends it, what was found is kept."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.bench.facts import LEFT_OUT, Facts
from scripts.bench.gpu_check.parts import Part

ROOT = Path(__file__).parents[3]
ENDING = ((signal.SIGINT, 4.0), (signal.SIGABRT, 1.0), (signal.SIGKILL, 10.0))
"""How a part is stopped, and the seconds that it has to heed each: Python reports at the first,
and at the second says where it hangs."""
GRACE = sum(seconds for _, seconds in ENDING[:2])
FAILED, REFUSED, UNFIT, INTERRUPTED = 1, 2, 3, 130
"""Exit statuses of a check: a part failed, it was not begun, its preflight failed, it was ended."""
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}


class Runner:
    """Runs parts, each in a process group of its own.

    Parameters
    ----------
    folder : Path
        For ``facts.jsonl``, to which parts add, and ``log.txt``, all that they print.
    seconds : float
        For all parts; one that may take longer than is left is left out.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.log = folder / "log.txt"
        self.facts = Facts(folder / "facts.jsonl")
        self.until = time.monotonic() + seconds
        self.verdicts: list[tuple[str, float, str]] = []

    def run(self, parts: Sequence[Part]) -> int:
        """Run parts; return the check's exit status."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        status = 0
        try:
            for part in parts:
                if not self._attempt(part):
                    status = UNFIT if part.vital else FAILED
                    if part.vital:
                        break
        except KeyboardInterrupt:
            status = INTERRUPTED
        self._summarize()
        return status

    def _attempt(self, part: Part) -> bool:
        """Run a part, or say why not; return whether nothing failed."""
        reason = part.lacks
        if reason is None and part.limit + GRACE > self.until - time.monotonic():
            reason = "no time is left for it"
        if reason is not None:
            self._end(part, 0.0, f"left out: {reason}")
            return True
        print(f"\n== {part.name}, at most {part.limit:.0f} s", flush=True)
        self.facts.add("begins", part=part.name, command=part.command, limit=part.limit)
        began = time.monotonic()
        with self.log.open("ab") as log:
            log.write(f"\n== {part.name}: {' '.join(part.command)}\n".encode())
            log.flush()
            start = log.tell()
            verdict = "interrupted"
            try:
                verdict = self._status(part, log.fileno())
            finally:
                lines = self._said(start)
                print("\n".join(lines[-part.shown :]), flush=True)
                if verdict == "left out":
                    verdict = f"left out: {(lines or ['?'])[-1]}"
                self._end(part, time.monotonic() - began, verdict)
        return verdict == "pass" or verdict.startswith("left out")

    def _status(self, part: Part, log: int) -> str:
        """Return how a part ended, in words."""
        process = subprocess.Popen(
            [sys.executable, *part.command], cwd=ROOT, env=os.environ | ENVIRONMENT,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
        )  # fmt: skip
        try:
            status = process.wait(part.limit)
        except subprocess.TimeoutExpired:
            stop(process)
            return f"FAIL: stopped after {part.limit:.0f} s"
        except KeyboardInterrupt:
            stop(process)
            raise
        finally:
            _signal(process, signal.SIGKILL)  # whatever it left running
        if status == LEFT_OUT:
            return "left out"
        return "pass" if status == 0 else f"FAIL: exit status {status}"

    def _said(self, start: int) -> list[str]:
        with self.log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").splitlines()
        return [line for line in lines if line.strip()]

    def _end(self, part: Part, seconds: float, verdict: str) -> None:
        self.facts.add("ends", part=part.name, seconds=round(seconds, 1), verdict=verdict)
        self.verdicts.append((part.name, seconds, verdict))

    def _summarize(self) -> None:
        print(f"\n== summary ({self.log.parent})")
        for name, seconds, verdict in self.verdicts:
            print(f"{name:14} {seconds:4.0f} s  {verdict}", flush=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and those it started, as gently as it lets itself be ended."""
    for number, seconds in ENDING:
        _signal(process, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
