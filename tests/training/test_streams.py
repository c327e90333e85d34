from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CorpusError
from training.streams import Streams, default_count


@st.composite
def cut_texts(draw: st.DrawFn) -> Streams:
    count, steps = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    length = draw(st.integers(count * steps + 1, 400))
    return Streams(np.arange(length, dtype=np.int32), count, steps)


@given(cut_texts(), st.data())
def test_every_target_is_the_next_character_of_the_text(
    streams: Streams, data: st.DataObject
) -> None:
    """Ids are positions here, so a target that wraps round, as the tutorial's did, shows."""
    offset = data.draw(st.integers(0, streams.spare))
    for index in range(streams.batches):
        inputs, targets = streams.batch(index, offset)
        assert inputs.shape == targets.shape == (streams.steps, streams.count)
        assert torch.equal(targets, inputs + 1)


@given(cut_texts(), st.data())
def test_a_batch_goes_on_where_the_last_one_ended(streams: Streams, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, streams.spare))
    for index in range(1, streams.batches):
        _, last_targets = streams.batch(index - 1, offset)
        inputs, _ = streams.batch(index, offset)
        assert torch.equal(inputs[0], last_targets[-1])


@given(cut_texts())
def test_a_pass_reads_no_character_twice_and_leaves_out_only_the_spare(streams: Streams) -> None:
    seen = np.concatenate(
        [streams.batch(index, streams.spare)[0].flatten() for index in range(streams.batches)]
    )
    assert len(set(seen.tolist())) == len(seen) == len(streams.ids) - 1 - streams.spare
    assert seen.max() < len(streams.ids) - 1


def test_a_text_too_short_for_one_batch_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"10 characters, but 2 streams of 5 steps need 11"):
        Streams(np.arange(10, dtype=np.int32), 2, 5)


@given(st.integers(180, 10**9), st.integers(1, 4))
def test_the_default_number_of_streams_fits_any_text(characters: int, processes: int) -> None:
    assert 1 <= default_count(characters, 128) <= 32
    assert characters > default_count(characters, 128) * 128
    assert default_count(characters, 128, processes) % processes == 0
