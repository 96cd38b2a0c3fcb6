"""The dispatcher: which body runs, and what it refuses."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

from tests.conftest import HAS_TORCH
from xpnet import ops
from xpnet.devices import device_of
from xpnet.layers import Linear, Sequential
from xpnet.ops import BODIES, Op, generic_only, op
from xpnet.ops.dispatch import load_bodies

pytestmark = pytest.mark.faster_bodies

FAMILIES = (
    ops.batch,
    ops.conv,
    ops.dropout,
    ops.elementwise,
    ops.linear,
    ops.loss,
    ops.norm,
    ops.pool,
    ops.precision,
    ops.update,
)
OPS = {
    found.__name__: found
    for family in FAMILIES
    for found in vars(family).values()
    if isinstance(found, Op)
}
for _names in BODIES.values():
    for _name in _names:
        load_bodies(_name)
ALL_BODIES = [(o, name) for o in OPS.values() for name in o.bodies]


def make(declines=False):
    """Return an op that says which of its bodies ran."""

    @op
    def told(x, factor):
        """Say who ran."""
        return "generic"

    @told.register("numpy")
    def _(x, factor):
        return NotImplemented if declines else "numpy"

    return told


def test_the_first_argument_chooses_the_body(xp):
    expected = "numpy" if xp.device.library == "numpy" else "generic"
    assert make()(xp.array([1.0]), 2) == expected


def test_a_body_that_declines_gives_way_to_the_generic_one():
    assert make(declines=True)(np.zeros(1), 2) == "generic"


def test_bodies_are_tried_in_the_order_of_the_list(monkeypatch):
    monkeypatch.setitem(BODIES, "numpy", ("numpy", "numpy_second"))
    monkeypatch.setattr("xpnet.ops.dispatch.load_bodies", lambda name: True)
    declined, accepted = make(declines=True), make()
    for told in declined, accepted:
        told.register("numpy_second")(lambda x, factor: "second")
    assert declined(np.zeros(1), 2) == "second"
    assert accepted(np.zeros(1), 2) == "numpy"


def test_generic_only_runs_no_other_body_and_ends_with_its_context():
    told, x = make(), np.zeros(1)
    with generic_only():
        assert told(x, 2) == "generic"
        with generic_only():
            assert told(x, 2) == "generic"
        assert told(x, 2) == "generic"
    assert told(x, 2) == "numpy"


def test_generic_only_ends_when_its_context_raises():
    with pytest.raises(KeyError), generic_only():
        raise KeyError
    assert make()(np.zeros(1), 2) == "numpy"


def test_generic_only_does_not_reach_other_threads():
    told, found = make(), []
    with generic_only():
        thread = threading.Thread(target=lambda: found.append(told(np.zeros(1), 2)))
        thread.start()
        thread.join()
    assert found == ["numpy"]


def test_arrays_of_two_libraries_are_refused_by_name():
    x = np.zeros((2, 3))
    W = array_api_strict.zeros((3, 4))
    device_of(W)
    with pytest.raises(TypeError, match=r"linear: .*one library, got numpy and array_api_strict"):
        ops.linear.linear(x, W, None)
    with pytest.raises(TypeError, match=r"linear: .*one library, got array_api_strict and numpy"):
        ops.linear.linear(W, x, None)


def test_an_array_of_a_library_not_met_before_is_recognised_as_one(monkeypatch):
    foreign = array_api_strict.ones(3, dtype=array_api_strict.float64)
    for module, table in (("xpnet.arrays", "_library_of_type"), ("xpnet.ops.dispatch", "_met")):
        seen = getattr(importlib.import_module(module), table)
        monkeypatch.delitem(seen, type(foreign), raising=False)
    with pytest.raises(TypeError, match="numpy and array_api_strict"):
        make()(np.ones(3), foreign)
    net = Sequential([Linear(3)], input_shape=(1,))
    with pytest.raises(ValueError, match=r"float32, got .* float64"):
        net.params["0.b"] = foreign


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_torch_is_not_mixed_with_numpy_either():
    import torch

    x = torch.zeros(2, 3)
    with pytest.raises(TypeError, match=r"max_pool2d_backward: .* got numpy and torch"):
        ops.pool.max_pool2d_backward(np.zeros((1, 1, 1, 1)), x, ops.Window(1, 1, 1, 0))


@pytest.mark.parametrize("value", [3, [1.0, 2.0], "x", None])
def test_what_is_no_array_is_refused(value):
    with pytest.raises(TypeError, match="expected an array"):
        make()(value, 2)


@pytest.mark.parametrize(
    ("of", "name"), ALL_BODIES, ids=lambda v: v if isinstance(v, str) else v.__name__
)
def test_every_body_takes_what_the_generic_one_takes(of, name):
    generic, body = (inspect.signature(f).parameters for f in (of.generic, of.bodies[name]))
    assert list(body) == list(generic)
    for one, other in zip(body.values(), generic.values(), strict=True):
        assert (one.default, one.kind) == (other.default, other.kind)


def test_numpy_bodies_are_registered_for_the_hot_ops():
    hot = {"conv2d", "conv2d_backward", "conv_relu_pool", "conv_relu_pool_backward"}
    assert hot < {o.__name__ for o, _ in ALL_BODIES}


@pytest.mark.parametrize("name", OPS)
def test_every_op_keeps_the_name_and_docstring_of_its_definition(name):
    assert OPS[name].__name__ == OPS[name].generic.__name__ == name
    assert OPS[name].__doc__


def test_ops_pickle_by_their_names():
    assert pickle.loads(pickle.dumps(ops.linear.linear)) is ops.linear.linear


def test_a_body_may_be_for_one_precision_alone():
    @op
    def told(x, *, precision="float32"):
        """Say who ran."""
        return "generic"

    told.register("numpy", precision="float32")(lambda x, *, precision="float32": "numpy")
    x = np.zeros(1)
    assert [told(x), told(x, precision="float32"), told(x, precision="bf16")] == [
        "numpy", "numpy", "generic",
    ]  # fmt: skip


def test_any_library_may_have_a_body_and_may_get_it_late():
    told, x = make(), array_api_strict.ones(2)
    assert told(x, 1) == "generic"

    @told.register("array_api_strict")
    def _(x, factor):
        return "late"

    assert told(x, 1) == "late"


WHO_ADDS = """
import numpy
from xpnet.ops import linear
y, _ = linear.linear(numpy.ones((8, 8)), numpy.ones((8, 8)), None)
assert (y == 8).all()
(chosen,) = linear.linear.chosen.values()
print(*(body.__module__ for body, _ in chosen))
"""


def who_adds(**environment):
    """Return the modules whose bodies serve NumPy arrays in a new process, and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", WHO_ADDS],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split(), done.stderr


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs numba")
def test_compiled_bodies_come_first_where_numba_is():
    assert who_adds(XPNET_NUMBA="1") == (["xpnet.ops.numba.linear", "xpnet.ops.numpy.linear"], "")


def test_an_environment_variable_does_without_them():
    assert who_adds(XPNET_NUMBA="0") == (["xpnet.ops.numpy.linear"], "")


def test_a_numba_that_cannot_be_imported_is_named_and_done_without(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.9 or less')")
    modules, said = who_adds(XPNET_NUMBA="1", PYTHONPATH=f"{tmp_path}{os.pathsep}{Path.cwd()}")
    assert modules == ["xpnet.ops.numpy.linear"]
    assert "RuntimeWarning: numba is installed but cannot be used" in said
    assert "Numba needs NumPy 1.9 or less" in said
    assert "XPNET_NUMBA=0" in said
