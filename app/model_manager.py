"""ModelManager: loads the model, and replaces it while requests are served."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from app.engine.engine import Engine
from app.engine.metrics import Metrics
from app.engine.prefix_cache import PrefixCache
from app.errors import ReloadError
from app.middleware.auth import Auth
from app.service import Service
from app.settings import Settings
from model.checkpoint import Checkpoint, load_checkpoint
from model.decoder import Decoder
from model.errors import CharstreamError
from model.selection import check_kernel, choose_device, choose_precision

_Result = TypeVar("_Result")

logger = logging.getLogger("charstream")

_MOST_RETIRED = 3  # replaced models that still have generations; each one takes memory
_POLL_SECONDS = 0.02


class ModelManager:
    """Holds the current service, and the replaced ones until their generations have ended.

    Use it from one event loop.

    Args:
        settings: settings of the service.
        auth: the object that checks keys. A reload replaces its keys.
        metrics: metrics shared by all engines.

    Raises:
        CharstreamError: if a setting, the checkpoint or the device cannot be used.
    """

    def __init__(self, settings: Settings, auth: Auth, metrics: Metrics) -> None:
        self._settings, self._auth, self._metrics = settings, auth, metrics
        self._threads = settings.threads
        self.service = self._make_service(load_checkpoint(settings.checkpoint))
        self._retired: list[Service] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._loading: asyncio.Future[Service | None] | None = None
        self._loader: threading.Thread | None = None
        self._draining = False
        self._register_gauges()
        self._publish_model()

    @property
    def engines(self) -> list[Engine]:
        """The engine of the current service, and those of the replaced ones."""
        return [service.engine for service in (self.service, *self._retired)]

    @property
    def idle(self) -> bool:
        """Whether no generation is queued or running."""
        return all(engine.idle for engine in self.engines)

    @property
    def loads(self) -> bool:
        """Whether a thread still loads a model, also one that is not needed any more."""
        return self._loader is not None and self._loader.is_alive()

    def start(self) -> None:
        """Start the first engine. Raise EngineError if it does not work."""
        self.service.engine.start()

    async def reload(self) -> bool:
        """Load the checkpoint and the keys again, and return whether the checkpoint changed.

        New requests use the new model as soon as it is warmed up. If the reload fails, the old
        model and the old keys stay in use.

        Raises:
            ReloadError: with the reason, if the reload fails.
        """
        async with self._reloading:
            try:
                changed = await self._reload()
            except Exception as error:
                self._metrics.reloads.labels("failed").inc()
                known = isinstance(error, CharstreamError)
                logger.error("reload failed: %s", error, exc_info=None if known else error)
                raise ReloadError(f"reload failed, the old model stays in use: {error}") from error
        self._metrics.reloads.labels("loaded" if changed else "unchanged").inc()
        logger.info("reloaded: %s", self.service if changed else "the checkpoint has not changed")
        return changed

    def drain(self, seconds: float) -> None:
        """Accept no new generations, and end those that still run after `seconds` seconds.

        A reload that has not finished fails at once.
        """
        self._draining = True
        if self._loading is not None and not self._loading.done():
            self._loading.set_exception(_shutting_down())
        for engine in self.engines:
            engine.drain(seconds)

    async def stop(self) -> None:
        """Stop every engine."""
        for task in self._retiring:
            task.cancel()
        for engine in self.engines:
            await asyncio.to_thread(engine.stop)

    async def _reload(self) -> bool:
        if self._draining:
            raise _shutting_down()
        keys = self._settings.all_api_keys()
        loop = asyncio.get_running_loop()
        self._loading = loop.create_future()
        load = functools.partial(self._load_beside, loop)
        self._loader = _start_daemon_thread(load, self._loading)
        new = await self._loading
        if self._draining:  # since the model was loaded
            if new is not None:
                await asyncio.to_thread(new.engine.stop)
            raise _shutting_down()
        self._auth.set_keys(keys)
        if new is None:
            return False
        old, self.service = self.service, new
        self._retired.append(old)
        self._publish_model()
        task = loop.create_task(self._retire(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return True

    def _load_beside(self, loop: asyncio.AbstractEventLoop) -> Service | None:
        """Return a started service for the new checkpoint, or None if nothing changed."""
        checkpoint = load_checkpoint(self._settings.checkpoint)
        if _is_same(checkpoint, self.service.checkpoint) and not self.service.engine.failed:
            return None
        if len(self._retired) >= _MOST_RETIRED:
            raise ReloadError(
                f"{_MOST_RETIRED} replaced models still finish their generations; try again later"
            )
        new = self._make_service(checkpoint)
        new.engine.start(loop)
        return new

    async def _retire(self, service: Service) -> None:
        """Stop a replaced service as soon as it has no generations.

        It gets no more: endpoints submit their jobs in the same turn of the event loop in which
        they get the current service (`api.dependencies`).
        """
        while not service.idle:
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.to_thread(service.engine.stop)
        self._retired.remove(service)
        logger.info("the replaced model has finished its generations: %s", service)

    def _make_service(self, checkpoint: Checkpoint) -> Service:
        settings = self._settings
        device = choose_device(settings.device)
        kernel = settings.kernel and check_kernel(settings.kernel, device)
        precision = choose_precision(settings.precision, device, kernel)
        decoder = Decoder(
            checkpoint, settings.max_streams, device, precision, self._threads, kernel
        )
        # Chosen once: during a reload, the model in use would disturb the measurement.
        self._threads = decoder.threads
        cache = PrefixCache(round(settings.cache_mb * 2**20))
        engine = Engine(
            decoder,
            settings.max_queue,
            cache,
            self._metrics,
            settings.deadline_seconds,
        )
        return Service(settings, checkpoint, decoder, engine)

    def _register_gauges(self) -> None:
        metrics = self._metrics
        metrics.streams_active.set_function(lambda: sum(e.active for e in self.engines))
        metrics.streams_waiting.set_function(lambda: sum(e.waiting for e in self.engines))
        metrics.streams_paused.set_function(lambda: sum(e.paused for e in self.engines))
        metrics.cache_bytes.set_function(lambda: sum(e.cache_bytes for e in self.engines))
        metrics.slots.set_function(lambda: self.service.engine.slots)

    def _publish_model(self) -> None:
        service = self.service
        self._metrics.model.clear()
        self._metrics.model.labels(
            service.model.name,
            service.model.hash,
            service.decoder.device,
            service.decoder.precision,
            service.decoder.kernel,
        ).set(1)


def _shutting_down() -> ReloadError:
    return ReloadError("the service is shutting down")


def _is_same(new: Checkpoint, old: Checkpoint) -> bool:
    """Return whether two checkpoints are the same model with the same catalogue of cells."""
    return (new.hash, new.cells) == (old.hash, old.cells)


def _start_daemon_thread(
    function: Callable[[], _Result], future: asyncio.Future[_Result]
) -> threading.Thread:
    """Run a function in a thread that does not keep the process alive, unlike asyncio's threads.

    Reading a checkpoint may hang, for example on a network file system.

    Args:
        function: the function.
        future: gets the result or the exception, unless it is done before.
    """

    def run() -> None:
        try:
            settle = functools.partial(future.set_result, function())
        except BaseException as error:
            settle = functools.partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits
            future.get_loop().call_soon_threadsafe(lambda: None if future.done() else settle())

    thread = threading.Thread(target=run, name="reload", daemon=True)
    thread.start()
    return thread
