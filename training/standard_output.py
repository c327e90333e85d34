"""Standard output: turns a failed write, for example to a full disk, into an OutputError.

If it is closed, it is None, and a command without a result to print goes on without output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar, cast

from model.errors import OutputError

_Result = TypeVar("_Result")


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
