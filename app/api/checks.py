"""Checks: compare the fields of a request with the model's vocabulary and the server's limits.

Each function raises InvalidFieldError, or UnknownInFieldError if the vocabulary lacks a character.
The error names the field as the user wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fastapi import Request

from app.api.field_types import Cell
from app.errors import InvalidFieldError, UnknownInFieldError
from app.middleware.request_log import RequestRecord
from app.service import Service
from app.settings import Unknown
from model.choice.constraint import LogitBias, banned_ids
from model.choice.sampling_params import SamplingParams
from model.choice.scores import MAX_ALTERNATIVES
from model.errors import PatternError, UnknownCharacterError
from model.native.memory import NO_MEMORY
from model.text.folding import fold
from model.text.vocabulary import Ids

# A larger result would occupy the processor and the connection for too long.
MAX_SCORES = 200_000  # characters and alternatives in one JSON response, or one echo
MAX_CELL_VALUES = 800_000  # in one JSON response
MAX_TEXT = 1_000_000  # characters of all texts in one JSON response


def encode_read(
    service: Service,
    field: str,
    text: str,
    unknown: Unknown | None = None,
    has_choice: bool = False,
) -> Ids:
    """Return the ids of a text to read.

    `unknown` says what to do with characters that the vocabulary lacks; None uses the server's
    default. If the vocabulary has UNKNOWN, it replaces the characters that are left. `has_choice`
    says whether the request has a field `unknown`.
    """
    check_read_length(service, field, text)
    unknown = unknown or service.settings.unknown
    if unknown == "skip":
        return service.vocabulary.encode_known(text)
    if unknown == "fold":
        text = fold(text, service.vocabulary)
        check_read_length(service, field, text, " after folding")
    try:
        return service.vocabulary.encode_read(text)
    except UnknownCharacterError as error:
        others = '"skip"' if unknown == "fold" else '"skip" or "fold"'
        advice = f'; set "unknown" to {others}' if has_choice else ""
        raise UnknownInFieldError(field, error, advice) from error


def encode_scored(service: Service, field: str, text: str, advice: str = "") -> Ids:
    """Return the ids of a text to score. The message of an error ends with some more advice."""
    check_read_length(service, field, text)
    try:
        return service.vocabulary.encode_scored(text)
    except UnknownCharacterError as error:
        advice = f'; set "unknown" to "skip" or "fold"{advice}'
        raise UnknownInFieldError(field, error, advice) from error


def known_text(service: Service, text: str, unknown: Unknown | None) -> str:
    """Return a text without the characters that cannot be scored, or with equivalents of them."""
    if unknown == "fold":
        return fold(text, service.vocabulary)
    if unknown == "skip":
        gone = {text[at] for at in service.vocabulary.unscorable_positions(text).tolist()}
        return text.translate(dict.fromkeys(map(ord, gone))) if gone else text
    return text


def check_read_length(service: Service, field: str, text: str, stage: str = "") -> None:
    """Refuse a text with more characters than this server reads."""
    most = service.settings.max_prime
    if len(text) > most:
        message = f"must have at most {most} characters on this server"
        raise InvalidFieldError(field, f"{len(text)} characters{stage}", message)


def check_generated_length(service: Service, field: str, length: int) -> None:
    """Refuse a text that would be longer than this server generates."""
    most = service.settings.max_length
    if length > most:
        raise InvalidFieldError(field, length, f"must be at most {most} on this server")


def check_result(field: str, texts: int, characters: int) -> None:
    """Refuse texts of one JSON response that would be too long together."""
    if characters > MAX_TEXT:
        message = (
            f"all texts of one response must have at most {MAX_TEXT} characters together, "
            "including echoed prompts: stream the texts, or request less"
        )
        raise InvalidFieldError(field, f"{texts} texts, {characters} characters", message)


def check_scores(
    field: str, characters: int, alternatives: int | None, advice: str = "request less"
) -> None:
    """Refuse a response with too many scores at once. Without alternatives, it has no scores."""
    if alternatives is not None and characters * (1 + alternatives) > MAX_SCORES:
        message = (
            f"characters times (1 + logprobs) must be at most {MAX_SCORES} in one response: "
            f"{advice}"
        )
        raise InvalidFieldError(field, f"{characters} characters x (1 + {alternatives})", message)


def check_logprobs(service: Service, length: int, logprobs: int | None) -> None:
    """Refuse more alternatives than the vocabulary has, and too many of them in one stream."""
    if logprobs is None or logprobs <= MAX_ALTERNATIVES:
        return
    most = max(len(service.vocabulary), MAX_ALTERNATIVES)
    if logprobs > most:
        raise InvalidFieldError("logprobs", logprobs, f"must be at most {most} with this model")
    check_scores("logprobs", length, logprobs)


def check_cells(service: Service, field: str, cells: Sequence[Cell]) -> None:
    """Refuse cells that the model does not have."""
    config = service.checkpoint.config
    for index, cell in enumerate(cells):
        for name, count in (("layer", config.layers), ("cell", config.hidden_size)):
            if (number := getattr(cell, name)) >= count:
                message = f"must be from 0 to {count - 1} with this model"
                raise InvalidFieldError(f"{field}.{index}.{name}", number, message)


def check_memory(service: Service, wanted: bool) -> None:
    """Refuse a memory if the model's backend has none."""
    if wanted and not service.decoder.memory_bytes:
        raise InvalidFieldError("memory", wanted, f"must be false on this server: {NO_MEMORY}")


def check_cell_values(field: str, characters: int, cells: int) -> None:
    """Refuse a response with too many values of cells."""
    if characters * cells > MAX_CELL_VALUES:
        message = (
            f"characters times cells must be at most {MAX_CELL_VALUES} in one response: "
            "request fewer cells, or a part of the text"
        )
        raise InvalidFieldError(field, f"{characters} characters x {cells} cells", message)


def encode_biases(service: Service, field: str, biases: Mapping[str, float]) -> LogitBias:
    """Return the biases of characters by id, see `check_biases`."""
    if not biases:
        return ()
    try:
        ids = service.vocabulary.encode("".join(biases))
    except UnknownCharacterError as error:
        raise UnknownInFieldError(field, error) from error
    return check_biases(service, field, dict(zip(ids.tolist(), biases.values(), strict=True)))


def check_biases(service: Service, field: str, biases: Mapping[int, float]) -> LogitBias:
    """Return biases of ids without those that change nothing.

    Raises:
        InvalidFieldError: if an id is not in the vocabulary, or every character is banned.
    """
    size = len(service.vocabulary)
    for character in biases:
        if character not in range(size):
            raise InvalidFieldError(field, character, f"token ids must be from 0 to {size - 1}")
    kept = tuple((character, bias) for character, bias in biases.items() if bias)
    if len(banned_ids(kept) | {service.vocabulary.unknown_id} - {None}) == size:
        message = "must leave a character that the model can write"
        raise InvalidFieldError(field, f"{len(kept)} biases", message)
    return kept


async def constrained(
    request: Request,
    service: Service,
    params: SamplingParams,
    biases: LogitBias,
    field: str,
    expression: str | None,
) -> SamplingParams:
    """Return sampling parameters with biases, and with the compiled pattern of an expression.

    Between the return and the submission of a job, the caller must not wait, see `Service.idle`.
    """
    if biases:
        params = replace(params, logit_bias=biases)
    if expression is None:
        return params
    client = RequestRecord.of(request.scope).lease.client
    try:
        pattern = await service.patterns.get(expression, banned_ids(biases), client)
    except PatternError as error:
        raise InvalidFieldError(field, expression, str(error)) from error
    return replace(params, pattern=pattern)
