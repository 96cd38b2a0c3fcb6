"""What a check's figures depend on: the card, the libraries, the machine."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import xpnet
from scripts.bench import cpu
from scripts.bench.facts import Facts
from scripts.bench.gpu_check.parts import lacks_mnist

PACKAGES = (
    "array-api-compat", "cupy-cuda13x", "cupy-cuda12x", "nvmath-python", "cuda-core",
    "cuda-bindings", "cuda-pathfinder", "nvidia-cublas", "nvidia-cuda-nvrtc",
    "nvidia-cuda-runtime", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "torch", "triton", "jaxlib",
    "pytest", "pytest-xdist",
)  # fmt: skip
ASKED = ("driver_version", "memory.total", "clocks.sm", "clocks.max.sm", "clocks.mem",
         "clocks.max.mem", "power.limit", "temperature.gpu", "compute_mode")  # fmt: skip
"""Of nvidia-smi."""
PROPERTIES = ("major", "minor", "multiProcessorCount", "totalGlobalMem", "l2CacheSize",
              "sharedMemPerMultiprocessor", "memoryBusWidth")  # fmt: skip


def about() -> dict[str, Any]:
    """Return the date, versions, and what is known of machine and card, each in a dict."""
    place = xpnet.device("gpu")
    described = place.describe()
    versions = cpu.versions() | {"cupy": described["cupy"]} | _cuda(place.xp.cuda)
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    asked = _asked()
    properties = place.xp.cuda.runtime.getDeviceProperties(0)
    card = {"gpu": described["hardware"]} | {k: properties.get(k) for k in PROPERTIES} | asked
    machine = cpu.machine() | {
        "gpu": described["hardware"],
        "driver": asked.get("driver_version", "-"),
        "mnist": lacks_mnist() or "found",
    }
    today = datetime.date.today().isoformat()
    return {"date": today, "versions": versions, "machine": machine, "card": card}


def _cuda(cuda: Any) -> dict[str, str]:
    """Return the versions of CUDA's own libraries, those that can be asked."""

    def products() -> int:
        from nvmath.bindings import cublasLt

        return int(cublasLt.get_version())

    asked: dict[str, Callable[[], Any]] = {
        "cuda runtime": cuda.runtime.runtimeGetVersion,
        "cuda of the driver": lambda: cuda.runtime.driverGetVersion(),
        "nvrtc": lambda: ".".join(map(str, cuda.nvrtc.getVersion())),
        "cublasLt": products,
    }
    found = {}
    for name, ask in asked.items():
        try:
            found[name] = str(ask())
        except Exception as error:  # whatever it is, the preflight says what it means
            found[name] = f"{type(error).__name__}: {error}"
    return found


def _asked() -> dict[str, str]:
    """Return what nvidia-smi says of the first card, if it is there."""
    command = ["nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader", "-i", "0"]
    try:
        said = subprocess.check_output(command, text=True, timeout=5, stderr=subprocess.STDOUT)
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(ASKED, (value.strip() for value in said.split(",")), strict=False))


def main() -> int:
    """Print it, and add it to the facts; return the exit status."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--facts", type=Facts, default=Facts(), metavar="FILE")
    args = p.parse_args()
    found = about()
    args.facts.add("about", **found)
    for group in found.values():
        if isinstance(group, dict):
            print(", ".join(f"{key} {value}" for key, value in group.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
