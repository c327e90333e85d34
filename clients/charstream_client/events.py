"""Server-sent events, read from the bytes of a response."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_EVENT = 1 << 20  # characters; the server's events have at most a few thousand
_LINE_END = re.compile(r"\r\n|\n|\r")  # no others, unlike those of str.splitlines


class Event(NamedTuple):
    """An event. `id` is empty if the event has none of its own."""

    kind: str
    data: str
    id: str


class EventReader:
    """Reads the events of one response, as the HTML standard defines them.

    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self._after_cr = False  # a line feed that comes next belongs to the same line end
        self._line: list[str] = []  # parts of the unfinished line
        self._begin()

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that these bytes complete. Raise ValueError if one is too long."""
        text = self._decode(data)
        if not text:  # only a part of a character
            return
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r")
        *ends, rest = _LINE_END.split(text)
        for end in ends:
            self._extend(end)
            line, self._line = "".join(self._line), []
            if line:
                self._read(line)
            else:
                kind, lines, event_id = self._kind, self._data, self._id
                self._begin()
                if lines:
                    yield Event(kind or "message", "\n".join(lines), event_id)
        self._extend(rest)

    def _begin(self) -> None:
        self._kind, self._id, self._size = "", "", 0
        self._data: list[str] = []

    def _extend(self, part: str) -> None:
        self._size += len(part)
        if self._size > MAX_EVENT:
            raise ValueError(f"an event has more than {MAX_EVENT:,} characters")
        self._line.append(part)

    def _read(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value
