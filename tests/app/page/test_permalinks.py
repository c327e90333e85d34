"""Links that reproduce texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from tests.app.page import playground as ui
from tests.server import RunningServer, running_server


def test_a_link_reproduces_the_same_texts(
    browser: Browser, page: Page, server: RunningServer
) -> None:
    ui.fill(page, length=50, seed="", temperature="1.1")
    ui.press(page, "Compare")
    ui.generate_texts(page, 2)
    ui.press(page, "Continue")
    ui.wait_for_text(page, length=100)
    page.get_by_text("2 texts").wait_for()
    page.locator(".column").nth(1).locator(".c").nth(20).click()
    page.locator("#alternatives button").nth(3).click()
    page.get_by_text("50 characters added, 71 in total, ").wait_for()
    texts = ui.texts_of(page)
    assert list(map(len, texts)) == [100, 71]
    with ui.opened(browser, page.url) as other:
        other.get_by_text("2 texts").wait_for()
        assert ui.texts_of(other) == texts
        ui.character(other, 99).wait_for()  # texts from a link are colored too
        assert other.get_by_label("Prime").input_value() == "abc"


def test_a_link_may_omit_fields(browser: Browser, server: RunningServer) -> None:
    with ui.opened(browser, f"{server.url}/#prime=hello&2.top_k=1&texts=2") as page:
        page.get_by_text("2 texts").wait_for()
        seed = int(page.locator("#status").inner_text().split()[-1].rstrip("."))
        texts = ui.texts_of(page)
        kinds: list[dict[str, Any]] = [{}, {"top_k": 1}]
        shared: dict[str, Any] = {"prime": "hello", "length": 500, "seed": seed}
        assert texts == [ui.api_text(server, **shared, **kind) for kind in kinds]
        assert page.get_by_label("Seed").input_value() == ""


def test_a_copied_link_leads_to_the_current_text(browser: Browser, tiny_path: Path) -> None:
    with (
        running_server(tiny_path, max_prime="100000") as wide,
        ui.opened(browser, wide.url, permissions=ui.CLIPBOARD) as page,
    ):
        ui.generate(page, prime="abc", length=30)
        address = page.url
        ui.score(page, "abc")
        page.locator("#score-status").get_by_text("bits per character").wait_for()
        page.get_by_role("tab", name="Write").click()
        ui.press(page, "Copy link")
        page.get_by_text("Link copied.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == address != page.url
        ui.generate(page, prime="😀" * 45_000, length=31)  # each is 12 characters of a URL
        ui.press(page, "Copy link")
        page.get_by_text("This text is too long for a link.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == address


def test_a_link_of_another_model_shows_a_note(browser: Browser, page: Page) -> None:
    text = ui.generate(page, length=50, seed=3)
    other_model = page.url.split("model=")[0] + "model=0123456789abcdef&texts=1"
    with ui.opened(browser, other_model, expect_failures=True) as other:
        other.get_by_text("another model").wait_for()
        assert ui.text_of(other) == ""
        ui.press(other, "Generate with this model")
        other.get_by_text("50 characters").wait_for()
        assert ui.text_of(other) == text


@pytest.mark.parametrize("damage", ["hold=x", "hold=x&lens=cells&cell=1:2", "2.hold=x&texts=2"])
def test_a_damaged_link_is_not_opened_and_the_page_works(
    browser: Browser, server: RunningServer, damage: str
) -> None:
    with ui.opened(browser, f"{server.url}/#prime=ab&length=30&{damage}") as page:
        page.locator("#card dl").wait_for()
        assert page.locator("#status").inner_text() == (
            "This link is damaged, so it was not opened. "
            "Write a held cell as LAYER:CELL:VALUE instead of x."
        )
        assert ui.text_of(page) == ""
        assert len(ui.generate(page, prime="abc", length=30)) == 30


def test_texts_survive_the_round_trip_through_a_link(page: Page) -> None:
    words = st.text(st.characters(codec="utf-8"), max_size=20)
    sampling = ("top_k", "temperature", "top_p", "min_p", "memory", "stop", "pattern", "seed")
    fields = ("prime", "kept", "length", *sampling, "hold", "model")
    texts = st.lists(st.fixed_dictionaries(dict.fromkeys(fields, words)), min_size=1, max_size=3)

    @settings(max_examples=40, deadline=None)
    @given(texts=texts)
    def check(texts: list[dict[str, str]]) -> None:
        back = page.evaluate(
            """async (texts) => {
                const { linkToTexts, parseLink } = await import("/static/share/permalink.js");
                return parseLink(new URL(linkToTexts(texts), location).hash).texts;
            }""",
            texts,
        )
        assert back == texts

    check()


def test_the_examples_open_views_that_the_model_has(
    browser: Browser, shipped: RunningServer
) -> None:
    with ui.opened(browser, shipped.url) as page:
        examples = page.get_by_role("navigation", name="Examples")
        examples.wait_for()
        for label in examples.get_by_role("link").all_inner_texts():
            examples.get_by_role("link", name=label).click()
            page.locator("#status").get_by_text("seed").wait_for()
            assert "error" not in (page.locator("#status").get_attribute("class") or ""), label
        assert examples.get_by_role("link").count() >= 5
        examples.get_by_role("button", name="Suggestions while you type").click()
        assert ui.is_focused(page.locator("#typed"))
