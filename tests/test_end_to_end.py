"""The main job with the model that ships: a book went in, its prose comes out, over HTTP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.events import parse_events, spelled
from tests.server import RunningServer

ASK: dict[str, Any] = {"prime": "And Levin said,", "length": 300, "top_k": 5, "seed": 7}
BOOK = ROOT / "data" / "anna.txt"  # put there by: python -m training corpus anna


def test_the_shipped_model_writes_the_text_of_its_seed(shipped: RunningServer) -> None:
    with shipped.client() as client:
        first, second = (client.post("/generate", json=ASK).json() for _ in range(2))
        other = client.post("/generate", json=ASK | {"seed": 8}).json()
        with client.stream("GET", "/generate", params=ASK) as answer:
            events = list(parse_events(answer.iter_lines()))
    assert len(first["text"]) == 300
    assert first["text"] == second["text"] != other["text"]
    assert spelled(events) == first["text"]
    assert [event.name for event in events] == ["message"] * 300 + ["done"]


def test_the_shipped_model_writes_english(shipped: RunningServer) -> None:
    """Most words of any English prose are among the commonest few dozen, and short."""
    with shipped.client() as client:
        text = client.post("/generate", json=ASK | {"length": 3000}).json()["text"]
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
def test_at_least_85_percent_of_the_words_are_words_of_the_book(shipped: RunningServer) -> None:
    known = set(_words(BOOK))
    with shipped.client() as client:
        text = client.post("/generate", json=ASK).json()["text"]
    words = re.findall(r"[a-z']+", text.lower())
    assert sum(word in known for word in words) / len(words) >= 0.85


def _words(book: Path) -> list[str]:
    return re.findall(r"[a-z']+", book.read_text().lower())


def test_the_shipped_model_says_how_good_it_is(shipped: RunningServer) -> None:
    with shipped.client() as client:
        info = client.get("/info").json()
    assert info["name"] == "anna"
    assert len(info["vocabulary"]) == 83
    assert (info["layers"], info["hidden_size"]) == (2, 512)
    assert info["validation_loss"] <= 1.35
