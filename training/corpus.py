"""Corpus: a text to train on, from a file, a folder or a download."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from model.checkpoints.about import About
from model.checkpoints.atomic_file import replacing
from model.errors import CorpusError, VocabularyError
from model.text.vocabulary import UNKNOWN, CorpusIds, Vocabulary
from training.console import counted

MINIMUM_CHARACTERS = 200
MAX_MISSING = 0.1  # largest share of a text that may be missing from its vocabulary
VALIDATION_SHARE = 0.1  # of the characters, at the end of the text
MAX_BYTES = 2_000_000_000  # of a text, decompressed, all files of a folder together

_PRIME_CHARACTERS = 40  # of the example
_SENTENCE_START = re.compile(r"[.!?\n]\s+(\w[^.!?\n]{10,40})(?=\s)")
_GZIP = b"\x1f\x8b"  # first bytes of a compressed file
_READ_AT_ONCE = 1 << 20  # bytes
_MAX_LISTED = 10  # missing characters in a message

_Text = TypeVar("_Text", str, CorpusIds)

_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class PublishedText:
    """A public-domain text on which models are compared.

    Attributes:
        sha256: hash of the file.
        text_sha256: hash of its text in UTF-8 with LF line ends.
    """

    url: str
    sha256: str
    text_sha256: str


PUBLISHED = {
    # Leo Tolstoy, Anna Karenina, translated by Constance Garnett
    "anna": PublishedText(
        f"{_RAW}/udacity/deep-learning-v2-pytorch/master/recurrent-neural-networks/char-rnn/"
        "data/anna.txt",
        "568bb39fc78aca98e9db91c4329dcd1aa5ec4c3df3aca2064ce5d6f023ae16c9",
        "a21483849a464568c05997147edb994e40023b9d87c299974169abb68230da48",
    ),
    # 40,000 lines of Shakespeare
    "tinyshakespeare": PublishedText(
        f"{_RAW}/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
}


@dataclass(frozen=True)
class Corpus:
    """An encoded text, split by position.

    Attributes:
        vocabulary: the characters of the ids.
        training, validation: ids, in the smallest integer type that can hold them.
        sha256: hash of the text in UTF-8 with LF line ends.
        missing: characters of the text that are not in the vocabulary, with their counts.
        about: the description of a model that learns from the text.
    """

    vocabulary: Vocabulary
    training: CorpusIds
    validation: CorpusIds
    sha256: str
    missing: Counter[str] = field(default_factory=Counter)
    about: About = field(default_factory=About)

    @classmethod
    def from_text(
        cls, text: str, min_count: int = 1, vocabulary: Vocabulary | None = None
    ) -> Corpus:
        """Encode a text and split off its last tenth for validation.

        Args:
            text: the whole text, at least 200 characters.
            min_count: characters that occur less often become `model.text.vocabulary.UNKNOWN`.
            vocabulary: vocabulary to use instead of the text's own. Characters that it lacks become
                UNKNOWN if it has UNKNOWN, and are left out otherwise.

        Raises:
            CorpusError: if the text is too short, has fewer than two distinct characters, or if
                more than a tenth of it is not in the vocabulary.
        """
        if len(text) < MINIMUM_CHARACTERS:
            raise CorpusError(
                f"the text has {len(text)} characters; training needs at least {MINIMUM_CHARACTERS}"
            )
        if len(set(text)) < 2:
            raise CorpusError("the text has only one distinct character: use another text")
        own = vocabulary is None
        vocabulary = vocabulary or _own_vocabulary(text, min_count)
        ids, missing = vocabulary.encode_corpus(text)
        if missing.total() > MAX_MISSING * len(text):
            reason = f"a min-count of {min_count} is too high" if own else "another kind of text"
            raise CorpusError(f"{reason}: {describe_missing(vocabulary, missing)}")
        about = About(prime=_example_prime(split(text)[1], vocabulary))
        return cls(vocabulary, *split(ids), text_hash(text), missing, about)


def _example_prime(text: str, vocabulary: Vocabulary) -> str:
    """Return the beginning of the first sentence of a text, or of the text."""
    found = _SENTENCE_START.search(text)
    start = found[1] if found else text[:_PRIME_CHARACTERS]
    return "".join(character for character in start if character in vocabulary)


def _own_vocabulary(text: str, min_count: int) -> Vocabulary:
    try:
        return Vocabulary.from_text(text, min_count)
    except VocabularyError as error:
        raise CorpusError(f"no character occurs {min_count} times in the text") from error


def describe_missing(vocabulary: Vocabulary, missing: Counter[str]) -> str:
    """Return a line that lists characters that are not in a vocabulary, with their counts."""
    listed = missing.most_common(_MAX_LISTED)
    names = ", ".join(f"{character!r} ({count:,})" for character, count in listed)
    rest = f" and {len(missing) - _MAX_LISTED:,} more" if len(missing) > _MAX_LISTED else ""
    effect = "read as unknown" if UNKNOWN in vocabulary else "left out"
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{counted(len(missing), 'character')} of the text {verb} not in the vocabulary and {verb} "
        f"{effect}, {counted(missing.total(), 'time')} in total: {names}{rest}"
    )


def split(text: _Text) -> tuple[_Text, _Text]:
    """Split a text into its first 90%, for training, and its last 10%, for validation."""
    boundary = int(len(text) * (1 - VALIDATION_SHARE))
    return text[:boundary], text[boundary:]


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, in hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_text(path: Path) -> str:
    """Read a UTF-8 file, or all .txt and .txt.gz files of a folder in the order of their names.

    Files may be compressed with gzip. A byte-order mark is removed and all line ends become LF.

    Raises:
        CorpusError: if a file cannot be read or is not UTF-8, if the folder has no such file, or if
            the text is too large.
    """
    files = [path]
    if os.path.isdir(path):  # `Path.is_dir` raises an error if a parent may not be searched
        files = sorted([*path.glob("*.txt"), *path.glob("*.txt.gz")])
        if not files:
            raise CorpusError(f"{path}: the folder has no .txt or .txt.gz file")
    left, texts = MAX_BYTES, []
    for file in files:
        with explaining_large_text(file):
            content = _read_file(file, left)
            left -= len(content)
            texts.append(_decoded(content, file))
    return "\n".join(texts)


@contextmanager
def explaining_large_text(path: Path) -> Iterator[None]:
    """Turn an out-of-memory error while a text is read or encoded into a CorpusError."""
    try:
        yield
    except MemoryError as error:
        raise CorpusError(
            f"{path}: the text does not fit into memory: use a smaller text"
        ) from error


def _read_file(path: Path, most: int) -> bytearray:
    """Return the content of a file, decompressed, if it has at most `most` bytes."""
    content = bytearray()
    try:
        with path.open("rb") as file:
            compressed = file.peek(2)[:2] == _GZIP
            source = gzip.GzipFile(fileobj=file) if compressed else file
            while piece := source.read(_READ_AT_ONCE):
                content += piece
                if len(content) > most:
                    raise CorpusError(
                        f"{path}: the text is larger than {MAX_BYTES:,} bytes (decompressed, all "
                        "files of a folder together): use a smaller text"
                    )
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorpusError(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error
    return content


def _decoded(content: bytearray, path: Path) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}: not UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def fetch(name: str, destination: Path, source: Path | None = None) -> Path:
    """Download a published text to a file, or import a local copy of it.

    Args:
        name: key of `PUBLISHED`.
        destination: the file to write.
        source: local copy to read instead of downloading. Its content is not checked.

    Raises:
        CorpusError: if the name is unknown, the download fails or is not the published text, or a
            file cannot be read or written.
    """
    if source is not None:
        return _store(read_text(source).encode(), destination)
    if name not in PUBLISHED:
        raise CorpusError(f"corpus {name!r} is unknown; known are {', '.join(sorted(PUBLISHED))}")
    published = PUBLISHED[name]
    content = _download(name, published.url)
    if hashlib.sha256(content).hexdigest() != published.sha256:
        raise CorpusError(f"{published.url}: the content is not the published text (SHA-256)")
    return _store(content, destination)


def is_published(name: str, text: str) -> bool:
    """Return whether a text equals the published text of that name."""
    return text_hash(text) == PUBLISHED[name].text_sha256


def _download(name: str, url: str) -> bytes:
    import httpx

    try:
        response = httpx.get(url, follow_redirects=True, timeout=30)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise CorpusError(
            f"{url}: cannot be downloaded ({error}). If you have a copy of the text, import it: "
            f"python -m training corpus {name} --from FILE"
        ) from error
    return response.content


def _store(content: bytes, destination: Path) -> Path:
    try:
        with replacing(destination) as file:
            file.write(content)
    except OSError as error:
        raise CorpusError(f"{destination}: cannot be written: {error.strerror}") from error
    return destination
