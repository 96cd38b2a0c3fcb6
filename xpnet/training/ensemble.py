"""Several answers made one: of several networks, or of several changed copies of each sample."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from xpnet.arrays import Array, HostArray, namespace, to_numpy
from xpnet.checks import Constructible, came, instance, whole_number
from xpnet.data import Batches, Dataset
from xpnet.layers import Network
from xpnet.losses import Loss
from xpnet.ops.batch import RECORD
from xpnet.parallel import Processes
from xpnet.training.metrics import Evaluation
from xpnet.training.prepare import answers, check_fit, check_targets, checked_network, prepared
from xpnet.training.stats import Stats

__all__ = ["Ensemble"]


class Ensemble(Constructible):
    """Networks that answer together, each perhaps several times.

    What is averaged are probabilities, or numbers where the loss is of numbers:
    :meth:`xpnet.losses.Loss.averaged`.

    Parameters
    ----------
    nets : sequence of Network
        On one device, of one input and one output shape.
    loss : Loss
        That they were trained with.
    copies : int, optional
        How often each answers, for a copy of the sample changed as
        :meth:`xpnet.data.Dataset.augmented` says; by default once, for the sample as it is.

    Notes
    -----
    Test-time augmentation as of Krizhevsky et al., "ImageNet classification with deep convolutional
    neural networks", 2012.
    """

    cure = "write Ensemble([net, ...], loss)"

    def __init__(self, nets: Sequence[Network], loss: Loss, *, copies: int | None = None) -> None:
        if isinstance(nets, Network) or not isinstance(nets, Sequence) or not nets:
            raise TypeError(f"nets: expected a list of networks, got {came(nets)}")
        self.nets = [checked_network("nets", net) for net in nets]
        self.loss: Loss = instance("loss", loss, Loss, "xpnet.SoftmaxCrossEntropy()")
        self.copies = None if copies is None else whole_number("copies", copies, 1)
        first = self.nets[0]
        for net in self.nets[1:]:
            for what in ("input_shape", "output_shape", "device"):
                own, other = getattr(first, what), getattr(net, what)
                if own != other:
                    raise ValueError(
                        f"nets: expected networks of one {what.replace('_', ' ')}, got {own} and "
                        f"{other}"
                    )

    def predict(self, data: Dataset, batch_size: int = 1000) -> HostArray:
        """Return the averaged scores, shape (n, ...), in the order of the samples."""
        check_fit(self.nets[0], data)
        with self._computing():
            answers = self._answers(prepared(self.nets[0], data), batch_size)
            made = [to_numpy(scores) for scores, *_ in answers]
        scores: HostArray = namespace(made[0]).concat(made)
        return scores

    def evaluate(
        self,
        data: Dataset,
        batch_size: int = 1000,
        *,
        after_batch: Callable[[], object] | None = None,
        processes: Processes | None = None,
    ) -> Evaluation:
        """Return the mean loss of the averaged scores, and how right they are.

        Parameters
        ----------
        data : Dataset
        batch_size : int
            Samples computed at a time.
        after_batch : callable, optional
            Called after each of them.
        processes : Processes, optional
            Which share the batches: each of them has to call this.  The result is the same.
        """
        net = self.nets[0]
        check_fit(net, data)
        check_targets(net, self.loss, data)
        data = prepared(net, data)
        stats = Stats(net.device, answers(net, self.loss, data))
        if processes is not None and processes.size > 1:
            return self._shared(data, batch_size, stats, processes)
        with self._computing():
            for scores, *rest in self._answers(data, batch_size):
                stats.add(self.loss.forward(scores, *rest), scores, *rest)
                if after_batch is not None:
                    after_batch()
        return stats.result()

    def _shared(
        self, data: Dataset, batch_size: int, stats: Stats, processes: Processes
    ) -> Evaluation:
        """Evaluate every few batches here, and add up the records of all in the batches' order."""
        size, place = processes.size, self.nets[0].device
        starts = range(processes.rank * batch_size, len(data), size * batch_size)
        own = [k for start in starts for k in range(start, min(start + batch_size, len(data)))]
        records = []
        if own:
            with self._computing():
                for scores, *rest in self._answers(data.select(own), batch_size):
                    batch = Stats(place, stats.answers)
                    batch.add(self.loss.forward(scores, *rest), scores, *rest)
                    records.append(to_numpy(batch.record).tolist())
        everywhere = processes.exchange(records)
        sums = [0.0] * len(RECORD)
        for k in range(-(-len(data) // batch_size)):
            sums = [a + b for a, b in zip(sums, everywhere[k % size][k // size], strict=True)]
        stats.record = place.asarray(sums, "float64")
        stats.count(len(data))
        return stats.result()

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        net = self.nets[0]
        with net.threads(), net.device.scope():
            try:
                yield
            finally:
                self.loss.forget()

    def _answers(self, data: Dataset, batch_size: int) -> Iterator[tuple[Array, ...]]:
        """Yield (scores, t), or (scores, t, weights), of batches of prepared data."""
        place, copies = self.nets[0].device, self.copies
        if copies is not None:
            self._check_augmented(data)
        batches = [
            Batches(
                data, batch_size, device=place, shuffle=False, augment=copies is not None
            ).epoch(number)
            for number in range(copies or 1)
        ]
        for samples in zip(*batches, strict=True):
            scores = [one.forward(x) for x, *_ in samples for one in self.nets]
            mean = scores[0] if len(scores) == 1 else self.loss.averaged(scores)
            yield mean, *samples[0][1:]

    def _check_augmented(self, data: Dataset) -> None:
        if data.augmentation is None or data.augmentation.mix_up is not None:
            what = "no augments" if data.augmentation is None else "MixUp among them"
            raise ValueError(
                f"copies: expected data that says how copies are changed, such as "
                f"data.augmented(Shift(1)), got {what}"
            )
