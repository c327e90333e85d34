"""ModelManager: loads the models, and replaces them while requests are served."""

from __future__ import annotations

import asyncio
import functools
import logging
import operator
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from app.engine.engine import Engine
from app.engine.metrics import Metrics
from app.errors import ReloadError
from app.loaded_models import LoadedModels
from app.middleware.auth import Auth
from app.model_loader import ModelLoader
from app.service import Service
from app.settings import Settings
from model.errors import CharstreamError

logger = logging.getLogger("charstream")

# Replaced models that still have generations, per loaded model. Each one takes memory.
_MAX_RETIRED = 3
_POLL_SECONDS = 0.02
# Labels of a metric, and the attribute of an engine that counts them.
_STATES = {
    "active": "scheduler.running",
    "waiting": "scheduler.waiting",
    "paused": "scheduler.paused",
}


class ModelManager:
    """Holds the models in use, and the replaced ones until their generations have ended.

    Use it from one event loop.

    Args:
        settings: settings of the service.
        auth: the object that checks keys. A reload replaces its keys.
        metrics: metrics shared by all engines.

    Raises:
        CharstreamError: if a setting, a checkpoint or the device cannot be used.
    """

    def __init__(self, settings: Settings, auth: Auth, metrics: Metrics) -> None:
        self._settings, self._auth, self._metrics = settings, auth, metrics
        self._model_loader = ModelLoader(settings, metrics)
        self.models = self._model_loader.make(self._model_loader.read())
        self._retired: dict[Service, asyncio.Task[None]] = {}  # replaced, until they are idle
        self._reloading = asyncio.Lock()
        self._loader = ThreadPoolExecutor(1, "reload")
        self._loading: Future[LoadedModels] | None = None
        self._loaded: asyncio.Future[LoadedModels] | None = None  # what a reload waits for
        self._draining = False
        self._register_gauges()
        self._publish_models()

    @property
    def engines(self) -> list[Engine]:
        """The engines of the models in use, and those of the replaced ones."""
        return [service.engine for service in self._services]

    @property
    def _services(self) -> list[Service]:
        return [*self.models.services, *self._retired]

    @property
    def idle(self) -> bool:
        """Whether no generation is queued or running."""
        return all(engine.scheduler.idle for engine in self.engines)

    @property
    def loads(self) -> bool:
        """Whether a thread still loads a model, also one that is not needed any more."""
        return self._loading is not None and not self._loading.done()

    def start(self) -> None:
        """Start the engines. Raise EngineError if one does not work."""
        for service in self.models.services:
            service.engine.start()

    def check_alive(self) -> None:
        """Raise EngineError if the engine of a model in use has failed."""
        for service in self.models.services:
            service.engine.check_alive()

    def check_ready(self) -> None:
        """Raise EngineError unless every model in use accepts new jobs."""
        for service in self.models.services:
            service.engine.scheduler.check_ready()

    async def reload(self) -> bool:
        """Load the checkpoints and the keys again, and return whether a model changed.

        A checkpoint that was added or changed is loaded, and a model whose file is gone from a
        folder is removed. New requests use the new models as soon as all of them are warmed up.
        If anything fails, all old models and the old keys stay in use.

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
                message = f"reload failed, the loaded models stay in use: {error}"
                raise ReloadError(message) from error
        self._metrics.reloads.labels("loaded" if changed else "unchanged").inc()
        if not changed:
            logger.info("reloaded: the checkpoints have not changed")
        return changed

    def reload_soon(self) -> asyncio.Task[bool]:
        """Reload in a task, which goes on if nobody waits for it. See `reload`."""
        task = asyncio.get_running_loop().create_task(self.reload())
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    def drain(self, seconds: float) -> None:
        """Accept no new generations, and end those that still run after `seconds` seconds.

        A reload that has not finished fails at once.
        """
        self._draining = True
        if self._loaded is not None:
            self._loaded.cancel()
        for service in self._services:
            service.engine.drain(seconds)

    async def stop(self) -> None:
        """Stop every engine."""
        for task in self._retired.values():
            task.cancel()
        for service in self._services:
            await asyncio.to_thread(service.engine.stop)

    async def _reload(self) -> bool:
        if self._draining:
            raise _shutting_down()
        keys = self._settings.all_api_keys()
        loop = asyncio.get_running_loop()
        self._loading = self._loader.submit(self._load_beside, loop)
        self._loaded = asyncio.wrap_future(self._loading)
        await asyncio.wait([self._loaded])
        if self._loaded.cancelled():
            raise _shutting_down()
        new = self._loaded.result()
        if self._draining:  # since the models were loaded
            await asyncio.to_thread(_stop, _first_without_second(new, self.models))
            raise _shutting_down()
        self._auth.set_keys(keys)
        if (new.services, new.default) == (self.models.services, self.models.default):
            return False
        self._use(new)
        return True

    def _use(self, new: LoadedModels) -> None:
        """Serve new requests with other models."""
        old, self.models = self.models, new
        for service in _first_without_second(new, old):
            logger.info("reloaded: %s", service)
        for service in _first_without_second(old, new):
            logger.info("replaced or removed: %s", service)
            self._retired[service] = asyncio.get_running_loop().create_task(self._retire(service))
        self._publish_models()

    def _load_beside(self, loop: asyncio.AbstractEventLoop) -> LoadedModels:
        """Return the models of the files. New ones have been started; the others stay as they are.

        No engine is made before every file has been checked.
        """
        reading = self._model_loader.read(self.models)
        most = _MAX_RETIRED * len(self.models.services)
        kept = all(isinstance(found, Service) for _, found in reading.values())
        if not kept and len(self._retired) >= most:
            raise ReloadError(
                f"{len(self._retired)} replaced models are still finishing their generations; the "
                f"limit is {most}; try again later"
            )
        new = self._model_loader.make(reading, self.models)
        if self._draining:  # nobody waits for the result
            raise _shutting_down()
        fresh = _first_without_second(new, self.models)
        try:
            for service in fresh:
                service.engine.start(loop)
        except BaseException:
            _stop(fresh)
            raise
        return new

    async def _retire(self, service: Service) -> None:
        """Stop a replaced service as soon as it has no generations.

        It gets no more: endpoints submit their jobs in the same turn of the event loop in which
        they get the service (`api.dependencies`).
        """
        while not service.idle:
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.to_thread(service.engine.stop)
        del self._retired[service]
        self._publish_models()
        logger.info("the replaced model has finished its generations: %s", service)

    def _register_gauges(self) -> None:
        metrics, slots = self._metrics, self._model_loader.resources.slots
        metrics.streams_active.set_function(lambda: sum(e.scheduler.running for e in self.engines))
        metrics.streams_waiting.set_function(lambda: sum(e.scheduler.waiting for e in self.engines))
        metrics.streams_paused.set_function(lambda: sum(e.scheduler.paused for e in self.engines))
        metrics.slots.set_function(lambda: slots.count)

    def _publish_models(self) -> None:
        """Describe the models in use in the metrics. Gauges of a name include replaced models."""
        metrics = self._metrics
        for gauge in (metrics.model, metrics.model_streams, metrics.cache_bytes):
            gauge.clear()
        for service in self.models.services:
            decoder = service.decoder
            metrics.model.labels(
                *service.model, decoder.device, decoder.precision, decoder.kernel
            ).set(1)
        for name in {service.model.name for service in self._services}:
            for state, attribute in _STATES.items():
                count = functools.partial(self._sum, name, attribute)
                metrics.model_streams.labels(name, state).set_function(count)
            size = functools.partial(self._sum, name, "cache.bytes")
            metrics.cache_bytes.labels(name).set_function(size)

    def _sum(self, name: str, attribute: str) -> int:
        engines = [each.engine for each in self._services if each.model.name == name]
        return sum(map(operator.attrgetter(attribute), engines))


def _first_without_second(first: LoadedModels, second: LoadedModels) -> list[Service]:
    return [service for service in first.services if service not in second.services]


def _stop(services: Sequence[Service]) -> None:
    for service in services:
        service.engine.stop()


def _shutting_down() -> ReloadError:
    return ReloadError("the service is shutting down")
