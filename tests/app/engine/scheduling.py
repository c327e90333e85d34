"""Sequences for schedulers, and the steps that an engine thread would take with them."""

from __future__ import annotations

from dataclasses import replace

from app.engine.chunk import Chunk
from app.engine.scheduler import Changes, Scheduler
from app.engine.sequence import Delivery, Sequence
from app.engine.slow_reader import OutputBuffer
from tests.app.engine.tiny_engine import job


def new_sequence(length: int = 10, client: str | None = None) -> Sequence:
    return Sequence(replace(job(length), client=client), OutputBuffer(), lambda _: None)


def joined(scheduler: Scheduler) -> list[Sequence]:
    """The sequences that get a slot now. The scheduler must have something to do."""
    changes = scheduler.next_changes()
    assert changes is not None
    return changes.joined


def finish(scheduler: Scheduler, sequence: Sequence) -> None:
    """End the text of an active sequence, so that it loses its slot."""
    changes = scheduler.settle([(sequence, Delivery(Chunk(), "length"))])
    assert changes == Changes([sequence], [])
