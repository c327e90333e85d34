"""Corpus: a text to train on, from a file, a folder or the net."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from model.atomic_file import replacing
from model.errors import CorpusError
from model.vocabulary import Ids, Vocabulary

MINIMUM_CHARACTERS = 200
VALIDATION_SHARE = 0.1  # the last tenth of the characters, by position

_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class PublishedText:
    """A public-domain book that models are compared on."""

    title: str
    url: str
    sha256: str


PUBLISHED = {
    "anna": PublishedText(
        "Leo Tolstoy, Anna Karenina, translated by Constance Garnett",
        f"{_RAW}/udacity/deep-learning-v2-pytorch/master/recurrent-neural-networks/char-rnn/"
        "data/anna.txt",
        "568bb39fc78aca98e9db91c4329dcd1aa5ec4c3df3aca2064ce5d6f023ae16c9",
    ),
    "tinyshakespeare": PublishedText(
        "40,000 lines of Shakespeare",
        f"{_RAW}/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
}


@dataclass(frozen=True)
class Corpus:
    """An encoded text, split by position.

    Attributes:
        training, validation: ids, int32.
        sha256: of the text in UTF-8, after newlines have become LF.
    """

    vocabulary: Vocabulary
    training: Ids
    validation: Ids
    sha256: str

    @classmethod
    def from_text(cls, text: str) -> Corpus:
        """Encodes and splits a text: its last tenth validates.

        Raises:
            CorpusError: if the text is too short, or has fewer than two distinct characters.
        """
        if len(text) < MINIMUM_CHARACTERS:
            raise CorpusError(
                f"the text has {len(text)} characters, at least {MINIMUM_CHARACTERS} are needed"
            )
        if len(set(text)) < 2:
            raise CorpusError("the text is one character repeated: there is nothing to learn")
        vocabulary = Vocabulary.from_text(text)
        ids = vocabulary.encode(text)
        training, validation = split(ids)
        return cls(vocabulary, training, validation, text_hash(text))


def split(ids: Ids) -> tuple[Ids, Ids]:
    """The first 90% of a text's ids, which train, and the last 10%, which validate."""
    boundary = int(len(ids) * (1 - VALIDATION_SHARE))
    return ids[:boundary], ids[boundary:]


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, or of all .txt files of a folder in order of their names.

    A byte-order mark is dropped and every kind of line end becomes LF.

    Raises:
        CorpusError: if there is nothing to read, or it is not UTF-8.
    """
    if path.is_dir():
        files = sorted(path.glob("*.txt"))
        if not files:
            raise CorpusError(f"{path}: the folder holds no .txt file")
        return "\n".join(_read_file(file) for file in files)
    return _read_file(path)


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
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
