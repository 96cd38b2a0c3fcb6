"""Time programs of *Deep Learning from Scratch*: with ``xpnet.book``, and in plain NumPy.

A program is the same for both (its words come from ``xpnet.book`` or from
:mod:`scripts.bench.book_plain`), runs in a process of its own, and rounds alternate between the
two, both at the same number of threads.  A figure is the median over rounds; a ratio is that of
xpnet's time to plain NumPy's, the median over rounds, and its spread the smallest and largest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

CONTENDERS = ("xpnet.book", "plain NumPy")
RULES = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam")

IMAGES = 1000
"""Of noise: how long a step takes does not depend on what is in the images."""


@dataclass(frozen=True)
class Program:
    """A program: ``make`` takes a contender's words and returns what is timed.

    ``target`` is the multiple of plain NumPy's time that it may take at most; ``of`` says what one
    piece of work is.
    """

    make: Callable[[Any], Callable[[], None]]
    target: float
    of: str


def words(contender: str) -> Any:
    """Return a contender's classes and functions, by the book's names."""
    if contender == "plain NumPy":
        from scripts.bench import book_plain

        return book_plain
    from xpnet.book import (
        gradient,
        multi_layer_net,
        multi_layer_net_extend,
        optimizer,
        simple_convnet,
        two_layer_net,
    )

    rooms = (gradient, multi_layer_net, multi_layer_net_extend, optimizer)
    rooms += (simple_convnet, two_layer_net)  # type: ignore[assignment]
    found = {name: getattr(room, name) for room in rooms for name in room.__all__}
    return SimpleNamespace(**found)


def _data(*shape: int, one_hot: bool = False) -> tuple[Any, Any]:
    """Return images as the book's loader gives them, and their targets."""
    draws = np.random.default_rng(0)
    x = draws.integers(0, 256, (IMAGES, *shape), np.uint8).astype(np.float32) / np.float32(255)
    t = draws.integers(0, 10, IMAGES, np.uint8)
    return x, np.eye(10)[t] if one_hot else t


def _gradient_check(book: Any) -> Callable[[], None]:
    x, t = (a[:3] for a in _data(784, one_hot=True))
    net = book.TwoLayerNet(784, 50, 10)

    def check() -> None:
        for name in ("b1", "W2", "b2"):
            book.numerical_gradient(lambda _: net.loss(x, t), net.params[name])
        net.gradient(x, t)

    return check


def _valley(rule: str) -> Callable[[Any], Callable[[], None]]:
    def make(book: Any) -> Callable[[], None]:
        def descend() -> None:
            optimizer = getattr(book, rule)()
            params, grads = {"x": -7.0, "y": 2.0}, {}
            for _ in range(300):
                grads["x"], grads["y"] = params["x"] / 10.0, 2.0 * params["y"]
                optimizer.update(params, grads)

        return descend

    return make


def _training(
    net: Callable[[Any], Any], rule: str, batch_size: int, *shape: int, one_hot: bool = False
) -> Callable[[Any], Callable[[], None]]:
    def make(book: Any) -> Callable[[], None]:
        (x, t), network, optimizer = _data(*shape, one_hot=one_hot), net(book), None
        optimizer = getattr(book, rule)()

        def step() -> None:
            chosen = np.random.choice(IMAGES, batch_size)  # noqa: NPY002  (as the book draws)
            x_batch, t_batch = x[chosen], t[chosen]
            optimizer.update(network.params, network.gradient(x_batch, t_batch))
            network.loss(x_batch, t_batch)

        return step

    return make


def _multi(**options: Any) -> Callable[[Any], Any]:
    return lambda book: book.MultiLayerNet(784, [100] * 4, 10, **options)


def _extend(book: Any) -> Any:
    more = {"use_dropout": True, "dropout_ration": 0.2, "use_batchnorm": True}
    return book.MultiLayerNetExtend(784, [100] * 5, 10, **more)


