"""The endpoint POST /score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api import openapi
from app.api.character_scores import score_slices
from app.api.dependencies import CurrentRecord, ServiceAfterBody, submit
from app.api.disconnect import disconnected_response, read_to_end
from app.api.json_response import encode_list, json_response
from app.api.parsing import parse_body
from app.api.schemas import CharacterScore, ModelName, ScoreRequest, ScoreResponse
from app.engine.chunk import Chunk
from app.engine.job import Job
from app.middleware.body_limit import Body
from app.service import Service

router = APIRouter(tags=["Text"], responses=openapi.errors(401, 403, 429, 500))


@router.post(
    "/score",
    summary="Score a text",
    response_model=ScoreResponse,
    responses=openapi.errors(400, 409, 413, 422, 503, 504),
    openapi_extra=openapi.body(
        ScoreRequest,
        text={"text": "All happy families are alike."},
        alternatives={"prime": "And Levin ", "text": "said", "logprobs": 3},
    ),
)
async def score(
    request: Request, body: Body, service: ServiceAfterBody, record: CurrentRecord
) -> Response:
    """Returns the log-probability of each character, computed as when text is generated."""
    params = parse_body(ScoreRequest, body)
    generation = submit(service, record, _job(service, params))
    text = await read_to_end(request, generation)
    if text is None:
        return disconnected_response()
    return await json_response(await _content(service, text))


def _job(service: Service, params: ScoreRequest) -> Job:
    """Translate a request into a job; raise CharstreamError if this server cannot serve it."""
    service.check_model(params.model)
    service.check_scores(len(params.text), params.logprobs)
    prime = params.prime if "prime" in params.model_fields_set else ""
    return service.score_job(
        service.encode_prime("prime", prime),
        service.encode_scored("text", params.text),
        params.logprobs,
    )


def _read_score(score: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a `CharacterScore`: without probabilities, which are about drawing."""
    fields = {name: score[name] for name in CharacterScore.model_fields}
    return {**fields, "top": [alternative[:2] for alternative in score["top"]]}


async def _content(service: Service, text: Chunk) -> dict[str, Any]:
    """Return the fields of a `ScoreResponse`."""
    nats = 0.0

    def slices() -> Iterator[list[dict[str, Any]]]:
        nonlocal nats
        for scores in score_slices(service.vocabulary, text):
            nats = sum((-score["logprob"] for score in scores), nats)
            yield [_read_score(score) for score in scores]

    characters = await encode_list(slices())
    bits = nats / math.log(2)
    return {
        "characters": characters,
        "nats": nats,
        "bits": bits,
        "bits_per_character": bits / len(text),
        "model": ModelName(**service.model._asdict()).model_dump(),
    }
