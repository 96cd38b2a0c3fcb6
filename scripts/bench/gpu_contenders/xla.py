"""JAX on a GPU."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

from scripts.bench.contenders import xla
from scripts.bench.gpu_contenders.base import Looping

PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32"}


class Jax(Looping):
    """JAX, the whole step compiled, the gathering of the batch included."""

    needs: ClassVar[dict[str, str]] = {"jax": "jax"}
    environment: ClassVar[dict[str, str]] = {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        # a round compiles, the others find what it compiled
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    compiles_for_long = True

    @classmethod
    def unfit(cls) -> str | None:
        """Return that JAX finds no GPU, where it finds none."""
        import jax

        found = jax.default_backend()
        return None if found == "gpu" else f"this JAX finds no GPU, only its {found!r}"

    def setup(self) -> None:
        """Write the step down."""
        import jax

        self.jax = jax
        jax.config.update("jax_default_matmul_precision", PRECISIONS[self.precision])
        own = xla.Jax(self.workload, self.net, self.data, os.cpu_count() or 1, {}, 0)
        self.x, self.t = own.x, own.t
        self.learned = own.params, own.moments, own.running
        self.k = jax.numpy.zeros((), "int32")
        self.key, self.epoch = jax.random.key(0), 0
        size, steps, n = self.workload.batch_size, self.steps, len(self.data)

        def whole(learned: Any, k: Any, order: Any, x: Any, t: Any) -> tuple[Any, Any]:
            first = k % steps * size
            chosen = jax.lax.dynamic_slice(order, (first,), (size,))
            number = (k + 1).astype("float32")
            params, moments, running = learned
            return own.trained(params, moments, running, x, t, chosen, number, own.key), k + 1

        self.whole = jax.jit(whole, donate_argnums=(0, 1))
        self.shuffled = jax.jit(lambda key: jax.random.permutation(key, n))

    def begin_epoch(self) -> None:
        """Draw a new order on the device."""
        self.epoch += 1
        self.order = self.shuffled(self.jax.random.fold_in(self.key, self.epoch))

    def step(self) -> Any:
        """Make one update from the next batch; its loss is not kept."""
        self.learned, self.k = self.whole(self.learned, self.k, self.order, self.x, self.t)

    def mark(self) -> float:
        """Return the time when all before was done: JAX has no events."""
        self.wait()
        return time.perf_counter()

    def passed(self, start: float, end: float) -> float:
        """Return the seconds between two times."""
        return end - start

    def wait(self) -> None:
        """Wait until all work is done."""
        self.jax.block_until_ready((self.learned, self.order))
