"""Show that a run on several ranks of MPI has the bits of a run on one, killed in between or not.

    python -m scripts.bench.ranks digests
    python -m scripts.bench.ranks digests --ranks 2 --networks mlp --mpiexec mpich/bin/mpiexec ...
    python -m scripts.bench.ranks kills --times 20

"digests" trains each network, with compiled bodies and with NumPy's, on augmented images: in one
process that nothing launched, then on each number of ranks, whose messages go through shared memory
or over the network.  The digest is that of parameters, state, the optimizer's slots and the
history; each row tells whether it is the one process's.  "megabytes" is what the machine sent
meanwhile, to itself too: it shows which way the messages went.

"kills" ends one rank of a run with SIGKILL, at a random instant, while the run writes checkpoints
within its epochs.  All its processes have to end by that, and the run goes on from its checkpoint
on another number of ranks to the digest of one that was never killed.  It needs Linux, whose /proc
tells which processes are a job's.

Either exits with 1 if anything differs.  An mpiexec starts the Python that lies beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, NamedTuple

import xpnet
from scripts.bench import bits
from scripts.bench.bits import BODIES
from scripts.bench.steps import AUGMENTS
from xpnet import models
from xpnet.data import Dataset
from xpnet.files import versions
from xpnet.parallel import connect
from xpnet.training import Callback, Checkpoint
from xpnet.training.callbacks import Run

ROOT = Path(__file__).resolve().parents[2]

SHARDS, BATCH_SIZE = 8, 100
LAST = 5
"""Samples of an epoch's last batch: fewer than there are shards."""

NETWORKS: dict[str, Callable[[], xpnet.Sequential]] = {
    "mlp": partial(models.mlp, (100, 50), batch_norm=True, dropout=0.3, seed=1),
    "simple-convnet": partial(models.simple_convnet, seed=1),
    "deep-convnet": partial(models.deep_convnet, seed=1),
}

MESSAGES: dict[str, dict[str, str]] = {
    "shared memory": {},
    "network": {
        "MPIR_CVAR_NOLOCAL": "1",  # MPICH, whose libraries below have shared memory of their own
        "UCX_TLS": "tcp,self",
        "FI_PROVIDER": "tcp",
        "OMPI_MCA_btl": "tcp,self",  # Open MPI
    },
}
"""What tells MPICH and Open MPI how ranks of one machine send their messages."""

GOES_ON = (4, 2, 1, 8)
"""The ranks on which runs that were killed go on, in turn."""

DELAY = 0.05
"""Seconds after a random step, at most, until a rank is killed."""

PATIENCE = 30.0
"""Seconds after which processes of a job that was killed are left over."""

TIMES = {"seconds", "samples_per_second"}

WIDTHS = {"network": 14, "bodies": 8, "mpi": 15, "messages": 13, "digest": 16}
"""Of columns whose cells are wider than their titles."""


# The run, in each of its processes


def data(steps: int | None) -> tuple[Dataset, Dataset, int]:
    """Return samples to train on and to validate with, and epochs of so many steps in all.

    By None it is one epoch of MNIST, where ``XPNET_DATA`` says where it lies, else of the digits.
    """
    mnist = steps is None and os.environ.get("XPNET_DATA")
    train, test = xpnet.data.load("mnist" if mnist else "digits")
    most = len(train) // BATCH_SIZE
    epochs = -(-(steps or most) // most)
    samples = -(-(steps or most) // epochs) * BATCH_SIZE - BATCH_SIZE + LAST
    return train.take(samples).augmented(*AUGMENTS["augmented"]), test.take(100), epochs


def say(*words: object) -> None:
    """Print a line at once, whatever the other ranks print."""
    print(" ".join(map(str, words)) + "\n", end="", flush=True)


class Tells(Callback):
    """A line for the step that a fit begins after, and for each that it makes."""

    rank_zero_only = True

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """Tell it."""
        self.step_ends(trainer)

    def step_ends(self, trainer: Run) -> None:
        """Tell it."""
        say("step", trainer.optimizer.steps)


def digest(trainer: xpnet.Trainer) -> str:
    """Return what a run's arrays and history are, in 16 letters."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in trainer.history]
    return hashlib.sha256((bits.digest(trainer) + json.dumps(rows)).encode()).hexdigest()[:16]


def one(network: str, steps: int | None, folder: Path | None) -> None:
    """Make the part of a run that is this process's; with a folder, go on with what is there."""
    processes = connect("auto", shards=SHARDS)
    say("pid", processes.rank, os.getpid())
    trainer = xpnet.Trainer(
        NETWORKS[network](), xpnet.SoftmaxCrossEntropy(), xpnet.Adam(lr=3e-3),
        schedule=xpnet.schedules.one_cycle(), processes=processes, seed=3,
    )  # fmt: skip
    if folder is not None:
        path = folder / "run.safetensors"
        trainer.callbacks = [Tells(), Checkpoint(path, every_seconds=1e-3)]
        if versions(path):
            trainer.restore(path)
    train, test, epochs = data(steps)
    trainer.fit(train, epochs, BATCH_SIZE, validation=test)
    say("digest", processes.rank, digest(trainer))


# The processes of a run


class Launcher:
    """An mpiexec, and the Python beside it.

    Parameters
    ----------
    mpiexec : Path
    """

    def __init__(self, mpiexec: Path) -> None:
        self.mpiexec = mpiexec.absolute()
        beside = self.mpiexec.parent / "python"
        self.python = str(beside) if beside.exists() else sys.executable

    @cached_property
    def name(self) -> str:
        """The library and its version."""
        told = subprocess.check_output([self.mpiexec, "--version"], text=True)
        version = re.search(r"\d+(\.\d+)+", told)
        return f"{'Open MPI' if 'Open MPI' in told else 'MPICH'} {version[0] if version else ''}"

    def command(self, ranks: int | None, words: Sequence[str]) -> list[str]:
        """Return what starts this module on some ranks, or by None in a process alone."""
        program = [self.python, "-m", "scripts.bench.ranks", *words]
        if ranks is None:
            return program
        options = []
        if self.name.startswith("Open MPI"):  # it minds root, and more ranks than cores
            options = ["--allow-run-as-root", "--oversubscribe", "--mca", "mpi_yield_when_idle"]
            options += ["1"]
        return [str(self.mpiexec), *options, "-n", str(ranks), *program]


class Job:
    """Processes that a mark in their environment tells from all others; they end with the block.

    Parameters
    ----------
    command : sequence of str
    settings : mapping
        What else is in their environment.
    limit : float
        Seconds after which they are ended.
    """

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], limit: float) -> None:
        mark = {"XPNET_BENCH_JOB": secrets.token_hex(8)}
        self._mark = "=".join(*mark.items()).encode()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **settings, **mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._timer = threading.Timer(limit, self.end)
        self._timer.start()
        self.output = ""

    def lines(self) -> Iterator[list[str]]:
        """Yield the words of each line that they print."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            yield line.split()

    def pids(self) -> list[int]:
        """Return which processes there are."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                if self._mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def status(self) -> int:
        """Wait for the end; return the first process's exit status."""
        return self._process.wait()

    def end(self) -> None:
        """End them all."""
        self._process.kill()
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._process:
            self.end()


