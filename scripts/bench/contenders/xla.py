"""JAX."""

from __future__ import annotations

import contextlib
import os
from typing import Any, ClassVar

import numpy as np

import xpnet
from scripts.bench.contenders.base import Contender, Slots, numbered
from xpnet.layers import BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU


class Jax(Contender):
    """JAX, the whole step compiled; the channels of a pixel side by side."""

    needs: ClassVar[dict[str, str]] = {"jax": "jax"}

    def setup(self, slots: Slots, steps: int) -> None:
        """Trace the step."""
        # XLA has as many threads as cores are open to the process when it starts
        with contextlib.suppress(AttributeError):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: self.threads])
        import jax

        self.jax = jax
        self.layers = numbered(self.net)
        self.x = jax.numpy.asarray(self.data.x.transpose(0, 2, 3, 1))
        self.t = jax.numpy.asarray(self.data.t)
        self.start = {path: np.array(values) for path, values in self.net.params.items()}
        self.running = {path: jax.numpy.array(v) for path, v in self.net.state.items()}
        self.rule = self.workload.optimizer()
        zeros = {path: np.zeros_like(values) for path, values in self.start.items()}
        self.moments = [
            {path: jax.numpy.array(slots.get(f"{slot}/{path}", zeros[path])) for path in zeros}
            for slot in ("m", "v")
        ]
        self.steps = steps
        self.key = jax.random.key(0)
        self.params: dict[str, Any]
        self.order = self.orders()
        self.reset()
        self.train = jax.jit(self.trained, donate_argnums=(0, 1, 2))
        self.ask = jax.jit(lambda params, running, x: self.scores(params, running, x)[0])

    def scores(self, params: Any, running: Any, x: Any, key: Any = None) -> tuple[Any, Any]:
        """Return the scores of a batch of bytes, and the new running statistics."""
        jax, jnp = self.jax, self.jax.numpy
        running, x = dict(running), x.astype(jnp.float32) / 255
        for k, layer in self.layers:
            own = {name: params[f"{k}.{name}"] for name in layer.params}
            match layer:
                case Conv2d():
                    pads = [(layer.pad, layer.pad)] * 2
                    W = own["W"].transpose(2, 3, 1, 0)
                    axes = ("NHWC", "HWIO", "NHWC")
                    strides = (layer.stride,) * 2
                    x = jax.lax.conv_general_dilated(x, W, strides, pads, dimension_numbers=axes)
                    x = x + own["b"]
                case MaxPool2d():  # windows side by side, whose gradient is fast on a processor
                    n, h, w, c = x.shape
                    s = layer.stride
                    x = x.reshape(n, h // s, s, w // s, s, c).max((2, 4))
                case Flatten():
                    x = (x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).reshape(len(x), -1)
                case Linear():
                    x = x @ own["W"] + own["b"]
                case ReLU():
                    x = jax.nn.relu(x)
                case Dropout() if key is not None:
                    key, drawn = jax.random.split(key)
                    kept = jax.random.bernoulli(drawn, 1 - layer.rate, x.shape)
                    x = jnp.where(kept, x / (1 - layer.rate), 0)
                case BatchNorm():
                    mean, var = running[f"{k}.mean"], running[f"{k}.var"]
                    if key is not None:
                        m, n = layer.momentum, len(x)
                        batch = x.mean(0), x.var(0)
                        running[f"{k}.mean"] = m * mean + (1 - m) * batch[0]
                        running[f"{k}.var"] = m * var + (1 - m) * batch[1] * n / (n - 1)
                        mean, var = batch
                    x = (x - mean) * jax.lax.rsqrt(var + layer.eps) * own["gamma"] + own["beta"]
        return x, running

    def trained(
        self, params: Any, moments: Any, running: Any, x: Any, t: Any, chosen: Any, k: Any, key: Any
    ) -> tuple[Any, Any, Any]:
        """Return parameters, moments and running statistics after update k."""
        jax, jnp, rule = self.jax, self.jax.numpy, self.rule
        x, t = x[chosen], t[chosen]
        key = jax.random.fold_in(key, k)

        def loss(params: Any) -> tuple[Any, Any]:
            scores, after = self.scores(params, running, x, key)
            logs = jax.nn.log_softmax(scores)
            own, share = jnp.take_along_axis(logs, t[:, None], 1), self.workload.smoothing
            return -(1 - share) * own.mean() - share * logs.mean(), after

        grads, after = jax.grad(loss, has_aux=True)(params)
        if not isinstance(rule, xpnet.Adam):
            return jax.tree.map(lambda p, g: p - rule.lr * g, params, grads), moments, after
        b1, b2, (m, v) = rule.beta1, rule.beta2, moments
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
        fix1, fix2 = 1 - b1**k, 1 - b2**k
        moved = jax.tree.map(
            lambda p, m, v: p - rule.lr * (m / fix1) / (jnp.sqrt(v / fix2) + rule.eps), params, m, v
        )
        return moved, [m, v], after

    def step(self) -> None:
        """Make one update from the next batch."""
        self.steps += 1
        chosen = next(self.order).astype(np.int32)
        self.params, self.moments, self.running = self.train(
            self.params, self.moments, self.running, self.x, self.t, chosen,
            np.float32(self.steps), self.key,
        )  # fmt: skip

    def infer(self, x: np.ndarray) -> Any:
        """Compute scores in batches."""
        x, size = x.transpose(0, 2, 3, 1), self.workload.batch_size
        parts = (x[i : i + size] for i in range(0, len(x), size))
        return np.concatenate([self.ask(self.params, self.running, part) for part in parts])

    def run(self, steps: int) -> None:
        """Make a number of steps, and wait for the last."""
        super().run(steps)
        self.jax.block_until_ready(self.params)

    def limit(self) -> contextlib.AbstractContextManager[Any]:
        """Return no context: its cores were chosen at setup."""
        return contextlib.nullcontext()

    def reset(self) -> None:
        """Copy the weights back."""
        self.params = {path: self.jax.numpy.array(values) for path, values in self.start.items()}
        self.jax.block_until_ready(self.params)
