"""A backend is one file and one row: the one that CONTRIBUTING.md shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / ".github" / "CONTRIBUTING.md"

PROGRAM = """
import copy, pickle
import numpy as np
import xpnet
from strict_backend import StrictDevice
from xpnet.devices import device_of
from xpnet.layers import BatchNorm, Conv2d, Dropout, Flatten, Linear, ReLU, Sequential

rng = np.random.default_rng(0)
data = xpnet.data.Dataset(rng.normal(size=(40, 1, 6, 6)), rng.integers(0, 3, 40))


def trained(where):
    layers = [Conv2d(4, 3), BatchNorm(), ReLU(), Dropout(0.2), Flatten(), Linear(3)]
    net = Sequential(layers, input_shape=(1, 6, 6), seed=0, dtype="float64").to(where)
    trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD(lr=0.1))
    trainer.fit(data, epochs=2, batch_size=8, validation=data)
    return net


def refused(name):
    try:
        xpnet.device(name)
    except ValueError as error:
        return str(error)


assert "strict:N" not in refused("strict:1")
xpnet.devices.register("array_api_strict", StrictDevice)
assert "'strict:N' or 'auto', got 'strict:7'" in refused("strict:7")
assert "'strict:N' or 'auto', got 'array_api_strict:device1'" in refused("array_api_strict:device1")

place = xpnet.device("strict:1")
net = trained("strict:1")
W = net.params["0.W"]
assert type(W).__module__.startswith("array_api_strict") and net.device == place == device_of(W)
assert xpnet.device(device_of(W).name) == pickle.loads(pickle.dumps(place)) == copy.deepcopy(place)
assert not place.records and place.describe()["device"] == "strict:1"
here = trained("cpu")
net.to("cpu")
assert net.device.name == "cpu" and isinstance(net.params["0.W"], np.ndarray)
for name, value in here.params.items():
    np.testing.assert_allclose(net.params[name], value, rtol=1e-9, atol=1e-12)
"""


def test_a_backend_of_ones_own_trains_and_comes_back(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "strict_backend.py").write_text(example)
    (tmp_path / "program.py").write_text(PROGRAM)
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=True)
