"""Sizes: the most bytes that a request can make the server hold, for its lease of memory."""

from __future__ import annotations

from app.engine.job import Job
from app.engine.sequence import MAX_KEPT
from app.engine.slow_reader import LIMIT, cost_of
from model.decoding.decoder import Decoder

_ID_BYTES = 8  # of a character that is read, and of one that is generated: ids, and their copies
_STOP_BYTES = 24  # of a character of a stop string, with the tables that search for it
_BIAS_BYTES = 200
_TEXT_BYTES = 100  # of one of many texts to score
_CHARACTER_BYTES = 16  # of a text as ids and as JSON
_SCORE_BYTES, _ALTERNATIVE_BYTES = 120, 50  # of a score as numbers and as JSON
_CELL_BYTES = 16  # of the value of a cell as a number and as JSON
_SUM_BYTES = 128  # of the sums of a text's scores

_CONNECTION_BYTES = 80 << 10  # a full write buffer of a connection, and what is being written
_FRAME_BYTES = 60  # of the event of a character
_IN_TRANSIT = 128  # characters on their way to the event loop


def job_bytes(job: Job, decoder: Decoder) -> int:
    """Return the largest size of what a job keeps until it ends, and the decoder for it."""
    size = _ID_BYTES * (len(job.prime) + min(job.length, MAX_KEPT))
    size += _STOP_BYTES * sum(map(len, job.stops)) + _BIAS_BYTES * len(job.params.logit_bias)
    if job.params.memory:
        size += decoder.memory_bytes
    if job.params.pattern is not None:
        size += job.params.pattern.bytes
    if job.texts is not None:
        size += _ID_BYTES * len(job.texts.ids_N) + _TEXT_BYTES * len(job.texts)
    return size


def result_bytes(
    characters: int, alternatives: int | None = None, cells: int = 0, sums: int = 0
) -> int:
    """Return the largest size of a JSON result with some characters and some sums of scores.

    For each character, it has the scores of alternatives, unless they are None, and the values of
    cells.
    """
    character = _CHARACTER_BYTES + _score_bytes(alternatives) + cells * _CELL_BYTES
    return characters * character + sums * _SUM_BYTES


def stream_bytes(length: int, alternatives: int | None, texts: int = 1) -> int:
    """Return the largest size of what a stream of texts keeps for a client that does not read.

    Each text has `length` characters. None for the alternatives is a stream without scores.
    """
    ahead = min(length, LIMIT // cost_of(alternatives) + _IN_TRANSIT)
    buffers = texts * ahead * (_ID_BYTES + _score_bytes(alternatives))
    frames = texts * length * (_FRAME_BYTES + _score_bytes(alternatives))
    return buffers + min(_CONNECTION_BYTES, frames)


def _score_bytes(alternatives: int | None) -> int:
    return 0 if alternatives is None else _SCORE_BYTES + alternatives * _ALTERNATIVE_BYTES
