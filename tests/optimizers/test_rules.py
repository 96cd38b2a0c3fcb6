"""Optimizers: the rules step by step, and what they remember."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conftest import Backend, assert_close
from xpnet import optimizers
from xpnet.arrays import dtype_name, to_numpy
from xpnet.devices import device_of
from xpnet.layers import BatchNorm, Linear, ReLU, Sequential
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.ops.update import COLUMNS, DeviceScalars
from xpnet.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop
from xpnet.optimizers.base import FLUSH_EVERY

RULES = {
    "SGD": lambda **k: SGD(lr=0.1, **k),
    "Momentum": lambda **k: Momentum(lr=0.1, momentum=0.8, **k),
    "Nesterov": lambda **k: Nesterov(lr=0.1, momentum=0.8, **k),
    "AdaGrad": lambda **k: AdaGrad(lr=0.1, eps=1e-3, **k),
    "RMSprop": lambda **k: RMSprop(lr=0.1, alpha=0.7, eps=1e-3, **k),
    "Adam": lambda **k: Adam(lr=0.1, beta1=0.8, beta2=0.95, eps=1e-3, **k),
    "AdamW": lambda **k: AdamW(lr=0.1, beta1=0.8, beta2=0.95, eps=1e-3, **k),
}
SLOTS = {
    "SGD": "", "Momentum": "v", "Nesterov": "v", "AdaGrad": "h", "RMSprop": "h", "Adam": "mv",
    "AdamW": "mv",
}  # fmt: skip
every_rule = pytest.mark.parametrize("rule", RULES)


def walk(rule: str, p: float, gradients: list[float], decay: float) -> float:
    """Follow a rule of RULES for one number, in plain Python: the oracle."""
    v = m = 0.0
    for step, g in enumerate(gradients, 1):
        if rule == "AdamW":
            p -= 0.1 * decay * p
        else:
            g += decay * p
        if rule == "SGD":
            p -= 0.1 * g
        elif rule == "Momentum":
            v = 0.8 * v + g
            p -= 0.1 * v
        elif rule == "Nesterov":
            v = 0.8 * v + g
            p -= 0.1 * (g + 0.8 * v)
        elif rule == "AdaGrad":
            v += g**2
            p -= 0.1 * g / (math.sqrt(v) + 1e-3)
        elif rule == "RMSprop":
            v = 0.7 * v + 0.3 * g**2
            p -= 0.1 * g / (math.sqrt(v) + 1e-3)
        else:
            m = 0.8 * m + 0.2 * g
            v = 0.95 * v + 0.05 * g**2
            m_hat, v_hat = m / (1 - 0.8**step), v / (1 - 0.95**step)
            p -= 0.1 * m_hat / (math.sqrt(v_hat) + 1e-3)
    return p


def draw(seed: int, *shape: int, dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=shape)
    return (numbers + 1j * rng.normal(size=shape) if "complex" in dtype else numbers).astype(dtype)


def network(seed: int = 0, dtype: str = "float32") -> Sequential:
    layers = [Linear(5), BatchNorm(), ReLU(), Linear(3)]
    return Sequential(layers, input_shape=(4,), seed=seed, dtype=dtype)


def train(net: Sequential, optimizer: optimizers.Optimizer, steps: range) -> None:
    """Make real steps of training; the batches depend on the step alone."""
    loss, place = SoftmaxCrossEntropy(), net.device
    for step in steps:
        x = place.asarray(draw(step, 8, 4, dtype=net.dtype))
        loss.forward(net.forward(x, train=True), place.asarray(np.arange(8) % 3))
        net.backward(loss.backward())
        optimizer.update(net.params, net.grads)


def host(arrays) -> dict[str, np.ndarray]:
    return {key: to_numpy(values).copy() for key, values in arrays.items()}


# The rules ----------------------------------------------------------------------------------------


STORED = {  # p after three steps from 1 with gradients .5, -1, 2: worked out by hand
    "SGD": 0.85,
    "Momentum": 0.858,
    "Nesterov": 0.7364,
}


@pytest.mark.parametrize("rule", STORED)
def test_three_steps_end_where_the_sums_say(rule):
    params, optimizer = {"x": 1.0}, RULES[rule]()
    for g in (0.5, -1.0, 2.0):
        optimizer.update(params, {"x": g})
    assert params["x"] == pytest.approx(STORED[rule], rel=1e-14)


@pytest.mark.parametrize(
    ("optimizer", "size"),
    [
        (AdaGrad(lr=0.5), 0.5),
        (RMSprop(lr=0.5, alpha=0.75), 1.0),
        (Adam(lr=0.5), 0.5),
        (AdamW(lr=0.5, weight_decay=0), 0.5),
    ],
    ids=repr,
)
def test_the_first_step_of_an_adaptive_rule_has_a_fixed_size(optimizer, size):
    params = {"x": 2.0, "y": 2.0}
    optimizer.update(params, {"x": 100.0, "y": -3.0})
    assert params == pytest.approx({"x": 2 - size, "y": 2 + size}, rel=1e-7)


@every_rule
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_ten_steps_are_those_of_the_plain_formula(xp: Backend, rule, decay):
    start, steps = draw(0, 2, 3), draw(1, 10, 2, 3)
    params, optimizer = {"W": xp.device.asarray(start.copy())}, RULES[rule](weight_decay=decay)
    for g in steps:
        optimizer.update(params, {"W": xp.array(g)})
    expected = [
        walk(rule, float(start[at]), steps[(slice(None), *at)].tolist(), decay)
        for at in np.ndindex(2, 3)
    ]
    assert_close(params["W"], np.reshape(expected, (2, 3)), rtol=1e-12)
    assert optimizer.steps == 10


@every_rule
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_plain_numbers_go_in_and_come_out(rule, decay):
    params, optimizer = {"x": 1.0, "y": 2}, RULES[rule](weight_decay=decay)
    steps = draw(2, 6, 2).tolist()
    for x, y in steps:
        optimizer.update(params, {"x": x, "y": y})
    for k, start in enumerate((1.0, 2.0)):
        expected = walk(rule, start, [g[k] for g in steps], decay)
        assert params["xy"[k]] == pytest.approx(expected, rel=1e-12)
    assert [type(value) for value in params.values()] == [float, float]


def test_numpy_scalars_are_plain_numbers_too():
    params = {"x": np.float32(1), "y": np.float64(2), "z": 1 + 1j}
    SGD(lr=0.5).update(params, {"x": np.float32(1), "y": 1, "z": 2j})
    assert params == {"x": 0.5, "y": 1.5, "z": 1.0}


TORCH = {
    "SGD": ("SGD", {}),
    "Momentum": ("SGD", {"momentum": 0.8}),
    "Nesterov": ("SGD", {"momentum": 0.8, "nesterov": True}),
    "AdaGrad": ("Adagrad", {"eps": 1e-3}),
    "RMSprop": ("RMSprop", {"alpha": 0.7, "eps": 1e-3}),
    "Adam": ("Adam", {"betas": (0.8, 0.95), "eps": 1e-3}),
    "AdamW": ("AdamW", {"betas": (0.8, 0.95), "eps": 1e-3}),
}


@every_rule
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_ten_steps_are_those_of_torch(rule, decay, dtype):
    torch = pytest.importorskip("torch")
    if dtype == "complex128" and rule not in ("SGD", "Momentum", "Nesterov"):
        pytest.skip("torch treats the parts apart")
    start, steps = draw(3, 5, dtype=dtype), draw(4, 10, 5, dtype=dtype)
    theirs = torch.tensor(start, requires_grad=True)
    name, options = TORCH[rule]
    their_rule = getattr(torch.optim, name)([theirs], lr=0.1, weight_decay=decay, **options)
    params, optimizer = {"W": start.copy()}, RULES[rule](weight_decay=decay)
    for g in steps:
        theirs.grad = torch.tensor(g)
        their_rule.step()
        optimizer.update(params, {"W": g})
    rtol = 1e-5 if dtype == "float32" else 1e-12
    assert_close(params["W"], theirs.detach().numpy(), rtol=rtol)


@pytest.mark.parametrize("rule", ["AdaGrad", "RMSprop", "Adam", "AdamW"])
def test_the_second_moment_of_complex_gradients_is_of_their_size(xp: Backend, rule):
    turn = np.exp(0.7j)
    real, turned = {"W": np.ones(3)}, {"W": xp.device.asarray(turn * np.ones(3))}
    a, b = RULES[rule](), RULES[rule]()
    for g in draw(5, 6, 3):
        a.update(real, {"W": g})
        b.update(turned, {"W": xp.array(g * turn)})
    assert_close(turned["W"], turn * real["W"], rtol=1e-12)  # the rule does not know directions
    second = [key for key in b.state() if key != "m/W"]
    assert all(b.state()[key].dtype == "float64" for key in second)


@every_rule
def test_the_schedules_factor_multiplies_the_rate(rule):
    plain, scaled = {"x": 1.0}, {"x": 1.0}
    RULES[rule]().update(plain, {"x": 3.0})
    optimizer = RULES[rule]()
    optimizer.lr_factor = 0.5
    assert optimizer.rate == 0.05
    optimizer.update(scaled, {"x": 3.0})
    assert 1 - scaled["x"] == pytest.approx((1 - plain["x"]) / 2, rel=1e-12)


def test_the_valley_is_walked_down_to_its_floor():
    rules = {
        "SGD": SGD(lr=0.95), "Momentum": Momentum(lr=0.1), "AdaGrad": AdaGrad(lr=1.5),
        "Adam": Adam(lr=0.3),
    }  # fmt: skip
    ends = {}
    for name, rule in rules.items():
        params = {"x": -7.0, "y": 2.0}
        for _ in range(30):
            rule.update(params, {"x": params["x"] / 10, "y": 2 * params["y"]})
        ends[name] = params["x"], params["y"]
    assert ends["SGD"] == pytest.approx((-7 * (1 - 0.095) ** 30, 2 * (1 - 1.9) ** 30), rel=1e-9)
    x, y, vx, vy = -7.0, 2.0, 0.0, 0.0
    for _ in range(30):
        vx, vy = 0.9 * vx + x / 10, 0.9 * vy + 2 * y
        x, y = x - 0.1 * vx, y - 0.1 * vy
    assert ends["Momentum"] == pytest.approx((x, y), rel=1e-9)
    for x, y in ends.values():
        assert x**2 / 20 + y**2 < (7**2 / 20 + 2**2) / 10


# What stays as it was -----------------------------------------------------------------------------


@every_rule
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_gradients_are_not_written_and_dtype_and_place_stay(xp: Backend, rule, dtype):
    optimizer = RULES[rule](weight_decay=0.1)
    array = xp.device.asarray(draw(0, 4, dtype=dtype))
    params, gradient = {"W": array}, draw(1, 4, dtype=dtype)
    grads = {"W": xp.array(gradient.copy())}
    for _ in range(2):
        optimizer.update(params, grads)
    assert params["W"] is array
    assert (dtype_name(array), device_of(array)) == (dtype, xp.device)
    np.testing.assert_array_equal(to_numpy(grads["W"]), gradient)
    real = {"complex64": "float32"}.get(dtype, dtype)
    for key, slot in optimizer.state().items():
        assert slot.dtype == (dtype if key == "m/W" or rule in ("Momentum", "Nesterov") else real)


@every_rule
def test_strided_parameters_move_as_contiguous_ones_do(rule):
    wide, plain = np.zeros((4, 6)), {"W": draw(0, 4, 3)}
    params = {"W": wide[:, ::2]}
    params["W"][...] = plain["W"]
    a, b = RULES[rule](), RULES[rule]()
    for g in draw(1, 3, 4, 3):
        a.update(plain, {"W": g})
        b.update(params, {"W": g})
    np.testing.assert_array_equal(wide[:, ::2], plain["W"])
    assert not wide[:, 1::2].any()


def test_slots_stand_under_the_keys_of_the_parameters():
    for rule, names in SLOTS.items():
        optimizer, net = RULES[rule](), network()
        train(net, optimizer, range(1))
        assert set(optimizer.state()) == {f"{name}/{key}" for name in names for key in net.params}
        for key, slot in optimizer.state().items():
            assert slot.shape == net.params[key.partition("/")[2]].shape


@pytest.mark.parametrize("rule", ["Momentum", "RMSprop", "Adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_do_not_decay_into_denormal_numbers(xp: Backend, rule, dtype):
    rules = {"Momentum": Momentum(), "RMSprop": RMSprop(alpha=0.9), "Adam": Adam(0.01, 0.9, 0.9)}
    optimizer, least = rules[rule], np.finfo(dtype).smallest_normal
    params = {"W": xp.device.asarray(np.zeros(4, dtype))}
    gradients = xp.array([1e-3, -1.0, 0, 1e3], dtype), xp.array([0, 0, 0, 0], dtype)
    optimizer.update(params, {"W": gradients[0]})
    before = optimizer.state()
    for step in range(2 * FLUSH_EVERY if xp.name.startswith("strict") else 60 * FLUSH_EVERY):
        optimizer.update(params, {"W": gradients[1]})
        if step % 7 == 0:
            for values in optimizer.state().values():
                sizes = np.abs(values)
                assert not ((sizes > 0) & (sizes < least)).any()
    if dtype == "float32" and not xp.name.startswith("strict"):
        assert all(values.any() for values in before.values())
        assert not any(values.any() for values in optimizer.state().values())


def test_flushing_changes_no_step_that_can_be_seen():
    start, gradients = draw(0, 6, dtype="float32"), 1e-7 * draw(1, 3 * FLUSH_EVERY, 6)
    params, optimizer = {"W": start.copy()}, Adam(lr=1e-3)
    expected = start.astype(float)
    m = v = 0.0
    for step, g in enumerate(gradients.astype("float32"), 1):
        optimizer.update(params, {"W": g})
        m, v = 0.9 * m + 0.1 * g.astype(float), 0.999 * v + 0.001 * g.astype(float) ** 2
        expected -= 1e-3 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(params["W"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(optimizer.state()["v/W"], v, rtol=1e-4)


# Networks -----------------------------------------------------------------------------------------


@every_rule
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_a_network_moves_as_dicts_do_and_decay_acts_on_weights_alone(rule, decay):
    net, optimizer = network(), RULES[rule](weight_decay=decay)
    plain = host(net.params)
    apart = {key: RULES[rule](weight_decay=decay if key[-1] == "W" else 0) for key in plain}
    assert sorted(plain) == ["0.W", "0.b", "1.beta", "1.gamma", "3.W", "3.b"]
    for step in range(5):
        for key in net.grads:
            net.grads[key] = draw(step, *plain[key].shape, dtype="float32")
        grads = host(net.grads)
        optimizer.update(net.params, net.grads)
        for key, one in apart.items():
            one.update({key: plain[key]}, {key: grads[key]})
    for key in plain:
        np.testing.assert_array_equal(net.params[key], plain[key])


@every_rule
def test_padding_between_parameters_stays_zero(rule):
    net, optimizer = network(), RULES[rule](weight_decay=0.1)
    train(net, optimizer, range(3))
    flat = net.params.flat.copy()
    for view in net.params.views_of(flat).values():
        view[...] = 0
    assert not flat.any()


@every_rule
def test_a_loaded_state_continues_bit_for_bit(rule):
    one, other = network(), network()
    straight, first, second = (RULES[rule](weight_decay=0.1) for _ in range(3))
    train(one, straight, range(8))
    train(other, first, range(4))
    state = first.state()
    kept = {key: values.copy() for key, values in state.items()}
    params = host(other.params)
    train(other, first, range(4, 6))  # a state once taken does not move on
    for key, values in state.items():
        np.testing.assert_array_equal(values, kept[key])
    for key, values in params.items():
        other.params[key] = values
    second.load_state(state, steps=4)
    train(other, second, range(4, 8))
    assert second.steps == straight.steps == 8
    for key in one.params:
        np.testing.assert_array_equal(one.params[key], other.params[key])
    for key, values in straight.state().items():
        np.testing.assert_array_equal(values, second.state()[key])


@every_rule
def test_a_loaded_state_continues_dicts_of_any_library(xp: Backend, rule):
    start, steps = draw(0, 3), draw(1, 6, 3)
    straight, first, second = RULES[rule](), RULES[rule](), RULES[rule]()
    expected, params = {"W": start.copy()}, {"W": xp.device.asarray(start.copy())}
    for g in steps:
        straight.update(expected, {"W": g})
    for g in steps[:3]:
        first.update(params, {"W": xp.array(g)})
    second.load_state(first.state(), 3)
    for g in steps[3:]:
        second.update(params, {"W": xp.array(g)})
    assert_close(params["W"], expected["W"], rtol=1e-13)


@every_rule
def test_a_loaded_state_is_copied(rule):
    params, first, second = {"W": draw(0, 3)}, RULES[rule](), RULES[rule]()
    first.update(params, {"W": draw(1, 3)})
    state, kept = first.state(), first.state()
    second.load_state(state, 1)
    second.update(params, {"W": draw(2, 3)})
    for key, values in kept.items():
        np.testing.assert_array_equal(state[key], values)


@every_rule
def test_slots_follow_a_network_to_another_device(xp: Backend, rule):
    stays, moves = network(dtype="float64"), network(dtype="float64")
    one, other = RULES[rule](weight_decay=0.1), RULES[rule](weight_decay=0.1)
    train(stays, one, range(6))
    train(moves, other, range(3))
    moves.to(xp.device)
    train(moves, other, range(3, 6))
    for key in stays.params:
        assert device_of(moves.params[key]) == xp.device
        assert_close(moves.params[key], stays.params[key], rtol=1e-9, atol=1e-12)
    for key, values in one.state().items():
        assert_close(other.state()[key], values, rtol=1e-8, atol=1e-12)


@every_rule
def test_slots_follow_arrays_of_a_dict_to_another_device(xp: Backend, rule):
    start, steps = draw(0, 3), draw(1, 4, 3)
    expected, params = {"W": start.copy()}, {"W": start.copy()}
    one, other = RULES[rule](), RULES[rule]()
    for g in steps:
        one.update(expected, {"W": g})
    for g in steps[:2]:
        other.update(params, {"W": g})
    params["W"] = xp.device.asarray(params["W"].copy())
    for g in steps[2:]:
        other.update(params, {"W": xp.array(g)})
    assert_close(params["W"], expected["W"], rtol=1e-13)


# What is refused ----------------------------------------------------------------------------------


@every_rule
@pytest.mark.parametrize(
    ("grads", "sentence"),
    [
        ({"x": 1.0}, r"expected the same keys, got params \['x', 'y'\] and grads \['x'\]"),
        ({"x": 1.0, "z": 1.0}, "expected the same keys"),
        ({"x": 1.0, "y": np.ones(2)}, r"gradient of shape \(3,\) for 'y', got \(2,\)"),
        ({"x": 1.0, "y": np.ones(1)}, r"gradient of shape \(3,\) for 'y', got \(1,\)"),
        ({"x": 1.0, "y": 1.0}, r"gradient of shape \(3,\) for 'y', got \(\)"),
        ({"x": np.ones(3), "y": np.ones(3)}, r"gradient of shape \(\) for 'x', got \(3,\)"),
    ],
)
def test_gradients_that_do_not_pair_raise_and_change_nothing(rule, grads, sentence):
    params, optimizer = {"x": 1.0, "y": np.ones(3)}, RULES[rule]()
    with pytest.raises(ValueError, match=sentence):
        optimizer.update(params, grads)
    assert params["x"] == 1.0
    np.testing.assert_array_equal(params["y"], np.ones(3))
    assert optimizer.steps == 0
    assert optimizer.state() == {}


@every_rule
def test_the_gradients_of_another_network_are_refused(rule):
    net, optimizer = network(), RULES[rule]()
    other = Sequential([Linear(5), ReLU(), Linear(3)], input_shape=(4,))
    before = host(net.params)
    with pytest.raises(ValueError, match="update: expected the same keys"):
        optimizer.update(net.params, other.grads)
    assert optimizer.steps == 0
    for key, values in before.items():
        np.testing.assert_array_equal(net.params[key], values)


@pytest.mark.parametrize("units", [4, 5])
def test_an_optimizer_of_one_network_is_refused_by_another(units):
    optimizer = Adam()
    train(network(), optimizer, range(1))
    other = Sequential([Linear(units), ReLU(), Linear(3)], input_shape=(4,))
    with pytest.raises(ValueError, match=r"has trained another network .* make a new optimizer"):
        train(other, optimizer, range(1))


def test_a_state_of_another_rule_is_refused():
    momentum = Momentum()
    momentum.update({"x": 1.0}, {"x": 1.0})
    with pytest.raises(ValueError, match="AdaGrad has no slot 'v'"):
        AdaGrad().load_state(momentum.state(), 1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        *[(lambda lr=lr: SGD(lr=lr), "lr: expected a number above 0, got") for lr in
          (0, -0.1, math.nan, math.inf)],
        *[(lambda w=w: Adam(weight_decay=w), "weight_decay: expected a number >= 0, got") for w in
          (-1e-9, math.nan, math.inf)],
        *[(lambda m=m: Momentum(momentum=m), "momentum: expected 0 <= momentum < 1, got") for m in
          (-0.1, 1, 1.5, math.nan)],
        (lambda: Nesterov(momentum=1), "momentum: expected 0 <= momentum < 1, got 1"),
        (lambda: RMSprop(alpha=1), "alpha: expected 0 <= alpha < 1, got 1"),
        (lambda: RMSprop(eps=0), "eps: expected a number above 0, got 0"),
        (lambda: AdaGrad(eps=-1), "eps: expected a number above 0, got -1"),
        (lambda: Adam(beta1=1), "beta1: expected 0 <= beta1 < 1, got 1"),
        (lambda: AdamW(beta2=-1), "beta2: expected 0 <= beta2 < 1, got -1"),
        (lambda: AdamW(eps=0), "eps: expected a number above 0, got 0"),
    ],
)  # fmt: skip
def test_bad_hyperparameters_raise(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@every_rule
def test_config_is_what_makes_the_same_optimizer_again(rule):
    one = RULES[rule](weight_decay=0.2)
    again = type(one)(**one.config())
    assert again.config() == one.config()
    assert repr(again) == repr(one)
    assert repr(SGD()) == "SGD(lr=0.01, weight_decay=0.0)"
    assert one.config()["weight_decay"] == 0.2


def test_every_optimizer_stands_in_these_tables():
    public = set(optimizers.__all__) - {"Optimizer"}
    assert public == set(RULES) == set(SLOTS) == set(TORCH)


@pytest.mark.parametrize("rule", [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam, AdamW])
def test_a_rule_takes_its_scalars_from_the_device_as_from_the_host(xp: Backend, rule):
    looked_up, plain = rule(lr=0.1), rule(lr=0.1)
    rows = np.zeros((3, len(COLUMNS)))
    for number, row in enumerate(rows):
        scalars = plain.scalars(number + 1)
        row[: len(scalars)] = list(scalars.values())
    params = [{"w": xp.device.asarray(np.array([1.0, -2.0, 0.5]))} for _ in range(2)]
    for number in range(3):
        grads = {"w": xp.array(np.array([0.3, -0.1, 0.2]) * (number + 1))}
        record = xp.array(np.array([0.0, 0.0, number]))
        there = DeviceScalars(tuple(scalars), xp.array(rows), record, "float64")
        looked_up.apply(params[0], grads, there)
        plain.update(params[1], grads)
        ours, theirs = (to_numpy(one["w"]) for one in params)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert (looked_up.steps, plain.steps) == (0, 3)
