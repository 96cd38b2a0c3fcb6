"""Random streams: pure functions of seed, name and step, that never change."""

from __future__ import annotations

import subprocess
import sys
from hashlib import blake2b

import numpy as np
import pytest

from xpnet.random import Stream

DRAWS = {
    "normal": lambda s: s.normal((50,)),
    "uniform": lambda s: s.uniform((50,)),
    "permutation": lambda s: s.permutation(50),
    "generator": lambda s: s.generator(3).random(50),
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


@every_draw
def test_equal_streams_draw_equal_numbers_again_and_again(draw):
    stream = Stream(7, "4.W")
    first = draw(stream)
    np.testing.assert_array_equal(draw(stream), first)  # drawing leaves no trace
    np.testing.assert_array_equal(draw(Stream(7, "4.W")), first)
    np.testing.assert_array_equal(draw(Stream(7).child(4).child("W")), first)


@every_draw
def test_another_seed_or_name_draws_other_numbers(draw):
    streams = [Stream(0), Stream(1), Stream(0, "W"), Stream(0, "b"), Stream(1, "0"), Stream(10, "")]
    drawn = {draw(stream).tobytes() for stream in streams}
    assert len(drawn) == len(streams)


def test_another_step_draws_other_numbers():
    orders = {Stream(0, "batches").permutation(20, step).tobytes() for step in range(200)}
    assert len(orders) == 200
    blocks = {Stream(0).generator(step).bytes(8) for step in (0, 1, 2, 2**32, 2**63, 2**70)}
    assert len(blocks) == 6


def test_steps_do_not_overlap_however_much_one_draws():
    first, second = Stream(0).generator(0).bytes(80_000), Stream(0).generator(1).bytes(80_000)
    words = [set(np.frombuffer(words, np.uint64).tolist()) for words in (first, second)]
    assert not words[0] & words[1]


def test_the_key_is_blake2b_of_seed_and_path():
    digest = blake2b(b"42:3.body.0.W", digest_size=16).digest()
    key = sum(byte << 8 * place for place, byte in enumerate(digest))
    assert Stream(42, "3.body.0.W").key == key


STORED_KEYS = {
    (0, ""): 0xC13A507FF177EB56995376E8CF3EDFFC,
    (1, "4.W"): 0xB9AF1125A3B1FBBC90C8D264450BDCE1,
    (2**40, "Größe"): 0x596DE20E5B4BB59C5E5F80106DDB831E,
}


@pytest.mark.parametrize(("name", "key"), STORED_KEYS.items())
def test_keys_are_those_of_the_first_release(name, key):
    assert Stream(*name).key == key


WORDS = [  # of (1, "4.W"), step 5
    4860629535047504470, 15329328326963812152, 5918400919969836536, 16729213099964100649,
]  # fmt: skip
UNIFORM = [0.7742652769142173, 0.2659715425885639, 0.016756016140839325]  # of (1, "4.W")


def test_numbers_are_those_of_the_first_release():
    words = Stream(1, "4.W").generator(5).bit_generator.random_raw(4)
    assert [int(word) for word in words] == [
        4860629535047504470,
        15329328326963812152,
        5918400919969836536,
        16729213099964100649,
    ]
    np.testing.assert_allclose(
        Stream(1, "4.W").uniform((3,)),
        [0.7742652769142173, 0.2659715425885639, 0.016756016140839325],
        rtol=1e-15,
    )
    np.testing.assert_array_equal(
        Stream(1, "batches").permutation(8, step=2), [5, 4, 3, 2, 7, 1, 0, 6]
    )


def test_the_step_is_the_second_word_of_the_counter():
    ours = Stream(3, "x").generator(9)
    key = Stream(3, "x").key
    counter = np.array([0, 9, 0, 0], np.uint64)
    by_hand = np.random.Generator(np.random.Philox(key=key, counter=counter))
    np.testing.assert_array_equal(ours.random(100), by_hand.random(100))


def test_another_process_draws_the_same_numbers():
    program = "from xpnet.random import Stream; print(*Stream(5, 'a').permutation(30))"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert [int(n) for n in out.stdout.split()] == Stream(5, "a").permutation(30).tolist()


def test_a_permutation_holds_every_number_once():
    order = Stream(0).permutation(1000, step=3)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert not np.array_equal(order, np.arange(1000))


def test_draws_have_the_moments_they_promise():
    normal, uniform = Stream(0).normal((200, 500), 0.3), Stream(0).uniform((200, 500), -1, 3)
    assert normal.dtype == uniform.dtype == np.float64
    assert normal.shape == uniform.shape == (200, 500)
    assert abs(normal.mean()) < 5 * 0.3 / 1e5**0.5
    assert normal.std() == pytest.approx(0.3, rel=0.02)
    assert uniform.min() >= -1
    assert uniform.max() < 3
    assert uniform.mean() == pytest.approx(1, abs=0.02)


def test_paths_grow_by_components():
    assert Stream(0).child(3).path == "3"
    assert Stream(0).child("body").child(0).child("W") == Stream(0, "body.0.W")


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True, np.float32(1)])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="seed: expected a whole number >= 0, got"):
        Stream(seed)


def test_a_seed_of_any_library_becomes_a_plain_number():
    assert type(Stream(np.int64(3)).seed) is int
    assert Stream(np.int64(3)) == Stream(3)