class Case(NamedTuple):
    """What is trained."""

    network: str
    bodies: str
    steps: int | None

    def started(
        self,
        launcher: Launcher,
        ranks: int | None,
        limit: float,
        *,
        messages: str = "shared memory",
        folder: str | None = None,
    ) -> Job:
        """Return the job that trains it, on some ranks, or by None in a process alone."""
        words = ["one", self.network]
        words += [] if self.steps is None else ["--steps", str(self.steps)]
        words += [] if folder is None else ["--folder", folder]
        settings = {"XPNET_NUMBA": BODIES[self.bodies], **MESSAGES[messages]}
        return Job(launcher.command(ranks, words), settings, limit)


class Outcome(NamedTuple):
    """What a run came to: the step it went on after, and the digest of all its ranks."""

    after: int | None
    digest: str


def outcome(job: Job, ranks: int | None) -> Outcome:
    """Wait for a job; return what it came to, in words if it has no digest."""
    after, digests = None, []
    for words in job.lines():
        match words:
            case ["step", number] if after is None:
                after = int(number)
            case ["digest", _, found]:
                digests.append(found)
    if job.status() or len(digests) != (ranks or 1):
        print(job.output, file=sys.stderr)
        return Outcome(after, "failed")
    return Outcome(after, digests[0] if len(set(digests)) == 1 else "ranks differ")


def trained(case: Case, launcher: Launcher, ranks: int | None, limit: float, **how: Any) -> Outcome:
    """Train a case; return what it came to."""
    with case.started(launcher, ranks, limit, **how) as job:
        return outcome(job, ranks)


def alone(case: Case, launcher: Launcher, limit: float) -> str:
    """Return the digest of a process that nothing launched."""
    found = trained(case, launcher, None, limit).digest
    if found == "failed":
        sys.exit(f"{launcher.python}: a run in one process has failed")
    return found


# Digests


class Row(NamedTuple):
    """A run on some ranks, and whether it has the bits of one process alone."""

    network: str
    bodies: str
    mpi: str
    ranks: int
    messages: str
    megabytes: float
    digest: str
    equal: bool


def sent() -> int:
    """Return the bytes that this machine has sent, to itself or others, as Linux counts them."""
    counts = Path("/proc/net/dev")
    lines = counts.read_text().splitlines()[2:] if counts.exists() else []
    return sum(int(line.split(":")[1].split()[8]) for line in lines)


def digests(args: argparse.Namespace) -> Iterator[Row]:
    """Yield a row for each run."""
    for launcher in map(Launcher, args.mpiexec):
        for network, bodies in product(args.networks, args.bodies):
            case = Case(network, bodies, None if args.epoch else args.steps)
            expected = alone(case, launcher, args.limit)
            for ranks, messages in product(args.ranks, MESSAGES):
                before = sent()
                found = trained(case, launcher, ranks, args.limit, messages=messages).digest
                about = (network, bodies, launcher.name, ranks, messages)
                yield Row(*about, round((sent() - before) / 1e6, 1), found, found == expected)


