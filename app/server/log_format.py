"""Log format: one event per line, as text or JSON. Data from clients cannot add lines."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

_PLAIN = re.compile(r"[!#-\[\]-~]+")  # printable ASCII without space, quote and backslash


def set_up(form: str) -> None:
    """Write the log lines of this process to stderr. `form` is "text" or "json"."""
    if sys.stderr is None:  # it is closed
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    stream = open(  # noqa: SIM115
        sys.stderr.fileno(), "w", encoding="utf-8", errors="backslashreplace", closefd=False
    )
    handler = LineHandler(stream)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    # The lines do not have these, and to find them out takes time for each line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of one turn of the event loop together, and those of other threads at once.

    A system call for each line would take longer than to make the line.
    """

    _loop: asyncio.AbstractEventLoop | None = None  # calls `_flush` in its next turn

    def flush(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            super().flush()
        else:
            if self._loop is not loop:
                self._loop = loop
                loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._loop = None
        with suppress(OSError):  # a full disk: an error here would be a line again, without end
            super().flush()


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, message, the fields of the event, an exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _moment(record), "level": record.levelname, "message": record.getMessage()}
        line |= _fields(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextLines(logging.Formatter):
    """Time, level, message and `name=value` pairs. Values with unusual characters are JSON.

    Only a traceback adds more lines. They begin with a space or a name.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if not _PLAIN.fullmatch(message):
            message = message.encode("unicode_escape").decode("ascii")
        pairs = [f"{name}={_value(value)}" for name, value in _fields(record).items()]
        line = " ".join([_moment(record), record.levelname, message, *pairs])
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


def _value(value: object) -> str:
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _moment(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{record.msecs:03.0f}Z"


@functools.lru_cache(maxsize=1)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
