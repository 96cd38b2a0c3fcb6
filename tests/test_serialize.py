"""Networks to and from files: what is kept, what is refused, and that nothing is half done."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import array_api_strict
import numpy as np
import pytest
import safetensors.numpy

import xpnet
from tests.conftest import HAS_TORCH, Backend
from xpnet import arrayfiles, files, serialize
from xpnet.arrays import dtype_name, to_numpy
from xpnet.devices import device_of
from xpnet.initializers import normal
from xpnet.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    Rescale,
    Residual,
    Sequential,
    Sigmoid,
    Swish,
    Tanh,
)
from xpnet.losses import SquaredError
from xpnet.optimizers import Adam
from xpnet.random import Stream


class Scale(Layer):
    """A layer of a user's own: x times a learned number, which has no axes."""

    accepts = ("real", "complex")

    def __init__(self, first: float = 1.0) -> None:
        super().__init__()
        self.first = first

    def config(self):
        return {"first": self.first}

    def setup(self, input_shape, rng):
        self.add_param("s", np.asarray(self.first))
        self.add_state("calls", 0, "int64")
        return input_shape

    def forward(self, x, *, train=False):
        self.check(x)
        if train:
            self._cache = x
            self.state["calls"] += 1
        return x * self.params["s"]

    def backward(self, dy, *, need_dx=True):
        x = self.take()
        self.grads["s"][...] = (dy * x.conj()).sum()
        return dy * self.params["s"].conj()


def plain() -> Sequential:
    return Sequential([Linear(5), ReLU(), Linear(3)], input_shape=(4,), seed=1)


def convolutional() -> Sequential:
    return Sequential(
        [
            Rescale(1 / 255, -0.5),
            Conv2d(3, (3, 2), stride=2, pad=1, bias=False),
            BatchNorm(momentum=0.5, eps=1e-3),
            LeakyReLU(),
            MaxPool2d((2, 1), stride=1),
            Dropout(0.25, scale="inference"),
            AvgPool2d(2, stride=1, pad=1),
            Flatten(),
            Linear(3, init=0.1, bias_init=0.5),
        ],
        input_shape=(2, 8, 8),
        seed=2,
    )


def nested() -> Sequential:
    inner = Residual([Linear(6), BatchNorm(), Swish(), Residual([Linear(6), Tanh()])])
    return Sequential(
        [
            Residual([Linear(6), Dropout(0.5)], shortcut=Sequential([Linear(6), Sigmoid()])),
            Sequential([inner, BatchNorm()]),
            Linear(2),
        ],
        input_shape=(4,),
        seed=3,
    )


def images() -> Sequential:
    return Sequential(
        [Residual([Conv2d(2, 3, pad=1)]), GlobalAvgPool2d(), Linear(2)],
        input_shape=(2, 4, 4),
        seed=4,
        dtype="float64",
    )


def function_drawn() -> Sequential:
    return Sequential([Linear(3, init=normal(0.3))], input_shape=(4,), seed=5, dtype="float64")


def of_complex_numbers() -> Sequential:
    return Sequential([Linear(3), Linear(2)], input_shape=(4,), seed=6, dtype="complex128")


NETWORKS = {
    "plain": plain,
    "convolutional": convolutional,
    "nested": nested,
    "images": images,
    "function-drawn": function_drawn,
    "complex": of_complex_numbers,
    "mlp": lambda: xpnet.models.mlp([5], 3, input_shape=(4,), batch_norm=True, dropout=0.5),
}
every_network = pytest.mark.parametrize("kind", NETWORKS)


def samples(net: Sequential, n: int = 6) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(n, *net.input_shape))
    return x.astype(net.dtype)


def trained(net: Sequential) -> Sequential:
    """Take a few steps, so that parameters, statistics and counters are no initial ones."""
    optimizer, loss, place = Adam(lr=0.01), SquaredError(), net.device
    x = place.asarray(samples(net))
    t = place.asarray(np.ones((6, *net.output_shape), net.dtype))
    for _ in range(3):
        loss.forward(net.forward(x, train=True), t)
        net.backward(loss.backward())
        optimizer.update(net.params, net.grads)
    return net


