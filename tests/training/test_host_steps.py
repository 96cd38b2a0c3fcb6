"""Steps on a processor that are recorded as machine code: the same bits, on any number of cores."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

import xpnet
from tests.training.test_steps import CHANGES, RULES, Watching, assert_equal_runs
from xpnet import models
from xpnet.data import Dataset
from xpnet.devices.host_code import HostCode, loops_alone
from xpnet.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Rescale,
    Sequential,
    Sigmoid,
)
from xpnet.ops.dispatch import load_bodies
from xpnet.training import Callback, ClipNorm, DivergedError, Trainer

if not load_bodies("numba"):
    pytest.skip("needs numba (the fast extra), and XPNET_NUMBA not 0", allow_module_level=True)
pytestmark = pytest.mark.faster_bodies


@pytest.fixture(autouse=True)
def _loops() -> Iterator[None]:
    """Let compiled loops compute products everywhere, as in recorded steps."""
    token = loops_alone.set(True)
    yield
    loops_alone.reset(token)


def digits(n: int = 230) -> Dataset:
    return xpnet.data.load("digits")[0].take(n)


def network(dtype: str = "float32") -> Sequential:
    layers = [
        Rescale(1 / 255), Flatten(), Linear(60), BatchNorm(), ReLU(), Dropout(0.3), Linear(50),
        ReLU(), Linear(10),
    ]  # fmt: skip
    return Sequential(layers, input_shape=(1, 28, 28), seed=3, dtype=dtype)


def trained(
    graph: str, *, cores: int = 1, epochs: int = 3, batch_size: int = 40, **options: Any
) -> Trainer:
    net = options.pop("net", None) or network()
    rule = options.pop("rule", None) or xpnet.Adam(3e-3)
    data = options.pop("data", None) or digits()
    made = Trainer(net, xpnet.SoftmaxCrossEntropy(), rule, graph=graph, seed=1, **options)
    with xpnet.threads(cores):
        made.fit(data, epochs, batch_size)
    return made


def bits(made: Trainer) -> list[bytes]:
    net = made.net
    arrays = [*net.params.values(), *net.state.values(), *made.optimizer.buffers]
    return [a.tobytes() for a in arrays]


def assert_recorded_is_eager(**options: Any) -> None:
    made = {k: v() for k, v in options.items() if callable(v)}
    eager = trained("off", **{**options, **made})
    for cores in (1, 2, 3):
        made = {k: v() for k, v in options.items() if callable(v)}
        recorded = trained("on", cores=cores, **{**options, **made})
        assert recorded.not_replayed is None
        assert bits(recorded) == bits(eager), cores
        assert_equal_runs(recorded, eager)


@pytest.mark.parametrize("rule", RULES)
def test_with_every_rule(rule):
    assert_recorded_is_eager(rule=RULES[rule])


@pytest.mark.parametrize("batch_size", [6, 7, 40, 224, 230, 500])
def test_with_full_and_short_batches(batch_size):
    net = lambda: models.mlp((20,), seed=2)  # noqa: E731
    assert_recorded_is_eager(batch_size=batch_size, net=net, epochs=2)


@pytest.mark.parametrize("hidden", [(3,), (5, 2), (7, 4, 8)], ids=str)
@pytest.mark.parametrize("batch_size", [1, 3, 9])
def test_of_networks_that_fill_no_tile(hidden, batch_size):
    net = lambda: models.mlp(hidden, seed=2)  # noqa: E731
    assert_recorded_is_eager(batch_size=batch_size, net=net, epochs=1, data=lambda: digits(40))


CONVNETS = {
    "pooled": lambda: models.simple_convnet(filters=3, hidden=10, seed=1),
    "several, normalised": lambda: Sequential(
        [Rescale(1 / 255), Conv2d(17, 3, pad=1), BatchNorm(), ReLU(), Conv2d(5, 3), ReLU(),
         MaxPool2d(2), Conv2d(4, 3, bias=False), Flatten(), Dropout(0.2), Linear(10)],
        input_shape=(1, 28, 28), seed=2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("net", CONVNETS)
@pytest.mark.parametrize(
    ("cores", "least"), [(1, 1e5), (2, 1e5), (3, 1e5), (3, 5e6)], ids=["1", "2", "3", "some of 3"]
)
def test_of_convolutions(net, cores, least, monkeypatch):
    monkeypatch.setattr("xpnet.threadpool.LEAST_WORK", least)  # of a small network
    runs = [
        trained(graph, net=CONVNETS[net](), cores=cores, epochs=2, data=digits(100))
        for graph in ("on", "off")
    ]
    assert runs[0].not_replayed is None
    assert bits(runs[0]) == bits(runs[1])


def test_in_float64():
    assert_recorded_is_eager(net=lambda: network("float64"))


def test_with_a_callback_that_looks_at_every_step():
    one, other = Watching(), Watching()
    trained("on", callbacks=[one], cores=2)
    trained("off", callbacks=[other])
    assert one.steps == other.steps


@pytest.mark.parametrize(
    "change",
    [
        *(CHANGES[name] for name in ("moments", "dropout", "beta", "smoothing")),
        lambda trainer: trainer.net.params.__setitem__("11.b", np.ones(10, "float32")),
    ],
)
def test_where_a_callback_changes_what_a_recording_holds(change):
    class Changing(Callback):
        def step_ends(self, trainer: Trainer) -> None:
            if trainer.optimizer.steps in (5, 13):
                change(trainer)

    def layers() -> Sequential:
        first = [Rescale(1 / 255), Flatten(), *(Linear(30) for _ in range(8))]
        return Sequential([*first, Dropout(0.3), Linear(10)], input_shape=(1, 28, 28), seed=5)

    runs = [trained(graph, callbacks=[Changing()], net=layers()) for graph in ("on", "off")]
    assert bits(runs[0]) == bits(runs[1])
    assert runs[0].not_replayed is None


@pytest.mark.parametrize("steps", [3, 6, 9])
def test_when_resumed_from_a_checkpoint(tmp_path, steps):
    class Stop(Callback):
        def step_ends(self, trainer: Trainer) -> None:
            if trainer.optimizer.steps == steps:
                raise KeyboardInterrupt

    def make(*callbacks: Callback) -> Trainer:
        return Trainer(
            network(), xpnet.SoftmaxCrossEntropy(), xpnet.Adam(3e-3), seed=1, graph="on",
            callbacks=callbacks,
        )  # fmt: skip

    begun = make(Stop())
    with pytest.raises(KeyboardInterrupt):
        begun.fit(digits(), 3, 40)
    begun.save(tmp_path / "run")
    made = make()
    made.restore(tmp_path / "run")
    made.fit(digits(), 3, 40)
    assert bits(made) == bits(trained("off"))


class Own(Linear):
    """A layer of one's own."""


