"""The endpoint POST /score."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from app.api import openapi
from app.api.dependencies import CurrentRecord, ModelsAfterBody, submit
from app.api.json_response import json_response, reserve_memory
from app.api.parsing import check_no_query, parse_body
from app.api.response_budget import SCORE_ARRAYS_BYTES, Reservation, largest_bytes
from app.api.score_schemas import ScoreRequest, ScoreResponse, TextsResponse
from app.api.text_scores import encode_scores, encode_texts, text_score
from app.engine.generation import Generation
from app.engine.job import Job
from app.errors import InvalidFieldError
from app.middleware.body_limit import Body
from app.service import MAX_SCORES, Service

router = APIRouter(tags=["Text"], responses=openapi.errors(401, 403, 429, 500))


@router.post(
    "/score",
    dependencies=[Depends(check_no_query)],
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
async def score(
    request: Request, body: Body, models: ModelsAfterBody, record: CurrentRecord
) -> Response:
    """Returns log-probabilities of one text or of many, computed as when text is generated."""
    params = parse_body(ScoreRequest, body.take())
    service = models.find(params.model)
    _check(params)
    job = _job(service, params) if params.texts is None else _bulk_job(service, params)
    reservation = reserve_memory(request, _size(params))
    generation = submit(service, record, job)
    content = _content(service, generation, params.with_detail, reservation)
    del params  # its texts are not needed while the model reads them
    return await json_response(request, reservation, content, [generation])


async def _content(
    service: Service, generation: Generation, detail: bool, reservation: Reservation
) -> dict[str, Any]:
    text, texts = await generation.read(), generation.job.texts
    content: dict[str, Any] = {}
    if texts is None:
        content = text_score(service.vocabulary, text, detail)
        if not detail:
            reservation.resize(largest_bytes(0, sums=1))
    else:
        content["scores"] = encode_scores(service.vocabulary, texts, generation.take_scores())
    content["model"] = service.model._asdict()
    return content


def _size(params: ScoreRequest) -> int:
    """Return the largest size of the result in bytes."""
    if params.texts is None:
        length = len(params.text or "")
        detailed = largest_bytes(length, params.logprobs)
        return detailed if params.with_detail else length * SCORE_ARRAYS_BYTES
    characters = sum(map(len, params.texts)) if params.with_detail else 0
    return largest_bytes(characters, params.logprobs, sums=len(params.texts))


def _check(params: ScoreRequest) -> None:
    if params.text is None and params.texts is None:
        raise InvalidFieldError("text", None, "is required, unless the request has texts")
    if params.text is not None and params.texts is not None:
        raise InvalidFieldError("texts", params.texts, "is not supported together with text")
    if params.logprobs and not params.with_detail:
        raise InvalidFieldError("logprobs", params.logprobs, "requires `detail` to be true")


def _check_size(field: str, characters: int, params: ScoreRequest) -> None:
    """Raise InvalidFieldError if the scores of so many characters are too many for a response."""
    if params.with_detail and characters * (1 + params.logprobs) > MAX_SCORES:
        message = (
            f"characters times (1 + logprobs) must be at most {MAX_SCORES} in one response: send "
            "less text, or set detail to false"
        )
        value = f"{characters} characters x (1 + {params.logprobs})"
        raise InvalidFieldError(field, value, message)


def _job(service: Service, params: ScoreRequest) -> Job:
    """Return the job for one text. Raise CharstreamError if this server cannot serve it."""
    text = params.text or ""
    _check_size("text", len(text), params)
    return service.score_job(
        service.encode_read("prime", params.prime),
        service.encode_scored("text", text),
        params.logprobs,
    )


def _bulk_job(service: Service, params: ScoreRequest) -> Job:
    """Return the job for many texts. Raise CharstreamError if this server cannot serve it."""
    texts = params.texts or []
    _check_size("texts", sum(map(len, texts)), params)
    return service.bulk_job(
        service.encode_read("prime", params.prime),
        encode_texts(service, texts),
        params.logprobs,
        params.with_detail,
    )
