"""Requests to /v1/completions, and how a test reads the responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx_sse
import openai

from tests.app.api.generate_requests import ask, post
from tests.server import RunningServer
from tests.waiting import wait_until

PARAMS: dict[str, Any] = {"model": "tiny", "prompt": "abc", "max_tokens": 40, "seed": 7}


@contextmanager
def openai_client(server: RunningServer, key: str = "none") -> Iterator[openai.OpenAI]:
    """OpenAI's own client for a server."""
    transport = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=key, http_client=transport, max_retries=0
    ) as client:
        yield client


def generated_text(server: RunningServer, **fields: Any) -> str:
    """The text of POST /generate, without top-k and with 40 characters by default."""
    text: str = post(server, **{"length": 40, "top_k": None, **fields})["text"]
    return text


def complete(server: RunningServer, **fields: Any) -> dict[str, Any]:
    """POST /v1/completions with PARAMS and these fields; return the body of the response."""
    return ask(server, "/v1/completions", {**PARAMS, **fields})


def chunks(server: RunningServer, **fields: Any) -> list[dict[str, Any]]:
    """Stream a completion; return its chunks. The stream must end with `[DONE]`."""
    params = {**PARAMS, **fields, "stream": True}
    with (
        server.client() as client,
        httpx_sse.connect_sse(client, "POST", "/v1/completions", json=params) as source,
    ):
        *events, last = [event.data for event in source.iter_sse()]
    assert last == "[DONE]"
    return [json.loads(event) for event in events]


def streamed_text(received: list[dict[str, Any]], index: int = 0) -> str:
    """The text of one choice of a stream."""
    choices = [choice for chunk in received for choice in chunk["choices"]]
    return "".join(choice["text"] for choice in choices if choice["index"] == index)


def wait_until_free(client: httpx.Client, **fields: Any) -> None:
    """Send a request until it succeeds, because slots become free a moment after a disconnect."""
    params = {**PARAMS, **fields}
    wait_until(lambda: client.post("/v1/completions", json=params).status_code == 200, 12)
