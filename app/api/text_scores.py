"""Text scores: check the texts of a request to /score, and encode their scores."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from app.api.character_scores import score_slices
from app.api.json_pieces import SLICE, Pieces, dumps, list_of_slices
from app.api.schemas import CharacterScore
from app.engine.chunk import Chunk
from app.errors import InvalidFieldError
from app.service import Service
from model.choice.scores import nats_of
from model.decoding.text_scoring import Counts, Texts, TextScores
from model.text.vocabulary import Vocabulary

_MAX_PRIMES = 10  # length of all texts together, in lengths of the longest prime


def encode_texts(service: Service, texts: Sequence[str]) -> Texts:
    """Return the ids of texts to score, none of them empty.

    Raises:
        InvalidFieldError: if one text, or all of them together, are longer than this server
            accepts.
        UnknownInFieldError: if a character cannot be scored. It lists those of one text.
    """
    lengths = np.array([len(text) for text in texts])
    _check_lengths(service, texts, lengths)
    whole = "".join(texts)
    if (first := service.vocabulary.find_unscorable(whole)) >= 0:
        index = int(np.searchsorted(lengths.cumsum(), first, side="right"))
        service.encode_scored(f"texts[{index}]", texts[index])  # raises the error
    return Texts(service.vocabulary.encode(whole), lengths)


def text_score(vocabulary: Vocabulary, text: Chunk, detail: bool) -> dict[str, Any]:
    """Return the fields of the `TextScore` of one text."""
    assert text.scores is not None
    characters = list_of_slices(_character_scores(vocabulary, text)) if detail else len(text)
    return {"characters": characters, **_sums(nats_of(text.scores), len(text))}


def encode_scores(vocabulary: Vocabulary, texts: Texts, scores: TextScores) -> Pieces:
    """Return a list of `TextScore`, with the score of each character if there are any."""
    if scores.rows_ND is not None:
        return _detailed(vocabulary, texts, scores)
    return list_of_slices(_summed(texts, scores))


def _check_lengths(service: Service, texts: Sequence[str], lengths_T: Counts) -> None:
    longest = int(lengths_T.argmax())
    service.check_read_length(f"texts[{longest}]", texts[longest])
    most, length = _MAX_PRIMES * service.settings.max_prime, int(lengths_T.sum())
    if length > most:
        message = f"must have at most {most} characters together on this server"
        raise InvalidFieldError("texts", f"{length} characters", message)


def _sums(nats: float, characters: int) -> dict[str, float]:
    bits = nats / math.log(2)
    return {"nats": nats, "bits": bits, "bits_per_character": bits / characters}


def _summed(texts: Texts, scores: TextScores) -> Iterator[list[dict[str, float]]]:
    """Yield slices of the list without the scores of characters."""
    for first in range(0, len(texts), SLICE):
        part = slice(first, first + SLICE)
        sums = zip(scores.nats_T[part].tolist(), texts.lengths_T[part].tolist(), strict=True)
        yield [{"characters": length, **_sums(nats, length)} for nats, length in sums]


def _detailed(vocabulary: Vocabulary, texts: Texts, scores: TextScores) -> Pieces:
    """Yield pieces of the JSON of the list with the scores of characters."""
    assert scores.rows_ND is not None
    opening, first = "[", 0
    for nats, length in zip(scores.nats_T.tolist(), texts.lengths_T.tolist(), strict=True):
        last = first + length
        text = Chunk(array("i", texts.ids_N[first:last].tolist()), scores.rows_ND[first:last])
        yield opening + dumps(_sums(nats, length))[:-1] + ',"characters":['
        for number, part in enumerate(_character_scores(vocabulary, text)):
            yield ("," if number else "") + dumps(part)[1:-1]
        yield "]}"
        opening, first = ",", last
    yield "]"


def _character_scores(vocabulary: Vocabulary, text: Chunk) -> Iterator[list[dict[str, Any]]]:
    """Yield slices of the list of `CharacterScore` of a text."""
    for scores in score_slices(vocabulary, text):
        yield [_read_score(score) for score in scores]


def _read_score(score: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a `CharacterScore`: without probabilities, which are about drawing."""
    fields = {name: score[name] for name in CharacterScore.model_fields}
    return {**fields, "top": [alternative[:2] for alternative in score["top"]]}