def _simple(book: Any) -> Any:
    conv = {"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1}
    return book.SimpleConvNet((1, 28, 28), conv, hidden_size=100, output_size=10)


def _two(book: Any) -> Any:
    return book.TwoLayerNet(784, 50, 10)


PROGRAMS = (
    {"gradient check": Program(_gradient_check, 1.0, "784-50-10, 3 images: b1, W2, b2")}
    | {f"numbers, {rule}": Program(_valley(rule), 1.2, "300 updates of x and y") for rule in RULES}
    | {"two layers": Program(_training(_two, "SGD", 100, 784, one_hot=True), 1.0, "a step")}
    | {
        f"multi, {rule}": Program(_training(_multi(), rule, 128, 784), 1.0, "a step")
        for rule in RULES
    }
    | {
        "multi, sigmoid": Program(
            _training(_multi(activation="sigmoid"), "SGD", 128, 784), 1.0, "a step"
        ),
        "extended": Program(_training(_extend, "SGD", 100, 784), 1.0, "a step"),
        "simple convnet": Program(_training(_simple, "Adam", 100, 1, 28, 28), 1.0, "a step"),
    }
)
"""By name: the gradient check of chapter 5, chapter 6's optimizers, the training of networks."""


def measure(program: str, contender: str, seconds: float, threads: int) -> float:
    """Return the microseconds of one piece of work, the median within a stretch of time."""
    np.random.seed(0)  # noqa: NPY002
    work = PROGRAMS[program].make(words(contender))
    times: list[float] = []
    with threadpool_limits(threads):
        for _ in range(2):  # compiles, fills caches
            work()
        end = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            before = time.perf_counter()
            work()
            times.append(time.perf_counter() - before)
    return 1e6 * statistics.median(times)


def rounds(
    programs: list[str], count: int, seconds: float, threads: int
) -> dict[str, list[dict[str, float]]]:
    """Return, for each program and round, the microseconds of both contenders."""
    found: dict[str, list[dict[str, float]]] = {program: [] for program in programs}
    for number in range(count):
        for program in programs:
            figures = {}
            for contender in CONTENDERS if number % 2 else CONTENDERS[::-1]:
                job = [program, contender, str(seconds), str(threads)]
                command = [sys.executable, "-m", "scripts.bench.book", "--one", *job]
                figures[contender] = float(subprocess.check_output(command, text=True))
            found[program].append(figures)
    return found


def lines(found: dict[str, list[dict[str, float]]]) -> list[str]:
    """Return a table of the rounds: medians, ratios, and whether the targets are met."""
    head = f"{'program':>20}  {'xpnet us':>10}  {'NumPy us':>10}  {'ratio':>5}  {'spread':>11}"
    table = [f"{head}  {'at most':>7}"]
    for program, figures in found.items():
        mine, plain = ([each[name] for each in figures] for name in CONTENDERS)
        ratios = [a / b for a, b in zip(mine, plain, strict=True)]
        ratio, target = statistics.median(ratios), PROGRAMS[program].target
        row = f"{program:>20}  {statistics.median(mine):10,.0f}  {statistics.median(plain):10,.0f}"
        row += f"  {ratio:5.2f}  {min(ratios):5.2f}-{max(ratios):5.2f}  {target:7.2f}"
        table.append(row if ratio <= target else f"{row}  missed")
    return table


def main(arguments: list[str] | None = None) -> None:
    """Run the rounds and print the table."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("programs", nargs="*", help=f"by default all: {', '.join(PROGRAMS)}")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    p.add_argument("--threads", type=int, default=1, help="of the matrix products")
    p.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    p.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = p.parse_args(arguments)
    if args.one:
        program, contender, seconds, threads = args.one
        print(measure(program, contender, float(seconds), int(threads)))
        return
    for program in args.programs:
        if program not in PROGRAMS:
            p.error(f"program: expected one of {', '.join(PROGRAMS)}, got {program!r}")
    found = rounds(args.programs or list(PROGRAMS), args.rounds, args.seconds, args.threads)
    if args.json:
        for program, figures in found.items():
            print(json.dumps({"program": program, "us": figures}))
        return
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
