"""The endpoints for operators: health checks, metrics and reload."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api import openapi
from app.api.schemas import Health, ModelName, Reloaded
from app.engine.metrics import Metrics
from app.model_manager import ModelManager

public = APIRouter(tags=["Operation"])
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
async def live(request: Request) -> Health:
    """Returns 200 while every model's engine works, and 503 if one has failed.

    In that case, restart the process, or reload the models.
    """
    _manager(request).check_alive()
    return Health(status="live")


@public.head("/health", include_in_schema=False)  # benchmark tools look here
@public.get("/health", include_in_schema=False)
@public.head("/health/ready", include_in_schema=False)
@public.get(
    "/health/ready",
    summary="Are the models loaded, and are new requests accepted?",
    responses=openapi.errors(503),
)
async def ready(request: Request) -> Health:
    """Returns 200 while the server accepts requests for every model.

    Returns 503 during shutdown or after an engine has failed.
    """
    _manager(request).check_ready()
    return Health(status="ready")


@operator.post("/reload", summary="Load the checkpoints again")
async def reload(request: Request) -> Reloaded:
    """Loads the checkpoints and the API keys again. Meanwhile the old models serve requests.

    Models are added, replaced and removed as their files are. Running generations continue
    unchanged. The response is sent when new requests use the new models. It names the default one.
    """
    manager = _manager(request)
    changed = await asyncio.shield(manager.reload_soon())  # also if the client disconnects
    return Reloaded(changed=changed, model=ModelName(**manager.models.default.model._asdict()))


def _manager(request: Request) -> ModelManager:
    manager: ModelManager = request.app.state.model_manager
    return manager
