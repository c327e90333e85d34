"""The endpoint POST /suggest."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api import openapi
from app.api.checks import check_memory, constrained, encode_read
from app.api.dependencies import current_models, respond
from app.api.field_types import OrNull, PatternText
from app.api.parsing import read_request
from app.api.schemas import MEMORY, MODEL, ModelName, Timings, Usage, done_fields
from app.api.sizes import result_bytes
from app.engine.chunk import Chunk
from app.engine.generation import Generation
from app.errors import InvalidFieldError
from app.service import Service, in_word
from app.settings import Unknown
from model.choice.sampling_params import SamplingParams
from model.decoding.beam_search import BeamSearchParams

_MAX_SUGGESTIONS, _MAX_LENGTH = 20, 100

router = APIRouter(tags=["Text"], responses=openapi.errors(401, 403, 429, 500))


class SuggestRequest(BaseModel):
    """A text to suggest continuations of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prime: str = Field(
        "", description="Text to continue. If it is empty, the model reads a newline."
    )
    n: int = Field(5, ge=1, le=_MAX_SUGGESTIONS, description="Number of suggestions.")
    boundary: Literal["word", "line"] | None = Field(
        None,
        description="Where a suggestion ends: at the end of the word, or of the line. By default "
        "the word, unless the request has a `pattern`.",
    )
    pattern: PatternText = None
    max_length: int = Field(
        30, ge=1, le=_MAX_LENGTH, description="Most characters of a suggestion."
    )
    unknown: Annotated[Unknown | None, OrNull] = Field(
        None, description="What to do with characters of the prime that the vocabulary lacks."
    )
    memory: bool = MEMORY
    model: str | None = MODEL


class SuggestionBody(BaseModel):
    """A continuation."""

    text: str = Field(description="What continues the prime, up to the boundary.")
    logprob: float = Field(description="Natural logarithm of `probability`.")
    probability: float = Field(
        description="Probability that the model continues the prime with this text and then a "
        "boundary."
    )


class SuggestResponse(BaseModel):
    """The most probable continuations."""

    suggestions: list[SuggestionBody] = Field(description="The most probable one first.")
    complete: bool = Field(
        description="Whether no other continuation can be more probable than these. False if the "
        "search gave up a beginning that could have been."
    )
    usage: Usage
    timings: Timings
    model: ModelName


@router.post(
    "/suggest",
    summary="Suggest continuations",
    response_model=SuggestResponse,
    responses=openapi.errors(400, 404, 409, 413, 422, 503, 504),
    openapi_extra=openapi.body(
        SuggestRequest,
        required=False,
        word={"prime": "And Lev"},
        line={"prime": "All happy families", "boundary": "line", "max_length": 60, "n": 3},
        pattern={"prime": "Anna ", "pattern": "[a-z]+ [a-z]+", "n": 3},
    ),
)
async def suggest(request: Request) -> Response:
    """Returns the most probable continuations of a text, the same ones for the same request."""
    params = await read_request(request, SuggestRequest)
    service = current_models(request).find(params.model)
    if params.pattern is not None and params.boundary is not None:
        raise InvalidFieldError("pattern", params.pattern, "is not supported with `boundary`")
    check_memory(service, params.memory)
    prime = encode_read(service, "prime", params.prime, params.unknown, has_choice=True)
    sampling = await constrained(request, service, SamplingParams(), (), "pattern", params.pattern)
    pattern = sampling.pattern or service.boundaries[params.boundary or "word"]
    read = service.vocabulary.decode(prime[-1:])
    may_be_empty = params.pattern is not None or _goes_on(read, params.boundary or "word")
    search = BeamSearchParams(params.n, pattern, params.max_length, may_be_empty)
    job = service.suggestion_job(prime, search, params.memory)
    size = result_bytes(params.n * params.max_length, sums=params.n)
    return await respond(request, service, job, size, _content)


def _goes_on(last: str, boundary: str) -> bool:
    """Return whether a word or a line that has begun may end after the last character."""
    return last != "" and (in_word(last) if boundary == "word" else last != "\n")


def _content(service: Service, generation: Generation, _: Chunk) -> dict[str, Any]:
    search, done = generation.suggestions, done_fields(service.model, generation)
    assert search is not None
    suggestions = [
        {
            "text": service.vocabulary.decode(found.ids),
            "logprob": round(found.logprob, 6),
            "probability": math.exp(found.logprob),
        }
        for found in search.suggestions
    ]
    kept = {name: done[name] for name in ("usage", "timings", "model")}
    return {"suggestions": suggestions, "complete": search.complete, **kept}
