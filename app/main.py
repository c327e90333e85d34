"""The application: everything is wired together here, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from app import __version__, errors, openai_routes, routes
from app.access import bearer_key_check
from app.body_limit import BodyLimit
from app.engine import Engine
from app.event_stream import MODEL_HEADER, EventFrames
from app.page import STATIC, PageFiles
from app.prefix_cache import PrefixCache
from app.service import Service
from app.settings import Settings
from model.checkpoint import load_checkpoint
from model.decoder import Decoder, choose_device, choose_precision, default_threads

_BYTES_PER_CHARACTER = 12  # of a prime in JSON: an escaped surrogate pair
_BYTES_BESIDE_PRIME = 64 * 1024


def create_app(settings: Settings | None = None) -> FastAPI:
    """Loads the checkpoint and makes the application; the engine starts with its lifespan.

    Args:
        settings: taken from the environment when None.

    Raises:
        CharstreamError: if a setting, the checkpoint or the device cannot be used.
    """
    settings = settings or Settings.from_environment()
    service = _load(settings)
    app = FastAPI(
        title="charstream",
        version=__version__,
        description="Streams text from a character-level LSTM.",
        lifespan=_lifespan,
    )
    app.state.service = service
    errors.install(app)
    app.include_router(routes.public)
    for router in (routes.protected, openai_routes.router):
        app.include_router(router, dependencies=[Depends(bearer_key_check(settings.api_keys))])
    app.mount("/static", PageFiles(directory=STATIC), name="static")
    app.add_middleware(
        BodyLimit, limit=settings.max_prime * _BYTES_PER_CHARACTER + _BYTES_BESIDE_PRIME
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After", MODEL_HEADER],
        )
    return app


def _load(settings: Settings) -> Service:
    checkpoint = load_checkpoint(settings.checkpoint)
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    threads = settings.threads or default_threads(precision, device)
    decoder = Decoder(checkpoint, settings.max_streams, device, precision, threads)
    cache = PrefixCache(round(settings.cache_mb * 2**20))
    engine = Engine(decoder, settings.max_queue, cache, threads)
    return Service(settings, checkpoint, decoder, engine, EventFrames(checkpoint.vocabulary))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    service.engine.start()
    yield
    service.engine.stop()
