"""Server: uvicorn, told what to do when it is told to stop."""

from __future__ import annotations

import logging
import sys
from types import FrameType

import uvicorn

from app.main import create_app
from app.service import Service
from app.settings import Settings
from model.errors import CharstreamError

_AFTER_DRAIN_SECONDS = 2  # for the last frames to leave


class Server(uvicorn.Server):
    """Uvicorn that lets running streams end when it is told to stop, and then exits with 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True  # told a second time: at once
        self._service.engine.drain(0 if self.should_exit else self._service.settings.drain_seconds)
        self.should_exit = True


def serve() -> None:
    """Serves until told to stop; a start that cannot be ends in one line and status 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = Settings.from_environment()
        app = create_app(settings)
    except CharstreamError as error:
        sys.exit(f"charstream: {error}")
    service: Service = app.state.service
    info = service.info()
    logger = logging.getLogger("charstream")
    for name in Settings.unknown_variables():
        logger.warning("%s is not a setting of this version and has no effect", name)
    logger.info(
        "loaded %s (%s): %d x %d, %d characters, on %s in %s",
        settings.checkpoint,
        info.hash,
        info.layers,
        info.hidden_size,
        len(info.vocabulary),
        info.device,
        info.precision,
    )
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=round(settings.drain_seconds) + _AFTER_DRAIN_SECONDS,
    )
    Server(config, service).run()
