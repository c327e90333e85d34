"""Server-sent events as a client reads them."""

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
    """Events of a stream's lines; comments are passed over."""
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
    assert not fields, "the stream broke inside an event"


def spelled(events: Iterable[Event]) -> str:
    return "".join(event.data["token"] for event in events if event.name == "message")
