"""OpenAI routes: /v1 as OpenAI's clients and the field's benchmark tools know it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from app import api_document
from app.completion import Completion
from app.completion_stream import completion_stream
from app.disconnect import nobody_there, unless_gone
from app.errors import validation_response
from app.event_stream import EventStreamResponse
from app.openai_schemas import (
    CompletionRequest,
    CompletionResponse,
    ModelCard,
    ModelList,
    OpenAIErrorBody,
)
from app.routes import ServiceDependency
from app.service import Service

router = APIRouter(
    prefix="/v1",
    tags=["OpenAI-compatible"],
    responses=api_document.openai_errors(401, 429, 500),
)

_CHUNKS: list[dict[str, Any]] = [
    {
        "id": "cmpl-0c1d",
        "object": "text_completion",
        "created": 1764028800,
        "model": "anna",
        "system_fingerprint": "5a62bdbc1639d863",
        "choices": [
            {"text": "a", "index": 0, "logprobs": None, "finish_reason": reason, "seed": 7}
        ],
    }
    for reason in (None, "length")
]
_KINDS: list[dict[str, Any]] = [
    api_document.kind(CompletionResponse),
    api_document.kind(OpenAIErrorBody),
    {"type": "object", "properties": {"data": {"const": "[DONE]"}}, "required": ["data"]},
]
_MODEL = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "Name or hash of the loaded model; any other answers 404.",
    "schema": {"type": "string"},
}


@router.post(
    "/completions",
    summary="Generate text as OpenAI's API does",
    response_model=CompletionResponse,
    responses={
        **api_document.events(_KINDS, *map(api_document.event, _CHUNKS), "data: [DONE]"),
        **api_document.openai_errors(409, 413, 422, 503, 504),
    },
    openapi_extra=api_document.body(
        CompletionRequest,
        required=False,
        text={"prompt": "And Levin said,", "max_tokens": 60, "temperature": 0.8, "seed": 7},
        stream={
            "prompt": "And Levin said,",
            "max_tokens": 60,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
        two_texts_for_each_prompt={
            "prompt": ["Anna ", "Kitty "],
            "n": 2,
            "stop": ["\n"],
            "top_k": 5,
            "seed": 7,
        },
        scores_of_a_text={
            "prompt": "All happy families",
            "max_tokens": 0,
            "echo": True,
            "logprobs": 1,
        },
    ),
)
async def post_completions(request: Request, service: ServiceDependency) -> Response:
    """Answers JSON, or server-sent events with `"stream": true`. One token is one character."""
    try:
        wanted = CompletionRequest.model_validate_json(await request.body() or b"{}", strict=True)
    except ValidationError as error:
        known = list(CompletionRequest.model_fields)
        return validation_response(error.errors(), known, request.url.path)
    completion = Completion(service, wanted)
    if wanted.stream:
        frames = completion_stream(completion)
        return EventStreamResponse(completion.generations, frames, service.model.hash)
    try:
        answer = await unless_gone(request, completion.read())
    finally:
        completion.cancel()
    return nobody_there() if answer is None else JSONResponse(answer)


@router.get("/models", summary="The loaded model, in a list")
async def get_models(service: ServiceDependency) -> ModelList:
    """The one model that is loaded."""
    return ModelList(object="list", data=[_card(service)])


@router.get(
    "/models/{model}",
    summary="The loaded model",
    responses=api_document.openai_errors(409),
    openapi_extra={"parameters": [_MODEL]},
)
async def get_model(request: Request, service: ServiceDependency) -> ModelCard:
    """The model of this name or hash."""
    service.check_model(request.path_params["model"])
    return _card(service)


def _card(service: Service) -> ModelCard:
    return ModelCard(
        id=service.model.name,
        object="model",
        created=int(service.loaded),
        owned_by="charstream",
        hash=service.model.hash,
        max_model_len=service.settings.max_prime + service.settings.max_length,
    )
