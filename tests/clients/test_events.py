"""Server-sent events are read as the HTML standard defines them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.charstream_client.events import MAX_EVENT, Event, EventReader

# Characters that end a line elsewhere are part of a line here.
lines = st.text(st.sampled_from("a: é😀\x0b\x0c\x1c\x85\u2028\u2029\ufeff"), max_size=5)
events = st.builds(
    Event,
    st.sampled_from(["message", "done"]),
    st.lists(lines, min_size=1, max_size=3).map("\n".join),
    lines,
)


def written(event: Event) -> list[str]:
    return [
        f"id: {event.id}",
        *(f"data: {line}" for line in event.data.split("\n")),
        *([f"event: {event.kind}"] if event.kind != "message" else []),
    ]


@given(
    expected=st.lists(events, max_size=3),
    end=st.sampled_from(["\n", "\r", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
    size=st.integers(1, 20),
)
def test_events_are_read_from_parts_of_any_size(
    expected: list[Event], end: str, mark: str, size: int
) -> None:
    ignored = [": ping", "retry: 5", "data2: a", "", "event: no data", ""]
    text = end.join([*ignored, *(line for event in expected for line in [*written(event), "", ""])])
    content = f"{mark}{text}data: cut off".encode()
    reader = EventReader()
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    assert [event for part in parts for event in reader.feed(part)] == expected


def test_fields_may_lack_the_space_the_value_and_the_colon() -> None:
    (event, empty) = EventReader().feed(b"id:1\ndata:a\ndata:  b\ndata\n\nid: a\0b\ndata\n\n")
    assert event == Event("message", "a\n b\n", "1")
    assert empty == Event("message", "", "")


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_an_event_without_an_end_is_not_kept(end: bytes) -> None:
    reader = EventReader()
    line = b"data: " + b"a" * (MAX_EVENT // 4) + end
    for _ in range(3):
        assert list(reader.feed(line * 3 + b"\n\n"))
    assert list(reader.feed(line * 3)) == []
    with pytest.raises(ValueError, match="more than"):
        list(reader.feed(line))
