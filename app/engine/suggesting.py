"""Suggesting: the beam searches of an engine, which run between the steps of its texts.

A search takes no slot. It reads its prime after the longest prefix in the cache, and then goes on
step by step. Searches run in the order of their arrival, those that have read their prime first. As
many run together as there are rows in the decoder for `Decoder.read`. One with a memory runs alone,
because each of its beams has a copy.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from app.engine.prefix_cache import PrefixCache
from app.engine.sequence import Sequence
from model.decoding.beam_search import MAX_BEAMS, BeamSearch
from model.decoding.decoder import Decoder

_PRIME_STEPS = 128  # characters of a prime that one call reads


class Suggesting:
    """Runs the searches of sequences that have one. Belongs to the engine thread.

    Args:
        decoder: the decoder of the engine.
        cache: the prefix cache of the engine.
    """

    def __init__(self, decoder: Decoder, cache: PrefixCache) -> None:
        self._decoder, self._cache = decoder, cache

    def run(self, sequences: Iterable[Sequence], until: float) -> list[Sequence]:
        """Advance the searches of sequences until a time of the monotonic clock.

        Return those whose search has ended. At least one step is made.
        """
        waiting = [sequence for sequence in sequences if not sequence.cancelled]
        ended: list[Sequence] = []
        while waiting:
            waiting.sort(
                key=lambda one: one.stream.prompt_steps_left
            )  # nobody waits for long primes
            group = self._group(waiting)
            if group:
                self._advance(group)
            done = [one for one in group if one.search is not None and not one.search.beams]
            ended += done
            waiting = [one for one in waiting if one not in done and not one.cancelled]
            if time.monotonic() >= until:
                break
        return ended

    def _group(self, waiting: list[Sequence]) -> list[Sequence]:
        """Return the first searches that can take a step together.

        Those that have not read their primes read `_PRIME_STEPS` characters in all.
        """
        group: list[Sequence] = []
        rows, with_memory, most = 0, waiting[0].job.params.memory, _PRIME_STEPS
        for sequence in waiting:
            if group and (with_memory or sequence.job.params.memory):
                break
            if sequence.search is None:
                most -= self._read_prime(sequence, most)
            if sequence.search is None:
                break
            rows += len(sequence.search.beams)
            if rows > MAX_BEAMS:
                break
            group.append(sequence)
        return group

    def _read_prime(self, sequence: Sequence, most: int) -> int:
        """Read up to `most` characters of the prime. Begin the search after all of it.

        Return the number of characters that were read.
        """
        stream, job = sequence.stream, sequence.job
        assert job.beam_search is not None
        state = stream.state or self._decoder.empty_state(job.params.memory)
        if count := min(stream.prompt_steps_left, most):
            ids = stream.prime[stream.read : stream.read + count]
            _, (state,) = self._decoder.read([state], ids[:, None].astype(np.int64))
            stream.state = state
            stream.read += count
            if not stream.prompt_steps_left:
                self._cache.put(stream.prime[: stream.read], state, job.owner)
        if not stream.prompt_steps_left:
            sequence.search = BeamSearch(job.beam_search, state, int(stream.prime[-1]))
        return count

    def _advance(self, group: list[Sequence]) -> None:
        searches: list[BeamSearch] = [one.search for one in group if one.search is not None]
        beams = [beam for search in searches for beam in search.beams]
        last_ids_1S = np.array([[beam.last_id for beam in beams]], np.int64)
        logprobs_SV, states = self._decoder.read(
            [beam.state for beam in beams], last_ids_1S, [beam.is_only_child for beam in beams]
        )
        first = 0
        for search in searches:
            own = slice(first, first + len(search.beams))
            first = own.stop
            search.advance(logprobs_SV[own], states[own])
