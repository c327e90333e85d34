"""The endpoint POST /score."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.api import openapi
from app.api.checks import (
    check_memory,
    check_read_length,
    check_scores,
    encode_read,
    encode_scored,
    known_text,
)
from app.api.dependencies import current_models, respond
from app.api.field_types import OrNull
from app.api.parsing import read_request
from app.api.schemas import MEMORY, MODEL, UNKNOWN_FIELD, CharacterScore, ModelName
from app.api.scores import sums_of, text_score
from app.api.sizes import result_bytes
from app.engine.chunk import Chunk
from app.engine.generation import Generation
from app.engine.job import Job
from app.errors import InvalidFieldError
from app.service import Service
from app.settings import Unknown
from model.choice.scores import MAX_ALTERNATIVES
from model.decoding.text_scoring import Texts
from model.text.vocabulary import Vocabulary

_MAX_TEXTS = 10_000  # of one request
_MAX_NAMED = 20  # texts in a message
_MAX_PRIMES = 10  # length of all texts together, in lengths of the longest prime

router = APIRouter(tags=["Text"], responses=openapi.errors(401, 403, 429, 500))


def _check_texts(value: Any) -> Any:
    """Report the first text that is none. Pydantic would collect thousands of errors."""
    for index, text in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(text, str) or not text:
            message = f"texts[{index}] must be a string of at least one character"
            raise PydanticCustomError("texts", message)
    return value


class ScoreRequest(BaseModel):
    """One text or many texts to score."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(
        None, min_length=1, description="Text to score. Send either `text` or `texts`."
    )
    texts: Annotated[
        list[Annotated[str, Field(min_length=1)]] | None, BeforeValidator(_check_texts)
    ] = Field(
        None,
        min_length=1,
        max_length=_MAX_TEXTS,
        description="Texts to score, each of them on its own.",
    )
    detail: bool | None = Field(
        None,
        description="Whether to return the score of each character, and not only their number and "
        "their sum. By default true for `text` and false for `texts`.",
    )
    prime: str = Field(
        "",
        description="Text that the model reads before each text, without scoring it. If it is "
        "empty, the model reads a newline.",
    )
    logprobs: int = Field(
        0,
        ge=0,
        le=MAX_ALTERNATIVES,
        description="Number of top alternatives to return per character.",
    )
    memory: bool = MEMORY
    unknown: Annotated[Unknown | None, OrNull] = UNKNOWN_FIELD
    model: str | None = MODEL

    @property
    def all_texts(self) -> list[str]:
        return [self.text or ""] if self.texts is None else self.texts

    @property
    def with_detail(self) -> bool:
        """Whether to return the score of each character."""
        return self.texts is None if self.detail is None else self.detail


class TextScore(BaseModel):
    """The sum of a text's scores."""

    characters: list[CharacterScore] | int = Field(
        description="The score of each character, or with `detail` false the number of characters."
    )
    nats: float = Field(description="Negative sum of the logprobs of the text.")
    bits: float = Field(description="The same sum in bits: nats / ln 2.")
    bits_per_character: float


class ScoreResponse(TextScore):
    """The score of one text."""

    model: ModelName


class TextsResponse(BaseModel):
    """The scores of many texts, in their order."""

    scores: list[TextScore]
    model: ModelName


@router.post(
    "/score",
    summary="Score one text or many",
    response_model=ScoreResponse | TextsResponse,
    responses=openapi.errors(400, 404, 409, 413, 422, 503, 504),
    openapi_extra=openapi.body(
        ScoreRequest,
        text={"text": "All happy families are alike."},
        alternatives={"prime": "And Levin ", "text": "said", "logprobs": 3},
        many_texts={"texts": ["All happy families are alike.", "All ahyp pfmaiiles rea lkiea."]},
    ),
)
async def score(request: Request) -> Response:
    """Returns log-probabilities of one text or of many, computed as when text is generated."""
    params = await read_request(request, ScoreRequest)
    service = current_models(request).find(params.model)
    params = _with_known_texts(service, params)
    job, size, detail = _job(service, params), _result_bytes(params), params.with_detail
    del params  # its texts are not needed while the model reads them
    return await respond(request, service, job, size, partial(_content, detail))


