"""Text scoring: many texts in the rows of a decoder, whatever the rows do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.choice.scores import ScoreRows, nats_of
from model.decoding.backend import Precision
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.decoding.text_scoring import Texts, TextScoring, TextStream, best_steps
from model.native import library as native_library

PRECISIONS: list[Precision] = ["fp32", *(("int8",) if native_library.kernels() else ())]
ids = st.lists(st.integers(0, 40), min_size=1, max_size=25)


def packed(texts: list[list[int]]) -> Texts:
    whole = np.array([i for text in texts for i in text], dtype=np.int32)
    return Texts(whole, np.array([len(text) for text in texts]))


def rows_alone(decoder: Decoder, prompt: list[int], text: list[int]) -> ScoreRows:
    stream = DecoderStream(
        np.array(prompt + text, np.int32), 0, SamplingParams(), 0, 1, len(prompt)
    )
    decoder.join(stream)
    scores = decoder.advance(stream.steps_left).scores
    decoder.leave(stream)
    assert scores is not None
    return scores[len(prompt) - 1 :, 0]


@pytest.mark.parametrize("precision", PRECISIONS)
@settings(max_examples=30)
@given(texts=st.lists(ids, min_size=1, max_size=12), prompt=ids, data=st.data())
def test_scores_do_not_depend_on_rows_and_calls(
    tiny: Checkpoint,
    precision: Precision,
    texts: list[list[int]],
    prompt: list[int],
    data: st.DataObject,
) -> None:
    decoder = Decoder(tiny, 3, precision=precision)
    expected = [rows_alone(decoder, prompt, text) for text in texts]
    scoring = TextScoring(packed(texts), np.array(prompt, np.int32), 1, detail=True)
    reading = DecoderStream(scoring.prompt, 0, SamplingParams(), 0)
    if reading.steps_left:
        decoder.join(reading)
        decoder.advance(reading.steps_left)
        decoder.leave(reading)
    scoring.begin(reading.state)
    streams: list[TextStream] = []
    scored = 0
    while scoring.characters_left:
        while len(streams) < 3 and (stream := scoring.next()) is not None:
            decoder.join(stream)
            streams.append(stream)
        scores = decoder.advance(data.draw(st.integers(1, 30))).scores
        assert scores is not None
        order = [decoder.streams.index(stream) for stream in streams]
        scored += scoring.collect(streams, scores[:, order])
        for stream in list(streams):
            if stream.steps_left <= 0 or data.draw(st.booleans()):  # some lose their row early
                decoder.leave(stream)
                scoring.give_back(stream)
                streams.remove(stream)
    result = scoring.scores
    assert scored == sum(map(len, texts))
    assert result.nats_T.tolist() == list(map(nats_of, expected))
    assert result.rows_ND is not None
    assert result.rows_ND.tolist() == np.concatenate(expected).tolist()


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=20), st.integers(0, 9), st.integers(1, 99)
)
def test_the_best_number_of_steps_is_in_range(left: list[int], others: int, most: int) -> None:
    steps = best_steps(left, others, most)
    assert 1 <= steps <= most
    assert steps <= max([*left, 8] if others else left)
    if len(set(left)) == 1 and not others:
        assert steps == min(left[0], most)


def test_a_few_short_texts_do_not_end_the_call_of_long_ones() -> None:
    assert best_steps([1] + [100] * 9, 0, 128) == 100
    assert best_steps([10] * 9 + [100], 0, 128) == 10
    assert best_steps([1], 63, 60) == 8
