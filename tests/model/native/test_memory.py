"""The memory gives the bits of its reference, and distributions, for every text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import DeviceError
from model.native.memory import Logits, memory_bytes, mix, new_memory
from tests.model.native.memory_reference import HISTORY, ReferenceMemory

SIZES = st.sampled_from([2, 3, 16, 17, 83, 400])


def random_text(rng: np.random.Generator, size: int, length: int) -> list[int]:
    """Return a text that repeats itself, as texts do: copies, runs and new characters."""
    text: list[int] = []
    while len(text) < length:
        kind, count = rng.integers(4), int(rng.integers(1, 60))
        if kind == 0 and text:
            first = int(rng.integers(len(text)))
            text += text[first : first + count]
        elif kind == 1:
            text += [int(rng.integers(size))] * count
        else:
            text += rng.integers(min(size, int(rng.integers(1, size + 1))), size=count).tolist()
    return text[:length]


def random_logits(rng: np.random.Generator, size: int) -> Logits:
    spread = float(rng.choice([0, 1, 5, 60]))
    return rng.normal(scale=spread, size=size).astype(np.float32)


@given(size=SIZES, seed=st.integers(0, 2**32), length=st.integers(1, 400), banned=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_memory_has_the_bits_of_the_reference(
    size: int, seed: int, length: int, banned: bool
) -> None:
    rng = np.random.default_rng(seed)
    memory, reference = new_memory(size), ReferenceMemory(size)
    for character in random_text(rng, size, length):
        logits = random_logits(rng, size)
        if banned:
            logits[0] = -1e10
        np.testing.assert_array_equal(
            mix(memory, character, logits), reference.mix(character, logits)
        )


def test_a_long_text_has_the_bits_of_the_reference() -> None:
    """The history is full, contexts were replaced, and counts were halved."""
    rng, size = np.random.default_rng(1), 20
    memory, reference = new_memory(size), ReferenceMemory(size)
    logits = random_logits(rng, size)
    for character in random_text(rng, size, 33_500):
        mixed, expected = mix(memory, character, logits), reference.mix(character, logits)
    np.testing.assert_array_equal(mixed, expected)
    assert reference.read > HISTORY


@given(size=SIZES, seed=st.integers(0, 2**32), banned=st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_step_is_a_distribution_over_all_characters(
    size: int, seed: int, banned: bool
) -> None:
    rng = np.random.default_rng(seed)
    memory = new_memory(size)
    for character in random_text(rng, size, 500):
        logits = random_logits(rng, size)
        if banned:
            logits[0] = -1e10
        mixed = mix(memory, character, logits).astype(np.float64)
        powers = np.exp(mixed - mixed.max())
        assert np.isfinite(mixed).all()
        assert (powers[int(banned) :] > 0).all()
        assert (powers[0] == 0) == banned


def test_characters_that_may_not_follow_say_nothing_of_the_weights() -> None:
    memory = new_memory(83)
    logits = np.linspace(-5, 5, 83, dtype=np.float32)
    logits[0] = -1e10
    for _ in range(3_000):
        mixed = mix(memory, 0, logits)
    weight = (mixed[2] - mixed[1]) / (logits[2] - logits[1])  # the memory knows none of them
    assert weight == pytest.approx(1, abs=1e-4)


def test_a_memory_has_a_fixed_size_and_is_not_for_huge_vocabularies() -> None:
    assert memory_bytes(80) == 624_256
    assert memory_bytes(4_000) < 700_000
    assert memory_bytes(65_537) == 0
    with pytest.raises(DeviceError, match="a vocabulary of at most 65,536 characters"):
        new_memory(65_537)


def test_an_array_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="memory must have the shape"):
        mix(new_memory(83), 0, np.zeros(16, np.float32))
