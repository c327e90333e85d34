"""Chunks: any way to split and join them keeps ids and scores aligned."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.engine.chunk import Chunk
from model.scores import Score


def score_of(number: int) -> Score:
    return Score(-float(number), number + 1, 0.0, 1.0, ())


def chunk_of(ids: list[int], with_scores: bool) -> Chunk:
    return Chunk(ids, [score_of(number) for number in ids] if with_scores else [])


chunks = st.builds(chunk_of, st.lists(st.integers(0, 9), max_size=20), st.booleans())


@given(chunks, st.integers(0, 25))
def test_the_parts_of_a_split_chunk_join_to_the_whole(chunk: Chunk, count: int) -> None:
    first, rest = chunk.split(count)
    assert len(first) == min(count, len(chunk))
    assert first + rest == Chunk.joined([first, rest]) == chunk
    for part in (first, rest):
        assert part.scores == ([score_of(number) for number in part.ids] if chunk.scores else [])


@given(st.booleans(), st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=8))
def test_joined_chunks_are_in_order(with_scores: bool, parts: list[list[int]]) -> None:
    joined = Chunk.joined(chunk_of(part, with_scores) for part in parts)
    assert joined == chunk_of([number for part in parts for number in part], with_scores)


@given(chunks, st.integers(0, 25))
def test_splitting_and_joining_do_not_change_the_chunk(chunk: Chunk, count: int) -> None:
    before = Chunk(list(chunk.ids), list(chunk.scores))
    first, _ = chunk.split(count)
    Chunk.joined([first, chunk]).ids.append(1)
    (first + chunk).ids.append(1)
    first.ids.append(1)
    assert chunk == before
