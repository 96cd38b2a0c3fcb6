"""PyTorch on a GPU: eager in two memory layouts, with a fused update, recorded, compiled."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from scripts.bench.contenders.pytorch import network, optimizer
from scripts.bench.gpu_contenders.base import WARM, Looping
from xpnet.data import Dataset

COUNTED = 5
"""Steps whose pieces of work are counted."""


class Torch(Looping):
    """PyTorch, eager, as it comes, but for cuDNN, which tries its algorithms out first."""

    needs: ClassVar[dict[str, str]] = {"torch": "torch"}
    place = "cuda"
    channels_last = False
    fused: bool | None = None

    @classmethod
    def unfit(cls) -> str | None:
        """Return that PyTorch finds no GPU, where it finds none."""
        import torch

        return None if torch.cuda.is_available() else "this PyTorch finds no GPU"

    def setup(self) -> None:
        """Make the modules, the optimizer and tensors of all images, on the GPU."""
        import torch

        self.torch = torch
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.benchmark = True
        self.layout = torch.channels_last if self.channels_last else torch.contiguous_format
        self.module = network(self.net).to(self.place).to(memory_format=self.layout)
        self.loss = torch.nn.CrossEntropyLoss(label_smoothing=self.workload.smoothing)
        self.rule = optimizer(self.workload.optimizer(), self.module, self.fused)
        self.x = torch.from_numpy(self.data.x).to(self.place)
        self.t = torch.from_numpy(self.data.t).to(self.place)
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Draw a new order on the device."""
        self.order = self.torch.randperm(len(self.x), device=self.place)
        self.at = 0

    def next_batch(self) -> Any:
        """Return the images' numbers, on the device."""
        first, self.at = self.at, self.at + self.workload.batch_size
        return self.order[first : self.at]

    def pixels(self, x: Any) -> Any:
        """Return bytes as numbers from 0 to 1 in the network's layout."""
        return x.float().div_(255).contiguous(memory_format=self.layout)

    def cost(self, x: Any, t: Any) -> Any:
        """Return the loss of a batch."""
        return self.loss(self.module(x), t)

    def update(self, chosen: Any) -> Any:
        """Make one update from a batch; return its loss."""
        self.rule.zero_grad(set_to_none=True)
        loss = self.cost(self.pixels(self.x[chosen]), self.t[chosen])
        loss.backward()
        self.rule.step()
        return loss.detach()

    def step(self) -> Any:
        """Make one update from the next batch; return its loss."""
        return self.update(self.next_batch())

    def mark(self) -> Any:
        """Return an event in the queue of work."""
        if self.place == "cpu":
            return time.perf_counter()
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def passed(self, start: Any, end: Any) -> float:
        """Return the seconds between two events."""
        return float(end - start if self.place == "cpu" else start.elapsed_time(end) / 1e3)

    def wait(self) -> None:
        """Wait until all work is done."""
        if self.place != "cpu":
            self.torch.cuda.synchronize()

    def launches(self) -> float | None:
        """Return the pieces of work of a step, as the profiler sees them on the device."""
        return len(self.kernels(COUNTED)) / COUNTED or None

    def fit(self, epochs: int, schedule: Any, seed: int) -> None:
        """Train for a number of epochs, and wait for the last update."""
        self.torch.manual_seed(seed)
        rate, total = self.rule.defaults["lr"], epochs * self.steps
        for k in range(total):
            if k % self.steps == 0:
                self.begin_epoch()
            if schedule is not None:
                self.rule.param_groups[0]["lr"] = rate * schedule(k, total)
            self.step()
        self.wait()

    def accuracy(self, test: Dataset) -> float:
        """Return the share of images that are told right."""
        self.module.eval()
        right = 0
        with self.torch.inference_mode():
            x = self.torch.from_numpy(test.x).to(self.place)
            t = self.torch.from_numpy(test.t).to(self.place)
            for images, labels in zip(x.split(1000), t.split(1000), strict=True):
                scores = self.module(self.pixels(images))
                right += int((scores.argmax(1) == labels).sum())
        return right / len(test)


class TorchChannelsLast(Torch):
    """PyTorch, eager, the channels of a pixel side by side."""

    channels_last = True


class TorchFused(Torch):
    """PyTorch, eager, the update of all parameters in one launch, which it does when told to."""

    fused = True


class TorchGraph(TorchFused):
    """PyTorch, the whole step, its fused update included, as one CUDA graph.

    The numbers of the batch's images are copied to where the graph reads them: two launches a
    step.
    """

    def setup(self) -> None:
        """Record a step, and put the weights back to where they began."""
        super().setup()
        torch, module = self.torch, self.module
        for group in self.rule.param_groups:
            if "capturable" in group:  # SGD has no counter of steps, and no such switch
                group["capturable"] = True
        begun = {name: values.clone() for name, values in module.state_dict().items()}
        self.chosen = self.next_batch().clone()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM):
                self.update(self.chosen)
        torch.cuda.current_stream().wait_stream(aside)
        self.rule.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.value = self.update(self.chosen)
        with torch.no_grad():
            for name, values in module.state_dict().items():
                values.copy_(begun[name])
            for memory in self.rule.state.values():
                for values in memory.values():
                    if torch.is_tensor(values):
                        values.zero_()
        self.begin_epoch()

    def step(self) -> Any:
        """Make one update from the next batch; return where its loss will be."""
        self.chosen.copy_(self.next_batch())
        self.graph.replay()
        return self.value

    def fit(self, epochs: int, schedule: Any, seed: int) -> None:
        """Refuse: the learning rate is written down in the graph."""
        raise NotImplementedError("torch-graph has one learning rate")


class TorchCompile(TorchFused):
    """PyTorch, network and loss compiled and recorded by it, the update fused."""

    compiles_for_long = True

    def setup(self) -> None:
        """Have network and loss compiled at their first call."""
        super().setup()
        self.torch.compiler.reset()  # or other batch sizes would make this one's a variable
        compiled = self.torch.compile(super().cost, mode="reduce-overhead", dynamic=False)
        self.cost = compiled  # type: ignore[method-assign]

    def step(self) -> Any:
        """Make one update from the next batch; return its loss."""
        # what the last step left in the graphs' memory, its gradients, is of no more use
        self.rule.zero_grad(set_to_none=True)
        self.torch.compiler.cudagraph_mark_step_begin()
        return super().step().clone()
