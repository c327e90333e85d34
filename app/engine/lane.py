"""Lane: one of the slots that a bulk job uses at the same time.

A bulk job scores many texts. It waits in the queue like any other job, and has at least one slot
from then on. It also uses slots that nobody else needs, and gives them back as soon as somebody
does. So to other clients it is one job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.engine.job import Job
from app.engine.output_buffer import OutputBuffer
from app.engine.sequence import Delivery, Sequence
from model.decoding.backend import DecoderState
from model.decoding.text_scoring import Texts, TextScoring, TextStream


class BulkJob:
    """What the lanes of one bulk job share."""

    def __init__(self, job: Job, texts: Texts) -> None:
        self.scoring = TextScoring(texts, job.prime, job.alternatives or 0, job.detail)
        self.cancelled = False
        self.began = False  # whether the prime has been read

    @property
    def wants_lane(self) -> bool:
        """Whether there is a text for another lane."""
        return self.began and self.scoring.has_next


class Lane(Sequence):
    """A sequence that reads the prime of a bulk job and then texts, or only texts.

    Args:
        job: the job, with texts.
        buffer: the output buffer, which stays empty: the scores are collected in the bulk job.
        deliver: function that receives the deliveries of the whole job.
        bulk: the bulk job, if it has a lane already.
    """

    def __init__(
        self,
        job: Job,
        buffer: OutputBuffer,
        deliver: Callable[[Delivery], None],
        bulk: BulkJob | None = None,
    ) -> None:
        assert job.texts is not None
        # First of all: `Sequence` sets `cancelled`, which is stored in the bulk job.
        self.bulk = bulk or BulkJob(job, job.texts)
        super().__init__(job, buffer, deliver)

    @property
    def cancelled(self) -> bool:
        """Whether the job is cancelled."""
        return self.bulk.cancelled

    @cancelled.setter
    def cancelled(self, cancelled: bool) -> None:
        self.bulk.cancelled |= cancelled

    @property
    def steps_left(self) -> int:
        """Number of steps until the end of the job, if it has no other lane."""
        return self.stream.prompt_steps_left + self.bulk.scoring.characters_left

    @property
    def steps_to_boundary(self) -> int:
        """Number of steps to the end of the prime or of the current text."""
        return self.stream.steps_left

    @property
    def text_stream(self) -> TextStream:
        """The stream of the current text, after `begin`."""
        assert isinstance(self.stream, TextStream)
        return self.stream

    def begin(self, state: DecoderState | None) -> None:
        """Take the first text. `state` is the state after the prime, without its last character."""
        self.bulk.scoring.begin(state)
        self.bulk.began = True
        stream = self.bulk.scoring.next()
        assert stream is not None
        self.stream = stream

    def another(self) -> Lane:
        """Return a further lane with the next text. There must be one."""
        lane = Lane(self.job, self.buffer, self.deliver, self.bulk)
        lane.admitted, lane.cached = self.admitted, self.cached
        stream = self.bulk.scoring.next()
        assert stream is not None
        lane.stream = stream
        return lane

    def give_back(self) -> None:
        """Let another lane of the job continue the text, after this one has lost its slot."""
        if isinstance(self.stream, TextStream):
            self.bulk.scoring.give_back(self.stream)

    def scored(self, characters: int) -> Delivery:
        """Return the delivery of a number of characters that were scored."""
        scoring = self.bulk.scoring
        if scoring.characters_left:
            return self.delivery(scored=characters)
        return self.delivery(finish_reason="length", scored=characters, scores=scoring.scores)


def new_sequence(job: Job, buffer: OutputBuffer, deliver: Callable[[Delivery], None]) -> Sequence:
    """Return the sequence of a job, or the first lane of a bulk job."""
    return (Sequence if job.texts is None else Lane)(job, buffer, deliver)


def lanes_by_job(sequences: Iterable[Sequence]) -> dict[BulkJob, list[Lane]]:
    """Return the lanes among some sequences."""
    lanes: dict[BulkJob, list[Lane]] = {}
    for sequence in sequences:
        if isinstance(sequence, Lane):
            lanes.setdefault(sequence.bulk, []).append(sequence)
    return lanes


def spare_lanes(sequences: Iterable[Sequence], most: int) -> list[Lane]:
    """Return up to `most` lanes without which each bulk job still has one.

    They are taken from the jobs with the most lanes.
    """
    jobs = list(lanes_by_job(sequences).values())
    spare: list[Lane] = []
    while len(spare) < most and (richest := max(jobs, key=len, default=[]))[1:]:
        spare.append(richest.pop())
    return spare
