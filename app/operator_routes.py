"""Routes for operators: metrics to scrape, and the reload of a checkpoint."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.metrics import Metrics
from app.reloader import Reloader
from app.schemas import ErrorBody, Reloaded

public = APIRouter(tags=["Operation"])

_RELOAD_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody, "description": "No or a wrong key."},
    403: {"model": ErrorBody, "description": "No keys are set: only SIGHUP reloads."},
    409: {"model": ErrorBody, "description": "It cannot be loaded; the old model goes on."},
}

operator = APIRouter(tags=["Operation"], responses=_RELOAD_ERRORS)


@public.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus's text format."""
    counted: Metrics = request.app.state.metrics
    return Response(generate_latest(counted.registry), media_type=CONTENT_TYPE_LATEST)


@operator.post("/reload", summary="Load the checkpoint again")
async def reload(request: Request) -> Reloaded:
    """Loads checkpoint and keys again, beside the model at work; running texts are not touched.

    Answers once new requests go to the new model.
    """
    reloader: Reloader = request.app.state.reloader
    changed = await reloader.reload()
    return Reloaded(changed=changed, model=reloader.service.model)
