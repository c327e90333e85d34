"""The endpoints POST /v1/completions and GET /v1/models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from app.api import openapi
from app.api.dependencies import current_models, lease
from app.api.json_response import json_response
from app.api.parsing import MAX_ITEMS, read_request
from app.api.sse import EventStreamResponse
from app.openai.completion import Completion
from app.openai.errors import error_responses
from app.openai.prompts import jobs_bytes, most_generations, prompts_of, response_bytes
from app.openai.request import CompletionRequest
from app.openai.schemas import CompletionResponse, ModelCard, ModelList, OpenAIErrorBody
from app.openai.stream import CompletionFrames
from app.service import Service

PREFIX = "/v1"

router = APIRouter(
    prefix=PREFIX,
    tags=["OpenAI-compatible"],
    responses=error_responses(401, 403, 429, 500),
)

_CHUNKS: list[dict[str, Any]] = [
    {
        "id": "cmpl-0c1d",
        "object": "text_completion",
        "created": 1764028800,
        "model": "anna",
        "system_fingerprint": "71a903de421a42bf",
        "choices": [
            {"text": "a", "index": 0, "logprobs": None, "finish_reason": reason, "seed": 7}
        ],
    }
    for reason in (None, "length")
]
_KINDS: list[dict[str, Any]] = [
    openapi.kind(CompletionResponse),
    openapi.kind(OpenAIErrorBody),
    {"type": "object", "properties": {"data": {"const": "[DONE]"}}, "required": ["data"]},
]
_MODEL = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "Name or hash of the model. If it is not loaded, the response is 404.",
    "schema": {"type": "string"},
}


@router.post(
    "/completions",
    summary="Generate text as OpenAI's API does",
    response_model=CompletionResponse,
    responses={
        **openapi.events(_KINDS, *map(openapi.event, _CHUNKS), "data: [DONE]"),
        **error_responses(409, 413, 422, 503, 504),
    },
    openapi_extra=openapi.body(
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
        text_of_a_given_shape={"guided_regex": "[A-Z][a-z]+ [A-Z][a-z]+", "seed": 7},
        scores_of_a_text={
            "prompt": "All happy families",
            "max_tokens": 0,
            "echo": True,
            "logprobs": 1,
        },
    ),
)
async def post_completions(request: Request) -> Response:
    """Returns JSON, or server-sent events with `"stream": true`. One token is one character."""
    params = await read_request(request, CompletionRequest, _max_items(request))
    service = current_models(request).find(params.model)
    prompts = await prompts_of(request, service, params)
    size = response_bytes(params, prompts)
    lease(request, jobs_bytes(service, params, prompts) + size)
    completion = Completion(request, service, params, prompts)
    if not params.stream:
        return await json_response(request, size, await completion.read())
    frames = CompletionFrames(completion)
    return EventStreamResponse(frames, completion.generations, service.model.hash)


@router.get("/models", summary="List the loaded models")
async def get_models(request: Request) -> ModelList:
    """Lists the loaded models, in the order of their files."""
    models = current_models(request)
    return ModelList(object="list", data=[_card(service) for service in models.services])


@router.get(
    "/models/{model}",
    summary="Describe a loaded model",
    responses=error_responses(409),
    openapi_extra={"parameters": [_MODEL]},
)
async def get_model(request: Request) -> ModelCard:
    """Describes the model with this name or hash."""
    return _card(current_models(request).find(request.path_params["model"]))


def _max_items(request: Request) -> int:
    """Return a limit that allows as many prompts or token ids as the server accepts."""
    service = current_models(request).default
    return MAX_ITEMS + 2 * most_generations(service) + service.settings.max_prime


def _card(service: Service) -> ModelCard:
    return ModelCard(
        id=service.model.name,
        object="model",
        created=int(service.loaded),
        owned_by="charstream",
        hash=service.model.hash,
        max_model_len=service.settings.max_prime + service.settings.max_length,
    )