def contents(net: Sequential) -> dict[str, np.ndarray]:
    both = {"params": net.params, "state": net.state}
    return {f"{kind}/{k}": to_numpy(v).copy() for kind, m in both.items() for k, v in m.items()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert list(one) == list(other)
    for path, values in one.items():
        assert values.dtype == other[path].dtype, path
        assert values.shape == other[path].shape, path
        assert values.tobytes() == other[path].tobytes(), path


class TestRoundTrip:
    @every_network
    def test_a_loaded_network_is_the_saved_one_bit_for_bit(self, kind, tmp_path):
        net = trained(NETWORKS[kind]())
        net.save(tmp_path / "net.safetensors")
        loaded = xpnet.load(tmp_path / "net.safetensors")
        assert_same(contents(loaded), contents(net))
        assert (loaded.input_shape, loaded.output_shape) == (net.input_shape, net.output_shape)
        assert (loaded.dtype, loaded.seed) == (net.dtype, net.seed)
        x = samples(net)
        assert loaded.predict(x).tobytes() == net.predict(x).tobytes()

    @every_network
    def test_it_goes_on_training_as_the_saved_one_does(self, kind, tmp_path):
        net = trained(NETWORKS[kind]())  # the next dropout masks hang on seed, path and counter
        net.save(tmp_path / "net.safetensors")
        loaded = trained(xpnet.load(tmp_path / "net.safetensors"))
        assert_same(contents(loaded), contents(trained(net)))

    @every_network
    def test_it_is_saved_as_the_same_bytes_again(self, kind, tmp_path):
        trained(NETWORKS[kind]()).save(tmp_path / "one")
        xpnet.load(tmp_path / "one").save(tmp_path / "two")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    @pytest.mark.parametrize("kind", ["convolutional", "nested"])
    def test_networks_of_every_library_are_saved_and_loaded(self, kind, xp: Backend, tmp_path):
        net = trained(NETWORKS[kind]().to(xp.device))
        net.save(tmp_path / "net.safetensors")
        loaded = xpnet.load(tmp_path / "net.safetensors", device=xp.device)
        assert {device_of(a) for m in (loaded.params, loaded.state) for a in m.values()} == {
            xp.device
        }
        assert_same(contents(loaded), contents(net))
        x = samples(net)
        assert loaded.predict(x).tobytes() == net.predict(x).tobytes()
        xpnet.load(tmp_path / "net.safetensors").save(tmp_path / "from-numpy")
        assert (tmp_path / "from-numpy").read_bytes() == (tmp_path / "net.safetensors").read_bytes()

    @pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
    def test_the_device_may_be_a_name(self, tmp_path):
        plain().save(tmp_path / "net")
        assert xpnet.load(tmp_path / "net", device="torch:cpu").device.name == "torch:cpu"

    @pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128"])
    def test_arrays_without_axes_are_kept(self, dtype, tmp_path):
        net = Sequential([Scale(0.5), Linear(2)], input_shape=(3,), dtype=dtype)
        net = trained(net)
        net.save(tmp_path / "net")
        loaded = xpnet.load(tmp_path / "net", layers={"Scale": Scale})
        assert_same(contents(loaded), contents(net))
        assert loaded.state["0.calls"] == 3
        assert loaded.params["0.s"].shape == ()

    def test_layers_of_ones_own_may_be_nested(self, tmp_path):
        net = Sequential([Residual([Linear(3), Scale(2.0)])], input_shape=(3,))
        net.save(tmp_path / "net")
        loaded = xpnet.load(tmp_path / "net", layers={"Scale": Scale})
        assert isinstance(loaded[0].body[1], Scale)
        assert loaded[0].body[1].first == 2.0

    @pytest.mark.parametrize(
        "array",
        [
            np.arange(6, dtype=np.float64).reshape(2, 3).T,
            np.arange(12, dtype=np.int32)[::2],
            np.arange(6).reshape(2, 3)[:, ::-1] * (1 + 2j),
            np.array(3 - 1j, np.complex64),
            np.zeros((0, 3), np.float32),
            np.zeros((0, 3), np.complex128),
            np.array([True, False]),
        ],
        ids=["transposed", "strided", "complex", "complex-0d", "empty", "complex-empty", "bool"],
    )
    def test_any_array_comes_back(self, array, tmp_path):
        arrayfiles.write_arrays(tmp_path / "a", {"x y": array}, {})
        (name, came), *rest = arrayfiles.read_arrays(tmp_path / "a")[0].items()
        assert (name, rest) == ("x y", [])
        assert came.dtype == array.dtype
        np.testing.assert_array_equal(came, array)


class TestTheBytes:
    def test_equal_networks_give_equal_bytes_in_any_process(self, tmp_path):
        program = (
            "import sys, xpnet\n"
            "xpnet.models.mlp([5], 3, batch_norm=True, dropout=.5, seed=7).save(sys.argv[1])\n"
        )
        files = []
        for seed in ("0", "1", "77"):
            files.append(tmp_path / seed)
            environment = {**os.environ, "PYTHONHASHSEED": seed}
            subprocess.run(
                [sys.executable, "-c", program, str(files[-1])], env=environment, check=True
            )
        here = tmp_path / "here"
        xpnet.models.mlp([5], 3, batch_norm=True, dropout=0.5, seed=7).save(here)
        assert {file.read_bytes() for file in files} == {here.read_bytes()}

    def test_other_programs_can_read_the_arrays(self, tmp_path):
        net = trained(convolutional())
        net.save(tmp_path / "net")
        assert_same(
            dict(sorted(safetensors.numpy.load_file(tmp_path / "net").items())),
            dict(sorted(contents(net).items())),
        )

    def test_one_metadata_key_holds_sorted_json(self, tmp_path):
        plain().save(tmp_path / "net")
        raw = (tmp_path / "net").read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        metadata = json.loads(raw[8 : 8 + length])["__metadata__"]
        assert list(metadata) == ["xpnet"]
        about = json.loads(metadata["xpnet"])
        digest = {"digest": about.pop("digest")}  # first, where no text of others comes before it
        sorted_rest = json.dumps(about, sort_keys=True)
        assert metadata["xpnet"] == f"{json.dumps(digest)[:-1]}, {sorted_rest[1:]}"
        assert about["format"] == 2
        assert about["architecture"]["layer"] == "Sequential"

    def test_nothing_is_pickled(self, tmp_path, monkeypatch):
        def refused(*arguments, **options):
            raise AssertionError("pickle was used")

        for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
            monkeypatch.setattr(pickle, name, refused)
        plain().save(tmp_path / "net")
        xpnet.load(tmp_path / "net")
        (tmp_path / "evil").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            xpnet.load(tmp_path / "evil")


class TestSaving:
    def test_it_is_whole_or_not_at_all(self, tmp_path, monkeypatch):
        path = tmp_path / "net"
        plain().save(path)
        before = path.read_bytes()

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'")):
            trained(plain()).save(path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["net"]

    def test_folders_on_the_way_are_made(self, tmp_path):
        plain().save(tmp_path / "runs" / "first" / "net")
        assert xpnet.load(tmp_path / "runs" / "first" / "net").output_shape == (3,)

    def test_it_leaves_the_network_alone(self, tmp_path):
        net = trained(nested())
        before = contents(net)
        net.save(tmp_path / "net")
        assert_same(contents(net), before)

    @pytest.mark.parametrize(
        ("net", "sentence"),
        [
            (Sequential([Linear(3)]), "Sequential is not built: give it an input_shape"),
            (nested()[1][0].body, r'"1.0.body" is part of a network: call save\(\) of the network'),
            (Linear(3), "Linear has no 'save': a network has, such as a Sequential"),
        ],
        ids=["unbuilt", "part", "layer"],
    )
    def test_only_a_network_can_be_saved(self, net, sentence, tmp_path):
        with pytest.raises((ValueError, AttributeError), match=sentence):
            net.save(tmp_path / "net")
        assert list(tmp_path.iterdir()) == []


def rewritten(path: Path, change) -> None:
    """Change a file's arrays and description as ``change(arrays, about)`` does in place."""
    arrays, about = arrayfiles.read_arrays(path)
    change(arrays, about)
    arrayfiles.write_arrays(path, arrays, about)


class TestLoadingRefuses:
    @pytest.fixture
    def path(self, tmp_path) -> Path:
        plain().save(tmp_path / "net")
        return tmp_path / "net"

    def refused(self, path: Path, message: str, **options) -> None:
        with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
            xpnet.load(path, **options)

    def test_a_layer_it_does_not_know(self, tmp_path):
        Sequential([Scale()], input_shape=(3,)).save(tmp_path / "net")
        self.refused(
            tmp_path / "net",
            "holds a layer 'Scale' that is not known: pass its class, "
            "load(path, layers={'Scale': Scale})",
        )

    @pytest.mark.parametrize("name", ["two\nlines", 3, None, ["ReLU"], ""])
    def test_a_layer_without_a_name(self, path, name):
        rewritten(path, lambda a, about: about["architecture"]["layers"][1].update(layer=name))
        self.refused(path, f"a layer has no name, but {name!r}")

    @pytest.mark.parametrize("name", ["ArrayMap", "Layer", "system", "__init__"])
    def test_a_name_that_is_no_layer_to_build(self, path, name):
        rewritten(path, lambda a, about: about["architecture"]["layers"][1].update(layer=name))
        self.refused(path, f"holds a layer '{name}' that is not known")

    def test_arguments_that_a_layer_does_not_take(self, path):
        rewritten(path, lambda a, about: about["architecture"]["layers"][0].update(colour="red"))
        self.refused(path, "layer 'Linear' does not take its arguments: got an unexpected keyword")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda a: a.pop("params/2.b"), "the file lacks 'params/2.b'"),
            (
                lambda a: a.update({"state/1.mean": np.zeros(5, np.float32)}),
                "the network has no 'state/1.mean'",
            ),
            (
                lambda a: a.update({"params/2.b": np.zeros(4, np.float32)}),
                "'params/2.b': expected float32 (3,), got float32 (4,)",
            ),
            (
                lambda a: a.update({"params/2.b": a["params/2.b"].astype(np.float64)}),
                "'params/2.b': expected float32 (3,), got float64 (3,)",
            ),
            (
                lambda a: a.update({"params/0.W": a["params/0.W"].T}),
                "'params/0.W': expected float32 (4, 5), got float32 (5, 4)",
            ),
        ],
        ids=["missing", "extra", "shape", "dtype", "transposed"],
    )
    def test_arrays_that_do_not_fit_and_changes_nothing(self, path, change, message, xp: Backend):
        rewritten(path, lambda arrays, about: change(arrays))
        self.refused(path, message)
        net = trained(plain().to(xp.device))
        before = contents(net)
        with pytest.raises(ValueError, match=re.escape(f"mine: {message}")):
            serialize.restore(net, arrayfiles.read_arrays(path)[0], "mine")
        assert_same(contents(net), before)

    @pytest.mark.parametrize("keep", [0, 4, 8, 100, -1], ids=lambda n: f"keep{n}")
    def test_a_truncated_file(self, path, keep):
        path.write_bytes(path.read_bytes()[:keep])
        self.refused(path, "not a whole safetensors file")

    @pytest.mark.parametrize(
        "raw", [b"<!DOCTYPE html><html>404</html>", b"\0" * 64, b"\x80\x04K\x01."], ids=repr
    )
    def test_what_is_no_safetensors_file(self, path, raw):
        path.write_bytes(raw)
        self.refused(path, "not a whole safetensors file")

    @pytest.mark.parametrize(
        "metadata",
        [None, {"format": "pt"}, {"xpnet": "not JSON"}, {"xpnet": "[1]"}, {"xpnet": "{}"}],
        ids=repr,
    )
    def test_a_file_of_another_program(self, path, metadata):
        safetensors.numpy.save_file({"W": np.zeros(3)}, path, metadata)
        self.refused(path, "a safetensors file, but not one of xpnet")

    def test_a_file_of_a_later_version(self, path, monkeypatch):
        with monkeypatch.context() as later:
            later.setattr(arrayfiles, "FORMAT", 3)
            plain().save(path)
        self.refused(path, "expected a format of 1 to 2, got 3: update xpnet")

    def test_a_file_without_a_network(self, path):
        arrayfiles.write_arrays(path, {"params/0.W": np.zeros(3)}, {"checkpoint": {}})
        self.refused(path, "holds arrays but no network")

    @pytest.mark.parametrize("what", [{"layer": "ReLU"}, [], 3, None], ids=repr)
    def test_an_architecture_that_is_no_network(self, path, what):
        rewritten(path, lambda arrays, about: about.update(architecture=what))
        self.refused(path, "expected a network, got")

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            xpnet.load(tmp_path / "nowhere")

    def test_a_device_that_there_is_not(self, path):
        with pytest.raises(ValueError, match="device: expected 'cpu'"):
            xpnet.load(path, device="abacus")


