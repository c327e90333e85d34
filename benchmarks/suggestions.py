"""Suggestions: how many keystrokes they save, and how long they take over HTTP.

Run with `python -m benchmarks.suggestions --text FILE`. The text that is typed is the last tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import re
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.http_rate import http_rate
from benchmarks.running_service import running_service
from training.corpus import read_text, split

_WORD = re.compile(r"[A-Za-z'\u2019]+")
_TYPISTS = 64  # clients that type at the same time
_STREAMS, _STREAM_LENGTH = 16, 2000


@dataclass
class Typing:
    """Words that were typed with suggestions, and the times of the answers in seconds."""

    without: int = 0  # keystrokes without suggestions, with a space after each word
    needed: int = 0
    seconds: list[float] = field(default_factory=list)

    def type(self, connection: http.client.HTTPConnection, text: str, **fields: Any) -> None:
        """Type the words of a text. Choosing a suggestion costs a keystroke, as the space does."""
        for word in _WORD.finditer(text):
            length = word.end() - word.start()
            self.without += length + 1
            for typed in range(length + 1):
                rest = text[word.start() + typed : word.end()]
                if rest in self._ask(connection, text[: word.start() + typed], fields):
                    break
            self.needed += typed + 1

    def _ask(
        self, connection: http.client.HTTPConnection, prime: str, fields: dict[str, Any]
    ) -> list[str]:
        body = json.dumps({"prime": prime, "unknown": "skip", **fields})
        began = time.perf_counter()
        connection.request("POST", "/suggest", body, {"Content-Type": "application/json"})
        content = json.load(connection.getresponse())
        self.seconds.append(time.perf_counter() - began)
        return [suggestion["text"] for suggestion in content["suggestions"]]

    def __str__(self) -> str:
        times = sorted(self.seconds)
        return (
            f"{1 - self.needed / self.without:.1%} of {self.without:,} keystrokes saved; "
            f"{len(times):,} answers, median {statistics.median(times) * 1e3:.1f} ms, "
            f"99th percentile {times[len(times) * 99 // 100] * 1e3:.1f} ms"
        )


def main() -> None:
    """Type a text without and with memory, then with many clients beside streams."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suggestions")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/anna.safetensors"))
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--words", type=int, default=3000)
    parser.add_argument("--suggestions", type=int, nargs="+", default=[5, 3])
    options = parser.parse_args()
    text = split(read_text(options.text))[1]
    end = [word.end() for word in _WORD.finditer(text)][: options.words][-1]
    with running_service(options.checkpoint) as service:
        for count in options.suggestions:
            for memory in (False, True):
                typing = Typing()
                connection = http.client.HTTPConnection("127.0.0.1", service.port)
                typing.type(connection, text[:end], n=count, memory=memory)
                print(f"{count} suggestions, memory {memory}: {typing}", flush=True)
        asyncio.run(_type_together(service.port, text))


async def _type_together(port: int, text: str) -> None:
    alone = await asyncio.to_thread(http_rate, port, _STREAMS, _STREAM_LENGTH)
    print(f"{_STREAMS} streams alone: {alone:,.0f} characters per second")
    for streams in (0, _STREAMS):
        began, stop = time.perf_counter(), asyncio.Event()
        counts: list[float] = []
        typists = [
            asyncio.ensure_future(_keep_typing(port, text[500 * n :], stop, counts))
            for n in range(_TYPISTS)
        ]
        if streams:
            await asyncio.sleep(0.5)
            rate = await asyncio.to_thread(http_rate, port, streams, _STREAM_LENGTH)
            print(f"{streams} streams beside {_TYPISTS} typists: {rate:,.0f} characters per second")
        else:
            await asyncio.sleep(5)
        stop.set()
        await asyncio.gather(*typists)
        seconds = time.perf_counter() - began
        print(
            f"{_TYPISTS} typists beside {streams} streams: {len(counts) / seconds:,.0f} answers "
            f"per second, median {statistics.median(counts) * 1e3:.0f} ms"
        )


async def _keep_typing(port: int, text: str, stop: asyncio.Event, seconds: list[float]) -> None:
    """Ask for suggestions after each character of a text, which begins with 200 characters."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for length in range(200, len(text)):
        if stop.is_set():
            break
        body = json.dumps({"prime": text[:length], "unknown": "skip"}).encode()
        head = f"POST /suggest HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        began = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.decode())
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", answer)[1]))  # type: ignore[index]
        seconds.append(time.perf_counter() - began)
    writer.close()


if __name__ == "__main__":
    main()
