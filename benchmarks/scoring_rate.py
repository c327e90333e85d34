"""Rate of scoring many short texts, over HTTP and by the command, and the engine's rate.

.venv/bin/python -m benchmarks.scoring_rate
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

from benchmarks.engine_rate import engine_rate
from benchmarks.running_service import running_service
from model.checkpoints.checkpoint import load_checkpoint
from model.decoding.selection import choose_precision, default_threads
from model.text.vocabulary import Vocabulary

_CHECKPOINT = Path(__file__).parent.parent / "checkpoints" / "anna.safetensors"
_STREAMS = 64
_CHARACTERS = 2000  # of each stream of the engine
_TEXTS, _LENGTH = 10_000, 30
_RUNS = 3
_COMMAND_FACTOR = 10  # the command gets more lines, so that its start counts for less


def random_texts(vocabulary: Vocabulary, count: int, length: int) -> list[str]:
    """Return texts of random characters, without line ends."""
    characters = [character for character in vocabulary.characters if character != "\n"]
    drawn = np.random.default_rng(1).integers(0, len(characters), (count, length))
    return ["".join(characters[index] for index in row) for row in drawn.tolist()]


def http_scoring_rate(port: int, texts: list[str]) -> float:
    """Return the characters per second of one request with all of the texts."""
    body = json.dumps({"texts": texts}).encode()
    began = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/score", body) as response:
        scores = json.load(response)["scores"]
    seconds = time.perf_counter() - began
    if len(scores) != len(texts):
        raise RuntimeError(f"expected {len(texts)} scores, received {len(scores)}")
    return sum(map(len, texts)) / seconds


def command_rate(texts: list[str]) -> float:
    """Return the characters per second of the command, with its start."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lines.txt"
        file.write_text("".join(f"{text}\n" for text in texts))
        command = [sys.executable, "-m", "training", "score", str(_CHECKPOINT), str(file)]
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return sum(map(len, texts)) / (time.perf_counter() - began)


def main() -> None:
    """Print the rates of several alternating runs."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    checkpoint = load_checkpoint(_CHECKPOINT)
    precision = choose_precision("auto", "cpu")
    threads = default_threads(precision, "cpu")
    texts = random_texts(checkpoint.vocabulary, _TEXTS, _LENGTH)
    print(f"{_TEXTS:,} texts of {_LENGTH} characters, {precision}, {threads} threads, char/s")
    for _ in range(_RUNS):
        engine = engine_rate(checkpoint, precision, _STREAMS, _CHARACTERS, threads)
        with running_service(_CHECKPOINT, max_streams=_STREAMS) as service:
            http = http_scoring_rate(service.port, texts)
        command = command_rate(texts * _COMMAND_FACTOR)
        print(
            f"engine with {_STREAMS} streams {engine:,.0f}, "
            f"HTTP {http:,.0f} ({http / engine:.0%}), command {command:,.0f} "
            f"({command / engine:.0%}, {_TEXTS * _COMMAND_FACTOR:,} lines, with its start)"
        )


if __name__ == "__main__":
    main()
