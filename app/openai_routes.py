"""OpenAI routes: /v1 as OpenAI's clients and the field's benchmark tools know it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from app.completion import Completion
from app.completion_stream import completion_stream
from app.disconnect import nobody_there, unless_gone
from app.errors import validation_response
from app.event_stream import EventStreamResponse
from app.openai_schemas import CompletionRequest, ModelCard, ModelList
from app.routes import ServiceDependency
from app.service import Service

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])


@router.post("/completions", summary="Generate text as OpenAI's API does")
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


@router.get("/models/{model}", summary="The loaded model")
async def get_model(service: ServiceDependency, model: str) -> ModelCard:
    """The model of this name or hash."""
    service.check_model(model)
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