class TestTheDigest:
    """No change of a file goes unnoticed."""

    def test_every_single_flipped_bit_of_a_small_model_is_found(self, tmp_path):
        path = tmp_path / "net"
        Sequential([Linear(1)], input_shape=(1,)).save(path)
        assert unnoticed(path, range(8 * path.stat().st_size)) == []

    @pytest.mark.parametrize("kind", ["model", "checkpoint"])
    def test_flipped_bits_of_larger_ones_are_found(self, kind, tmp_path):
        path = larger(kind, tmp_path / "file")
        assert unnoticed(path, random.Random(0).sample(range(8 * path.stat().st_size), 300)) == []

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["model", "checkpoint"])
    def test_three_thousand_flipped_bits_and_all_of_the_header_are_found(self, kind, tmp_path):
        path = larger(kind, tmp_path / "file")
        raw = path.read_bytes()
        header = 8 + int.from_bytes(raw[:8], "little")
        assert unnoticed(path, range(8 * header)) == []
        assert unnoticed(path, random.Random(1).sample(range(8 * len(raw)), 3000)) == []

    def test_it_is_that_of_the_file_with_zeros_in_its_place(self, tmp_path):
        plain().save(tmp_path / "net")
        raw = (tmp_path / "net").read_bytes()
        digest = re.search(rb'"digest\\": \\"([0-9a-f]{64})', raw)[1]
        assert hashlib.sha256(raw.replace(digest, b"0" * 64)).hexdigest().encode() == digest

    def test_a_file_of_this_format_without_one_is_refused(self, tmp_path):
        path = tmp_path / "net"
        safetensors.numpy.save_file({"a": np.zeros(3)}, path, {"xpnet": '{"format": 2}'})
        with pytest.raises(ValueError, match=f"^{path}: lacks the digest of its contents"):
            arrayfiles.read_arrays(path)

    @pytest.mark.parametrize("digest", ["", "0" * 64, "0" * 63, "\ud800", 0, ["0" * 64], {}])
    def test_one_that_is_none_is_another(self, tmp_path, digest):
        path, about = tmp_path / "net", {"format": 2, "digest": digest}
        safetensors.numpy.save_file({"a": np.zeros(3)}, path, {"xpnet": json.dumps(about)})
        with pytest.raises(ValueError, match=f"^{path}: .* its digest is another"):
            arrayfiles.read_arrays(path)

    def test_one_of_the_format_before_needs_none(self, tmp_path):
        path = tmp_path / "net"
        safetensors.numpy.save_file({"a": np.zeros(3)}, path, {"xpnet": '{"format": 1, "b": 2}'})
        arrays, about = arrayfiles.read_arrays(path)
        assert (list(arrays), about) == (["a"], {"b": 2})

    def test_texts_like_it_in_the_description_are_left_alone(self, tmp_path):
        about = {"architecture": {"digest": "0" * 64, "a": ['"digest": "' + "0" * 64]}, "a": "é"}
        arrayfiles.write_arrays(tmp_path / "a", {"b": np.ones(2)}, about)
        assert arrayfiles.read_arrays(tmp_path / "a")[1] == about

    def test_a_description_that_no_reader_takes_is_not_written(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "MAX_VALUES", 100)
        with pytest.raises(ValueError, match=r"a: the description cannot be written \(more than"):
            arrayfiles.write_arrays(tmp_path / "a", {}, {"a": [0] * 100})

    def test_keys_that_are_not_known_are_left_alone(self, tmp_path):
        plain().save(tmp_path / "net")
        rewritten(tmp_path / "net", lambda arrays, about: about.update(licence="MIT"))
        assert xpnet.load(tmp_path / "net").output_shape == (3,)


