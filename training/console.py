"""Console: the standard streams of a command, and texts that can be shown on them.

Python sets `sys.stdout` or `sys.stderr` to None if it is closed when the process begins.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, TypeVar, cast

from model.errors import OutputError

_Result = TypeVar("_Result")


def counted(number: float, noun: str, form: str = ",") -> str:
    """Return a number and a noun, such as "1 update" or "1,000 updates".

    Args:
        number: the number.
        noun: the noun in the singular. Its plural ends in "s".
        form: format of the number. Only a number that is shown as 1 has the singular.
    """
    shown = f"{number:{form}}"
    return f"{shown} {noun}" if shown == "1" else f"{shown} {noun}s"


def printable(text: str) -> str:
    """Return a text with U+FFFD for each character that controls a terminal or is not in HTML.

    These are all control characters but newline and tab, noncharacters and halves of surrogates.
    """
    return "".join(c if c in "\n\t" or _is_printable(ord(c)) else "\ufffd" for c in text)


def _is_printable(code: int) -> bool:
    is_control = code < 0x20 or 0x7F <= code < 0xA0
    return not (is_control or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a standard stream is a terminal. A closed one is not."""
    return stream is not None and stream.isatty()


@contextmanager
def showing_speed(shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Show the number of lines and the speed on stderr, if that is a terminal.

    Args:
        shown: whether to do so even if stdout is a terminal, because no results appear there.

    Yields a function to call with the numbers of further lines and of their characters.
    """
    shown = is_terminal(sys.stderr) and (shown or not is_terminal(sys.stdout))
    began, lines, characters = time.monotonic(), 0, 0

    def report(further_lines: int, further_characters: int) -> None:
        nonlocal lines, characters
        lines, characters = lines + further_lines, characters + further_characters
        if shown:
            speed = characters / (time.monotonic() - began)
            print(f"\r{lines:,} lines, {speed:,.0f} char/s ", end="", file=sys.stderr, flush=True)

    try:
        yield report
    finally:
        if shown:
            print(file=sys.stderr)


def print_error(message: str) -> None:
    """Print a message on standard error, or nothing if it is closed."""
    if sys.stderr is not None:  # print(file=None) would write to standard output
        with suppress(OSError):  # nobody reads it
            print(message, file=sys.stderr)


def reserve_output_streams() -> None:
    """Open the null device as standard output and standard error if they are closed.

    Otherwise a file of a run gets the number 2, and a message of a signal handler ends up in it.
    """
    for number in (1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed
            null = os.open(os.devnull, os.O_WRONLY)
            if null != number:
                os.dup2(null, number)
                os.close(null)


def print_any_character() -> None:
    """Escape characters that the terminal's encoding lacks, instead of raising an error.

    In the locale C, Python's handler `surrogateescape` prints the bytes of a file's name as they
    are, so that the name can be pasted into a shell. They still are.
    """
    codecs.register_error("name_or_escape", _name_or_escape)
    handlers = {"strict": "backslashreplace", "surrogateescape": "name_or_escape"}
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in handlers:
        sys.stdout.reconfigure(errors=handlers[sys.stdout.errors])


def _name_or_escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError):
        error.end = error.start + 1  # `surrogateescape` refuses a whole run for one character
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError:  # not a part of a name
        return codecs.backslashreplace_errors(error)


class _CheckedOutput:
    """A text stream whose failures raise OutputError. All else is that of the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._checked(lambda: self._stream.write(text))

    def flush(self) -> None:
        self._checked(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _checked(self, action: Callable[[], _Result]) -> _Result:
        try:
            return action()
        except OSError as error:
            self._discard()
            raise OutputError(
                f"standard output: cannot be written: {error.strerror or error}"
            ) from error

    def _discard(self) -> None:
        """Let further writes have no effect: Python repeats a failed write at its exit."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)


@contextmanager
def explaining_failed_output(needed: bool) -> Iterator[None]:
    """Raise OutputError where a write to standard output fails, at the latest at the end.

    Args:
        needed: whether the result is printed, so that a closed standard output is an error too.
    """
    stream = sys.stdout
    if stream is None:  # it was closed before the process began
        if needed:
            raise OutputError("standard output is closed, expected a terminal, a file or a pipe")
        yield
        return
    sys.stdout = cast("TextIO", _CheckedOutput(stream))
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = stream
