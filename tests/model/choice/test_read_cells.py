"""Read cells: the texts of streams that read them, and the places of values in arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.choice.read_cells import NO_CELLS, CellValues, ReadCellColumns
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from tests.model.streams import CELLS, WAYS, Way, checkpoint, make_decoder


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_reads_cells_draws_the_same_text(way: Way) -> None:
    prime, cells = np.array([1, 2], np.int32), np.arange(CELLS, dtype=np.int32)
    texts = []
    for some in (NO_CELLS, cells):
        decoder = make_decoder(checkpoint, 1, way)
        decoder.join(DecoderStream(prime, 30, SamplingParams(), 4, cells=some))
        texts.append(decoder.advance(31).ids.tolist())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("number", [-1, CELLS])
def test_a_decoder_refuses_to_read_a_cell_that_its_network_does_not_have(number: int) -> None:
    cells = np.array([0, number], np.int32)
    with pytest.raises(ValueError, match=f"must be in 0..{CELLS - 1}"):
        Decoder(checkpoint, 1).join(
            DecoderStream(np.zeros(1, np.int32), 5, SamplingParams(), 1, cells=cells)
        )


@given(
    arrays(np.float32, (3, 70), elements=st.floats(-20, 20, width=32)),
    st.integers(0, 70),
    st.integers(0, 70),
)
def test_a_value_does_not_depend_on_its_place_in_an_array(
    states: CellValues, begin: int, end: int
) -> None:
    begin, end = sorted((begin, end))
    some = np.arange(begin, end, dtype=np.int32)
    columns = ReadCellColumns(np.array([0, 70], np.int32), np.arange(70, dtype=np.int32))
    part = ReadCellColumns(np.array([0, len(some)], np.int32), some)
    (whole,), (values,) = columns.values(states), part.values(states[:, begin:end].copy())
    assert whole[:, begin:end].tobytes() == values.tobytes()
