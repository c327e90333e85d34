"""Batches: what they read of a text, and in which order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CorpusError
from training.batches import Batches, default_batch_size


@st.composite
def cut_texts(draw: st.DrawFn) -> Batches:
    count, steps = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    length = draw(st.integers(count * steps + 1, 400))
    return Batches(np.arange(length, dtype=np.int32), count, steps)


@given(cut_texts(), st.data())
def test_targets_are_the_next_characters_and_a_batch_continues_the_last_one(
    batches: Batches, data: st.DataObject
) -> None:
    """Ids are positions here, so a target that wraps around is visible."""
    offset = data.draw(st.integers(0, batches.spare))
    last_targets = None
    for index in range(batches.per_epoch):
        inputs, targets = batches.batch(index, offset)
        assert inputs.shape == targets.shape == (batches.sequence_length, batches.batch_size)
        assert torch.equal(targets, inputs + 1)
        assert last_targets is None or torch.equal(inputs[0], last_targets[-1])
        last_targets = targets


@given(cut_texts())
def test_a_pass_reads_no_character_twice_and_leaves_out_only_the_spare(batches: Batches) -> None:
    seen = np.concatenate(
        [batches.batch(index, batches.spare)[0].flatten() for index in range(batches.per_epoch)]
    )
    assert len(set(seen.tolist())) == len(seen) == len(batches.ids) - 1 - batches.spare
    assert seen.max() < len(batches.ids) - 1


def test_a_text_too_short_for_one_batch_is_refused() -> None:
    with pytest.raises(
        CorpusError, match=r"10 characters, but 2 sequences of 5 characters need 11"
    ):
        Batches(np.arange(10, dtype=np.int32), 2, 5)


@given(st.integers(180, 10**9), st.integers(1, 4))
def test_the_default_batch_size_fits_any_text(characters: int, processes: int) -> None:
    assert 1 <= default_batch_size(characters, 128) <= 32
    assert characters > default_batch_size(characters, 128) * 128
    assert default_batch_size(characters, 128, processes) % processes == 0
