"""Chunks: any way to split and join them keeps ids and scores aligned."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.engine.chunk import Chunk

Characters = list[tuple[int, list[float] | None]]


def score_of(number: int) -> list[float]:
    return [-float(number), number + 1, 0.0, 1.0]


def chunk_of(ids: Sequence[int], with_scores: bool) -> Chunk:
    scores = np.array([score_of(number) for number in ids]).reshape(-1, 4)
    return Chunk(array("i", ids), scores if with_scores else None)


def characters(chunk: Chunk) -> Characters:
    """The ids of a chunk, each with its score."""
    scores = [None] * len(chunk) if chunk.scores is None else chunk.scores.tolist()
    return list(zip(chunk.ids, scores, strict=True))


chunks = st.builds(chunk_of, st.lists(st.integers(0, 9), max_size=20), st.booleans())


@given(chunks, st.integers(0, 25))
def test_the_parts_of_a_split_chunk_join_to_the_whole(chunk: Chunk, count: int) -> None:
    first, rest = chunk.split(count)
    assert len(first) == min(count, len(chunk))
    assert characters(first + rest) == characters(Chunk.joined([first, rest])) == characters(chunk)
    for part in (first, rest):
        assert characters(part) == characters(chunk_of(part.ids, chunk.scores is not None))


@given(st.booleans(), st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=8))
def test_joined_chunks_are_in_order(with_scores: bool, parts: list[list[int]]) -> None:
    joined = Chunk.joined(chunk_of(part, with_scores) for part in parts)
    whole = chunk_of([number for part in parts for number in part], with_scores)
    assert characters(joined) == characters(whole)


@given(chunks, st.integers(0, 25))
def test_splitting_and_joining_do_not_change_the_chunk(chunk: Chunk, count: int) -> None:
    before = characters(chunk)
    first, _ = chunk.split(count)
    Chunk.joined([first, chunk]).ids.append(1)
    (first + chunk).ids.append(1)
    first.ids.append(1)
    assert characters(chunk) == before
