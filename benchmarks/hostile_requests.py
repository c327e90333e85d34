"""Hostile requests: those that cost a server the most memory or time for the bytes sent."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

from benchmarks.outcome import Outcome
from benchmarks.running_service import running_service

_PAUSE_SECONDS = 0.02  # between two requests of the other client
_MAX_SECONDS = 20.0  # of one request; then its client leaves
_CLIENTS = 32  # of many, at the same time
_STATUS = re.compile(rb"HTTP/1\.1 (\d+)")
_CODE = re.compile(rb'"code": ?"?(\w+)')

# What was asked for, or a status and the code that says why not.
_EXPECTED = re.compile(r"200|(4\d\d|503) \w|left")

_LONG = "the cat " * 12_500  # 100,000 characters, the maximum of a request
_SCORED = 18_181  # characters with 10 alternatives each, the maximum of a response
_ITEMS = 5400  # lists or fields, a little below the maximum of a body


def _encoded(**fields: object) -> bytes:
    return json.dumps(fields).encode()


# Most are just below a limit, so that they are accepted. A server may refuse each of them.
REQUESTS: dict[str, tuple[str, bytes]] = {
    "the longest prime": ("/generate", _encoded(prime=_LONG, length=1)),
    "the longest prime, as escapes": (
        "/generate",
        b'{"unknown": "skip", "prime": "%b"}' % (rb"\ud83d\ude00" * 100_000),
    ),
    "the longest text as JSON": ("/generate", _encoded(length=100_000)),
    "the longest text as JSON, with scores": ("/generate", _encoded(length=_SCORED, logprobs=10)),
    "scores of 18,181 characters": (
        "/score",
        _encoded(text=_LONG[:_SCORED], logprobs=10),
    ),
    "scores of 10,000 texts": ("/score", _encoded(texts=[_LONG[:30]] * 10_000)),
    "scores of 10,000 texts, with characters": (
        "/score",
        _encoded(texts=[_LONG[:20]] * 10_000, detail=True),
    ),
    "a search in the cells": (
        "/cells",
        _encoded(text=_LONG[:12_500], find=[[0, 4000], [5000, 9000]], top=64),
    ),
    "63 choices with scores": (
        "/v1/completions",
        _encoded(prompt=_LONG[:100], n=63, max_tokens=188, logprobs=10, echo=True),
    ),
    "a pattern with many states": ("/generate", _encoded(pattern="(a|b)*a(a|b){9}", length=5)),
    "a long pattern": ("/generate", _encoded(pattern="[a-z ]{2190}", length=5)),
    "nested lists": ("/generate", b"[" * 1_200_000),
    "a list of lists": ("/generate", b'{"stop": [%b[]]}' % (b"[]," * _ITEMS)),
    "10,000 texts, the last of them no string": ("/score", b'{"texts": [%b1]}' % (b'"a",' * 9999)),
    "many biases": ("/generate", _encoded(logit_bias={str(n): 1 for n in range(_ITEMS)})),
    "many unknown fields": ("/generate", _encoded(**{f"field{n}": 1 for n in range(_ITEMS)})),
    "a body of 8 MB": ("/generate", b" " * 2**23),
}


async def hostile(checkpoint: Path, name: str) -> Outcome:
    """One client sends a costly request. Then many clients send it at the same time."""
    path, body = REQUESTS[name]
    with running_service(checkpoint) as service:
        await longest_wait(service.port, asyncio.sleep(1))  # warms up
        request = asyncio.create_task(_send(service.port, path, body))
        wait = await longest_wait(service.port, request)
        many = [_send(service.port, path, body) for _ in range(_CLIENTS)]
        responses = Counter([await request, *await asyncio.gather(*many)])
    return Outcome(
        f"{name}, then {_CLIENTS} times",
        ", ".join(f"{count} x {response}" for response, count in responses.items()),
        all(map(_EXPECTED.match, responses)),
        service.peak_megabytes,
        wait,
    )


async def _send(port: int, path: str, body: bytes) -> str:
    """Send a request and read the response to its end. Return its status and its code, if any."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}"
    start = b""
    try:
        async with asyncio.timeout(_MAX_SECONDS):
            writer.write(f"{head}\r\n\r\n".encode() + body)
            while data := await reader.read(1 << 16):
                start += data[: 4096 - len(start)]
    except TimeoutError:
        return f"left after {_MAX_SECONDS:.0f} s"
    except ConnectionError:  # the server refuses the rest of the body
        pass
    finally:
        writer.transport.abort()
    return _described(start)


async def longest_wait(port: int, beside: Awaitable[object]) -> float:
    """Return the longest wait of another client for one character, in ms, until a task ended."""
    running = asyncio.ensure_future(beside)
    # In a thread, so that the wait is not for the client that does something else here.
    measuring = asyncio.create_task(asyncio.to_thread(_longest_wait, port, running))
    await running
    return await measuring


def _longest_wait(port: int, beside: asyncio.Future[object]) -> float:
    longest, ended = 0.0, False
    while not ended:
        ended = beside.done()  # one more request after the end
        began = time.perf_counter()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/generate?length=1") as response:
                response.read()
            wait = 1000 * (time.perf_counter() - began)
        except urllib.error.HTTPError:  # refused
            wait = math.inf
        longest = max(longest, wait)
        time.sleep(_PAUSE_SECONDS)
    return longest


def _described(start: bytes) -> str:
    status, code = _STATUS.match(start), _CODE.search(start)
    words = [found[1].decode() for found in (status, code) if found]
    return " ".join(words) or "no response"
