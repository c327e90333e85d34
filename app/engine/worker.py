"""Worker: the engine thread, which owns the decoder and the prefix cache."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable
from functools import partial
from itertools import takewhile

import numpy as np

from app.engine import bulk_scoring
from app.engine.chunk import Chunk
from app.engine.metrics import ModelMetrics
from app.engine.prefix_cache import PrefixCache
from app.engine.scheduler import Changes, Scheduler
from app.engine.sequence import MAX_KEPT, Deliveries, Sequence
from app.engine.shared_cores import share_cores
from app.engine.suggesting import Suggesting
from app.errors import DrainingError, EngineError
from model.choice.sampling_params import SamplingParams
from model.choice.scores import with_alternatives
from model.decoding.backend import StepOutput
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.decoding.text_scoring import best_steps

# Target time between two deliveries, in seconds. It is too short to notice, and several times as
# long as the event loop takes to send a delivery, so the event loop does not delay the engine.
_WAKE_SECONDS = 0.004
_WAKE_SECONDS_PER_STREAM = 0.0006
_MAX_STEPS = 128  # characters of one generation per delivery
_PRIME_STEPS = 128  # characters of a new prime to read while the other generations wait
_PRIME_CHARACTERS = 2048  # of all new primes together
_SHORT_ROWS = 8  # short texts that are computed together: more take hardly less time for each
_WARM_STEPS = 8
_RATE_SMOOTHING = 0.2  # weight of the newest measurement of a step's duration

logger = logging.getLogger("charstream")


class Worker:
    """Advances the scheduler's active sequences, several characters per wake-up.

    Args:
        decoder: a decoder with as many slots as the scheduler.
        scheduler: the scheduler, which decides which sequences are in the batch.
        cache: the prefix cache for states after primes and finished texts.
        metrics: the metrics of steps and characters to update.
        send: function that passes deliveries to the event loop.
    """

    def __init__(
        self,
        decoder: Decoder,
        scheduler: Scheduler,
        cache: PrefixCache,
        metrics: ModelMetrics,
        send: Callable[[Deliveries], None],
    ) -> None:
        self._decoder, self._scheduler, self._cache = decoder, scheduler, cache
        self._metrics, self._send = metrics, send
        self._suggesting = Suggesting(decoder, cache)

    def run(self, warmed: Callable[[], None]) -> None:
        """Work until the scheduler stops. Call `warmed` when the decoder is ready or has failed."""
        try:
            self._decoder.use_thread()
            self._warm_up()
            warmed()
            while self._advance():
                pass
            self._fail_all(DrainingError)
        except Exception as error:
            logger.exception("the engine failed")
            self._scheduler.failure = f"the engine failed: {error}"
            self._fail_all(partial(EngineError, self._scheduler.failure))
        finally:
            self._cache.clear()
            warmed()

    def _advance(self) -> bool:
        """Wait for work and do a part of it. Return False if the worker must stop.

        The changes are local to this call, so that an idle worker keeps no ended sequence alive.
        """
        changes = self._scheduler.next_changes()
        if changes is None:
            return False
        self._apply(changes)
        if self._scheduler.active:
            share_cores(self._decoder, self._scheduler.slots.computing)
            self._read_primes(changes.joined)
            self._finish_short()
        if self._scheduler.searching:
            self._search()
        if self._scheduler.active:
            self._step_all()
        return True

    def _search(self) -> None:
        """Search for suggestions, for a quarter of the time that the texts then have."""
        searching = list(self._scheduler.searching)
        for sequence in searching:
            if sequence.admitted is None:
                self._admit(sequence)
        ended = self._suggesting.run(searching, time.monotonic() + self._wake_seconds / 4)
        self._scheduler.end_searches(ended)
        self._send(
            [(one, one.delivery(finish_reason="length", suggestions=one.search)) for one in ended]
        )

    @property
    def _wake_seconds(self) -> float:
        return _WAKE_SECONDS + _WAKE_SECONDS_PER_STREAM * self._scheduler.slots.taken

    def _warm_up(self) -> None:
        """Run the smallest and the largest batch once, so that no request waits for set-up."""
        prime = np.zeros(1, dtype=np.int32)
        for count in {1, self._decoder.slots}:
            streams = [
                DecoderStream(prime, _WARM_STEPS, SamplingParams(), seed) for seed in range(count)
            ]
            for stream in streams:
                self._decoder.join(stream)
            self._decoder.advance(_WARM_STEPS)
            for stream in streams:
                self._decoder.leave(stream)

    def _apply(self, changes: Changes) -> None:
        for sequence in changes.left:
            self._decoder.leave(sequence.stream)
            bulk_scoring.give_back(sequence)
        for sequence in changes.joined:
            if sequence.stream.read == 0 and sequence.text_stream is None:
                self._admit(sequence)
        # The shortest are the last rows, so that `_finish_short` can compute them alone.
        changes.joined.sort(key=lambda sequence: -sequence.steps_left)
        active = self._scheduler.active
        active[len(active) - len(changes.joined) :] = changes.joined
        for sequence in changes.joined:
            self._decoder.join(sequence.stream)

    def _admit(self, sequence: Sequence) -> None:
        """Start a sequence after the longest prefix of its prompt that is in the cache."""
        stream = sequence.stream
        prompt, owner = stream.prime[: stream.prompt_length], sequence.job.owner
        read, state = self._cache.longest(prompt, stream.params.memory, owner)
        if sequence.admitted is None:
            sequence.admitted, sequence.cached = time.monotonic(), read
        if state is None:
            self._metrics.cache_misses.inc()
        else:
            stream.skip(read, state)
            self._metrics.cache_hits.inc()
            self._metrics.cache_characters.inc(read)
        if sequence.texts is not None and not stream.prompt_steps_left:
            bulk_scoring.begin(sequence, state)

    def _read_primes(self, joined: list[Sequence]) -> None:
        """Read a part of the new primes first, so that their first characters come soon.

        This happens once per wake-up, for at most `_PRIME_STEPS` characters of each, and about
        `_PRIME_CHARACTERS` of all, so that the other generations do not wait long.
        """
        steps = min((sequence.stream.prompt_steps_left for sequence in joined), default=0)
        if steps > 0:
            first = len(self._scheduler.active) - len(joined)
            most = max(1, _PRIME_CHARACTERS // len(joined))
            self._step(min(steps, _PRIME_STEPS, most), first)

    def _finish_short(self) -> None:
        """Finish new short texts first, eight at a time.

        The event loop sends eight texts, and receives the next requests, while the next eight are
        computed.
        """
        active = self._scheduler.active
        new = takewhile(lambda sequence: sequence.is_new_and_short, reversed(active))
        left = [sequence.stream.steps_left for sequence in new]
        for done in range(0, len(left), _SHORT_ROWS):
            last = left[done : done + _SHORT_ROWS]
            self._step(max(last), len(active) - len(last))

    def _step_all(self) -> None:
        steps = self._choose_steps()
        began = time.monotonic()
        self._step(steps)
        measured = (time.monotonic() - began) / steps
        batch = self._scheduler.batch
        batch.seconds_per_step += _RATE_SMOOTHING * (measured - batch.seconds_per_step)

    def _choose_steps(self) -> int:
        """Return the number of steps to the next delivery, which never passes a boundary.

        Boundaries are the end of a prompt and the end of a text, where the state is cached, and the
        first character of a text, for which a user waits. A text that may pass its end has no
        boundary, except the end of its prompt.
        """
        active = self._scheduler.active
        fitting = int(self._wake_seconds / self._scheduler.batch.seconds_per_step)
        boundaries: list[int] = []
        text_ends: list[int] = []
        others_wait = self._scheduler.slots.waiting > 0
        for sequence in active:
            if sequence.may_pass_end(others_wait):
                text_ends.append(sequence.stream.steps_left)
            else:
                boundaries.append(sequence.steps_to_boundary)
        most = max(1, min(fitting, _MAX_STEPS, *boundaries))
        return best_steps(text_ends, len(boundaries), most) if text_ends else most

    def _step(self, steps: int, first: int = 0) -> None:
        """Advance the sequences from row `first` to the last, and send their new characters."""
        sequences = self._scheduler.active[first:]
        prompt_steps = [sequence.stream.prompt_steps_left for sequence in sequences]
        ends = [sequence.stream.steps_left for sequence in sequences]
        began = time.monotonic()
        output = self._decoder.advance(steps, first)
        self._metrics.step.observe((time.monotonic() - began) / steps)
        self._metrics.batch.observe(len(sequences))
        ids = output.ids.T.tolist()
        deliveries: Deliveries = []
        lanes: dict[Sequence, int] = {}
        rows = zip(sequences, prompt_steps, ends, strict=True)
        for row, (sequence, skip, end) in enumerate(rows):
            if skip == steps:  # all of the prompt except its last character has been read
                self._end_prompt(sequence)
            elif skip < steps and sequence.texts is not None:
                lanes[sequence] = row
            elif skip < steps and not sequence.cancelled:
                part = slice(skip, min(end, output.length(row)))
                chunk = _chunk(ids[row][part], output, row, part, sequence.stream)
                deliveries.append((sequence, sequence.accept(chunk)))
        self._settle(deliveries, *bulk_scoring.collect(self._decoder, lanes, output))

    def _end_prompt(self, sequence: Sequence) -> None:
        stream, state = sequence.stream, self._decoder.state(sequence.stream)
        self._cache.put(stream.prime[: stream.read], state, sequence.job.owner)
        if sequence.texts is not None:
            bulk_scoring.begin(sequence, state)
            self._decoder.replace(stream, sequence.stream)

    def _settle(self, deliveries: Deliveries, scored: Deliveries, ended: list[Sequence]) -> None:
        changes = self._scheduler.settle(deliveries, ended)
        self._apply(changes)
        self._metrics.reader_pauses.inc(sum(sequence.paused for sequence in changes.left))
        for sequence in changes.left:
            if sequence.rereads:
                sequence.reread()
        for sequence, delivery in deliveries:
            if delivery.finish_reason == "length":
                self._cache_text(sequence)
        deliveries += scored
        self._metrics.characters.inc(sum(delivery.characters for _, delivery in deliveries))
        self._send([pair for pair in deliveries if pair[1].characters or pair[1].finish_reason])

    def _cache_text(self, sequence: Sequence) -> None:
        """Cache the state after a finished text, for a request that continues it.

        A state that held cells have changed is not the state after reading the text.
        """
        stream = sequence.stream
        is_whole = len(sequence.text) < MAX_KEPT and not stream.steps_left
        text = np.array(sequence.text[:-1], dtype=np.int32)
        if stream.state is not None and is_whole and not stream.params.hold:
            read = np.concatenate([stream.prime[: stream.prompt_length], text])
            self._cache.put(read, stream.state, sequence.job.owner)

    def _fail_all(self, error: Callable[[], EngineError]) -> None:
        sequences = self._scheduler.close()
        self._send([(sequence, sequence.delivery(error=error())) for sequence in sequences])


def _chunk(
    ids: list[int], output: StepOutput, row: int, own: slice, stream: DecoderStream
) -> Chunk:
    """Return the characters of a row that some of the steps have made, with these ids."""
    scores = cells = None
    if output.scores is not None and stream.alternatives is not None:
        scores = with_alternatives(output.scores[own, row], stream.alternatives)
    if len(stream.cells):
        cells = output.cells[row][own].copy()  # not a view, which would keep the whole array
    return Chunk(array("i", ids), scores, cells)
