"""Metrics: the counters, gauges and histograms that /metrics reports."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from app import __version__

_DURATION_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
_STEP_BUCKETS = (
    *(5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 1.5e-3),
    *(2e-3, 3e-3, 5e-3, 0.01, 0.02, 0.05, 0.1),
)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
# Values of labels, from the start: otherwise a counter would begin with 1 at its first event, and
# the `increase` of Prometheus would see only the second one.
_REFUSALS = ("too_many_connections", "request_timeout", "head_too_large", "malformed")
_TEXT_ENDS = ("length", "stop", "pattern", "cancelled", "error")
_RELOAD_RESULTS = ("loaded", "unchanged", "failed")

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter


class Metrics:
    """The metrics of one application, in their own registry.

    The engine thread updates metrics once per wake-up, never per character. Times are in seconds.
    Times of a generation are measured from the moment when it was queued.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._register_requests()
        self._register_generations()
        self._register_steps_and_cache()
        self._register_reloads_and_version()
        ProcessCollector(registry=self.registry)

    def of(self, model: str) -> ModelMetrics:
        """Return the metrics of the engine of a model. A new model of the same name goes on."""
        return ModelMetrics(self, model)

    def _register_requests(self) -> None:
        self.requests = self._counter(
            "requests",
            "HTTP responses, by endpoint, method and status.",
            ("endpoint", "method", "status"),
        )
        self.memory_leased = self._gauge(
            "memory_leased_bytes", "Memory that requests have leased, of CHARSTREAM_MEMORY_MB."
        )
        self.connections_ended = self._counter(
            "connections_ended",
            "Connections that the server refused or closed, by reason.",
            ("reason",),
        )
        for reason in (*_REFUSALS, "stalled"):
            self.connections_ended.labels(reason)

    def _register_generations(self) -> None:
        self.streams_active = self._gauge("streams_active", "Generations that have a slot.")
        self.streams_waiting = self._gauge("streams_waiting", "Generations that wait for a slot.")
        self.streams_paused = self._gauge(
            "streams_paused", "Generations that are paused because their reader is behind."
        )
        self.slots = self._gauge("slots", "Generations that can run at the same time.")
        self.model_streams = self._gauge(
            "model_streams",
            "Generations of a model, by state: active, waiting, paused.",
            ("model", "state"),
        )
        self.generations = self._counter(
            "texts",
            "Generations ended, by model and reason: length, stop, pattern, cancelled (the client "
            "disconnected), error.",
            ("model", "reason"),
        )
        self.reader_pauses = self._counter(
            "reader_pauses",
            "Number of times that a generation was paused because its reader was behind.",
        )
        self.first_character = self._histogram(
            "first_character_seconds", "Time from when a text is queued to its first character."
        )
        self.duration = self._histogram(
            "text_seconds", "Time from when a text is queued to its last character."
        )
        self.queue = self._histogram(
            "queue_seconds", "Time from when a text is queued to its slot."
        )

    def _register_steps_and_cache(self) -> None:
        self.characters = self._counter(
            "generated_characters", "Characters generated, scored, or read by /cells."
        )
        self.step = self._histogram(
            "step_seconds", "Duration of one step, averaged over a wake-up.", _STEP_BUCKETS
        )
        self.batch = self._histogram(
            "batch_streams", "Generations advanced together in a wake-up.", _BATCH_BUCKETS
        )
        self.cache_hits = self._counter(
            "cache_hits", "Primes whose beginning was in the prefix cache."
        )
        self.cache_misses = self._counter(
            "cache_misses", "Primes that had to be read from the start."
        )
        self.cache_characters = self._counter(
            "cache_characters",
            "Characters of primes that were not read again, because the cache had their state.",
        )
        self.cache_bytes = self._gauge(
            "cache_bytes", "Size of the prefix cache in bytes.", ("model",)
        )

    def _register_reloads_and_version(self) -> None:
        self.reloads = self._counter(
            "reloads", "Reloads, by result: loaded, unchanged, failed.", ("result",)
        )
        for result in _RELOAD_RESULTS:
            self.reloads.labels(result)
        self.model = self._gauge(
            "model_info",
            "The models that serve new requests, and how they are computed.",
            ("name", "hash", "device", "precision", "kernel"),
        )
        build = self._gauge(
            "build_info",
            'Versions of charstream, Python and torch ("none" if it is not installed).',
            ("version", "python", "torch"),
        )
        build.labels(__version__, platform.python_version(), _torch_version()).set(1)

    def _counter(self, name: str, text: str, labels: Sequence[str] = ("model",)) -> Counter:
        return Counter(f"charstream_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"charstream_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: Sequence[float] = _DURATION_BUCKETS
    ) -> Histogram:
        return Histogram(
            f"charstream_{name}", text, ["model"], buckets=buckets, registry=self.registry
        )


class ModelMetrics:
    """The metrics of `Metrics` that have a label for the model, for one model."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._ended = {reason: metrics.generations.labels(model, reason) for reason in _TEXT_ENDS}
        self.reader_pauses = metrics.reader_pauses.labels(model)
        self.first_character = metrics.first_character.labels(model)
        self.duration = metrics.duration.labels(model)
        self.queue = metrics.queue.labels(model)
        self.characters = metrics.characters.labels(model)
        self.step = metrics.step.labels(model)
        self.batch = metrics.batch.labels(model)
        self.cache_hits = metrics.cache_hits.labels(model)
        self.cache_misses = metrics.cache_misses.labels(model)
        self.cache_characters = metrics.cache_characters.labels(model)

    def count_generation(self, reason: str) -> None:
        """Count a generation that ended for a reason, see `Metrics.generations`."""
        self._ended[reason].inc()


def _torch_version() -> str:
    """Return the version of torch, without importing it, or "none" if it is not installed."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "none"
