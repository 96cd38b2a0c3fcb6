"""Time a classifier's fit beside MLPClassifier's and skorch's: the same data, network and steps.

The data are scikit-learn's breast cancer table, standardized, in float32; each contender trains as
many hidden units by Adam at its usual rate, on as many samples a batch, for as many epochs, and
none ends early, holds samples out or decays weights.  Each measurement has a process of its own,
in which a first fit is not timed; rounds alternate between contenders, each at the number of
threads, one or all cores, at which it was faster in a first round.  A figure is the median over
rounds, its spread the largest less the smallest.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.cpu import PACKAGES, Row, cores, machine, verdict, versions, write

Settings = dict[str, Any]
Maker = Callable[[Settings], Any]

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""The environment variables that say how many threads BLAS and PyTorch have."""


def ours(settings: Settings) -> Any:
    """Return xpnet's classifier."""
    from xpnet.sklearn import NetworkClassifier

    hidden, batch, epochs = settings["hidden"], settings["batch"], settings["epochs"]
    return NetworkClassifier(hidden, batch_size=batch, epochs=epochs, random_state=0)


def scikit(settings: Settings) -> Any:
    """Return scikit-learn's."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        settings["hidden"],
        batch_size=settings["batch"],
        max_iter=settings["epochs"],
        n_iter_no_change=settings["epochs"] + 1,
        alpha=0,
        random_state=0,
    )


def skorch(settings: Settings) -> Any:
    """Return skorch's, of a network of PyTorch's."""
    import torch
    from skorch import NeuralNetClassifier

    torch.manual_seed(0)
    layers: list[Any] = []
    for units in settings["hidden"]:
        layers += [torch.nn.LazyLinear(units), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers, torch.nn.LazyLinear(2))
    net(torch.zeros(1, settings["features"]))
    return NeuralNetClassifier(
        net,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=settings["epochs"],
        batch_size=settings["batch"],
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


CONTENDERS: dict[str, tuple[Maker, dict[str, str], tuple[str, ...]]] = {
    # name: (what makes it, environment, modules that must be there)
    "xpnet": (ours, {}, ("sklearn", "numba")),
    "xpnet-plain": (ours, {"XPNET_NUMBA": "0"}, ("sklearn",)),
    "MLPClassifier": (scikit, {}, ("sklearn",)),
    "skorch": (skorch, {}, ("sklearn", "skorch", "torch")),
}

TARGETS = {"MLPClassifier": 1.5, "skorch": 0.2}
"""How many times as long as each of these xpnet may take."""


def measure(name: str, settings: Settings) -> dict[str, float]:
    """Return the seconds of a fit, the median of a few in this process, and its accuracy."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.preprocessing import StandardScaler

    warnings.simplefilter("ignore")  # that it has not converged
    table, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(table).astype(np.float32)
    seconds = []
    for _ in range(settings["fits"] + 1):
        estimator = CONTENDERS[name][0](settings | {"features": X.shape[1]})
        before = time.perf_counter()
        estimator.fit(X, y)
        seconds.append(time.perf_counter() - before)
    accuracy = float(np.mean(estimator.predict(X) == y))
    return {"seconds": statistics.median(seconds[1:]), "accuracy": accuracy}


def child(name: str, settings: Settings, threads: int) -> dict[str, float]:
    """Measure a contender in a process of its own."""
    environment = os.environ | CONTENDERS[name][1] | dict.fromkeys(THREADS, str(threads))
    command = [sys.executable, "-m", "scripts.bench.sklearn", "--one", name, json.dumps(settings)]
    found: dict[str, float] = json.loads(
        subprocess.check_output(command, env=environment, text=True).splitlines()[-1]
    )
    return found


def lacks(name: str) -> str | None:
    """Return which module a contender needs that is not there."""
    needed = CONTENDERS[name][2]
    return next((one for one in needed if importlib.util.find_spec(one) is None), None)


def compare(names: list[str], settings: Settings, rounds: int) -> list[Row]:
    """Return a row for each contender."""
    threads = {}
    for name in names:
        tried = {n: child(name, settings, n)["seconds"] for n in sorted({1, cores()})}
        threads[name] = min(tried, key=lambda n: tried[n])
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, own in figures.items():
            own.append(child(name, settings, threads[name]))
    rows = []
    for name, own in figures.items():
        seconds = [figure["seconds"] for figure in own]
        rows.append(
            {
                "contender": name,
                "seconds": statistics.median(seconds),
                "spread": max(seconds) - min(seconds),
                "threads": threads[name],
                "accuracy": own[0]["accuracy"],
            }
        )
    return rows


def ratios(rows: list[Row]) -> dict[str, float]:
    """Return how many times as long as each of the others xpnet takes."""
    seconds = {row["contender"]: row["seconds"] for row in rows}
    own = seconds.get("xpnet", seconds.get("xpnet-plain"))
    return {} if own is None else {name: own / seconds[name] for name in TARGETS if name in seconds}


def table(rows: list[Row]) -> str:
    """Return the rows in columns."""
    lines = [f"{'contender':13}  {'fit, ms':>9}  {'spread':>7}  {'threads':>7}  {'accuracy':>8}"]
    for row in rows:
        lines.append(
            f"{row['contender']:13}  {1e3 * row['seconds']:9.1f}  {1e3 * row['spread']:7.1f}  "
            f"{row['threads']:7}  {row['accuracy']:8.4f}"
        )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    p = argparse.ArgumentParser(
        prog="python -m scripts.bench.sklearn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--hidden", type=int, nargs="+", default=[100], help="units (100)")
    p.add_argument("--batch", type=int, default=200, help="samples a batch (200)")
    p.add_argument("--epochs", type=int, default=200, help="(200)")
    p.add_argument("--rounds", type=int, default=5, help="(5)")
    p.add_argument("--fits", type=int, default=3, help="timed in each process (3)")
    p.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    p.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    p.add_argument("--one", nargs=2, metavar=("NAME", "SETTINGS"), help=argparse.SUPPRESS)
    return p


def main(argv: list[str] | None = None) -> None:
    """Time the contenders, print the figures and write them down."""
    args = parser().parse_args(argv)
    if args.one:
        print(json.dumps(measure(args.one[0], json.loads(args.one[1]))))
        return
    names = []
    for name in args.contenders:
        missing = lacks(name)
        if missing is None:
            names.append(name)
        else:
            print(f"no {name}: {missing} is not installed")
    about = {"versions": versions((*PACKAGES, "skorch")), "machine": machine()}
    for group in about.values():
        print(", ".join(f"{key} {value}" for key, value in group.items()))
    settings = {one: getattr(args, one) for one in ("hidden", "batch", "epochs", "fits")}
    rows = compare(names, settings, args.rounds)
    print(table(rows))
    for name, ratio in ratios(rows).items():
        print(f"xpnet to {name}: {ratio:.2f}, target {verdict(ratio, TARGETS[name])}")
    write(args.json, {**about, "settings": settings, "rows": rows, "ratios": ratios(rows)})


if __name__ == "__main__":
    main()
