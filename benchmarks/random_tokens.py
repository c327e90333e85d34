"""Random tokens: find keys and hashes among identifiers, with a model and with gibberish-detector.

`python -m benchmarks.random_tokens write FOLDER` writes identifiers of Python's standard library
to FOLDER/train.txt, and other tokens to test with. Train a model on the first, and then run
`python -m benchmarks.random_tokens compare FOLDER CHECKPOINT [GIBBERISH_MODEL ...]`.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
import string
import subprocess
import sys
import sysconfig
import time
import tokenize
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from math import log2
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{7,63}")  # an identifier of 8 to 64 characters
_WORD = re.compile(r"\b[A-Za-z]{8,64}\b")
_BITS = 4  # per character: tokens of both kinds rarely have so many
_HEX, _UPPER = "0123456789abcdef", string.ascii_uppercase + string.digits
_LETTERS = string.ascii_letters + string.digits
_KINDS = [
    *(("hexadecimal", _HEX, length) for length in (12, 16, 32, 40, 64)),
    *(("base64", _LETTERS + "-_", length) for length in (11, 16, 22, 32, 43)),
    *(("letters and digits", _LETTERS, length) for length in (12, 20)),
    ("capitals and digits", _UPPER, 20),
    ("hexadecimal, UUID", "", 36),
]
_OF_A_KIND = 2000  # random tokens

Scores = NDArray[np.float64]


def main() -> None:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_tokens", description=__doc__)
    parser.add_argument("command", choices=["write", "compare"])
    parser.add_argument("folder", type=Path, help="folder of the tokens")
    parser.add_argument("models", type=Path, nargs="*", help="a checkpoint, and gibberish models")
    arguments = parser.parse_args()
    if arguments.command == "write":
        _write_all(arguments.folder)
    else:
        _compare(arguments.folder, *arguments.models)


def _write_all(folder: Path) -> None:
    paths = {name: Path(path) for name, path in sysconfig.get_paths().items()}
    library = [path for path in paths["stdlib"].rglob("*.py") if "site-packages" not in path.parts]
    known = _tokens(library)
    words = _tokens(paths["purelib"].rglob("*.py")) - known
    generator = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name, tokens in (("train", known), ("words", words)):
        lines = sorted(tokens)
        generator.shuffle(lines)
        _write(folder / f"{name}.txt", lines)
    kinds = [(characters, length) for _, characters, length in _KINDS for _ in range(_OF_A_KIND)]
    _write(folder / "random.txt", (_random_token(generator, *kind) for kind in kinds))


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
    print(path)


def _tokens(files: Iterable[Path]) -> set[str]:
    """Return the identifiers of Python files, and the words of their comments."""
    tokens: set[str] = set()
    for path in files:
        try:
            with tokenize.open(path) as file:
                for kind, text, *_ in tokenize.generate_tokens(file.readline):
                    if kind == tokenize.NAME and _TOKEN.fullmatch(text):
                        tokens.add(text)
                    elif kind == tokenize.COMMENT:  # strings contain whole images in base64
                        tokens.update(_WORD.findall(text))
        except (tokenize.TokenError, SyntaxError, UnicodeDecodeError):
            continue  # files that are invalid on purpose, for tests
    return tokens


def _random_token(generator: random.Random, characters: str, length: int) -> str:
    if not characters:
        return str(uuid.UUID(int=generator.getrandbits(128), version=4))
    return "".join(generator.choices(characters, k=length))


def _compare(folder: Path, checkpoint: Path, *gibberish_models: Path) -> None:
    files = [folder / "words.txt", folder / "random.txt"]
    tokens = [file.read_text().splitlines() for file in files]
    print(f"{len(tokens[0]):,} identifiers and words, {len(tokens[1]):,} random tokens")
    began = time.perf_counter()
    _report(checkpoint.parent.name, [_excess_bits(checkpoint, file) for file in files], began)
    known = (folder / "train.txt").read_text()
    detectors = {f"counts of {n} characters": _counts(known.lower(), n) for n in (2, 3)}
    if find_spec("gibberish_detector"):
        detectors |= _gibberish_detectors(known.lower(), gibberish_models)
    for name, detector in detectors.items():
        began = time.perf_counter()
        scores = [np.array([detector(token) for token in own]) for own in tokens]
        _report(name, scores, began)


def _report(name: str, scores: list[Scores], began: float) -> None:
    """Print how well scores tell identifiers from random tokens, of which each kind has as many."""
    seconds = time.perf_counter() - began
    words, random_tokens = scores
    ranks = np.searchsorted(np.sort(words), random_tokens)
    limits = np.quantile(words, [0.99, 0.999])
    missed = (random_tokens[:, None] <= limits).mean(axis=0)
    rate = sum(map(len, scores)) / seconds
    print(
        f"{name}: area {ranks.mean() / len(words):.5f}; missed {missed[0]:.2%} at 1% false alarms, "
        f"{missed[1]:.2%} at 0.1% (above {limits[1]:.2f}); {rate:,.0f} tokens per second"
    )
    of_kinds = (random_tokens.reshape(len(_KINDS), -1, 1) <= limits).mean(axis=1)
    others = [not kind.startswith("hexadecimal") for kind, *_ in _KINDS]
    print("    {:.2%} and {:.2%} if not hexadecimal".format(*of_kinds[others].mean(axis=0)))
    for (kind, _, length), share in zip(_KINDS, of_kinds[:, 1], strict=True):
        print(f"    {length} characters, {kind}: {share:.2%} missed at 0.1%")


def _excess_bits(checkpoint: Path, file: Path) -> Scores:
    """Return by how much the bits of each line exceed `_BITS` per character."""
    command = [sys.executable, "-m", "training", "score", str(checkpoint), str(file)]
    command += ["--unknown", "skip"]  # the hyphens of UUIDs and of base64
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = csv.DictReader(output.splitlines())
    return np.array([float(row["bits"]) - _BITS * int(row["characters"]) for row in rows])


def _counts(text: str, length: int) -> Callable[[str], float]:
    """Return what computes the excess bits of a lowercase token, without its hyphens, from the
    counts of all strings of a length in a lowercase text, with 0.1 added to each.
    """
    characters, before = len(set(text)), "\n" * (length - 1)
    text = text.replace("\n", before + "\n")
    seen = Counter(text[i : i + length] for i in range(len(text)))
    contexts = Counter(text[i : i + length - 1] for i in range(len(text)))

    def excess_bits(token: str) -> float:
        token = token.lower().replace("-", "")
        padded = before + token
        windows = (padded[i : i + length] for i in range(len(token)))
        odds = ((seen[w] + 0.1) / (contexts[w[:-1]] + 0.1 * characters) for w in windows)
        return -sum(map(log2, odds)) - _BITS * len(token)

    return excess_bits


def _gibberish_detectors(text: str, paths: Iterable[Path]) -> dict[str, Callable[[str], float]]:
    """Return detectors with a model of a lowercase text, and with those of files."""
    from gibberish_detector import serializer, trainer  # type: ignore[import-not-found]
    from gibberish_detector.detector import Detector  # type: ignore[import-not-found]

    # Its command counts letters only. With digits and hyphens it misses a sixth as many.
    characters = string.ascii_lowercase + string.digits + "_-"
    models = {"trained on train.txt": trainer.train_on_content(text, characters)}
    models |= {path.name: serializer.deserialize(path.read_text()) for path in paths}

    def of(model: object) -> Callable[[str], float]:
        detect = Detector(model, 0).calculate_probability_of_being_gibberish
        return lambda token: float(detect(token.lower()))  # as detect-secrets calls it

    return {f"gibberish-detector, {name}": of(model) for name, model in models.items()}


if __name__ == "__main__":
    main()
