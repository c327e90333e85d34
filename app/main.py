"""The application: create_app wires everything together."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline

from app import __version__
from app.api import cells, errors, generate, model_card, operator, page, score, suggest
from app.api.sse import MODEL_HEADER, QUEUE_HEADER
from app.engine.metrics import Metrics
from app.middleware.auth import DESCRIBED_KEY, Auth
from app.middleware.cross_site import Cors, refuse_cross_site
from app.middleware.direct_endpoints import DirectEndpoints
from app.middleware.memory_budget import MemoryBudget
from app.middleware.request_log import REQUEST_ID, RequestLog, is_quiet
from app.model_manager import ModelManager
from app.openai import routes as openai_routes
from app.openai.errors import error_response
from app.settings import Settings

_FOR_USERS = (
    generate.router,
    score.router,
    suggest.router,
    cells.router,
    model_card.router,
    openai_routes.router,
)
# What `DirectEndpoints` calls.
_DIRECT = (
    generate.post_generate,
    generate.get_generate,
    score.score,
    suggest.suggest,
    cells.cells,
    openai_routes.post_completions,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Load the checkpoints and return the application. Its lifespan starts the engines.

    Args:
        settings: settings of the service. None reads them from the environment.

    Raises:
        CharstreamError: if a setting, a checkpoint or the device cannot be used.
    """
    settings = settings or Settings.from_environment()
    auth = Auth(settings.all_api_keys(), settings.admin_keys, settings.rate_per_minute)
    metrics = Metrics()
    app = FastAPIOffline(  # its /docs loads nothing from other hosts
        title="charstream",
        version=__version__,
        description="Streams text from a character-level LSTM.",
        lifespan=_lifespan,
        redoc_url=None,
        telemetry=_telemetry(),
        redirect_slashes=False,  # a redirect would have no body; 404 says what is wrong
        openapi_tags=[{"name": name} for name in ("Text", "OpenAI-compatible", "Operation")],
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.state.settings, app.state.metrics = settings, metrics
    app.state.encoder = ThreadPoolExecutor(1, "json")
    app.state.model_manager = ModelManager(settings, auth, metrics)
    responses = errors.ErrorResponses({f"{openai_routes.PREFIX}/": error_response})
    responses.install(app)
    _add_routes(app, auth)
    _add_middleware(app, auth, settings, responses)
    return app


def _telemetry() -> TelemetryConfig:
    """Return what is exported if OTEL_EXPORTER_OTLP_ENDPOINT is set and `otel` is installed.

    Without any variable of OpenTelemetry it is off: the framework would ask for it per request.
    """
    on = any(name.startswith("OTEL_") for name in os.environ)
    return {
        "auto_configure": on,
        "exclude": is_quiet,
        "tracing": on,
        "metrics": on,
        "logs": on,
    }


def _add_routes(app: FastAPI, auth: Auth) -> None:
    app.include_router(page.router)
    app.include_router(operator.public)
    for router in _FOR_USERS:
        dependencies = [Depends(refuse_cross_site), Depends(auth.check_user), DESCRIBED_KEY]
        app.include_router(router, dependencies=dependencies)
    dependencies = [Depends(auth.check_operator), DESCRIBED_KEY]
    app.include_router(operator.operator, dependencies=dependencies)
    app.mount("/static", page.PageFiles(directory=page.STATIC), name="static")


def _add_middleware(
    app: FastAPI, auth: Auth, settings: Settings, responses: errors.ErrorResponses
) -> None:
    app.add_middleware(
        DirectEndpoints,
        routes=_direct_routes(),
        checks=(refuse_cross_site, auth.check_user),
        errors=errors.HANDLED,
        respond=responses.of_error,
    )
    if settings.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After", REQUEST_ID, MODEL_HEADER, QUEUE_HEADER],
        )
    budget = MemoryBudget(round(settings.memory_mb * 2**20))
    metrics: Metrics = app.state.metrics
    metrics.memory_leased.set_function(lambda: budget.leased)
    app.add_middleware(RequestLog, metrics=metrics, budget=budget, respond=responses.of_problem)


def _direct_routes() -> list[APIRoute]:
    routes = (route for router in _FOR_USERS for route in router.routes)
    return [r for r in routes if isinstance(r, APIRoute) and r.endpoint in _DIRECT]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    manager: ModelManager = app.state.model_manager
    manager.start()
    yield
    await manager.stop()
