"""Routes: the endpoints, each from request to answer."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from app import api_document
from app.disconnect import nobody_there, unless_gone
from app.engine import Generation
from app.errors import InvalidFieldError, validation_response
from app.event_stream import (
    PING_SECONDS,
    QUEUE_HEADER,
    EventStreamResponse,
    Position,
    event_stream,
)
from app.page import page_response
from app.reloader import Reloader
from app.schemas import (
    Done,
    ErrorBody,
    GenerateRequest,
    GenerateResponse,
    Health,
    Info,
    ScoreRequest,
    ScoreResponse,
    Token,
)
from app.service import Service

public = APIRouter(tags=["Operation"])
protected = APIRouter(tags=["Text"], responses=api_document.errors(401, 429, 500))


async def _service(request: Request) -> Service:
    reloader: Reloader = request.app.state.reloader
    return reloader.service


ServiceDependency = Annotated[Service, Depends(_service)]
LastEventId = Annotated[
    str | None,
    Header(description="Where a broken stream goes on: the id of the last event received."),
]

_EVENTS = api_document.events(
    [
        api_document.kind(Token),
        api_document.kind(Done, "done"),
        api_document.kind(ErrorBody, "error"),
    ],
    api_document.event({"token": "a"}, id="9c31e2f0-1"),
    api_document.event(
        {
            "finish_reason": "length",
            "seed": 2620514032,
            "usage": {"prime_characters": 15, "cached_characters": 0, "generated_characters": 1},
            "timings": {
                "queue_ms": 0.1,
                "first_character_ms": 3.2,
                "total_ms": 3.2,
                "characters_per_second": 322.6,
            },
            "model": {"name": "anna", "hash": "5a62bdbc1639d863"},
        },
        event="done",
    ),
)


@protected.post(
    "/generate",
    summary="Generate text",
    response_model=GenerateResponse,
    responses={
        **_EVENTS,
        **api_document.NOTHING_LEFT,
        **api_document.errors(400, 409, 413, 422, 503, 504),
    },
    openapi_extra=api_document.body(
        GenerateRequest,
        required=False,
        text={"prime": "And Levin said,", "length": 300, "temperature": 0.8, "seed": 7},
        stream={"prime": "And Levin said,", "length": 300, "stream": True},
        scores={"prime": "And Levin said,", "length": 20, "logprobs": 3},
    ),
)
async def post_generate(
    request: Request, service: ServiceDependency, last_event_id: LastEventId = None
) -> Response:
    """Answers JSON, or server-sent events with `"stream": true` or `Accept: text/event-stream`."""
    try:
        wanted = GenerateRequest.model_validate_json(await request.body() or b"{}", strict=True)
    except ValidationError as error:
        return validation_response(error.errors(), list(GenerateRequest.model_fields))
    if wanted.stream or "text/event-stream" in request.headers.get("accept", ""):
        return await _stream(request, service, wanted, last_event_id)
    return await _whole(request, service, wanted)


@protected.get(
    "/generate",
    summary="Stream text to an EventSource",
    response_class=Response,
    responses={
        **_EVENTS,
        **api_document.NOTHING_LEFT,
        **api_document.errors(409, 413, 422, 503, 504),
    },
)
async def get_generate(
    request: Request,
    service: ServiceDependency,
    wanted: Annotated[GenerateRequest, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """The same parameters in the query; always server-sent events."""
    return await _stream(request, service, wanted, last_event_id)


@protected.post(
    "/score",
    summary="Score a text",
    response_model=ScoreResponse,
    responses=api_document.errors(400, 409, 413, 422, 503, 504),
    openapi_extra=api_document.body(
        ScoreRequest,
        text={"text": "All happy families are alike."},
        alternatives={"prime": "And Levin ", "text": "said", "logprobs": 3},
    ),
)
async def score(request: Request, service: ServiceDependency) -> Response:
    """How likely the model finds each character of a text, by the same steps that generate."""
    try:
        wanted = ScoreRequest.model_validate_json(await request.body() or b"{}", strict=True)
    except ValidationError as error:
        return validation_response(error.errors(), list(ScoreRequest.model_fields))
    generation = service.submit(service.score_job(wanted))
    read = await _read_to_end(request, service, generation)
    return nobody_there() if read is None else JSONResponse(service.score(read[1]))


@protected.get("/info", summary="The model and the server's limits")
async def info(service: ServiceDependency) -> Info:
    """What model is loaded, where it runs, and the most that may be asked of it."""
    return service.info()


@public.head("/", include_in_schema=False)
@public.get("/", include_in_schema=False)
async def page() -> Response:
    """The playground."""
    return page_response()


@public.head("/health/live", include_in_schema=False)
@public.get("/health/live", summary="Whether the process works", responses=api_document.errors(503))
async def live(service: ServiceDependency) -> Health:
    """200 as long as the process can serve; 503 when only a restart helps."""
    service.engine.check_alive()
    return Health(status="live")


@public.head("/health", include_in_schema=False)  # where benchmark tools look
@public.get("/health", include_in_schema=False)
@public.head("/health/ready", include_in_schema=False)
@public.get(
    "/health/ready",
    summary="Whether the model is loaded and new requests are taken",
    responses=api_document.errors(503),
)
async def ready(service: ServiceDependency) -> Health:
    """200 when new requests are taken; 503 while shutting down."""
    service.engine.check_ready()
    return Health(status="ready")


async def _whole(request: Request, service: Service, wanted: GenerateRequest) -> Response:
    service.check_scores(wanted.length, wanted.logprobs)
    generation = service.submit(service.job(wanted))
    read = await _read_to_end(request, service, generation)
    if read is None:
        return nobody_there()
    ids, scores = read
    answer = {
        "id": f"gen-{uuid.uuid4().hex}",
        "text": service.vocabulary.decode(ids),
        **service.describe(generation).model_dump(),
    }
    if wanted.logprobs is not None:
        answer["logprobs"] = scores
    return JSONResponse(answer)


async def _stream(
    request: Request, service: Service, wanted: GenerateRequest, last_event_id: str | None
) -> Response:
    resumed = _position(last_event_id)
    job = service.job(wanted, resumed)
    if resumed is not None and resumed.characters >= wanted.length:
        return Response(status_code=204)
    ahead = service.engine.waiting
    generation = service.submit(job)
    ids: list[int] | None = []
    sent, skip = resumed.characters if resumed else 0, 0
    if sent:
        try:
            async with asyncio.timeout(PING_SECONDS):
                ids = await unless_gone(request, _read_past(generation, sent))
        except TimeoutError:  # let the client hear something while the rest is made again
            skip = sent - generation.taken
        except BaseException:
            generation.cancel()
            raise
        if not ids and not skip:
            generation.cancel()
            return nobody_there() if ids is None else Response(status_code=204)
    frames = event_stream(
        generation, service.frames, ids or [], sent, skip, service.describe, service.scored
    )
    response = EventStreamResponse([generation], frames, service.model.hash)
    response.headers[QUEUE_HEADER] = str(ahead)
    return response


def _position(last_event_id: str | None) -> Position | None:
    if not last_event_id:
        return None
    try:
        return Position.parse(last_event_id)
    except ValueError:
        message = "must be the id of an event: a seed in hex, '-', a number of characters"
        raise InvalidFieldError("Last-Event-ID", last_event_id, message) from None


async def _read_to_end(
    request: Request, service: Service, generation: Generation
) -> tuple[list[int], list[dict[str, Any]]] | None:
    """All ids, and what /generate tells of each if it has scores; None if the client goes away."""

    async def read() -> tuple[list[int], list[dict[str, Any]]]:
        text: list[int] = []
        scores: list[dict[str, Any]] = []
        async for ids in generation:
            text += ids
            scores += [score.model_dump() for score in service.scored(generation, ids)]
        return text, scores

    try:
        return await unless_gone(request, read())
    finally:
        generation.cancel()


async def _read_past(generation: Generation, count: int) -> list[int]:
    """Reads until there is a character after the first `count`; empty if the text has none."""
    seen = 0
    async for ids in generation:
        seen += len(ids)
        generation.take_scores(min(len(ids), len(ids) - (seen - count)))
        if seen > count:
            return ids[len(ids) - (seen - count) :]
    return []