REASONS = {
    "a layer of one's own": (
        {"net": lambda: Sequential([Flatten(), Own(10)], input_shape=(1, 28, 28))},
        r"Own .* not made",
    ),
    "a layer without loops": (
        {"net": lambda: Sequential([Flatten(), Sigmoid(), Linear(10)], input_shape=(1, 28, 28))},
        "Sigmoid .* not made",
    ),
    "a convolution in strides": (
        {"net": lambda: Sequential([Conv2d(3, 3, stride=2), Flatten(), Linear(10)],
                                   input_shape=(1, 28, 28))},
        "differs .*Conv2d",
    ),
    "a callback": ({"callbacks": [ClipNorm(1.0)]}, "what follows backward or the update is not"),
    "after_backward": ({"after_backward": lambda: lambda grads: None}, "what follows backward"),
    "parts of a batch": ({"accumulate": 2}, "a batch in parts is not made"),
    "weights": (
        {"data": lambda: Dataset(digits().x, digits().t, 10, weights=np.ones(230))},
        "the weighing of samples is not made",
    ),
    "augmentation": (
        {"data": lambda: digits().augmented(xpnet.data.augment.Shift(1))},
        "augmentation is not made",
    ),
    "a loss of targets that are no labels": (
        {"data": lambda: Dataset(digits().x, np.eye(10, dtype="float32")[digits().t])},
        "differs .*SoftmaxCrossEntropy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", REASONS)
def test_what_cannot_be_recorded_is_told(why):
    options, reason = REASONS[why]
    made = {k: v() if callable(v) else v for k, v in options.items()}
    with pytest.raises(ValueError, match=f"graph='on': .*{reason}"):
        trained("on", **made)


def test_a_run_that_goes_on_by_other_products_warns(tmp_path):
    class Stop(Callback):
        def step_ends(self, trainer: Trainer) -> None:
            raise KeyboardInterrupt

    loss, rule = xpnet.SoftmaxCrossEntropy(), xpnet.Adam()
    made = Trainer(network(), loss, rule, graph="on", callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        made.fit(digits(), 1, 40)
    made.graph, made.callbacks = "off", []
    with pytest.warns(RuntimeWarning, match="products expected 'of compiled loops', got 'of BLAS"):
        made.fit(digits(), 1, 40)


def test_by_default_long_fits_of_dense_networks_are_recorded():
    options = {"net": network(), "batch_size": 23, "data": digits()}
    made = trained("auto", epochs=100, **options)
    assert made.not_replayed is None
    short = "990 steps are fewer than are worth recording: graph='on' insists"
    assert trained("auto", epochs=99, **options).not_replayed == short


def test_a_recording_that_fails_changes_no_bit_of_a_run():
    data = Dataset(digits(40).x, np.eye(10, dtype="float32")[digits(40).t])
    runs = [
        trained(graph, epochs=25, batch_size=1, data=data, net=models.mlp((20,)))
        for graph in ("auto", "off")
    ]
    assert "differs" in str(runs[0].not_replayed)
    assert bits(runs[0]) == bits(runs[1])


def test_products_that_blas_is_faster_at_stay_with_it(monkeypatch):
    monkeypatch.setattr("xpnet.ops.numba.linear.blas_vector_bytes", lambda: 64)
    with pytest.raises(ValueError, match="differs from the step itself in Linear"):
        trained("on", net=models.mlp((1000,)), batch_size=100)


def test_without_compiled_loops_there_is_nothing_to_record(monkeypatch):
    monkeypatch.setattr("xpnet.ops.dispatch.load_bodies", lambda name: name != "numba")
    with pytest.raises(ValueError, match="graph='on': compiled loops are recorded, and numba"):
        trained("on")


def test_a_step_asks_python_for_nothing():
    asked = []
    net = network()
    forward = net.forward

    def counted(*args: Any, **options: Any) -> Any:
        asked.append(1)
        return forward(*args, **options)

    net.forward = counted
    made = trained("on", net=net, epochs=20, batch_size=46)
    assert made.optimizer.steps == 100
    assert len(asked) < 20  # the first step, and those of recording and proof


def test_long_runs_take_no_more_memory():
    import tracemalloc

    held = []

    class Weighs(Callback):
        def epoch_ends(self, trainer: Trainer, row: dict[str, Any]) -> None:
            held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        trained("on", epochs=30, callbacks=[Weighs()], cores=2)
    finally:
        tracemalloc.stop()
    assert held[-1] - held[9] < 200_000  # a row of the history an epoch


def test_a_loss_that_a_callback_puts_in_place_of_another_counts_from_then_on():
    class Replacing(Callback):
        def epoch_begins(self, trainer: Trainer) -> None:
            if trainer.epoch == 1:
                trainer.loss = xpnet.SoftmaxCrossEntropy(label_smoothing=0.5)

    runs = [trained(graph, callbacks=[Replacing()]) for graph in ("on", "off")]
    assert runs[0].not_replayed is None
    assert bits(runs[0]) == bits(runs[1])


def test_what_follows_backward_from_some_step_on_is_done():
    class Clipping(Callback):
        def epoch_begins(self, trainer: Trainer) -> None:
            if trainer.epoch == 60:
                trainer.after_backward = lambda grads: grads.__setitem__("2.W", grads["2.W"] * 0)

    made = trained("auto", callbacks=[Clipping()], epochs=100, batch_size=23)
    other = trained("off", callbacks=[Clipping()], epochs=100, batch_size=23)
    assert bits(made) == bits(other)
    assert "differs" in str(made.not_replayed)


def test_a_wrong_label_makes_the_loss_of_a_replayed_step_nan():
    data = Dataset(digits(200).x, digits(200).t.copy(), classes=10)

    class Spoiling(Callback):
        def epoch_begins(self, trainer: Trainer) -> None:
            if trainer.epoch == 2:
                data.t[:] = 99

    with pytest.raises(DivergedError):
        trained("on", data=data, callbacks=[Spoiling()])


def test_settings_that_are_changed_again_and_again_are_not_recorded_again_and_again(monkeypatch):
    made, recorded = [], HostCode.record
    monkeypatch.setattr(HostCode, "record", lambda *about: (made.append(1), recorded(*about))[1])

    class Falling(Callback):
        def epoch_begins(self, trainer: Trainer) -> None:
            trainer.net[5].rate *= 0.99

    runs = [
        trained(graph, callbacks=[Falling()], epochs=100, batch_size=23)
        for graph in ("auto", "off")
    ]
    assert len(made) < 10
    assert runs[0].not_replayed == "what a recording holds is changed again and again"
    assert bits(runs[0]) == bits(runs[1])


def test_what_callbacks_compute_is_computed_as_elsewhere():
    loops_alone.set(False)
    seen = []

    class Looking(Callback):
        def step_ends(self, trainer: Trainer) -> None:
            seen.append(loops_alone.get())

    assert trained("on", callbacks=[Looking()]).not_replayed is None
    assert not any(seen)


def test_a_run_from_before_steps_were_recorded_is_warned_of_other_products():
    made = Trainer(network(), xpnet.SoftmaxCrossEntropy(), xpnet.Adam(), graph="off")
    halts = Callback()
    halts.step_ends = lambda trainer: (_ for _ in ()).throw(KeyboardInterrupt)
    made.callbacks = [halts]
    with pytest.raises(KeyboardInterrupt):
        made.fit(digits(), 1, 40)
    del made.fits.all[-1].depends["products"]
    made.graph, made.callbacks = "on", []
    with pytest.warns(RuntimeWarning, match="products expected 'of BLAS.*', got 'of compiled"):
        made.fit(digits(), 1, 40)


def test_where_there_is_one_core_shares_are_recorded_one_after_the_other(monkeypatch):
    monkeypatch.setattr("xpnet.threadpool.LEAST_WORK", 1e5)
    monkeypatch.setattr("xpnet.devices.host_code.several", lambda: False)
    monkeypatch.setattr("xpnet.devices.host.HostDevice.records_on_one_core", True)
    runs = [
        trained(graph, net=CONVNETS["pooled"](), cores=2, data=digits(100), epochs=2)
        for graph in ("on", "off")
    ]
    assert runs[0].not_replayed is None
    assert bits(runs[0]) == bits(runs[1])
    short = trained("auto", epochs=100, batch_size=23)
    assert short.not_replayed == "on this system a recording has one core: graph='on' insists"


def in_time(work: Callable[[], Any]) -> Any:
    """Return what some work does: it fails here where it would wait for ever."""
    found: Future[Any] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:
            found.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="waits", daemon=True).start()
    return found.result(120)


def test_a_core_without_a_thread_is_told_and_found_again(monkeypatch):
    start = threading.Thread.start

    def fails(thread: threading.Thread) -> None:
        if thread.name == "xpnet-core-6":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fails)
        with pytest.raises(ValueError, match="recording a step failed: can't start new thread"):
            in_time(lambda: trained("on", cores=7))
    assert bits(in_time(lambda: trained("on", cores=7))) == bits(trained("off"))
