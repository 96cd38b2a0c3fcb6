"""Checks of arguments: what they take, what they return, and what they say."""

from __future__ import annotations

import copy
import inspect
import json
import math
import re
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet import checks, layers, losses, optimizers
from xpnet.checks import (
    Hyperparameter,
    came,
    check_call,
    check_fields,
    finite,
    flag,
    fraction,
    function,
    names_in,
    not_negative,
    number,
    one_length,
    one_of,
    pair,
    plain,
    positive,
    whole_number,
)
from xpnet.config import Configurable
from xpnet.data import Batches, Dataset
from xpnet.gradients import gradient_descent, numerical_gradient
from xpnet.layers import BatchNorm, Conv2d, Dropout, LeakyReLU, Linear, Rescale, Sequential
from xpnet.optimizers import SGD, Adam
from xpnet.schedules import cosine, one_cycle
from xpnet.training import Trainer

REAL = [finite, positive, not_negative, fraction]
NO_NUMBERS = [
    math.nan, math.inf, -math.inf, True, np.True_, None, "0.1", b"0.1", 0.1j, np.complex128(0.1),
    [0.1], np.array([0.1]), np.array([[0.1]]), np.array(True), np.array("0.1"), 10**400,
]  # fmt: skip


def refused(sentence: str):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


@pytest.mark.parametrize("check", REAL)
@pytest.mark.parametrize(
    "half",
    [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), np.array(0.5, "f4"), Fraction(1, 2)],
)
def test_numbers_of_all_kinds_become_plain_floats(check, half):
    result = check("x", half)
    assert type(result) is float
    assert result == 0.5


@pytest.mark.parametrize("check", REAL)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_finite_real_number_is_refused(check, value):
    with pytest.raises(ValueError, match=r"^x: expected") as caught:
        check("x", value)
    assert str(caught.value).endswith(f", got {came(value)}")


def test_numbers_of_every_library_become_plain_numbers(xp: Backend):
    assert type(finite("x", xp.array(np.array(0.5)))) is float
    assert type(whole_number("n", xp.array(np.array(3)))) is int
    for wrong in (np.array([0.5]), np.array(0.5j)):
        with pytest.raises(ValueError, match="x: expected a finite number, got"):
            finite("x", xp.array(wrong))
    with pytest.raises(ValueError, match="n: expected a whole number >= 0, got"):
        whole_number("n", xp.array(np.array(0.5)))


@pytest.mark.parametrize(
    ("check", "taken", "not_taken", "sentence"),
    [
        (finite, [0, -1e300], [math.nan], "x: expected a finite number, got {}"),
        (positive, [5e-324, 3], [0, -1], "x: expected a number above 0, got {}"),
        (not_negative, [0, -0.0, 3], [-5e-324], "x: expected a number >= 0, got {}"),
        (fraction, [0, 1 - 1e-16], [1, -1e-9, 2], "x: expected 0 <= x < 1, got {}"),
        (
            partial(number, fits=lambda x: x < 5, expected="a number below 5"),
            [4.9, -7],
            [5],
            "x: expected a number below 5, got {}",
        ),
    ],
)
def test_ranges_end_where_they_say(check, taken, not_taken, sentence):
    for value in taken:
        assert check("x", value) == value
    for value in not_taken:
        with refused(sentence.format(repr(value))):
            check("x", value)


