"""Metrics: what the service counts and times, in Prometheus's terms."""

from __future__ import annotations

import platform

import torch
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from app import __version__

_TEXT_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
_STEP_BUCKETS = (
    5e-5,
    1e-4,
    2e-4,
    3e-4,
    5e-4,
    1e-3,
    1.5e-3,
    2e-3,
    3e-3,
    5e-3,
    0.01,
    0.02,
    0.05,
    0.1,
)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """One app's metrics, in a registry of their own.

    Those that the engine's thread writes are written once per wake-up, never per character.
    Times are in seconds; those of texts count from the request's validation.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._count_http()
        self._count_texts()
        self._count_steps()
        self._count_cache()
        self._describe()
        ProcessCollector(registry=self.registry)

    def _count_http(self) -> None:
        self.requests = Counter(
            "charstream_requests",
            "HTTP requests answered, by endpoint, method and status.",
            ["endpoint", "method", "status"],
            registry=self.registry,
        )

        self.refusals = Counter(
            "charstream_connections_ended",
            "Connections refused or cut off, by reason.",
            ["reason"],
            registry=self.registry,
        )

    def _count_texts(self) -> None:
        self.streams_active = self._gauge("streams_active", "Texts in a slot.")
        self.streams_waiting = self._gauge("streams_waiting", "Texts that wait for a slot.")
        self.streams_paused = self._gauge("streams_paused", "Texts whose readers lag behind.")
        self.slots = self._gauge("slots", "Texts that can be advanced together.")
        self.texts = Counter(
            "charstream_texts",
            "Texts ended: length, stop, cancelled (its client went away), or error.",
            ["reason"],
            registry=self.registry,
        )
        self.reader_pauses = self._counter(
            "reader_pauses", "Times that a text was paused because its reader lagged behind."
        )
        self.first_character = self._histogram(
            "first_character_seconds", "From a request to its first character.", _TEXT_BUCKETS
        )
        self.text = self._histogram(
            "text_seconds", "From a request to its last character.", _TEXT_BUCKETS
        )
        self.queue = self._histogram("queue_seconds", "From a request to its slot.", _TEXT_BUCKETS)

    def _count_steps(self) -> None:
        self.characters = self._counter("generated_characters", "Characters generated.")
        self.step = self._histogram(
            "step_seconds", "Of one step, on average in a wake-up.", _STEP_BUCKETS
        )
        self.batch = self._histogram(
            "batch_streams", "Texts advanced together in a wake-up.", _BATCH_BUCKETS
        )

    def _count_cache(self) -> None:
        self.cache_hits = self._counter("cache_hits", "Primes of which a beginning was known.")
        self.cache_misses = self._counter("cache_misses", "Primes that had to be read whole.")
        self.cache_characters = self._counter(
            "cache_characters", "Characters of primes that needed no reading."
        )
        self.cache_bytes = self._gauge("cache_bytes", "Taken by states that are kept.")

    def _describe(self) -> None:
        self.reloads = Counter(
            "charstream_reloads",
            "Reloads: loaded, unchanged or failed.",
            ["result"],
            registry=self.registry,
        )
        self.model = Gauge(
            "charstream_model_info",
            "The model in charge, and how it is computed.",
            ["name", "hash", "device", "precision", "kernel"],
            registry=self.registry,
        )
        build = Gauge(
            "charstream_build_info",
            "Versions.",
            ["version", "python", "torch"],
            registry=self.registry,
        )
        build.labels(__version__, platform.python_version(), torch.__version__).set(1)

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(f"charstream_{name}", what, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"charstream_{name}", what, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"charstream_{name}", what, buckets=buckets, registry=self.registry)
