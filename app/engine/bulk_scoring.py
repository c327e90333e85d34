"""Bulk scoring: spread the texts of a bulk job over slots.

A bulk job scores many texts. It waits in the queue like any other job, and has at least one slot
from then on. It also uses slots that nobody else needs, and gives them back as soon as somebody
does. So to other clients it is one job.

Each of its slots is a lane: a sequence that shares `Sequence.texts` with the job's other lanes. The
first lane reads the prime. Then each lane scores one text after the other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

from app.engine.sequence import Deliveries, Delivery, Sequence
from model.decoding.backend import DecoderState, StepOutput
from model.decoding.decoder import Decoder
from model.decoding.text_scoring import TextScoring


def begin(lane: Sequence, state: DecoderState | None) -> None:
    """Let the first lane take its first text.

    Args:
        lane: the lane, which has read the prime without its last character.
        state: the state after that. None is a state of zeros.
    """
    assert lane.texts is not None
    lane.texts.begin(state)
    _take_text(lane)


def give_back(lane: Sequence) -> None:
    """Let another lane continue the text of a sequence that has lost its slot, if it has one."""
    if lane.texts is not None and lane.text_stream is not None:
        lane.texts.give_back(lane.text_stream)


def collect(
    decoder: Decoder, rows: Mapping[Sequence, int], output: StepOutput
) -> tuple[Deliveries, list[Sequence]]:
    """Add the scores of lanes to their jobs. A lane whose text has ended takes the next one.

    Args:
        decoder: the decoder that has advanced the lanes.
        rows: the lanes, with their columns in `output`.
        output: the result of the steps.

    Returns:
        A delivery per job, and the lanes that have no text left.
    """
    deliveries: Deliveries = []
    ended: list[Sequence] = []
    for texts, lanes in lanes_by_job(rows).items():
        assert output.scores is not None
        streams = [lane.text_stream for lane in lanes if lane.text_stream is not None]
        scored = texts.collect(streams, output.scores[:, [rows[lane] for lane in lanes]])
        deliveries.append((lanes[0], _delivery(lanes[0], texts, scored)))
        ended += [lane for lane in lanes if not _continues(decoder, lane)]
    return deliveries, ended


def lanes_by_job(sequences: Iterable[Sequence]) -> dict[TextScoring, list[Sequence]]:
    """Return the lanes among some sequences."""
    lanes: dict[TextScoring, list[Sequence]] = {}
    for sequence in sequences:
        if sequence.texts is not None:
            lanes.setdefault(sequence.texts, []).append(sequence)
    return lanes


def count_jobs(sequences: Iterable[Sequence]) -> int:
    """Return the number of jobs to which some sequences belong."""
    return len({sequence.texts or sequence for sequence in sequences})


def spare_lanes(sequences: Iterable[Sequence], most: int) -> list[Sequence]:
    """Return up to `most` lanes without which each bulk job still has one.

    They are taken from the jobs with the most lanes.
    """
    jobs = list(lanes_by_job(sequences).values())
    spare: list[Sequence] = []
    while len(spare) < most and (richest := max(jobs, key=len, default=[]))[1:]:
        spare.append(richest.pop())
    return spare


def spread(sequences: Iterable[Sequence], free: int) -> tuple[list[Sequence], list[Sequence]]:
    """Return the lanes to end and new lanes, so that all bulk jobs have about as many.

    Args:
        sequences: the sequences that have a slot.
        free: number of further slots for lanes. It may be negative.
    """
    jobs = lanes_by_job(sequences)
    ended: list[Sequence] = []
    added: list[Sequence] = []
    while wanting := [lanes for lanes in jobs.values() if _has_text_for_another(lanes[0])]:
        poorest = min(wanting, key=len)
        if free <= 0:
            richest = max(jobs.values(), key=len)
            if len(richest) < len(poorest) + 2 or richest[-1] in added:
                break
            ended.append(richest.pop())
            free += 1
        free -= 1
        another = copy.copy(poorest[0])
        _take_text(another)
        poorest.append(another)
        added.append(another)
    return ended, added


def _has_text_for_another(lane: Sequence) -> bool:
    return lane.texts is not None and lane.text_stream is not None and lane.texts.has_next


def _take_text(lane: Sequence) -> None:
    assert lane.texts is not None
    stream = lane.texts.next()
    assert stream is not None
    lane.stream = stream


def _continues(decoder: Decoder, lane: Sequence) -> bool:
    """Let a lane whose text has ended take the next one. Return whether it has a text."""
    ended = lane.stream
    if ended.steps_left > 0:
        return True
    if not _has_text_for_another(lane):
        return False
    _take_text(lane)
    decoder.replace(ended, lane.stream)
    return True


def _delivery(lane: Sequence, texts: TextScoring, scored: int) -> Delivery:
    if texts.characters_left:
        return lane.delivery(scored=scored)
    return lane.delivery(finish_reason="length", scored=scored, scores=texts.scores)
