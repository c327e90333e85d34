"""The endpoints for operators: health checks, metrics, model card, tokenizer and reload."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api import openapi
from app.api.dependencies import CurrentManager, CurrentService
from app.api.model_card import Info, info_of
from app.api.schemas import Health, ModelName, Reloaded
from app.engine.metrics import Metrics
from model.tokenizer_file import tokenizer_json

public = APIRouter(tags=["Operation"])
info_router = APIRouter(tags=["Text"], responses=openapi.errors(401, 403, 429, 500))
operator = APIRouter(tags=["Operation"], responses=openapi.RELOAD_ERRORS)


@public.head("/metrics", include_in_schema=False)  # benchmark tools check it
@public.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Returns counters, gauges and histograms in Prometheus's text format."""
    collected: Metrics = request.app.state.metrics
    return Response(generate_latest(collected.registry), media_type=CONTENT_TYPE_LATEST)


@public.head("/health/live", include_in_schema=False)
@public.get("/health/live", summary="Is the process alive?", responses=openapi.errors(503))
async def live(service: CurrentService) -> Health:
    """Returns 200 while the engine works, and 503 after it has failed: restart the process."""
    service.engine.check_alive()
    return Health(status="live")


@public.head("/health", include_in_schema=False)  # benchmark tools look here
@public.get("/health", include_in_schema=False)
@public.head("/health/ready", include_in_schema=False)
@public.get(
    "/health/ready",
    summary="Is the model loaded, and are new requests accepted?",
    responses=openapi.errors(503),
)
async def ready(service: CurrentService) -> Health:
    """Returns 200 while the server accepts requests.

    Returns 503 during shutdown or after the engine has failed.
    """
    service.engine.check_ready()
    return Health(status="ready")


@info_router.get("/info", summary="The model and the server's limits")
async def info(service: CurrentService) -> Info:
    """Returns the loaded model, the device that computes, and the limits of a request."""
    return info_of(service)


@info_router.get("/tokenizer.json", summary="The vocabulary as a tokenizer for other tools")
async def tokenizer(service: CurrentService) -> dict[str, Any]:
    """A tokenizer file of Hugging Face's libraries. One token is one character."""
    return tokenizer_json(service.vocabulary)


@operator.post("/reload", summary="Load the checkpoint again")
async def reload(manager: CurrentManager) -> Reloaded:
    """Loads the checkpoint and the API keys again. Meanwhile the old model serves requests.

    Running generations continue unchanged. The response is sent when new requests use the new
    model.
    """
    changed = await manager.reload()
    return Reloaded(changed=changed, model=ModelName(**manager.service.model._asdict()))
