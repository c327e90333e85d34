"""Texts that are written and scored with a memory."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Browser, Page, Route

from tests.app.page import playground as ui
from tests.server import RunningServer

NAMES = "Dora met Ann! " * 12
FIELDS: dict[str, Any] = {"prime": NAMES, "length": 60, "seed": 7}
PASSAGE = "Dora met Ann! Dora met Ann!"


@ui.with_clipboard
def test_the_switch_reaches_texts_scores_code_and_links(
    browser: Browser, page: Page, server: RunningServer
) -> None:
    switch = page.get_by_role("switch", name="Memory")
    ui.look_through(page, "Off")
    switch.focus()
    page.keyboard.press("Space")
    assert ui.generate(page, **FIELDS) == ui.api_text(server, **FIELDS, memory=True)
    ui.look_through(page, "Surprisal")
    ui.character(page, 59).wait_for()
    (text,) = json.loads(ui.saved(page, "Download JSON"))["texts"]
    scored = ui.answer(server, "/score", prime=NAMES, text=text["text"], logprobs=8, memory=True)
    assert text["characters"] == scored["characters"]
    assert '"memory":true' in ui.copied(page, "Copy as curl")
    assert "memory=True," in ui.copied(page, "Copy as Python")
    ui.press(page, "Compare")
    second = page.locator(".column").nth(1)
    second.get_by_label("Top-k").fill("5")
    second.get_by_label("Memory").uncheck()
    ui.generate_texts(page, 2)
    texts = [ui.api_text(server, **FIELDS, memory=memory) for memory in (True, False)]
    assert texts[0] != texts[1]
    assert ui.texts_of(page) == texts
    second.get_by_text("top-k 5, temperature 1", exact=True).wait_for()
    ui.character(page, 20).click()
    page.locator("#alternatives").get_by_text("temperature 1, memory on").wait_for()
    page.locator("#alternatives button").nth(1).click()
    page.locator("#status").get_by_text("60 characters added").wait_for()
    texts = ui.texts_of(page)
    assert texts[0][21:] == ui.api_text(
        server, **{**FIELDS, "prime": NAMES + texts[0][:21]}, memory=True
    )
    with ui.opened(browser, page.url) as other:
        other.get_by_text("2 texts").wait_for()
        assert ui.texts_of(other) == texts
        assert other.get_by_role("switch", name="Memory").is_checked()
        assert not other.locator(".column").nth(1).get_by_label("Memory").is_checked()


@ui.on_a_phone
def test_a_passage_is_scored_without_and_with_memory_side_by_side(
    browser: Browser, page: Page, server: RunningServer
) -> None:
    ui.score(page, PASSAGE)
    status, choice = page.locator("#score-status"), page.get_by_role("group", name="Memory")
    status.get_by_text("27 characters").wait_for()
    choice.get_by_role("radio", name="Off").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="With memory").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="Without memory").wait_for()
    answers = [ui.answer(server, "/score", text=PASSAGE, memory=memory) for memory in (False, True)]
    without, with_memory = (f"{answer['bits_per_character']:.2f}" for answer in answers)
    assert status.inner_text() == (
        f"27 characters, {without} bits per character without memory, "
        f"{with_memory} bits per character with memory."
    )
    assert page.locator("#scored .lead dd").all_inner_texts() == [without, with_memory]
    for name in ("Scored text, without memory", "Scored text, with memory"):
        assert ui.content(page.get_by_role("group", name=name).locator(".text")) == PASSAGE
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    exported = json.loads(ui.saved(page, "Download JSON"))["texts"]
    assert [text["memory"] for text in exported] == [False, True]
    assert [text["characters"][9]["logprob"] for text in exported] == [
        answer["characters"][9]["logprob"] for answer in answers
    ]
    with ui.opened(browser, page.url) as other:
        other.locator("#score-status").get_by_text("with memory").wait_for()
        tops = {ui.box_of(sheet)["y"] for sheet in other.locator("#scored .sheet").all()}
        assert len(tops) == 1, "on a wide screen they are side by side"
        other.locator("#scored .column").nth(1).locator(".c").nth(14).click()
        other.locator("#alternatives button").first.click()
        other.get_by_text("500 characters").wait_for()
        assert other.get_by_role("switch", name="Memory").is_checked()


def test_without_a_memory_the_switches_are_off_and_say_why(page: Page) -> None:
    def answer(route: Route) -> None:
        info = route.fetch().json()
        route.fulfill(json={**info, "memory": {"available": False, "bytes": 0}})

    page.get_by_role("switch", name="Memory").check()
    ui.press(page, "Compare")
    page.route("**/info", answer)
    page.evaluate("async () => (await import('/static/form/model_card.js')).readCard()")
    switches = page.locator("#write input[name=memory]:disabled:not(:checked)")
    assert switches.count() == 2
    ui.press(page, "Compare with a third")
    assert switches.count() == 3
    reason = "Not available on this server: it needs a CPU"
    page.locator("#memory-hint").get_by_text(reason).wait_for()
    ui.score(page, "abc")
    page.locator("#score-status").get_by_text("3 characters").wait_for()
    page.locator("#score-memory-hint").get_by_text(reason).wait_for()
    choice = page.get_by_role("group", name="Memory")
    assert choice.locator(":disabled").count() == 2
    assert choice.get_by_role("radio", name="Off").is_checked()