@pytest.mark.parametrize("three", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_whole_numbers_of_all_kinds_become_plain_ints(three):
    assert type(whole_number("n", three, 3, 3)) is int
    assert pair("size", three) == (3, 3)
    assert pair("size", [three, 4]) == (3, 4)


@pytest.mark.parametrize(
    "value", [3.0, np.float32(3), "3", True, np.True_, None, [3], np.array([3])]
)
def test_what_is_no_whole_number_is_refused(value):
    with refused(f"n: expected a whole number >= 1, got {value!r}"):
        whole_number("n", value, 1)


def test_whole_numbers_have_a_least_and_a_most():
    with refused("n: expected a whole number >= 2, got 1"):
        whole_number("n", 1, 2)
    for value in (0, 6):
        with refused(f"n: expected a whole number from 1 to 5, got {value}"):
            whole_number("n", value, 1, 5)
    for value in ((1, 2, 3), (), [1]):
        with refused(f"size: expected one size or (height, width), got {value!r}"):
            pair("size", value, 1)


def test_flags_are_true_or_false_and_nothing_else():
    assert flag("bias", True) is True
    assert flag("bias", np.False_) is False
    for value in (0, 1, 100, "True", None, 1.0, np.array([True])):
        with refused(f"bias: expected True or False, got {value!r} (mind the order)"):
            flag("bias", value, "mind the order")


@pytest.mark.parametrize(
    ("value", "end"),
    [
        ("He", "'He': did you mean 'he'?"),
        ("xaver", "'xaver': did you mean 'xavier'?"),
        ("quite another", "'quite another'"),
        (3, "3"),
        (None, "None"),
        (["he"], "['he']"),
    ],
)
def test_an_unknown_name_is_told_the_known_ones_and_the_nearest(value, end):
    with refused(f"init: expected 'he', 'xavier' or 'zeros', got {end}"):
        one_of("init", value, {"he": 1, "xavier": 2, "zeros": 3})
    with refused("column: expected 'train_loss' or 'lr', got 'loss': did you mean 'train_loss'?"):
        one_of("column", "loss", ["train_loss", "lr"])
    assert one_of("init", "zeros", ("he", "zeros")) == "zeros"
    with refused("mode: expected 'only', got 'other'"):
        one_of("mode", "other", ["only"])


def test_one_length_may_be_a_pair_of_equal_ones():
    assert one_length("pad", (2, 2)) == one_length("pad", [np.int64(2), 2]) == 2
    with refused("pad: expected one number for height and width, got (2, 1)"):
        one_length("pad", (2, 1))


def test_a_function_is_what_can_be_called():
    assert function("then", math.pow, "(step, total)") is math.pow
    assert function("then", max, "(step, total)") is max  # which does not tell what it takes
    for wrong, words in [
        ("cosine", "'cosine'"),
        (cosine, "the class cosine: write cosine(...) to make one"),
        (lambda epoch: 1.0, "one of (epoch)"),
        (len, "one of (obj)"),
    ]:
        with refused(f"then: expected a function of (step, total), got {words}"):
            function("then", wrong, "(step, total)")


def test_what_came_is_shown_in_a_few_words_of_one_line():
    assert came("0.1") == "'0.1'"
    assert came(np.array([1.0])) == "array([1.])"
    assert came(np.zeros((3, 40))) == "ndarray of shape (3, 40)"
    assert came(Linear) == "the class Linear: write Linear(...) to make one"
    assert came(print) == "the function print"
    assert came([["a\n"] * 3] * 9).endswith("...")
    assert came([["a\n"] * 3] * 999) == "list of 999 entries"
    assert len(came(10**400)) == 103


class TestCheckCall:
    @staticmethod
    def made(filters, size, *, stride=1, pad=0):
        raise NotImplementedError

    @pytest.mark.parametrize(
        ("args", "kwargs", "why"),
        [
            ((1, 16, 3), {}, "expected (filters, size) by position and stride, pad by name, got 3"),
            ((1, 3), {"groups": 2}, "takes no argument 'groups', but filters, size, stride, pad"),
            ((1,), {}, "missing a required argument: 'size'"),
            ((1, 3), {"size": 3}, "multiple values for argument 'size'"),
        ],
    )
    def test_a_wrong_call_is_told_what_is_taken(self, args, kwargs, why):
        with pytest.raises(TypeError, match=rf"^Conv: {re.escape(why)}.*: sizes first$"):
            check_call("Conv", self.made, args, kwargs, "sizes first")

    def test_a_name_nearly_right_needs_no_other_cure(self):
        with pytest.raises(TypeError, match=r"no argument 'strides': did you mean 'stride'\?$"):
            check_call("Conv", self.made, (1, 3), {"strides": 2}, "sizes first")

    def test_a_name_of_another_library_is_told_the_one_here(self):
        with pytest.raises(TypeError, match=r"no argument 'padding': here it is 'pad'$"):
            check_call("Conv", self.made, (1, 3), {"padding": 2}, "", {"padding": "pad"})

    def test_a_right_call_passes(self):
        check_call("Conv", self.made, (1, 3), {"pad": 1}, "")


def test_a_module_tells_the_nearest_name_or_the_word_for_it_here():
    missing = names_in("shop", ["Bread", "Butter"], Margarine="write shop.Butter")
    with pytest.raises(AttributeError, match=r"^module 'shop' has no 'Buter': did you mean 'Butt"):
        missing("Buter")
    with pytest.raises(AttributeError, match=r"^module 'shop' has no 'Margarine': write shop\.Bu"):
        missing("Margarine")


def test_what_is_no_number_of_a_library_stays_itself():
    for value in ("text", None, (1, 2), Linear(3), [1.0]):
        assert plain(value) is value
    array = np.ones(1)
    assert plain(array) is array


class Cake:
    eggs = Hyperparameter(whole_number, 1, most=6)
    sugar = Hyperparameter(fraction)

    def __init__(self, eggs, sugar=0.5):
        self.eggs = eggs
        self.sugar = sugar


def test_a_hyperparameter_is_checked_each_time_it_is_set():
    cake = Cake(np.int64(4))
    assert vars(cake) == {"eggs": 4, "sugar": 0.5}
    with refused("eggs: expected a whole number from 1 to 6, got 7"):
        Cake(7)
    with refused("sugar: expected 0 <= sugar < 1, got 1"):
        cake.sugar = 1
    cake.sugar = 0.25
    assert (cake.sugar, Cake(1).sugar) == (0.25, 0.5)
    with pytest.raises(AttributeError):
        object.__new__(Cake).missing  # noqa: B018


def test_reading_a_hyperparameter_runs_no_code_of_python():
    assert not hasattr(Hyperparameter, "__get__")


def test_fields_of_a_frozen_dataclass_are_checked_in_place():
    made = one_cycle(peak=np.float32(0.5))
    assert type(made.peak) is float
    check_fields(made, peak=positive)
    with refused("first: expected a number above 0, got 0.0"):
        check_fields(one_cycle(first=0), first=positive)


# In use

BAD = [
    (lambda: SGD(lr="0.1"), "lr: expected a number above 0, got '0.1'"),
    (lambda: SGD(lr=True), "lr: expected a number above 0, got True"),
    (lambda: BatchNorm(eps=math.nan), "eps: expected a number above 0, got nan"),
    (lambda: BatchNorm(momentum="0.9"), "momentum: expected 0 <= momentum <= 1, got '0.9'"),
    (lambda: LeakyReLU(math.nan), "slope: expected a finite number, got nan"),
    (lambda: LeakyReLU("0.1"), "slope: expected a finite number, got '0.1'"),
    (lambda: Rescale(None), "scale: expected a finite number, got None"),
    (lambda: Rescale(1, math.inf), "shift: expected a finite number, got inf"),
    (lambda: Dropout("0.5"), "rate: expected 0 <= rate < 1, got '0.5'"),
    (lambda: Dropout(0.5, "Train"), "scale: expected 'train' or 'inference', got 'Train': did you "
     "mean 'train'?"),
    (lambda: losses.SoftmaxCrossEntropy("0.1"),
     "label_smoothing: expected 0 <= label_smoothing < 1, got '0.1'"),
    (lambda: gradient_descent(abs, np.ones(1), lr="1"), "lr: expected a finite number, got '1'"),
    (lambda: numerical_gradient(abs, np.ones(1), h=0), "h: expected a number above 0, got 0"),
    (lambda: Sequential([Linear(2)], seed=-1), "seed: expected a whole number >= 0, got -1"),
    (lambda: Linear(784, 100), "bias: expected True or False, got 100 (layers take sizes of what "
     "they make, never of what they receive)"),
    (lambda: Batches(Dataset(np.ones((4, 2)), np.zeros(4, int)), 2, shuffle=1),
     "shuffle: expected True, False, 'blocks' or Blocks(size, window), got 1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_a_bad_argument_gets_one_sentence(make, sentence):
    with refused(sentence):
        make()


@pytest.mark.parametrize(
    ("made", "name", "value"),
    [
        (SGD(), "lr", -1),
        (Adam(), "beta1", 1.0),
        (Adam(), "weight_decay", math.nan),
        (losses.SoftmaxCrossEntropy(), "label_smoothing", 2),
        (Dropout(), "rate", 1.5),
        (BatchNorm(), "eps", 0),
        (Conv2d(3, 3), "stride", 0),
        (layers.MaxPool2d(2), "size", (2, 2, 2)),
    ],
)
def test_a_bad_value_is_refused_later_too_and_changes_nothing(made, name, value):
    before = getattr(made, name)
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        setattr(made, name, value)
    assert getattr(made, name) == before


def test_numbers_of_numpy_are_saved_as_plain_ones(tmp_path):
    net = Sequential(
        [
            Rescale(np.float32(0.5), np.float64(1)),
            Conv2d(
                np.int64(2),
                np.int8(3),
                stride=np.uint8(1),
                pad=np.array(1),
                bias=np.True_,
                init=np.float32(0.1),
            ),
            LeakyReLU(np.array(0.25)),
            layers.LocalResponseNorm(np.int64(3), np.float32(0.5)),
            layers.MaxPool2d((np.int64(2), 2), stride=np.int32(2)),
            BatchNorm(np.float32(0.5), np.float32(0.25)),
            Linear(np.int16(3), bias_init=np.float32(0.5)),
            Dropout(np.float32(0.2)),
        ],
        input_shape=(1, 4, 4),
        seed=np.int64(3),
    )
    net.forward(np.ones((5, 1, 4, 4), "float32"), train=True)
    net.save(tmp_path / "net")
    assert json.loads(json.dumps(net.layers[7].config())) == net.layers[7].config()


def test_a_run_of_numbers_of_numpy_is_saved_as_one_of_plain_ones(tmp_path):
    def trainer() -> Trainer:
        net = Sequential([Linear(3)], input_shape=(2,))
        return Trainer(net, losses.SoftmaxCrossEntropy(np.float32(0.1)), SGD(np.float32(0.1)),
                       schedule=cosine(np.float32(0.5)), seed=np.int64(3))  # fmt: skip

    run, data = trainer(), Dataset(np.ones((8, 2), "float32"), np.arange(8) % 3, np.int64(3))
    run.fit(data, epochs=np.int64(2), batch_size=np.int64(4), drop_last=np.False_)
    run.save(tmp_path / "run")
    run.history.save(tmp_path / "history")
    again = trainer()
    again.restore(tmp_path / "run")
    assert again.epoch == 2
    assert type(data.classes) is int


# The arguments of constructors


class Kept(Configurable):
    def __init__(self, size, *, scale=2.0):
        self.size, self.scale = size, scale


class Lost(Configurable):
    def __init__(self, size, scale=2.0):
        self.size = size


class Starred(Configurable):
    def __init__(self, *parts):
        self.parts = parts


def test_config_is_the_arguments_as_they_stand_now():
    one = Kept(np.int64(3))
    assert one.config() == {"size": 3, "scale": 2.0}
    assert type(one.config()["size"]) is int
    one.scale = 5.0
    assert Kept(**one.config()).config() == {"size": 3, "scale": 5.0}
    assert repr(Kept(3)) == "Kept(size=3, scale=2.0)"


def test_config_of_what_does_not_keep_its_arguments_says_which_and_what_to_do():
    with pytest.raises(
        TypeError, match=r"^Lost: its constructor takes 'scale', but no .*: set self.scale"
    ):
        Lost(3).config()
    with pytest.raises(TypeError, match=r"^Starred: its constructor takes '\*parts', but no "):
        Starred(3).config()
    assert repr(Lost(3)) == "Lost(size=3)"


class Fits(Configurable):
    def __init__(self, value):
        self.value = value


class Doubled(Configurable):
    def __init__(self, size):
        self.size = 2 * size


class Other(Configurable):
    def __init__(self, size):
        self.size = size

    def config(self):
        return {"length": self.size}


@pytest.mark.parametrize("value", [1, 2.5, "he", None, True, (1, [2, "x"]), {"a": [1]}, Kept(3)])
def test_a_config_that_a_file_can_hold_is_sound(value):
    Fits(value).check_config()
    Fits([value, value]).check_config()


@pytest.mark.parametrize("value", [len, np.ones(2), {1, 2}, b"x", 2j, {1: 2}], ids=repr)
def test_a_config_that_no_file_can_hold_is_refused(value):
    for one in (value, [1, (value,)]):
        with pytest.raises(TypeError, match=r"^Fits: value is .*which no file can hold: give numb"):
            Fits(one).check_config()


def test_a_config_that_makes_something_else_is_refused():
    with pytest.raises(ValueError, match=r"^Doubled: made of size=6, it has size=12: keep the arg"):
        Doubled(3).check_config()
    with pytest.raises(TypeError, match=r"^Other: its constructor does not take what config"):
        Other(3).check_config()


class Scaled(layers.ReLU):
    def __init__(self, factor):
        super().__init__()
        self._factor = factor


def test_a_layer_that_does_not_keep_its_arguments_says_so_before_it_is_trained():
    with pytest.raises(TypeError, match=r"^Scaled: its constructor takes 'factor'"):
        Sequential([Scaled(2.0), Linear(2)], input_shape=(3,))
    assert repr(Scaled(2.0)) == "Scaled()"


PUBLIC = [
    *(getattr(optimizers, name) for name in optimizers.__all__ if name != "Optimizer"),
    *(getattr(losses, name) for name in losses.__all__ if name != "Loss"),
    BatchNorm, Dropout, LeakyReLU, layers.LocalResponseNorm, layers.ReLU,
]  # fmt: skip


@pytest.mark.parametrize("kind", PUBLIC)
def test_config_names_the_parameters_in_their_order(kind):
    made = kind()
    assert list(made.config()) == list(inspect.signature(kind).parameters)
    assert kind(**made.config()).config() == made.config()
    assert copy.deepcopy(made).config() == made.config()


def test_every_check_is_public():
    made = {
        name
        for name, one in vars(checks).items()
        if getattr(one, "__module__", "") == checks.__name__
    }
    assert {name for name in made if not name.startswith("_")} - {"T", "S", "P"} == set(
        checks.__all__
    )


@pytest.mark.parametrize("value", [["cat", "dog"], ("cat", "dog"), np.array(["cat", "dog"])])
def test_names_come_as_a_tuple_of_plain_words(value):
    names = checks.distinct_names("names", value)
    assert names == ("cat", "dog")
    assert {type(name) for name in names} == {str}


@pytest.mark.parametrize("value", ["cat", [], None, 3, [1, 2], ["cat", 1], {"cat": 1}])
def test_what_are_no_names_is_refused(value):
    message = f"names: expected names, such as ['cat', 'dog'], got {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checks.distinct_names("names", value)
    with pytest.raises(ValueError, match=r"^names: expected names that differ, got 'b' twice$"):
        checks.distinct_names("names", ["a", "b", "c", "b"])
