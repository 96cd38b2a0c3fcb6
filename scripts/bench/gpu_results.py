"""Make a results file, results/gpu-CARD-DATE.json, of what a check on a GPU found out.

What was measured again counts as it was measured last.  `python -m scripts.bench.readme` then
writes the README's table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.bench import facts, gpu
from scripts.bench.facts import Fact
from xpnet.files import replacing

RESULTS = Path(__file__).parent / "results"

KEYS: dict[str, tuple[str, ...]] = {
    "about": (),
    "ends": ("part",),
    "preflight": ("check",),
    "product": ("network",),
    "step": ("precision", "workload", "batch", "contender"),
    "kernels": ("precision", "workload", "batch", "contender"),
    "ready": ("precision", "recipe", "epochs", "contender"),
    "seed": ("precision", "recipe", "epochs", "contender"),
    "tests": (),
    "failed test": (),
    "parity": ("model", "dtype"),
    "memory": ("contender",),
    "demonstration": ("name",),
}
"""What a fact of a kind is of: those of an earlier run that are of the same make way."""
VALUES: dict[str, tuple[str, ...]] = {
    "about": ("date", "versions", "machine", "card"),
    "step": ("step_us", "round"),
    "kernels": ("steps", "launches", "busy_us", "kernels"),
    "ready": ("ready_s",),
    "seed": ("seed", "seconds", "accuracy"),
}
"""What a fact of a kind must say beside."""


def latest(found: Sequence[Fact], kind: str) -> list[Fact]:
    """Return the facts of a kind, of the latest run that has any of the same.

    Raises
    ------
    ValueError
        One of them does not say all it must.
    """
    runs: dict[tuple[Any, ...], tuple[int, list[Fact]]] = {}
    run = 0
    for fact in found:
        run += fact["fact"] == "begins"
        if fact["fact"] != kind:
            continue
        for name in (*KEYS[kind], *VALUES.get(kind, ())):
            if name not in fact:
                raise ValueError(f"expected {name!r} in every fact of kind {kind!r}, got {fact}")
        key = tuple(fact[name] for name in KEYS[kind])
        if key not in runs or runs[key][0] != run:
            runs[key] = run, []
        runs[key][1].append({name: value for name, value in fact.items() if name != "fact"})
    return [fact for _, own in runs.values() for fact in own]


def results(found: Sequence[Fact]) -> dict[str, Any]:
    """Return the figures that facts make.

    Raises
    ------
    ValueError
        They say nothing of the card or of the time of a step, or a fact is malformed.
    """
    about, steps = latest(found, "about"), latest(found, "step")
    if not about:
        raise ValueError('no "about" is among the facts: the check ended before it knew the card')
    if not steps:
        raise ValueError("no time of a step is among the facts: run the check's part 'steps'")
    rows = []
    for precision in dict.fromkeys(step["precision"] for step in steps):
        own = [step for step in steps if step["precision"] == precision]
        rows += [row | {"precision": precision} for row in gpu.summary(own, {})]
    kernels = latest(found, "kernels")
    pieces = {_cell(one): one["launches"] for one in kernels}
    for row in rows:
        if row["launches"] is None:
            row["launches"] = pieces.get(_cell(row))
    return about[-1] | {
        "parts": latest(found, "ends"),
        "preflight": latest(found, "preflight"),
        "rows": rows,
        "targets": gpu.targets([row for row in rows if row["precision"] == "float32"]),
        "kernels": kernels,
        "accuracy": _spreads(found),
        "tests": latest(found, "tests")[-1:],
        "failed tests": latest(found, "failed test"),
        "parity": latest(found, "parity"),
        "memory": latest(found, "memory"),
        "demonstrations": latest(found, "demonstration"),
        "products": latest(found, "product"),
    }


def _cell(one: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(one[name] for name in KEYS["kernels"])


def _spreads(found: Sequence[Fact]) -> list[dict[str, Any]]:
    """Return the time to accuracy, a row for each precision, recipe, length and contender."""
    names = KEYS["seed"]
    grouped: dict[tuple[Any, ...], list[Fact]] = {}
    for fact in (*latest(found, "ready"), *latest(found, "seed")):
        own = {name: value for name, value in fact.items() if name not in names}
        grouped.setdefault(tuple(fact[name] for name in names), []).append(own)
    return [
        dict(zip(names, key, strict=True)) | gpu.spread_of(iter(lines))
        for key, lines in grouped.items()
        if len(lines) > 1  # it was ready, and done with one
    ]


def name_of(figures: dict[str, Any]) -> str:
    """Return the file's name: ``gpu-h100-80gb-hbm3-2026-12-01.json``.

    Raises
    ------
    ValueError
        The date or the card is not one.
    """
    card, date = figures["card"].get("gpu"), figures["date"]
    slug = re.sub("[^a-z0-9]+", "-", str(card or "").lower()).strip("-").removeprefix("nvidia-")
    if not slug:
        raise ValueError(f"expected the name of a card among the facts, got {card!r}")
    datetime.date.fromisoformat(date)
    return f"gpu-{slug}-{date}.json"


def _facts_of(folder: Path) -> list[Fact]:
    path = folder / "facts.jsonl"
    if not path.exists():
        raise ValueError(f"there are no facts in {folder}: expected what gpu_check.sh was given")
    return facts.read(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the results file of a check's folders; return the exit status."""
    p = argparse.ArgumentParser(prog="python -m scripts.bench.gpu_results", description=__doc__)
    p.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER",
        help="what scripts/gpu_check.sh was given; of several the last was made last",
    )  # fmt: skip
    p.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="(its results/)")
    args = p.parse_args(argv)
    try:
        figures = results([fact for folder in args.folders for fact in _facts_of(folder)])
        out = args.out / name_of(figures)
    except (ValueError, OSError) as error:
        print(f"{p.prog}: error: {' '.join(map(str, args.folders))}: {error}", file=sys.stderr)
        return 2
    with replacing(out) as part:
        part.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
