"""Server-sent events, parsed as a client parses them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Event:
    name: str
    data: Any
    id: str | None


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """Parse the lines of a stream into events. Ignore comments."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            key, _, value = line.partition(": ")
            assert key in ("id", "event", "data"), line
            fields[key] = value
        elif fields:
            yield Event(
                fields.get("event", "message"), json.loads(fields["data"]), fields.get("id")
            )
            fields = {}
    assert not fields, "the stream ended inside an event"


def text_of(events: Iterable[Event]) -> str:
    """The text of a stream of /generate."""
    return "".join(event.data["token"] for event in events if event.name == "message")
