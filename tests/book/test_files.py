"""Parameters in files: safetensors out; in, also the book's pickles, and nothing else."""

from __future__ import annotations

import os
import pickle
import sys
from collections import OrderedDict

import numpy as np
import pytest

from xpnet.book.deep_convnet import DeepConvNet
from xpnet.book.multi_layer_net_extend import MultiLayerNetExtend
from xpnet.book.simple_convnet import SimpleConvNet
from xpnet.book.two_layer_net import TwoLayerNet
from xpnet.serialize import read_arrays

SMALL = {"filter_num": 2, "filter_size": 3, "pad": 0, "stride": 1}


def net():
    return TwoLayerNet(4, 3, 2, weight_init_std=1.0)


@pytest.mark.parametrize(
    "make",
    [
        net,
        lambda: MultiLayerNetExtend(4, [3], 2, use_batchnorm=True),
        lambda: SimpleConvNet((1, 6, 6), SMALL, 3, 2),
        DeepConvNet,
    ],
)
@pytest.mark.parametrize("name", ["params.pkl", "weights"])
def test_saved_parameters_come_back_and_reach_the_layers(tmp_path, make, name):
    first, second = make(), make()
    first.save_params(tmp_path / name)
    kept, _ = read_arrays(tmp_path / name)  # safetensors, whatever the suffix
    assert kept.keys() == first.params.keys()
    second.load_params(str(tmp_path / name))
    for key, p in first.params.items():
        np.testing.assert_array_equal(second.params[key], p)
        owner, attribute = second.params.owners()[key]
        assert getattr(owner, attribute) is second.params[key]
        second.params[key] += 1  # writable


def test_the_default_name_is_the_books(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net().save_params()
    assert (tmp_path / "params.pkl").exists()
    net().load_params()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_books_pickles_are_read(tmp_path, protocol):
    rng = np.random.default_rng(0)
    saved = {
        "W1": np.asfortranarray(rng.normal(size=(4, 3))),
        "b1": rng.normal(size=3).astype(">f4"),
        "W2": rng.normal(size=(3, 4))[:, ::2],
        "b2": np.arange(2),
    }
    (tmp_path / "params.pkl").write_bytes(pickle.dumps(saved, protocol))
    own = net()
    own.load_params(tmp_path / "params.pkl")
    for key, p in saved.items():
        np.testing.assert_array_equal(own.params[key], p)
        assert own.params[key].dtype == p.dtype.newbyteorder("=")
    own.predict(np.ones((2, 4)))


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_both_names_of_numpys_core_are_known(tmp_path, core):
    saved = pickle.dumps({key: np.array(p) for key, p in net().params.items()}, 2)
    other = saved.replace(b"numpy._core.multiarray", f"{core}.multiarray".encode())
    (tmp_path / "p").write_bytes(
        other.replace(b"numpy.core.multiarray", f"{core}.multiarray".encode())
    )
    net().load_params(tmp_path / "p")


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm was done",)


BAD = {
    "a call": Harm(),
    "a call as a value": {"W1": Harm()},
    "a list": [np.ones(3)],
    "an array": np.ones(3),
    "another dict": OrderedDict(W1=np.ones(3)),
    "a number as a key": {1: np.ones(3)},
    "a text as a value": {"W1": "x"},
    "a list as a value": {"W1": [1.0]},
    "objects": {"W1": np.array([{}, None])},
    "texts": {"W1": np.array(["a"])},
    "records": {"W1": np.zeros(2, [("a", float)])},
    "dates": {"W1": np.array(["2020-01-01"], "M8[D]")},
    "a function": {"W1": sys.exit},
    "a dtype": {"W1": np.dtype("f8")},
    "a class": {"W1": np.ndarray},
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_any_other_pickle_is_refused_in_one_sentence(tmp_path, monkeypatch, what, protocol):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.pkl").write_bytes(pickle.dumps(BAD[what], protocol))
    own = net()
    before = {key: p.copy() for key, p in own.params.items()}
    with pytest.raises(ValueError, match=r"^params\.pkl: expected a file of save_params") as caught:
        own.load_params("params.pkl")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm was done").exists()
    for key, p in before.items():
        np.testing.assert_array_equal(own.params[key], p)


def test_a_pickled_array_that_lies_about_its_size_is_refused(tmp_path):
    whole = pickle.dumps({"W1": np.ones(3)}, 3)  # without frames
    at = whole.index(np.ones(3).tobytes())
    assert whole[at - 2 : at] == b"C\x18"  # an opcode and 24, the number of bytes
    (tmp_path / "p").write_bytes(whole[: at - 1] + b"\x10" + whole[at : at + 16] + whole[at + 24 :])
    with pytest.raises(ValueError, match="an array of another size than it says"):
        net().load_params(tmp_path / "p")


@pytest.mark.parametrize("raw", [b"", b"<!DOCTYPE html>", b"\x80\x04", bytes(range(64))])
def test_what_is_no_file_of_parameters_is_refused(tmp_path, raw):
    (tmp_path / "p").write_bytes(raw)
    with pytest.raises(ValueError, match="expected a file of save_params"):
        net().load_params(tmp_path / "p")


def test_parameters_that_do_not_fit_are_refused_whole(tmp_path):
    TwoLayerNet(4, 5, 2).save_params(tmp_path / "other")
    MultiLayerNetExtend(4, [3, 3], 2).save_params(tmp_path / "more")
    own = net()
    before = {key: p.copy() for key, p in own.params.items()}
    with pytest.raises(ValueError, match=r"'W1': expected shape \(4, 3\), got \(4, 5\)"):
        own.load_params(tmp_path / "other")
    with pytest.raises(ValueError, match="the network has no 'W3'"):
        own.load_params(tmp_path / "more")
    for key, p in before.items():
        np.testing.assert_array_equal(own.params[key], p)