def _with_known_texts(service: Service, params: ScoreRequest) -> ScoreRequest:
    """Return the request with the texts that its field `unknown` leaves.

    Raises:
        InvalidFieldError: if nothing of a text is left.
    """
    if params.unknown not in ("skip", "fold") or (params.text or params.texts) is None:
        return params
    texts = [known_text(service, text, params.unknown) for text in params.all_texts]
    if "" in texts:
        index = texts.index("")
        field = "text" if params.texts is None else f"texts[{index}]"
        message = "must have a character that the model knows"
        raise InvalidFieldError(field, params.all_texts[index], message)
    changed = {"text": texts[0]} if params.texts is None else {"texts": texts}
    return params.model_copy(update=changed)


def _content(detail: bool, service: Service, generation: Generation, text: Chunk) -> dict[str, Any]:
    if generation.job.texts is None:
        content = text_score(service.vocabulary, text, detail)
    else:
        content = {"scores": _scores(service.vocabulary, generation)}
    return {**content, "model": service.model._asdict()}


def _scores(vocabulary: Vocabulary, generation: Generation) -> list[dict[str, Any]]:
    """Return a list of `TextScore`, with the score of each character if there are any."""
    texts, scores = generation.job.texts, generation.take_scores()
    assert texts is not None
    if scores.rows_ND is None:
        sums = zip(scores.nats_T.tolist(), texts.lengths_T.tolist(), strict=True)
        return [{"characters": length, **sums_of(nats, length)} for nats, length in sums]
    ends = texts.lengths_T.cumsum().tolist()
    return [
        text_score(
            vocabulary,
            Chunk(array("i", texts.ids_N[first:end].tolist()), scores.rows_ND[first:end]),
            detail=True,
        )
        for first, end in zip([0, *ends], ends, strict=False)
    ]


def _result_bytes(params: ScoreRequest) -> int:
    texts = params.all_texts
    characters = sum(map(len, texts))
    if params.with_detail:
        return result_bytes(characters, params.logprobs, sums=len(texts))
    scores = result_bytes(characters, 0) if params.texts is None else 0
    return scores + result_bytes(0, sums=len(texts))


def _job(service: Service, params: ScoreRequest) -> Job:
    """Translate a request into a job; raise CharstreamError if this server cannot serve it."""
    if params.text is None and params.texts is None:
        raise InvalidFieldError("text", None, "is required, unless the request has texts")
    if params.text is not None and params.texts is not None:
        raise InvalidFieldError("texts", params.texts, "is not supported together with text")
    if params.logprobs and not params.with_detail:
        raise InvalidFieldError("logprobs", params.logprobs, "requires `detail` to be true")
    if params.memory and params.texts is not None:
        raise InvalidFieldError("memory", params.memory, "requires `text` instead of `texts`")
    check_memory(service, params.memory)
    field, texts = "text" if params.texts is None else "texts", params.all_texts
    if params.with_detail:
        advice = "send less text, or set detail to false"
        check_scores(field, sum(map(len, texts)), params.logprobs, advice)
    prime = encode_read(service, "prime", params.prime, params.unknown, has_choice=True)
    if params.texts is None:
        text = encode_scored(service, "text", texts[0])
        return service.score_job(prime, text, params.logprobs, params.memory)
    encoded = _encode_texts(service, texts)
    return service.bulk_job(prime, encoded, params.logprobs, params.with_detail)


def _encode_texts(service: Service, texts: Sequence[str]) -> Texts:
    """Return the ids of texts to score, none of them empty.

    Raises:
        InvalidFieldError: if one text is too long, or all of them together.
        UnknownInFieldError: if a character cannot be scored. It lists those of one text.
    """
    lengths = np.array([len(text) for text in texts])
    longest, length = int(lengths.argmax()), int(lengths.sum())
    check_read_length(service, f"texts[{longest}]", texts[longest])
    most = _MAX_PRIMES * service.settings.max_prime
    if length > most:
        message = f"must have at most {most} characters together on this server"
        raise InvalidFieldError("texts", f"{length} characters", message)
    whole = "".join(texts)
    positions = service.vocabulary.unscorable_positions(whole)
    if len(positions):
        bad = np.unique(np.searchsorted(lengths.cumsum(), positions, side="right")).tolist()
        others = ", ".join(f"texts[{index}]" for index in bad[1:_MAX_NAMED])
        advice = f"; so have {others}" + (" and more" if len(bad) > _MAX_NAMED else "")
        # This raises the error.
        encode_scored(service, f"texts[{bad[0]}]", texts[bad[0]], advice if others else "")
    return Texts(service.vocabulary.encode(whole), lengths)
