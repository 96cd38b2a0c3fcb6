"""Whether the GPU does what all else is built on; what it cannot do is said, with the reason.

Products through nvmath-python, the kernels in both dtypes, a recording replayed, and some steps of
networks that must end with the same bits replayed and asked for one by one.  Beside these, for
information: for each product of each network whether cuBLASLt has a way, with a bias and without.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

import xpnet
from scripts.bench import parity, workloads
from scripts.bench.facts import Facts
from xpnet import ops
from xpnet.arrays import Array
from xpnet.data import Dataset

NETWORKS = ("two", "fast")
"""Which are trained."""
STEPS = 30
"""One by itself, ten recorded together and replayed, and nine more, recorded by ones."""


class UnfitError(Exception):
    """A check that did not pass; the message is why."""


def nvmath() -> str:
    """Check that cuBLASLt is reached, by which alone products can be recorded."""
    try:
        from nvmath.bindings import cublasLt

        found = f"cuBLASLt {cublasLt.get_version()}"
    except Exception as error:
        missing = f", module {error.name}" if isinstance(error, ImportError) and error.name else ""
        found = f"{type(error).__name__}{missing}: {error}"
    reason = ops.not_recordable("cupy")
    if reason is not None:
        raise UnfitError(f"{found}; {reason}")
    return found


def compiled(dtype: str) -> str:
    """Check that the kernels compile in a dtype, and that one of them computes."""
    place = xpnet.device("gpu")
    x = np.linspace(-1, 1, 1000).astype(dtype)
    y = xpnet.to_numpy(ops.elementwise.relu(place.asarray(x)))
    if not parity.same_bits(y, np.maximum(x, 0)):
        raise UnfitError("ReLU of 1000 numbers is not what it is on a processor")
    return "the kernels compile"


def recorder() -> str:
    """Check that work that was recorded is done by a replay, on what is there then."""
    place = xpnet.device("gpu")
    queue = place.recorder()
    x = place.asarray(np.arange(-3.0, 3.0, dtype=np.float32))
    made: list[Array] = []

    def work() -> None:
        made.clear()  # whose memory the next one takes: none can be asked for in a recording
        made.append(ops.elementwise.relu(x))

    try:
        with queue.stream():
            again = queue.record(work)
            x[...] = place.asarray(np.arange(6, dtype=np.float32))
            again()
        found = xpnet.to_numpy(made[0])
    finally:
        made.clear()
        queue.close()
    if not parity.same_bits(found, np.arange(6, dtype=np.float32)):
        raise UnfitError(f"expected 0 to 5 of a replay, got {found}")
    return "a recording was replayed"


def trained(name: str) -> str:
    """Check that a network's steps end with the same bits replayed and not."""
    workload = workloads.WORKLOADS[name]
    images, _ = workloads.load(None, quick=True)
    size = workload.batch_size
    data = images.select(np.arange(STEPS * size) % len(images))
    ends, seconds = {}, {}
    for graph in ("on", "off"):
        began = time.perf_counter()
        loss = xpnet.SoftmaxCrossEntropy(label_smoothing=workload.smoothing)
        trainer = xpnet.Trainer(workload.net().to("gpu"), loss, workload.optimizer(), graph=graph)
        trainer.fit(data, 1, size)
        if graph == "on" and trainer.not_replayed:
            raise UnfitError(trainer.not_replayed)
        ends[graph], seconds[graph] = parity.kept(trainer), time.perf_counter() - began
    differ = parity.differing(ends["on"], ends["off"])
    if differ:
        raise UnfitError(f"replayed steps differ from eager ones: {parity.some(differ)}")
    return (
        f"{STEPS} steps, the same bits; everything that is done once included {seconds['on']:.2f} "
        f"s replayed, {seconds['off']:.2f} s not"
    )


def products(names: list[str], facts: Facts) -> str:
    """Add to the facts how cuBLASLt does each product of a step of networks; return a summary."""
    ways: list[dict[str, Any]] = []
    for name in names:
        workload = workloads.WORKLOADS[name]
        for own in products_of(workload, workloads.load(None, quick=True)[0]):
            ways.append({"network": name, **own})
            facts.add("product", **ways[-1])
    without = [f"{way['network']} {way['m']}x{way['k']}x{way['n']}" for way in ways
               if not (way["plain"] and way["with_bias"])]  # fmt: skip
    lacking = f"; not for all: {parity.some(without)}" if without else ""
    return f"{len(ways)} products, each with cuBLASLt's way with and without bias{lacking}"


def products_of(workload: workloads.Workload, images: Dataset) -> Iterator[dict[str, Any]]:
    """Yield for each product of a step its sizes, and cuBLASLt's ways of it."""
    from xpnet.ops.cupy import products

    plan, seen = products.plan, []

    def watched(*args: Any) -> Any:
        seen.append(args)
        return plan(*args)

    size = min(workload.batch_size, 100)
    images = images.take(size)
    net = replace(workload, batch_size=size).net().to("gpu")
    trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), workload.optimizer(), graph="off")
    with mock.patch.object(products, "plan", watched):
        trainer.fit(images, 1, size)
    somewhere = net.device.zeros(4096, "float32").data.ptr
    for args in dict.fromkeys(seen):
        named = inspect.signature(plan).bind(*args).arguments
        plain, biased = (plan(**named | {"bias": bias}) for bias in (0, somewhere))
        yield {
            **{key: named[key] for key in ("m", "k", "n", "precision", "aligned")},
            "transposed": [named["a"][0], named["b"][0]],
            "asked_with_bias": bool(named["bias"]),
            "plain": plain is not None,
            "with_bias": biased is not None,
            "workspace": {
                way: None if found is None else found.workspace
                for way, found in (("plain", plain), ("with_bias", biased))
            },
        }


def main(argv: list[str] | None = None) -> int:
    """Check everything, and say what came of it; return 1 if something did not pass."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--facts", type=Facts, default=Facts(), metavar="FILE")
    names = [name for name, one in workloads.WORKLOADS.items() if not one.infers]
    p.add_argument("--networks", nargs="+", choices=names, metavar="NAME")
    args = p.parse_args(argv)
    checks: dict[str, Callable[[], str]] = {
        "nvmath": nvmath,
        "kernels, float32": partial(compiled, "float32"),
        "kernels, float64": partial(compiled, "float64"),
        "recorder": recorder,
        **{f"steps of {name}": partial(trained, name) for name in args.networks or NETWORKS},
    }
    good = [attempt(name, check, args.facts) for name, check in checks.items()]
    attempt("products", partial(products, args.networks or names, args.facts), args.facts)
    return 0 if all(good) else 1


def attempt(name: str, check: Callable[[], str], facts: Facts) -> bool:
    """Return whether a check passes; print and add to the facts what came of it."""
    began, passed = time.perf_counter(), False
    try:
        found = check()
        passed = True
    except UnfitError as error:
        found = str(error)
    except Exception as error:  # whatever it is, the other checks still tell something
        traceback.print_exc(file=sys.stdout)
        found = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    facts.add("preflight", check=name, passed=passed, found=found, seconds=round(seconds, 2))
    with contextlib.suppress(BrokenPipeError):
        print(f"{'pass' if passed else 'FAIL'}  {name}, {seconds:.1f} s: {found}", flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
