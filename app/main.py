"""The application: everything is wired together here, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from app import __version__, errors, openai_routes, operator_routes, routes
from app.access import Access
from app.body_limit import BodyLimit
from app.event_stream import MODEL_HEADER, QUEUE_HEADER
from app.exchange import REQUEST_ID, Exchanges
from app.metrics import Metrics
from app.page import STATIC, PageFiles
from app.reloader import Reloader
from app.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Loads the checkpoint and makes the application; the engine starts with its lifespan.

    Args:
        settings: taken from the environment when None.

    Raises:
        CharstreamError: if a setting, the checkpoint or the device cannot be used.
    """
    settings = settings or Settings.from_environment()
    access = Access(settings.all_api_keys(), settings.admin_keys, settings.rate_per_minute)
    metrics = Metrics()
    app = FastAPIOffline(  # its /docs asks no other host
        title="charstream",
        version=__version__,
        description="Streams text from a character-level LSTM.",
        lifespan=_lifespan,
        redoc_url=None,
        openapi_tags=[{"name": name} for name in ("Text", "OpenAI-compatible", "Operation")],
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.state.metrics = metrics
    app.state.reloader = Reloader(settings, access, metrics)
    errors.install(app)
    app.include_router(routes.public)
    app.include_router(operator_routes.public)
    for router in (routes.protected, openai_routes.router):
        app.include_router(router, dependencies=[Depends(access.check)])
    app.include_router(operator_routes.operator, dependencies=[Depends(access.check_operator)])
    app.mount("/static", PageFiles(directory=STATIC), name="static")
    app.add_middleware(BodyLimit, limit=settings.max_request_bytes)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After", REQUEST_ID, MODEL_HEADER, QUEUE_HEADER],
        )
    app.add_middleware(Exchanges, metrics=metrics)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    reloader: Reloader = app.state.reloader
    reloader.start()
    yield
    await reloader.stop()
