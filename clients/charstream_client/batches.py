"""Batches: many texts as requests of a size that every server accepts by default."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from .errors import CharstreamError

MAX_TEXTS = 10_000  # of one request
MAX_CHARACTERS = 100_000  # of all texts of one request
_MAX_SCORES = 200_000  # characters and alternatives of one response with detail


def batches(texts: Iterable[str], fields: Mapping[str, object]) -> Iterator[list[str]]:
    """Yield the texts in batches for one request each.

    Args:
        texts: the texts. A text that is too long for a batch gets one of its own.
        fields: the other fields of the requests.
    """
    most = _most_characters(fields)
    batch: list[str] = []
    characters = 0
    for text in texts:
        characters += len(text)
        if batch and (len(batch) == MAX_TEXTS or characters > most):
            yield batch
            batch, characters = [], len(text)
        batch.append(text)
    if batch:
        yield batch


def renumber(error: CharstreamError, first: int) -> None:
    """Make an error name the positions of texts in the whole list instead of in their batch.

    Args:
        error: the error of a batch.
        first: position of the batch's first text.
    """
    if error.status_code == 422 and first:
        error.detail = _renumbered(error.detail, first)
        error.errors = [
            {
                **found,
                "field": _renumbered(found["field"], first),
                "message": _renumbered(found["message"], first),
            }
            for found in error.errors
        ]


def _most_characters(fields: Mapping[str, object]) -> int:
    if not fields.get("detail"):
        return MAX_CHARACTERS
    alternatives = fields.get("logprobs", 0)
    per_character = 1 + alternatives if isinstance(alternatives, int) else 1
    return min(MAX_CHARACTERS, _MAX_SCORES // per_character)


def _renumbered(text: str, first: int) -> str:
    return re.sub(r"\btexts\[(\d+)\]", lambda found: f"texts[{int(found[1]) + first}]", text)
