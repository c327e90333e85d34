"""The endpoints POST and GET /generate."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api import openapi, sse
from app.api.checks import (
    check_cells,
    check_generated_length,
    check_logprobs,
    check_memory,
    check_result,
    check_scores,
    constrained,
    encode_biases,
    encode_read,
)
from app.api.dependencies import current_models, lease, respond, submit
from app.api.disconnect import ClosedConnection, closer_of
from app.api.json_response import json_list
from app.api.parsing import read_query, read_request
from app.api.resume import Position
from app.api.schemas import (
    DEFAULT_PRIME,
    Done,
    ErrorBody,
    GenerateQuery,
    GenerateRequest,
    GenerateResponse,
    Token,
    done_fields,
)
from app.api.scores import score_slices
from app.api.sizes import job_bytes, result_bytes, stream_bytes
from app.api.sse import QUEUE_HEADER, EventStreamResponse, GenerateFrames
from app.engine.chunk import Chunk
from app.engine.generation import Generation
from app.engine.job import Job
from app.errors import DrainingError
from app.service import Service

_LIST_PARAMETERS = ("hold", "logit_bias", "stop")  # of a query string

router = APIRouter(tags=["Text"], responses=openapi.errors(401, 403, 429, 500))

LAST_EVENT_ID = "Last-Event-ID"
_RESUMES = openapi.header(
    LAST_EVENT_ID, "Id of the last event received. Resumes a broken stream after it."
)

_EVENTS = openapi.events(
    [openapi.kind(Token), openapi.kind(Done, "done"), openapi.kind(ErrorBody, "error")],
    openapi.event({"token": "a"}, id="9c31e2f0-1"),
    openapi.event(
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
            "model": {"name": "anna", "hash": "71a903de421a42bf"},
        },
        event="done",
    ),
)


@router.post(
    "/generate",
    summary="Generate text",
    response_model=GenerateResponse,
    responses={
        **_EVENTS,
        **openapi.NOTHING_LEFT,
        **openapi.errors(400, 404, 409, 413, 422, 503, 504),
    },
    openapi_extra=openapi.parameters(_RESUMES)
    | openapi.body(
        GenerateRequest,
        required=False,
        text={"prime": "And Levin said,", "length": 300, "temperature": 0.8, "seed": 7},
        stream={"prime": "And Levin said,", "length": 300, "stream": True},
        scores={"prime": "And Levin said,", "length": 20, "logprobs": 3},
        pattern={"pattern": "[A-Z][a-z]+ [A-Z][a-z]+", "seed": 7},
        logit_bias={"length": 300, "logit_bias": {"e": -100}, "seed": 7},
        hold={"length": 300, "hold": [{"layer": 1, "cell": 293, "value": -2}], "seed": 7},
    ),
)
async def post_generate(request: Request) -> Response:
    """Returns JSON, or server-sent events with `"stream": true` or `Accept: text/event-stream`."""
    params = await read_request(request, GenerateRequest)
    if params.stream or "text/event-stream" in request.headers.get("accept", ""):
        return await _stream(request, params, request.headers.get(LAST_EVENT_ID))
    service = current_models(request).find(params.model)
    check_generated_length(service, "length", params.length)
    check_result("length", 1, params.length)
    check_scores("logprobs", params.length, params.logprobs, "stream the text, or request less")
    size = result_bytes(params.length, params.logprobs)
    job = await _job(request, service, params, None)
    del params  # its prime is not needed while the text is generated
    return await respond(request, service, job, size, _content)


@router.get(
    "/generate",
    summary="Stream text to an EventSource",
    response_class=Response,
    responses={
        **_EVENTS,
        **openapi.NOTHING_LEFT,
        **openapi.errors(404, 409, 413, 422, 431, 503, 504),
    },
    openapi_extra=openapi.parameters(openapi.query(GenerateQuery), _RESUMES),
)
async def get_generate(request: Request) -> Response:
    """Takes the parameters of POST /generate in the query string. Always returns events.

    During a shutdown, the connection of a request with Last-Event-ID is closed without a response.
    """
    params = read_query(request, GenerateQuery, _LIST_PARAMETERS)
    last_event_id = request.headers.get(LAST_EVENT_ID)
    try:
        return await _stream(request, params, last_event_id)
    except DrainingError:  # EventSource always uses GET, and would not try again after a 503
        close = closer_of(request.scope)
        if last_event_id and close is not None:
            return ClosedConnection(close)
        raise


def _content(service: Service, generation: Generation, text: Chunk) -> dict[str, Any]:
    content = {
        "id": f"gen-{secrets.token_hex(16)}",
        "text": service.vocabulary.decode(text.ids),
        **done_fields(service.model, generation),
    }
    if generation.job.alternatives is not None:
        content["logprobs"] = json_list(score_slices(service.vocabulary, text))
    return content


async def _stream(request: Request, params: GenerateRequest, last_event_id: str | None) -> Response:
    service = current_models(request).find(params.model)
    check_generated_length(service, "length", params.length)
    position = Position.parse(last_event_id, params.seed)
    job = await _job(request, service, params, position)
    if position is not None and position.characters >= params.length:
        return Response(status_code=204)
    lease(request, job_bytes(job, service.decoder) + stream_bytes(params.length, params.logprobs))
    waiting = service.engine.scheduler.slots.waiting
    generation = submit(request, service, job)
    frames = GenerateFrames(service, generation, position.characters if position else 0)
    if position is not None and not await _has_more(frames, generation):
        return Response(status_code=204)
    response = EventStreamResponse(frames, [generation], service.model.hash)
    response.headers[QUEUE_HEADER] = str(waiting)
    return response


async def _has_more(frames: GenerateFrames, generation: Generation) -> bool:
    """Return whether there is a character to resume with. If not, cancel the generation.

    Waits for at most `PING_SECONDS` and then returns True, so that the response can begin.
    """
    more = False
    try:
        async with asyncio.timeout(sse.PING_SECONDS):
            await frames.wait()
        more = not generation.ended
    except TimeoutError:  # the response begins now, while the text is still generated again
        more = True
    finally:
        if not more:
            generation.cancel()
    return more


async def _job(
    request: Request, service: Service, params: GenerateRequest, position: Position | None
) -> Job:
    """Translate a request into a job; raise CharstreamError if this server cannot serve it.

    Waits until the pattern is compiled. The caller must not wait before it submits the job.
    """
    check_logprobs(service, params.length, params.logprobs)
    check_cells(service, "hold", params.hold)
    check_memory(service, params.memory)
    unknown = params.unknown
    if "prime" not in params.model_fields_set and DEFAULT_PRIME not in service.vocabulary:
        unknown = "skip"  # the default prime must not make a request fail
    prime = encode_read(service, "prime", params.prime, unknown, has_choice=True)
    biases = encode_biases(service, "logit_bias", params.biases)
    sampling = await constrained(
        request, service, params.sampling, biases, "pattern", params.pattern
    )
    return service.generation_job(
        prime,
        params.length,
        sampling,
        position.seed if position else params.seed,
        params.stop,
        params.logprobs,
    )
