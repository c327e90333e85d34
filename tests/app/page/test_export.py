"""Texts with their scores as files, read with Python's own parsers."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from tests.app.page.playground import (
    character,
    fill,
    generate,
    held_request,
    look_through,
    opened,
    press,
    text_of,
)
from tests.browser import needs_browser
from tests.server import RunningServer

pytestmark = needs_browser

WILD: dict[str, Any] = {"length": 300, "top_k": "", "temperature": 3, "seed": 2**63 - 1}


def saved(page: Page, label: str) -> str:
    """Download a file and return its content."""
    if page.locator("#export summary").is_visible():
        page.locator("#export summary").click()
    with page.expect_download() as download:
        press(page, label)
    extension = label.split()[-1].lower()
    assert download.value.suggested_filename.endswith(f".{extension}")
    return Path(download.value.path()).read_bytes().decode()


def rows_of(content: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content, newline=""), strict=True))


def test_an_exported_text_has_the_scores_of_the_api(page: Page, server: RunningServer) -> None:
    text = generate(page, **WILD)
    (exported,) = json.loads(saved(page, "Download JSON"))["texts"]
    with server.client() as client:
        request = {**exported["request"], "logprobs": 8}
        response = client.post("/generate", json=request).raise_for_status().json()
    assert exported["prime"] == "abc"
    assert exported["text"] == text == response["text"]
    assert exported["request"]["seed"] == WILD["seed"]
    assert exported["model"] == response["model"]["hash"]
    assert exported["characters"] == response["logprobs"]

    rows = rows_of(saved(page, "Download CSV"))
    assert "".join(row["character"] for row in rows) == text
    for row, score in zip(rows, response["logprobs"], strict=True):
        assert row["code_point"] == f"U+{ord(score['token']):04X}"
        for name in ("logprob", "rank", "entropy", "probability"):
            assert float(row[name]) == score[name]
        names = (f"alternative_{number}" for number in range(1, 9))
        alternatives = [[row[name], float(row[f"{name}_logprob"])] for name in names]
        assert alternatives == [alternative[:2] for alternative in score["top"]]


def test_a_text_without_colors_is_scored_for_the_export(page: Page) -> None:
    look_through(page, "Off")
    generate(page, length=20)
    (exported,) = json.loads(saved(page, "Download JSON"))["texts"]
    assert all(len(each["top"]) == 8 for each in exported["characters"])


def test_a_download_says_what_it_waits_for_and_that_it_starts(
    browser: Browser, server: RunningServer
) -> None:
    with opened(browser, server.url, expect_failures=True) as page:
        status, countdown = page.locator("#status"), page.locator("#countdown")
        look_through(page, "Off")
        generate(page, prime="abc", length=20)
        page.locator("#export summary").click()
        with page.expect_download():
            request = held_request(page, "**/score", lambda: press(page, "Download JSON"))
            status.get_by_text("Scoring the text…").wait_for()
            request.abort()
            countdown.get_by_text("Retrying").wait_for()
        assert (status.inner_text(), countdown.inner_text()) == ("Download started.", "")


def test_a_new_text_ends_a_download_that_waits_for_scores(page: Page) -> None:
    look_through(page, "Off")
    generate(page, length=20)
    page.route("**/score", lambda _: None)  # no response
    page.locator("#export summary").click()
    press(page, "Download CSV")
    page.locator("#status").get_by_text("Scoring the text…").wait_for()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/score")):
        generate(page, length=30)
    assert page.locator("#status").inner_text().startswith("30 characters, ")


def test_an_export_has_all_compared_texts_and_what_was_chosen(page: Page) -> None:
    press(page, "Compare")
    fill(page, length=30)
    press(page, "Generate")
    page.get_by_text("2 texts").wait_for()
    character(page, 9).click()
    page.locator("#alternatives button").nth(4).click()
    page.locator("#status").get_by_text("characters added").wait_for()
    first, second = json.loads(saved(page, "Download JSON"))["texts"]
    assert (first["name"], second["name"]) == ("A", "B")
    assert first["text"] == text_of(page)
    assert first["kept"] == first["text"][:10]
    assert first["request"]["prime"] == "abc" + first["kept"]
    chosen = [index for index, each in enumerate(first["characters"]) if each.get("chosen")]
    assert chosen == [9]
    rows = rows_of(saved(page, "Download CSV"))
    assert [row["text"] for row in rows] == ["A"] * len(first["text"]) + ["B"] * 30
    assert [row["chosen"] for row in rows[:11]] == ["false"] * 9 + ["true", "false"]


def test_a_scored_passage_can_be_exported(page: Page, server: RunningServer) -> None:
    page.get_by_role("tab", name="Score").click()
    passage = '"a cab",\n(feed)'
    page.get_by_label("Passage").fill(passage.replace(",", ""))
    assert page.locator("#score-save-csv").is_disabled()
    press(page, "Score")
    page.locator("#score-status").get_by_text("bits per character").wait_for()
    (exported,) = json.loads(saved(page, "Download JSON"))["texts"]
    with server.client() as client:
        request = {"text": passage.replace(",", ""), "logprobs": 8}
        scored = client.post("/score", json=request).raise_for_status().json()
    assert exported["characters"] == scored["characters"]
    assert page.locator("#score-status").inner_text() == "Download started."
    assert rows_of(saved(page, "Download CSV"))[0]["character"] == '"'


def test_any_character_survives_the_export(page: Page) -> None:
    tokens = st.lists(st.characters(codec="utf-8"), max_size=20)

    @settings(max_examples=40, deadline=None)
    @given(tokens=tokens, prime=st.text(max_size=10))
    def check(tokens: list[str], prime: str) -> None:
        records = [{"token": token, "logprob": -1e-9, "top": [[token, -1.5]]} for token in tokens]
        text = {"name": "A", "fields": {"prime": prime}, "request": None, "records": records}
        exported, table = page.evaluate(
            """async (json) => {
                const { toExportJSON, toCSV } = await import("/static/share/text_export.js");
                return [toExportJSON([JSON.parse(json)]), toCSV([JSON.parse(json)])];
            }""",
            json.dumps(text),
        )
        assert json.loads(exported) == {
            "texts": [{"name": "A", "prime": prime, "characters": records}]
        }
        rows = rows_of(table)
        assert [row["character"] for row in rows] == tokens
        assert [row["alternative_1"] for row in rows] == tokens
        assert all(float(row["logprob"]) == -1e-9 for row in rows)

    check()
