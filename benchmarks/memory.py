"""Memory: what it costs, how much of a text it takes over, and how much texts repeat themselves.

python -m benchmarks.memory --checkpoint MODEL --text FILE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.http_rate import http_rate, read_rate
from benchmarks.running_service import running_service

_STREAMS = 64
_PRIME = 20_000  # characters of the text that are continued
_TEXTS, _LENGTH = 20, 1000  # texts that continue it
_LONG = 2000  # characters of a text whose repetitions are counted
_PIECE = 20  # characters of a repetition
_IDENTIFIER = re.compile(r"[^\W\d_][\w]{2,}")
_SAMPLINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "top_k null": {"top_k": None},
    "temperature 0.5": {"temperature": 0.5},
}
_WITH = "&memory=true"


def main() -> None:
    """Measure a model without and with memory, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/anna.safetensors"))
    parser.add_argument("--text", type=Path, required=True, help="text to continue")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--characters", type=int, default=1500, help="length of a timed text")
    options = parser.parse_args()
    prime = options.text.read_text()[:_PRIME]
    with running_service(options.checkpoint) as service:
        _print_rates(service.port, options.rounds, options.characters)
        _print_identifiers(service.port, prime)
        _print_repetitions(service.port)


def _print_rates(port: int, rounds: int, characters: int) -> None:
    ways: dict[str, Callable[[], float]] = {
        f"{streams} streams{name}": partial(http_rate, port, streams, characters, query)
        for streams in (_STREAMS, 1)
        for name, query in (("", ""), (" with memory", _WITH))
    }
    for name, query in (("", ""), (" with memory", _WITH)):
        ways[f"a plain stream beside {_STREAMS - 1}{name}"] = partial(
            _rate_beside, port, characters, query
        )
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, measure in ways.items():
            rates[way].append(measure())
    for way, values in rates.items():
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(f"{way}: {statistics.median(values):,.0f} characters per second ({spread})")


def _rate_beside(port: int, characters: int, query: str) -> float:
    """Return the rate of a plain stream while the others, which are longer, run."""

    async def rate() -> float:
        others = [
            asyncio.ensure_future(read_rate(port, 10 * characters, seed, query))
            for seed in range(1, _STREAMS)
        ]
        await asyncio.sleep(0.2)
        own = await read_rate(port, characters, 0)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return own

    return asyncio.run(rate())


def _print_identifiers(port: int, prime: str) -> None:
    known = set(_IDENTIFIER.findall(prime))
    for memory in (False, True):
        found = [
            identifier
            for seed in range(_TEXTS)
            for identifier in _IDENTIFIER.findall(_text(port, prime, _LENGTH, memory, seed))[:-1]
        ]
        share = sum(identifier in known for identifier in found) / len(found)
        print(
            f"{'with' if memory else 'without'} memory: {share:.0%} of {len(found):,} words and "
            f"identifiers occur in the {len(prime):,} characters before"
        )


def _print_repetitions(port: int) -> None:
    for name, sampling in _SAMPLINGS.items():
        for memory in (False, True):
            texts = [_text(port, "\n", _LONG, memory, seed, **sampling) for seed in range(_TEXTS)]
            shares = [_repeated(text) for text in texts]
            print(
                f"{name}, {'with' if memory else 'without'} memory: "
                f"{statistics.mean(shares):.1%} of the pieces of {_PIECE} characters occurred "
                f"before (median {statistics.median(shares):.1%}, most {max(shares):.1%})"
            )


def _repeated(text: str) -> float:
    pieces = [text[first : first + _PIECE] for first in range(len(text) - _PIECE + 1)]
    return 1 - len(set(pieces)) / len(pieces)


def _text(port: int, prime: str, length: int, memory: bool, seed: int, **sampling: Any) -> str:
    body = {"prime": prime, "length": length, "seed": seed, "memory": memory, "unknown": "skip"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/generate",
        json.dumps(body | sampling).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return str(json.load(response)["text"])


if __name__ == "__main__":
    main()
