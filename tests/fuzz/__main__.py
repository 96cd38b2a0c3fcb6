"""Read damaged files, a process for each kind of file, under a limit of memory.

    python -m tests.fuzz [--count 1000] [--seed 0] [kind ...]

Prints a line for each kind: the files, how many were read and refused, the unclean errors, which
must be none, the most memory above what the process had before, and the seconds of the slowest
file and of all.  The exit status is 1 if there were unclean errors.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz import READERS, files, verdict

LIMIT = 2**32  # of addresses, of which the libraries take the larger part


def memory(what: str) -> int:
    """Return a figure of this process's memory in bytes: VmRSS now, VmHWM at most."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def read_all(kind: str, count: int, seed: int) -> bool:
    """Read damaged files of a kind and print the line; return whether all errors were clean."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    came, slowest, before = Counter[str](), 0.0, 0
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for path in files(kind, Path(folder), count, seed):
            before = before or memory("VmRSS")
            start = time.perf_counter()
            came[verdict(kind, path)] += 1
            slowest = max(slowest, time.perf_counter() - start)
    unclean = {what: n for what, n in came.items() if what not in ("read", "refused")}
    print(
        f"{kind:10} {count:7} {came['read']:7} {came['refused']:7} {sum(unclean.values()):7} "
        f"{(memory('VmHWM') - before) / 2**20:7.0f} {slowest:8.2f} "
        f"{time.perf_counter() - began:8.1f}",
        flush=True,
    )
    for what, n in unclean.items():
        print(f"  {n} times {what[:300]}")
    return not unclean


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[[], *READERS], metavar="kind")
    parser.add_argument("--count", type=int, default=1000, help="files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if len(args.kinds) == 1:
        return 0 if read_all(args.kinds[0], args.count, args.seed) else 1
    print(f"{'kind':10} {'files':>7} {'read':>7} refused unclean     MiB  slowest  seconds")
    options = [f"--count={args.count}", f"--seed={args.seed}"]
    runs = [
        subprocess.run([sys.executable, "-m", "tests.fuzz", kind, *options], check=False)
        for kind in args.kinds or READERS
    ]
    return int(any(run.returncode for run in runs))


if __name__ == "__main__":
    raise SystemExit(main())
