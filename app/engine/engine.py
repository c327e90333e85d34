"""Engine: run many generations on one decoder.

A worker thread owns the decoder. Between steps, sequences join and leave its batch (continuous
batching; Yu et al. 2022, "Orca"). Each wake-up of the worker advances all of them by several
characters and passes the results to the event loop in one call.
"""

from __future__ import annotations

import asyncio
import threading

from app.engine.generation import Generation
from app.engine.job import Job
from app.engine.metrics import Metrics, ModelMetrics
from app.engine.prefix_cache import PrefixCache
from app.engine.scheduler import Scheduler
from app.engine.sequence import Deliveries, Sequence
from app.engine.slots import Resources
from app.engine.worker import Worker
from model.decoding.decoder import Decoder


class Engine:
    """Starts and stops the worker, and turns jobs into generations.

    Call `start` and `submit` from the same event loop. `drain` may be called from any thread or
    signal handler.

    Args:
        decoder: a decoder with as many slots as `resources`.
        resources: what this engine shares with the server's other engines.
        metrics: the metrics to update. By default, the engine has its own.
        deadline: seconds that a generation may take, including its time in the queue. 0 means no
            limit.
    """

    def __init__(
        self,
        decoder: Decoder,
        resources: Resources,
        metrics: ModelMetrics | None = None,
        deadline: float = 0,
    ) -> None:
        self._metrics, self._deadline = metrics or Metrics().of("model"), deadline
        self._slots = resources.slots
        self._scheduler = Scheduler(resources.slots)
        self._cache = PrefixCache(resources.cache_memory)
        self._decoder = decoder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Warm up the decoder and start the worker thread.

        Args:
            loop: the event loop that receives the results, by default the running one. Pass it to
                start the engine from another thread.

        Raises:
            EngineError: if the decoder fails while it is warmed up.
        """
        self._loop = loop or asyncio.get_running_loop()
        worker = Worker(self._decoder, self._scheduler, self._cache, self._metrics, self._send)
        warm = threading.Event()
        self._thread = threading.Thread(
            target=worker.run, args=(warm.set,), name="engine", daemon=True
        )
        self._thread.start()
        warm.wait()
        self.check_alive()

    def stop(self) -> None:
        """End every generation with an error, and stop the worker thread."""
        self._scheduler.stop()
        if self._thread is not None:
            self._thread.join()

    def drain(self, seconds: float) -> None:
        """Accept no new jobs, and end the generations that still run after `seconds` seconds."""
        self._scheduler.drain(seconds)

    def submit(self, job: Job, ready: asyncio.Event | None = None) -> Generation:
        """Queue a job.

        Args:
            job: what to generate.
            ready: event to set whenever the generation has something to take. By default, the
                generation has its own.

        Raises:
            QueueFullError: if every slot and every position in the queue is taken.
            DrainingError: if the engine is shutting down.
            EngineError: if the engine has failed.
        """
        generation = Generation(job, self._scheduler, self._metrics, ready)
        sequence = Sequence(job, generation.buffer, generation.receive)
        self._scheduler.submit(sequence)
        generation.follow(sequence)
        if self._deadline:
            generation.expire_after(self._deadline)
        return generation

    def check_room(self, jobs: int) -> None:
        """Raise what `submit` raises unless `jobs` more can get a slot or a place in the queue."""
        self._scheduler.check_room(jobs)

    @property
    def running(self) -> int:
        """Number of generations that have a slot."""
        return self._scheduler.batch.running

    @property
    def waiting(self) -> int:
        """Number of generations that wait for a slot."""
        return self._scheduler.waiting

    @property
    def paused(self) -> int:
        """Number of generations whose reader is behind."""
        return self._scheduler.paused

    @property
    def waiting_in_all_engines(self) -> int:
        """Number of generations that wait for a slot, also of the server's other engines."""
        return self._slots.waiting

    @property
    def cache_bytes(self) -> int:
        """Size of the prefix cache in bytes."""
        return self._cache.bytes

    @property
    def idle(self) -> bool:
        """Whether no generation is queued, running or paused."""
        return self._scheduler.idle

    @property
    def failed(self) -> bool:
        """Whether the engine has failed and generates nothing more."""
        return self._scheduler.failure is not None

    def check_alive(self) -> None:
        """Raise EngineError if the engine has failed."""
        if self._scheduler.failure is not None:
            raise self._scheduler.failure.copy()

    def check_ready(self) -> None:
        """Raise EngineError unless new jobs are accepted."""
        self._scheduler.check_ready()

    def _send(self, deliveries: Deliveries) -> None:
        assert self._loop is not None
        if deliveries and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_deliver, deliveries)


def _deliver(deliveries: Deliveries) -> None:
    for sequence, delivery in deliveries:
        sequence.deliver(delivery)
