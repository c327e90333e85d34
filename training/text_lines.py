"""Text lines: the lines of a file or of standard input, block by block."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from model.errors import CorpusError

STDIN = Path("-")

_BLOCK_BYTES = 1 << 18
_MAX_BYTES = 1 << 22  # of a line


def read_lines(path: Path) -> Iterator[list[str]]:
    """Yield the lines of a UTF-8 text in blocks, without their line ends.

    A block has the lines that can be read without waiting, up to 256 KiB and one line. So the lines
    of a slow pipe come at once, and an endless one takes a limited amount of memory.

    Args:
        path: a file, or "-" for standard input.

    Raises:
        CorpusError: if the file cannot be read or is not UTF-8, or a line is too long.
    """
    count, rest = 0, b""
    for content in _read(path):
        whole, end, rest = (rest + content).rpartition(b"\n")
        if len(rest) > _MAX_BYTES:
            number = count + whole.count(b"\n") + len(end) + 1
            raise CorpusError(f"{name_of(path)}: line {number} is longer than {_MAX_BYTES:,} bytes")
        if end:
            yield (lines := _decode(path, whole, count))
            count += len(lines)
    if rest:
        yield _decode(path, rest, count)


def name_of(path: Path) -> str:
    """Return the name of a file in error messages."""
    return "standard input" if path == STDIN else str(path)


def _read(path: Path) -> Iterator[bytes]:
    """Yield what can be read without waiting. A byte-order mark is left out."""
    source = 0 if path == STDIN else path
    try:
        with open(source, "rb", buffering=0, closefd=path != STDIN) as file:
            if content := file.read(_BLOCK_BYTES):
                yield content.removeprefix(codecs.BOM_UTF8)
            while content := file.read(_BLOCK_BYTES):
                yield content
    except OSError as error:
        raise CorpusError(f"{name_of(path)}: cannot be read: {error.strerror}") from error


def _decode(path: Path, content: bytes, count: int) -> list[str]:
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError as error:
        number = count + content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise CorpusError(
            f"{name_of(path)}: line {number} is not UTF-8: byte 0x{byte:02x}"
        ) from error
    return [line.removesuffix("\r") for line in lines]