# Kills


class Kill(NamedTuple):
    """A rank that was killed, what became of the others, and of the run that went on."""

    mpi: str
    rank: int
    after: int | None
    seconds: float
    left: int
    on: int
    digest: str
    equal: bool


def killed(job: Job, case: Case, ranks: int, draws: random.Random) -> tuple[int, float, int]:
    """Kill a rank of a job at a random instant.

    Returns
    -------
    rank : int
    seconds : float
        Until all processes of the job had ended.
    left : int
        How many had not when patience had.
    """
    rank, last, step = draws.randrange(ranks), draws.randrange(case.steps or 1), -1
    pids: dict[int, int] = {}
    for words in job.lines():
        match words:
            case ["pid", number, pid]:
                pids[int(number)] = int(pid)
            case ["step", number]:
                step = int(number)
        if step >= last and len(pids) == ranks:
            break
    else:
        sys.exit(f"{job.output}\na run to be killed has failed")
    time.sleep(draws.uniform(0, DELAY))
    if pids[rank] in job.pids():  # else it has finished
        os.kill(pids[rank], signal.SIGKILL)
    began = time.perf_counter()
    while (left := job.pids()) and time.perf_counter() - began < PATIENCE:
        time.sleep(0.01)
    return rank, time.perf_counter() - began, len(left)


def kills(args: argparse.Namespace) -> Iterator[Kill]:
    """Yield a row for each kill."""
    for launcher in map(Launcher, args.mpiexec):
        case, draws = Case("mlp", "compiled", args.steps), random.Random(args.seed)
        expected = alone(case, launcher, args.limit)
        for on in islice(cycle(GOES_ON), args.times):
            with tempfile.TemporaryDirectory() as folder:
                with case.started(launcher, args.ranks, args.limit, folder=folder) as job:
                    rank, seconds, left = killed(job, case, args.ranks, draws)
                after, found = trained(case, launcher, on, args.limit, folder=folder)
            equal = found == expected
            yield Kill(launcher.name, rank, after, round(seconds, 2), left, on, found, equal)


# The command


def shown(rows: Iterator[Any], *, lines: bool) -> list[Any]:
    """Print rows as they come, as a table or as JSON lines; return them."""
    found: list[Any] = []
    for row in rows:
        if lines:
            print(json.dumps(row._asdict()), flush=True)
        else:
            if not found:
                print(_line(row._fields, row._fields))
            print(_line(row._fields, row), flush=True)
        found.append(row)
    return found


def _line(titles: Sequence[str], cells: Sequence[object]) -> str:
    words = [("yes" if cell else "NO") if isinstance(cell, bool) else str(cell) for cell in cells]
    widths = [max(len(title), WIDTHS.get(title, 0)) for title in titles]
    return "  ".join(map(str.ljust, words, widths)).rstrip()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = argparse.ArgumentParser(add_help=False)
    found = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    shared.add_argument(
        "--mpiexec", nargs="+", type=Path, metavar="PATH", default=[Path(found)] if found else []
    )
    shared.add_argument(
        "--steps", type=_count, default=60, help="of each run; rounded up to epochs"
    )
    shared.add_argument("--limit", type=float, default=1800.0, help="seconds a run may take")
    shared.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{digests,kills}")
    ranks = range(1, SHARDS + 1)

    p = commands.add_parser("digests", parents=[shared], help="on any number of ranks")
    p.add_argument("--ranks", nargs="+", type=int, choices=ranks, default=[1, 2, 3, 4, 8])
    p.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    p.add_argument("--bodies", nargs="+", choices=BODIES, default=[*BODIES])
    p.add_argument("--epoch", action="store_true", help="an epoch of MNIST in place of --steps")

    p = commands.add_parser("kills", parents=[shared], help="of a rank, and how runs go on")
    p.add_argument("--times", type=_count, default=20)
    p.add_argument("--ranks", type=int, choices=ranks, default=4)
    p.add_argument("--seed", type=int, default=0, help="of ranks and instants")

    p = commands.add_parser("one")  # a process of a run
    p.add_argument("network", choices=NETWORKS)
    p.add_argument("--steps", type=int)
    p.add_argument("--folder", type=Path)
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Print the table, and exit with 1 if anything is not as it should be."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.command == "one":
        one(args.network, args.steps, args.folder)
        return
    if not args.mpiexec:
        parser.error('no mpiexec was found: install "xpnet[mpi]", or name one with --mpiexec')
    for path in args.mpiexec:
        if not path.is_file():
            parser.error(f"--mpiexec: expected the path of an mpiexec, got {path}")
    if args.command == "kills" and not Path("/proc/self/environ").exists():
        parser.error("kills: expected Linux, whose /proc tells which processes are a job's")
    make = digests if args.command == "digests" else kills
    rows = shown(make(args), lines=args.json)
    bad = [row for row in rows if not row.equal or (make is kills and row.left)]
    if not args.json:
        print(f"{len(rows) - len(bad)} of {len(rows)} are as they should be")
        if make is kills:
            print(f"the slowest end took {max(row.seconds for row in rows):.2f} s")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
