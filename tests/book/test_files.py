"""Parameters in files: safetensors out; in, also the book's pickles, and nothing else."""

from __future__ import annotations

import os
import pickle
import sys
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest

from xpnet.book._files import read_params
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


def test_the_pickles_of_python_2_are_read(tmp_path):
    """Texts between quotes and bytes as texts, as its protocols 0 and 2 have them."""
    data = np.array([1.5, -2.0, 1e300]).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I3\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n%stb"
    )
    quoted = b"S'" + "".join(f"\\x{byte:02x}" for byte in data).encode() + b"'\n"
    short = b"U" + bytes([len(data)]) + data
    for start, text in ((b"", quoted), (b"\x80\x02", short)):
        (tmp_path / "p").write_bytes(start + b"(dS'W1'\n" + array % text + b"s.")
        np.testing.assert_array_equal(read_params(tmp_path / "p")["W1"], [1.5, -2.0, 1e300])


def test_names_of_one_array_share_it_and_a_network_takes_its_own(tmp_path):
    shared = np.ones((3, 3))
    (tmp_path / "p").write_bytes(pickle.dumps(dict.fromkeys(["W1", "W2"], shared)))
    read = read_params(tmp_path / "p")
    assert read["W1"] is read["W2"]
    own = TwoLayerNet(3, 3, 3)
    biases = {name: own.params[name] for name in ("b1", "b2")}
    (tmp_path / "p").write_bytes(pickle.dumps({"W1": shared, "W2": shared} | biases))
    own.load_params(tmp_path / "p")
    own.params["W1"] += 1
    np.testing.assert_array_equal(own.params["W2"], shared)


def nested(times: int) -> bytes:
    """Return opcodes of a tuple within tuples, each of which holds the one before twice."""
    return b"\x80\x04)\x94" + b"".join(b"0h%ch%c\x86\x94" % (i, i) for i in range(times))


DATA = b"B" + (10**6).to_bytes(4, "little") + bytes(10**6) + b"\x94"
DTYPE = b"cnumpy\ndtype\n\x8c\x02u1\x85R\x94"
FROMBUFFER = b"cnumpy.core.numeric\n_frombuffer\n"
MEGABYTE = FROMBUFFER + b"(h\0h\1J@B\x0f\0\x85\x8c\1CtR"
BOMBS = {
    "a memo of 2^31": (b"\x80\x04Nr\xff\xff\xff\x7f.", "holds no dict of names"),
    "bytes of 2^62": (b"\x80\x04\x8e" + bytes(7) + b"\x40.", ""),
    "a text of 2^31": (b"\x80\x04X\xff\xff\xff\x7f.", ""),
    "a name of tuples": (b"}" + nested(80) + b"Ns.", "holds a name that is tuple, no text"),
    "a dtype of tuples": (
        b"}\x8c\1a" + FROMBUFFER + b"(C\0cnumpy\ndtype\n" + nested(80)[2:] + b"\x85R)\x8c\1CtRs.",
        "holds numbers of dtype tuple",
    ),
    "a call of tuples": (nested(80) + b")R.", "calls what cannot be called"),
    "one text's bytes over and over": (
        b"\x8c\x06latin1\x94X" + (10**6).to_bytes(4, "little") + b"x" * 10**6 + b"\x94"
        + b"c_codecs\nencode\nh\1h\0\x86R0" * 5000 + b"}.",
        None,
    ),
    "one array's bytes over and over": (
        DATA + DTYPE + b"}("
        + b"".join(b"\x8c\4%04d" % i + MEGABYTE for i in range(2000)) + b"u.",
        "holds more arrays than it has bytes",
    ),
    "one array under many names": (
        DATA + DTYPE + MEGABYTE + b"\x94}("
        + b"".join(b"\x8c\4%04dh\2" % i for i in range(9999)) + b"u.",
        None,
    ),
    "opcodes": (b"N0" * 10**6 + b".", "more than 131072 opcodes"),
    "marks": (b"(" * 10**6, "more than 131072 opcodes"),
    "axes": (
        b"}\x8c\1a" + DTYPE.replace(b"\x94", b"q\1") + b"0" + FROMBUFFER + b"(C\0h\1("
        + b"J\xff\xff\xff\x7f" * 50_000 + b"t\x8c\1CtRs.",
        "holds an array of no known shape",
    ),
    "a dtype that grows": (
        b"\x8c\1<\x94}\x8c\1a" + FROMBUFFER + b"(C\0cnumpy\ndtype\n\x8c\x02u1\x85R"
        + b"(K\3X" + (10**5).to_bytes(4, "little") + b"<" * 10**5 + b"tb)\x8c\1CtRs.",
        "holds numbers of no known byte order",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BOMBS)
def test_a_pickle_takes_no_more_than_its_size_allows(tmp_path, what):
    raw, message = BOMBS[what]
    (tmp_path / "p").write_bytes(raw)
    tracemalloc.start()
    try:
        if message is None:
            read_params(tmp_path / "p")
        else:
            with pytest.raises(ValueError, match=rf"p: expected a file of save.*\(.*{message}"):
                read_params(tmp_path / "p")
        assert tracemalloc.get_traced_memory()[1] < 2**25 + 4 * len(raw)
    finally:
        tracemalloc.stop()


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
