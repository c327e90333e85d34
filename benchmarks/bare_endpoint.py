"""The bare endpoint: what the web framework alone does for a short request.

It validates a body with the fields of a request, and responds with JSON of the same size as that of
/generate or /score. It computes nothing, logs nothing and counts nothing.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.running_service import wait_until_ready
from tests.server import free_port

_START_SECONDS = 60

_MODEL = {"name": "anna", "hash": "0123456789abcdef"}
_TEXT = {
    "id": "gen-0123456789abcdef0123456789abcdef",
    "text": "a" * 20,
    "finish_reason": "length",
    "seed": 1,
    "usage": {"prime_characters": 0, "cached_characters": 0, "generated_characters": 20},
    "timings": {
        "queue_ms": 0.1,
        "first_character_ms": 1.234,
        "total_ms": 1.234,
        "characters_per_second": 12345.6,
    },
    "model": _MODEL,
}
_SCORE = {"token": "a", "logprob": -1.234567, "rank": 1, "entropy": 1.234567, "top": []}
_SCORES = {
    "characters": [_SCORE] * 20,
    "nats": 24.691358,
    "bits": 35.622101,
    "bits_per_character": 1.781105,
    "model": _MODEL,
}

app = FastAPI()


class Fields(BaseModel):
    """The fields of a request that the framework validates."""

    prime: str = "\n"
    text: str = ""
    length: int = 200
    top_k: int | None = 5
    temperature: float = 1.0
    top_p: float | None = None
    min_p: float | None = None
    hold: list[dict[str, float]] = []
    pattern: str | None = None
    logit_bias: dict[str, float] = {}
    seed: int | None = None
    stop: list[str] = []
    stream: bool = False
    unknown: str | None = None
    logprobs: int | None = None
    model: str | None = None


@app.post("/generate")
async def generate(fields: Fields) -> dict[str, Any]:
    """Return a fixed response."""
    return _TEXT


@app.post("/score")
async def score(fields: Fields) -> dict[str, Any]:
    """Return a fixed response."""
    return _SCORES


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    """Return that the server is ready."""
    return {"status": "ready"}


@contextmanager
def running_bare_endpoint() -> Iterator[int]:
    """Serve these endpoints in a process of their own. Yield the port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bare_endpoint", str(port)])
    try:
        wait_until_ready(port, time.monotonic() + _START_SECONDS)
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
