"""Sequences: what they release of the decoder's characters, for any split of the text."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from app.engine.chunk import Chunk
from app.engine.sequence import FinishReason, Sequence
from app.engine.slow_reader import OutputBuffer
from app.engine.stop_matcher import StopMatcher
from app.errors import DeadlineError
from tests.app.engine.test_chunk import characters, chunk_of
from tests.app.engine.tiny_engine import job

PRIME = (1, 2, 3)
ids = st.integers(0, 2)
stop_lists = st.lists(st.lists(ids, min_size=1, max_size=4).map(tuple), max_size=3).map(tuple)


def new_sequence(length: int, stops: tuple[tuple[int, ...], ...] = ()) -> Sequence:
    """A sequence whose prime the decoder has read."""
    sequence = Sequence(job(length, prime=PRIME, stops=stops), OutputBuffer(), lambda _: None)
    sequence.stream.read = len(PRIME) - 1
    return sequence


def feed(sequence: Sequence, chunk: Chunk) -> tuple[Chunk, FinishReason | None]:
    """Accept what the decoder produced; return what the reader may have."""
    sequence.stream.read += len(chunk)
    delivery = sequence.accept(chunk)
    return delivery.chunk, delivery.finish_reason


@given(st.lists(ids, min_size=1, max_size=40), stop_lists, st.booleans(), st.data())
def test_ids_and_scores_stay_aligned_for_any_split(
    text: list[int], stops: tuple[tuple[int, ...], ...], with_scores: bool, data: st.DataObject
) -> None:
    sequence = new_sequence(len(text), stops)
    matcher = StopMatcher(stops)
    expected, stopped = matcher.feed(text) if stops else (text, False)
    if stops and not stopped:
        expected += matcher.flush()
    # Each character has another score, so that a score of another character is noticed.
    rest = Chunk(array("i", text), chunk_of(list(range(len(text))), with_scores).scores)
    released, reason = Chunk(), None
    while rest and reason is None:
        part, rest = rest.split(data.draw(st.integers(1, len(rest))))
        chunk, reason = feed(sequence, part)
        released += chunk
        assert sequence.buffer.unread == len(released)
    scores = chunk_of(list(range(len(expected))), with_scores).scores
    assert characters(released) == characters(Chunk(array("i", expected), scores))
    assert reason == ("stop" if stopped else "length")


def test_the_next_boundary_is_the_prompt_then_the_first_character_then_the_end() -> None:
    sequence = new_sequence(100)
    sequence.stream.read = 0
    assert sequence.steps_to_boundary == 2, "the end of the prompt"
    sequence.stream.read = 2
    assert sequence.steps_to_boundary == 1, "the first character"
    feed(sequence, Chunk(array("i", [1])))
    assert sequence.steps_to_boundary == 99, "the end of the text"


def test_a_short_text_has_no_boundary_after_its_first_character() -> None:
    assert new_sequence(20).steps_to_boundary == 20


def test_only_a_text_that_is_short_as_a_whole_may_pass_its_end() -> None:
    for length in (24, 25):
        sequence = new_sequence(length)
        assert sequence.may_pass_end(False) == (length == 24)
        feed(sequence, Chunk(array("i", [1] * 20)))
        assert sequence.may_pass_end(False) == (length == 24)
        assert sequence.may_pass_end(others_wait=True)


def test_an_error_ends_a_sequence_without_the_characters_held_back() -> None:
    sequence = new_sequence(10, stops=((1, 1),))
    sequence.cached = 2
    chunk, reason = feed(sequence, Chunk(array("i", [0, 1])))
    assert (chunk.ids.tolist(), reason) == ([0], None)
    error = DeadlineError(1)
    delivery = sequence.delivery(error=error)
    assert (delivery.error, delivery.finish_reason, delivery.cached) == (error, None, 2)
    assert not delivery.chunk