def larger(kind: str, path: Path) -> Path:
    """Write a model, or a checkpoint, of some ten thousand bytes."""
    net = xpnet.models.mlp([20, 20], 3, input_shape=(6,), batch_norm=True)
    if kind == "model":
        net.save(path)
    else:
        trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), Adam())
        trainer.fit(xpnet.data.Dataset(np.full((9, 6), 2, "float32"), np.arange(9) % 3), 2, 3)
        trainer.save(path)
    return path


def unnoticed(path: Path, bits: Iterable[int]) -> list[int]:
    """Return which bits of a file can be flipped so that it is still read."""
    raw, found = bytearray(path.read_bytes()), []
    for bit in bits:
        raw[bit // 8] ^= 1 << bit % 8
        path.write_bytes(raw)
        raw[bit // 8] ^= 1 << bit % 8
        try:
            arrayfiles.read_arrays(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
        else:
            found.append(bit)
    return found


class TestCheckpoints:
    def test_a_checkpoint_is_loaded_as_its_network(self, tmp_path):
        net = plain()
        trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), Adam())
        trainer.fit(xpnet.data.Dataset(np.ones((6, 4), "float32"), np.arange(6) % 3), 1, 3)
        trainer.save(tmp_path / "run")
        loaded = xpnet.load(tmp_path / "run")
        assert_same(contents(loaded), contents(net))
        assert repr(loaded) == repr(net)
        loaded.save(tmp_path / "net")  # no slots
        assert_same(contents(xpnet.load(tmp_path / "net")), contents(net))

    def test_one_of_the_format_before_too(self):
        fixture = Path(__file__).parent / "fixtures" / "run-adam.safetensors"
        own, _ = arrayfiles.read_arrays(fixture)
        for key, values in xpnet.load(fixture).params.items():
            np.testing.assert_array_equal(values, own[f"params/{key}"])


def sequential(*layers: dict, **more: object) -> dict:
    about = {"input_shape": [4], "seed": 0, "dtype": "float32"}
    return {"layer": "Sequential", "layers": list(layers), **about, **more}


WIDE = {"layer": "Linear", "units": 10**8}
DEEP: dict = {"layer": "ReLU"}
for _ in range(400):
    DEEP = {"layer": "Residual", "body": [DEEP]}
BOMBS = {
    "a layer of 10^8 units": (sequential(WIDE), "lacks numbers of the shape"),
    "without a seed": (
        {k: v for k, v in sequential(WIDE).items() if k != "seed"}, "lacks numbers of the shape"
    ),
    "within others": (
        sequential({"layer": "Residual", "body": [WIDE]}), "lacks numbers of the shape"
    ),
    "many filters": (
        sequential(
            {"layer": "Conv2d", "filters": 10**6, "size": [100, 100]}, input_shape=[9, 100, 100]
        ),
        "lacks numbers of the shape",
    ),
    "statistics of an input without end": (
        sequential({"layer": "BatchNorm"}, input_shape=[10**9]), "lacks numbers of the shape"
    ),
    "sizes past all machines": (
        sequential({"layer": "Linear", "units": 10**30}, input_shape=[10**30]),
        "lacks numbers of the shape",
    ),
    "a network within one": (sequential(sequential(WIDE)), "holds a network within a network"),
    "many layers": (sequential(*[{"layer": "ReLU"}] * 10_001), "holds more than 10000 layers"),
    "nested deeply": (sequential(DEEP), "stands within more than 100 others|nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("what", BOMBS)
def test_a_file_takes_no_more_memory_than_its_size_allows(what, tmp_path):
    architecture, message = BOMBS[what]
    path = tmp_path / "net"
    arrayfiles.write_arrays(path, {}, {"architecture": architecture})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"^{path}: [^\n]*({message})"):
            xpnet.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23 + 100 * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_weights_that_a_file_holds_are_not_drawn_before(tmp_path, monkeypatch):
    net = trained(images())
    net.save(tmp_path / "net")

    def refused(self, step=0):
        raise AssertionError(f"{self.path} is drawn")

    monkeypatch.setattr(Stream, "generator", refused)
    assert_same(contents(xpnet.load(tmp_path / "net")), contents(net))


class Projected(Layer):
    """A layer of a user's own that draws what no file holds, and starts from what it draws."""

    def setup(self, input_shape, rng):
        self.fixed = rng.child("fixed").normal((*input_shape, 2))
        self.also = rng.child("also").uniform(3)
        start = rng.child("W").normal([2, 2])
        start *= 1 / np.linalg.norm(start)
        self.add_param("W", start)
        return (2,)

    def forward(self, x, *, train=False):
        return x @ self.fixed.astype(self.dtype) @ self.params["W"]

    def backward(self, dy, *, need_dx=True):
        return None


def test_layers_of_ones_own_draw_as_they_did(tmp_path):
    net = Sequential([Projected()], input_shape=(3,), seed=8)
    net.params["0.W"][...] *= 2
    net.save(tmp_path / "net")
    loaded = xpnet.load(tmp_path / "net", layers={"Projected": Projected})
    np.testing.assert_array_equal(loaded[0].fixed, net[0].fixed)
    assert_same(contents(loaded), contents(net))


def test_restoring_copies_in_place_and_on_the_networks_device(tmp_path):
    other = array_api_strict.Device("device1")
    place = device_of(array_api_strict.zeros(1, device=other))
    source, net = trained(nested()), nested().to(place)
    source.save(tmp_path / "net")
    owned = [*net.params.values(), *net.state.values()]
    serialize.restore(net, arrayfiles.read_arrays(tmp_path / "net")[0], "file")
    assert all(
        a is b for a, b in zip(owned, [*net.params.values(), *net.state.values()], strict=True)
    )
    assert_same(contents(net), contents(source))
    assert {dtype_name(a) for a in owned} == {"float32", "int64"}
