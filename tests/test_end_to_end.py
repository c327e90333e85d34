"""The shipped model generates English prose over HTTP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.events import parse_events, text_of
from tests.server import RunningServer

PARAMS: dict[str, Any] = {"prime": "And Levin said,", "length": 300, "top_k": 5, "seed": 7}
BOOK = ROOT / "data" / "anna.txt"  # written by: python -m training corpus anna


def test_the_shipped_model_generates_the_text_of_its_seed(shipped: RunningServer) -> None:
    with shipped.client() as client:
        first, second = (client.post("/generate", json=PARAMS).json() for _ in range(2))
        other = client.post("/generate", json=PARAMS | {"seed": 8}).json()
        with client.stream("GET", "/generate", params=PARAMS) as response:
            events = list(parse_events(response.iter_lines()))
    assert len(first["text"]) == 300
    assert first["text"] == second["text"] != other["text"]
    assert text_of(events) == first["text"]
    assert [event.name for event in events] == ["message"] * 300 + ["done"]


def test_the_shipped_model_writes_english(shipped: RunningServer) -> None:
    """In English prose, a few dozen common and short words make up over a third of the text."""
    with shipped.client() as client:
        text = client.post("/generate", json=PARAMS | {"length": 3000}).json()["text"]
    words = re.findall(r"[a-z']+", text.lower())
    common = re.findall(
        r"\w+",
        "the and to of he a in that was she had it his her not with him as at on be for said you "
        "but have is from by all were which what so they up would been one out who",
    )
    assert 400 < len(words) < 900
    assert sum(word in common for word in words) / len(words) > 0.35


@pytest.mark.skipif(
    not BOOK.exists(),
    reason="needs the book, which is not in the repository: python -m training corpus anna",
)
def test_at_least_85_percent_of_the_words_occur_in_the_book(shipped: RunningServer) -> None:
    known = set(_words(BOOK))
    with shipped.client() as client:
        text = client.post("/generate", json=PARAMS).json()["text"]
    words = re.findall(r"[a-z']+", text.lower())
    assert sum(word in known for word in words) / len(words) >= 0.85


def _words(book: Path) -> list[str]:
    return re.findall(r"[a-z']+", book.read_text().lower())


def test_the_model_card_of_the_shipped_model_has_its_validation_loss(
    shipped: RunningServer,
) -> None:
    with shipped.client() as client:
        info = client.get("/info").json()
    assert info["name"] == "anna"
    assert len(info["vocabulary"]) == 83
    assert (info["layers"], info["hidden_size"]) == (2, 512)
    assert info["validation_loss"] <= 1.35
