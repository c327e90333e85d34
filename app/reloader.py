"""Reloader: puts a new checkpoint to work beside the old one, which ends what it has begun."""

from __future__ import annotations

import asyncio
import logging

from app.access import Access
from app.engine import Engine
from app.errors import ReloadError
from app.event_stream import EventFrames
from app.metrics import Metrics
from app.prefix_cache import PrefixCache
from app.service import Service
from app.settings import Settings
from model.checkpoint import Checkpoint, load_checkpoint
from model.decoder import Decoder
from model.errors import CharstreamError
from model.selection import choose_device, choose_precision, default_threads

logger = logging.getLogger("charstream")

_MOST_RETIRED = 3  # former models that still end texts; each takes memory
_POLL_SECONDS = 0.1


class Reloader:
    """Holds the service in charge, and those before it until their last texts have ended.

    Belongs to one event loop, except for `drain`.

    Raises:
        CharstreamError: if a setting, the checkpoint or the device cannot be used.
    """

    def __init__(self, settings: Settings, access: Access, metrics: Metrics) -> None:
        self._settings, self._access, self._metrics = settings, access, metrics
        self.service = self._build(load_checkpoint(settings.checkpoint))
        self._retired: list[Service] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._draining = False
        self._watch()
        self._describe()

    @property
    def engines(self) -> list[Engine]:
        """Of the service in charge and of those before it."""
        return [service.engine for service in (self.service, *self._retired)]

    @property
    def idle(self) -> bool:
        """Whether no text is in the making."""
        return all(engine.idle for engine in self.engines)

    def start(self) -> None:
        """Starts the first engine. Raises EngineError if it does not work."""
        self.service.engine.start()

    async def reload(self) -> bool:
        """Loads checkpoint and keys again; whether the checkpoint was another one.

        New requests go to the new model once it is warm. On any failure everything stays as it
        was.

        Raises:
            ReloadError: saying why, if it cannot be done.
        """
        async with self._one_at_a_time:
            try:
                changed = await self._reload()
            except Exception as error:
                self._metrics.reloads.labels("failed").inc()
                known = isinstance(error, CharstreamError)
                logger.error("not reloaded: %s", error, exc_info=None if known else error)
                raise ReloadError(f"not reloaded, the old model goes on: {error}") from error
        self._metrics.reloads.labels("loaded" if changed else "unchanged").inc()
        logger.info("reloaded: %s", self.service if changed else "the same checkpoint as before")
        return changed

    def drain(self, seconds: float) -> None:
        """Takes no new texts, and ends those left after so long. Safe in signal handlers."""
        self._draining = True
        for engine in self.engines:
            engine.drain(seconds)

    async def stop(self) -> None:
        """Ends everything."""
        for task in self._retiring:
            task.cancel()
        for engine in self.engines:
            await asyncio.to_thread(engine.stop)

    async def _reload(self) -> bool:
        keys = self._settings.all_api_keys()
        loop = asyncio.get_running_loop()
        new = await asyncio.to_thread(self._load_beside, loop)
        if self._draining:
            if new is not None:
                await asyncio.to_thread(new.engine.stop)
            raise ReloadError("the service is shutting down")
        self._access.set_keys(keys)
        if new is None:
            return False
        old, self.service = self.service, new
        self._retired.append(old)
        self._describe()
        task = loop.create_task(self._retire(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return True

    def _load_beside(self, loop: asyncio.AbstractEventLoop) -> Service | None:
        """A service at work, while the old one works; None if it would be the same."""
        checkpoint = load_checkpoint(self._settings.checkpoint)
        if checkpoint.hash == self.service.model.hash and not self.service.engine.failed:
            return None
        if len(self._retired) >= _MOST_RETIRED:
            raise ReloadError(f"{_MOST_RETIRED} former models have not ended their texts yet")
        new = self._build(checkpoint)
        new.engine.start(loop)
        return new

    async def _retire(self, service: Service) -> None:
        """Stops a service once none of its texts is left and none can come.

        A request that was on its way in when the service was replaced may still bring one.
        """
        await asyncio.sleep(self._settings.receive_seconds)
        while not service.engine.idle:
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.to_thread(service.engine.stop)
        self._retired.remove(service)
        logger.info("the former model has ended its texts: %s", service)

    def _build(self, checkpoint: Checkpoint) -> Service:
        settings = self._settings
        device = choose_device(settings.device)
        precision = choose_precision(settings.precision, device)
        threads = settings.threads or default_threads(precision, device)
        decoder = Decoder(checkpoint, settings.max_streams, device, precision, threads)
        cache = PrefixCache(round(settings.cache_mb * 2**20))
        engine = Engine(
            decoder,
            settings.max_queue,
            cache,
            threads,
            self._metrics,
            settings.deadline_seconds,
        )
        return Service(settings, checkpoint, decoder, engine, EventFrames(checkpoint.vocabulary))

    def _watch(self) -> None:
        metrics = self._metrics
        metrics.streams_active.set_function(lambda: sum(e.active for e in self.engines))
        metrics.streams_waiting.set_function(lambda: sum(e.waiting for e in self.engines))
        metrics.streams_paused.set_function(lambda: sum(e.paused for e in self.engines))
        metrics.cache_bytes.set_function(lambda: sum(e.cache_bytes for e in self.engines))
        metrics.slots.set_function(lambda: self.service.engine.slots)

    def _describe(self) -> None:
        service = self.service
        self._metrics.model.clear()
        self._metrics.model.labels(
            service.model.name,
            service.model.hash,
            str(service.decoder.device),
            service.decoder.precision,
            service.decoder.kernel,
        ).set(1)
