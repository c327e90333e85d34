"""Text lines: the lines of a file or of standard input, block by block."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from model.errors import CorpusError

STDIN = Path("-")

_BLOCK_BYTES = 1 << 18
_MAX_BYTES = 1 << 22  # of a line


@dataclass(frozen=True)
class Span:
    """A part of a file that consists of whole lines.

    Attributes:
        start: offset of its first byte.
        end: offset of the byte after it. None is the end of the file.
        lines_before: number of lines before it.
    """

    start: int = 0
    end: int | None = None
    lines_before: int = 0


WHOLE = Span()


def shard(path: Path, number: int, count: int) -> Span:
    """Return one of `count` parts of a file, which are about equally long.

    Args:
        path: the file.
        number: number of the part, from 1.
        count: number of parts.

    Raises:
        CorpusError: if the file cannot be read.
    """
    if count == 1:
        return WHOLE
    with _opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        start, end = (_next_line(file, size, size * n // count) for n in (number - 1, number))
        return Span(start, end, sum(block.count(b"\n") for block in _blocks(file, 0, start)))


def skip_lines(path: Path, span: Span, count: int) -> Span:
    """Return a span without its first lines, which is empty if it has no more than these.

    Raises:
        CorpusError: if the file cannot be read.
    """
    start, left = span.start, count
    with _opened(path) as file:
        for block in _blocks(file, span.start, span.end):
            if (found := block.count(b"\n")) >= left:
                at = 0
                for _ in range(left):
                    at = block.index(b"\n", at) + 1
                return Span(start + at, span.end, span.lines_before + count)
            start, left = start + len(block), left - found
    return Span(start, start, span.lines_before + count)


def read_lines(path: Path, span: Span = WHOLE, replace: bool = False) -> Iterator[list[str]]:
    """Yield the lines of a UTF-8 text in blocks, without their line ends.

    A block has the lines that can be read without waiting, up to 256 KiB and one line. So the lines
    of a slow pipe come at once, and an endless one takes a limited amount of memory.

    Args:
        path: a file, or "-" for standard input.
        span: part of the file to read.
        replace: whether bytes that are not UTF-8 become U+FFFD, instead of an error.

    Raises:
        CorpusError: if the file cannot be read or is not UTF-8, or a line is too long.
    """
    count, rest = span.lines_before, b""
    for content in _read(path, span):
        rest += content
        first = rest.find(b"\n")  # other lines are shorter than a block
        if (first if first >= 0 else len(rest)) > _MAX_BYTES:
            where = f"{name_of(path)}: line {count + 1}"
            raise CorpusError(f"{where} is longer than {_MAX_BYTES:,} bytes")
        whole, end, rest = rest.rpartition(b"\n")
        if end:
            yield (lines := _decode(path, whole, count, replace))
            count += len(lines)
    if rest:
        yield _decode(path, rest, count, replace)


def name_of(path: Path) -> str:
    """Return the name of a file in error messages."""
    return "standard input" if path == STDIN else str(path)


def _read(path: Path, span: Span) -> Iterator[bytes]:
    """Yield what can be read without waiting. A byte-order mark is left out."""
    with _opened(path) as file:
        blocks = _blocks(file, span.start, span.end)
        first = next(blocks, b"")
        yield first if span.start else first.removeprefix(codecs.BOM_UTF8)
        yield from blocks


@contextmanager
def _opened(path: Path) -> Iterator[FileIO]:
    source = 0 if path == STDIN else path
    try:
        with open(source, "rb", buffering=0, closefd=path != STDIN) as file:
            yield file
    except OSError as error:
        raise CorpusError(f"{name_of(path)}: cannot be read: {error.strerror}") from error


def _blocks(file: FileIO, start: int, end: int | None) -> Iterator[bytes]:
    """Yield the content of a file between two offsets."""
    if start or end is not None:  # a pipe has no offsets
        file.seek(start)
    while content := file.read(_BLOCK_BYTES if end is None else min(_BLOCK_BYTES, end - start)):
        start += len(content)
        yield content


def _next_line(file: FileIO, size: int, offset: int) -> int:
    """Return the offset of the first line that begins at this offset or after it."""
    if offset == 0:
        return 0
    start = offset - 1
    for block in _blocks(file, start, size):
        if (found := block.find(b"\n")) >= 0:
            return start + found + 1
        start += len(block)
    return size


def _decode(path: Path, content: bytes, count: int, replace: bool) -> list[str]:
    try:
        lines = content.decode(errors="replace" if replace else "strict").split("\n")
    except UnicodeDecodeError as error:
        number = count + content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise CorpusError(
            f"{name_of(path)}: line {number} is not UTF-8: byte 0x{byte:02x}"
        ) from error
    return [line.removesuffix("\r") for line in lines]
