"""Corpus: a text to train on, from a file, a folder or the net."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from model.atomic_file import replacing
from model.errors import CorpusError, VocabularyError
from model.vocabulary import UNKNOWN, CorpusIds, Vocabulary

MINIMUM_CHARACTERS = 200
MOST_LACKING = 0.1  # share of a text that a vocabulary given for it may lack
VALIDATION_SHARE = 0.1  # the last tenth of the characters, by position

_GZIP = b"\x1f\x8b"  # how a compressed file begins
_SHOWN = 10  # of the characters that a vocabulary lacks

_Text = TypeVar("_Text", str, CorpusIds)  # as characters or as ids

_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class PublishedText:
    """A public-domain book that models are compared on.

    Attributes:
        sha256: of the file.
        text_sha256: of its text in UTF-8, after newlines have become LF.
    """

    title: str
    url: str
    sha256: str
    text_sha256: str


PUBLISHED = {
    "anna": PublishedText(
        "Leo Tolstoy, Anna Karenina, translated by Constance Garnett",
        f"{_RAW}/udacity/deep-learning-v2-pytorch/master/recurrent-neural-networks/char-rnn/"
        "data/anna.txt",
        "568bb39fc78aca98e9db91c4329dcd1aa5ec4c3df3aca2064ce5d6f023ae16c9",
        "a21483849a464568c05997147edb994e40023b9d87c299974169abb68230da48",
    ),
    "tinyshakespeare": PublishedText(
        "40,000 lines of Shakespeare",
        f"{_RAW}/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
}


@dataclass(frozen=True)
class Corpus:
    """An encoded text, split by position.

    Attributes:
        training, validation: ids, of the smallest type that holds them.
        sha256: of the text in UTF-8, after newlines have become LF.
        lacking: characters that the vocabulary lacks, and how often they stand in the text.
    """

    vocabulary: Vocabulary
    training: CorpusIds
    validation: CorpusIds
    sha256: str
    lacking: Counter[str] = field(default_factory=Counter)

    @classmethod
    def from_text(
        cls, text: str, min_count: int = 1, vocabulary: Vocabulary | None = None
    ) -> Corpus:
        """Encodes and splits a text: its last tenth validates.

        Args:
            text: at least 200 characters.
            min_count: characters seen less often become one, `model.vocabulary.UNKNOWN`.
            vocabulary: one to use instead of the text's own. What it lacks becomes UNKNOWN where
                it has that, and is left out where it has not.

        Raises:
            CorpusError: if the text is too short, has fewer than two distinct characters, or
                has little in common with the vocabulary.
        """
        if len(text) < MINIMUM_CHARACTERS:
            raise CorpusError(
                f"the text has {len(text)} characters, at least {MINIMUM_CHARACTERS} are needed"
            )
        if len(set(text)) < 2:
            raise CorpusError("the text is one character repeated: there is nothing to learn")
        given = vocabulary is not None
        vocabulary = vocabulary or _own_vocabulary(text, min_count)
        ids, lacking = vocabulary.encode_corpus(text)
        if lacking.total() > MOST_LACKING * len(text):
            fault = "another kind of text" if given else f"a min-count of {min_count} is too high"
            raise CorpusError(f"{fault}: {describe_lacking(vocabulary, lacking)}")
        return cls(vocabulary, *split(ids), text_hash(text), lacking)

    def describe_lacking(self) -> str:
        """A line that names the characters that the vocabulary lacks."""
        return describe_lacking(self.vocabulary, self.lacking)


def _own_vocabulary(text: str, min_count: int) -> Vocabulary:
    try:
        return Vocabulary.from_text(text, min_count)
    except VocabularyError as error:
        raise CorpusError(f"no character stands {min_count} times in the text") from error


def describe_lacking(vocabulary: Vocabulary, lacking: Counter[str]) -> str:
    """A line that names characters of a text that a vocabulary lacks, and how often they stand."""
    shown = lacking.most_common(_SHOWN)
    named = ", ".join(f"{character!r} ({count:,})" for character, count in shown)
    rest = f" and {len(lacking) - _SHOWN:,} more" if len(lacking) > _SHOWN else ""
    fate = "read as unknown" if UNKNOWN in vocabulary else "left out"
    return (
        f"{len(lacking):,} characters of the text are not in the vocabulary and are {fate}, "
        f"{lacking.total():,} times in all: {named}{rest}"
    )


def split(text: _Text) -> tuple[_Text, _Text]:
    """The first 90% of a text's characters, which train, and the last 10%, which validate."""
    boundary = int(len(text) * (1 - VALIDATION_SHARE))
    return text[:boundary], text[boundary:]


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, or of all files of a folder in order of their names.

    Files may be compressed with gzip; of a folder, .txt and .txt.gz are read. A byte-order
    mark is dropped and every kind of line end becomes LF.

    Raises:
        CorpusError: if there is nothing to read, or it is not UTF-8.
    """
    if path.is_dir():
        files = sorted([*path.glob("*.txt"), *path.glob("*.txt.gz")])
        if not files:
            raise CorpusError(f"{path}: the folder holds no .txt or .txt.gz file")
        return "\n".join(_read_file(file) for file in files)
    return _read_file(path)


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            compressed = file.peek(2)[:2] == _GZIP
            content = gzip.GzipFile(fileobj=file) if compressed else file
            with io.TextIOWrapper(content, encoding="utf-8-sig") as text:
                return text.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorpusError(f"{path}: damaged gzip file: {error}") from error
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}: not UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}"
        ) from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error


def fetch(name: str, destination: Path, source: Path | None = None) -> Path:
    """Brings a published text to `destination`: copied from `source`, else downloaded.

    Raises:
        CorpusError: if the name is unknown, the net or the file is out of reach, or the
            download is not the published text.
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
    """Whether a text is a published one, to the character."""
    return text_hash(text) == PUBLISHED[name].text_sha256


def _download(name: str, url: str) -> bytes:
    import httpx

    try:
        response = httpx.get(url, follow_redirects=True, timeout=30)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise CorpusError(
            f"{url}: cannot be downloaded ({error}). Without a network, save the text by other "
            f"means and name it: python -m training corpus {name} --from FILE"
        ) from error
    return response.content


def _store(content: bytes, destination: Path) -> Path:
    try:
        with replacing(destination) as file:
            file.write(content)
    except OSError as error:
        raise CorpusError(f"{destination}: cannot be written: {error.strerror}") from error
    return destination
