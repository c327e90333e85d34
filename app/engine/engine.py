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
from app.errors import EngineError
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

    Attributes:
        scheduler: knows which generations run, wait and pause.
        cache: the prefix cache.
    """

    def __init__(
        self,
        decoder: Decoder,
        resources: Resources,
        metrics: ModelMetrics | None = None,
        deadline: float = 0,
    ) -> None:
        self._metrics, self._deadline = metrics or Metrics().of("model"), deadline
        self.scheduler = Scheduler(resources.slots)
        self.cache = PrefixCache(resources.cache_memory)
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
        worker = Worker(self._decoder, self.scheduler, self.cache, self._metrics, self._send)
        warm = threading.Event()
        self._thread = threading.Thread(
            target=worker.run, args=(warm.set,), name="engine", daemon=True
        )
        self._thread.start()
        warm.wait()
        self.check_alive()

    def stop(self) -> None:
        """End every generation with an error, and stop the worker thread."""
        self.scheduler.stop()
        if self._thread is not None:
            self._thread.join()

    def drain(self, seconds: float) -> None:
        """Accept no new jobs, and end the generations that still run after `seconds` seconds."""
        self.scheduler.drain(seconds)

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
        generation = Generation(job, self.scheduler, self._metrics, ready)
        sequence = Sequence(job, generation.buffer, generation.receive)
        self.scheduler.submit(sequence)
        generation.sequence = sequence
        if self._deadline:
            generation.expire_after(self._deadline)
        return generation

    def check_alive(self) -> None:
        """Raise EngineError if the engine has failed."""
        if self.scheduler.failure is not None:
            raise EngineError(self.scheduler.failure)

    def _send(self, deliveries: Deliveries) -> None:
        assert self._loop is not None
        if deliveries and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_deliver, deliveries)


def _deliver(deliveries: Deliveries) -> None:
    for sequence, delivery in deliveries:
        sequence.deliver(delivery)
