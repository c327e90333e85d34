"""Texts with their scores as files, read with Python's own parsers."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from tests.app.page import playground as ui
from tests.server import RunningServer

WILD: dict[str, Any] = {"length": 300, "top_k": "", "temperature": 3, "seed": 2**63 - 1}


def rows_of(content: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content, newline=""), strict=True))


def test_an_exported_text_has_the_scores_of_the_api(page: Page, server: RunningServer) -> None:
    text = ui.generate(page, **WILD)
    (exported,) = json.loads(ui.saved(page, "Download JSON"))["texts"]
    response = ui.answer(server, "/generate", **exported["request"], logprobs=8)
    assert exported["prime"] == "abc"
    assert exported["text"] == text == response["text"]
    assert exported["request"]["seed"] == WILD["seed"]
    assert exported["model"] == response["model"]["hash"]
    assert exported["characters"] == response["logprobs"]

    rows = rows_of(ui.saved(page, "Download CSV"))
    assert "".join(row["character"] for row in rows) == text
    for row, score in zip(rows, response["logprobs"], strict=True):
        assert row["code_point"] == f"U+{ord(score['token']):04X}"
        for name in ("logprob", "rank", "entropy", "probability"):
            assert float(row[name]) == score[name]
        names = (f"alternative_{number}" for number in range(1, 9))
        alternatives = [[row[name], float(row[f"{name}_logprob"])] for name in names]
        assert alternatives == [alternative[:2] for alternative in score["top"]]


@ui.failures_expected
def test_a_download_says_what_it_waits_for_and_that_it_starts(page: Page) -> None:
    status, countdown = page.locator("#status"), page.locator("#countdown")
    ui.look_through(page, "Off")
    ui.generate(page, length=20)
    page.locator("#export summary").click()
    with page.expect_download() as download:
        request = ui.held_request(page, "**/score", lambda: ui.press(page, "Download JSON"))
        status.get_by_text("Scoring the text…").wait_for()
        request.abort()
        countdown.get_by_text("Retrying").wait_for()
    assert (status.inner_text(), countdown.inner_text()) == ("Download started.", "")
    (exported,) = json.loads(Path(download.value.path()).read_text())["texts"]
    assert all(len(each["top"]) == 8 for each in exported["characters"])


def test_a_new_text_ends_a_download_that_waits_for_scores(page: Page) -> None:
    ui.look_through(page, "Off")
    ui.generate(page, length=20)
    page.route("**/score", lambda _: None)  # no response
    page.locator("#export summary").click()
    ui.press(page, "Download CSV")
    page.locator("#status").get_by_text("Scoring the text…").wait_for()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/score")):
        ui.generate(page, length=30)
    assert page.locator("#status").inner_text().startswith("30 characters, ")


def test_an_export_has_all_compared_texts_and_what_was_chosen(page: Page) -> None:
    ui.press(page, "Compare")
    ui.fill(page, length=30)
    ui.generate_texts(page, 2)
    ui.character(page, 9).click()
    page.locator("#alternatives button").nth(4).click()
    page.locator("#status").get_by_text("characters added").wait_for()
    first, second = json.loads(ui.saved(page, "Download JSON"))["texts"]
    assert (first["name"], second["name"]) == ("A", "B")
    assert first["text"] == ui.text_of(page)
    assert first["kept"] == first["text"][:10]
    assert first["request"]["prime"] == "abc" + first["kept"]
    chosen = [index for index, each in enumerate(first["characters"]) if each.get("chosen")]
    assert chosen == [9]
    rows = rows_of(ui.saved(page, "Download CSV"))
    assert [row["text"] for row in rows] == ["A"] * len(first["text"]) + ["B"] * 30
    assert [row["chosen"] for row in rows[:11]] == ["false"] * 9 + ["true", "false"]


def test_a_scored_passage_can_be_exported(page: Page, server: RunningServer) -> None:
    page.get_by_role("tab", name="Score").click()
    passage = '"a cab"\n(feed)'
    page.get_by_label("Passage").fill(passage)
    assert page.locator("#score-save-csv").is_disabled()
    ui.press(page, "Score")
    page.locator("#score-status").get_by_text("bits per character").wait_for()
    (exported,) = json.loads(ui.saved(page, "Download JSON"))["texts"]
    scored = ui.answer(server, "/score", text=passage, logprobs=8)
    assert exported["characters"] == scored["characters"]
    assert page.locator("#score-status").inner_text() == "Download started."
    assert rows_of(ui.saved(page, "Download CSV"))[0]["character"] == '"'


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
