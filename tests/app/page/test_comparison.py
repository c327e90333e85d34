"""Texts side by side, with different sampling settings."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page

from tests.app.page.playground import (
    api_text,
    content,
    fill,
    generate,
    opened,
    press,
    text_of,
    wait_for_text,
)
from tests.browser import needs_browser
from tests.server import RunningServer

pytestmark = needs_browser


def test_removing_a_text_does_not_stop_the_others(browser: Browser, shipped: RunningServer) -> None:
    with opened(browser, shipped.url) as page:
        press(page, "Compare")
        fill(page, length=40_000)
        press(page, "Generate")
        wait_for_text(page, more_than=100)
        press(page, "Remove text B")
        page.locator("#status").get_by_text("40,000 characters").wait_for(timeout=120_000)


def test_an_error_shared_by_all_compared_texts_is_shown_once(
    browser: Browser, server: RunningServer
) -> None:
    with opened(browser, server.url, expect_failures=True) as page:
        press(page, "Compare")
        fill(page, prime="Ж", length=10)
        press(page, "Generate")
        page.locator("#status").get_by_text("Invalid input: check Prime.").wait_for()


def test_settings_are_compared_on_the_same_seed(page: Page, server: RunningServer) -> None:
    fill(page, length=60)
    press(page, "Compare")
    press(page, "Compare with a third")
    press(page, "Generate")
    page.get_by_text("3 texts").wait_for()
    seed = int(page.locator("#status").inner_text().split()[-1].rstrip("."))
    texts = [content(text) for text in page.locator("#columns .text").all()]
    kinds: list[dict[str, Any]] = [{}, {"top_k": 1}, {"top_k": None, "temperature": 1.2}]
    assert texts == [api_text(server, prime="abc", length=60, seed=seed, **kind) for kind in kinds]


def test_an_existing_text_is_kept_for_comparison(page: Page) -> None:
    text = generate(page, length=60)
    press(page, "Compare")
    press(page, "Generate")
    page.get_by_text("2 texts").wait_for()
    assert text_of(page) == text
    press(page, "Remove text B")
    assert page.get_by_label("Seed").input_value() == "", "it was not typed"


def test_a_forked_text_shows_its_own_seed(page: Page) -> None:
    fill(page, length=60)
    press(page, "Compare")
    press(page, "Generate")
    page.get_by_text("2 texts").wait_for()
    page.locator(".column").nth(1).locator(".c").nth(9).click()
    page.locator("#alternatives button").first.click()
    page.locator("#status").get_by_text("60 characters").wait_for()
    seed = page.locator("#status").inner_text().split()[-1].rstrip(".")
    assert f"2.seed={seed}" in page.evaluate("location.hash")


def test_compared_texts_are_shown_from_their_beginnings(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    fill(page, length=1500)
    left = page.locator("#prime").bounding_box()
    press(page, "Compare")
    press(page, "Compare with a third")
    press(page, "Generate")
    page.get_by_text("3 texts").wait_for()
    sheets = page.locator("#write .sheet")
    assert [sheet.evaluate("sheet => sheet.scrollTop") for sheet in sheets.all()] == [0, 0, 0]
    assert page.locator("#prime").bounding_box() == left, "the form stays where it is"
    tops = {sheet.bounding_box()["y"] for sheet in sheets.all()}  # type: ignore[index]
    assert len(tops) == 1, "the texts are side by side"
    labels = page.locator(".column").first.locator("dt").all()
    edges = {label.bounding_box()["x"] for label in labels}  # type: ignore[index]
    assert (len(labels), len(edges)) == (6, 1), "the statistics are a table"
    press(page, "Continue")
    wait_for_text(page, length=3000)
    assert sheets.first.evaluate("sheet => sheet.scrollTop") > 0, "what was added is in view"


def test_a_phone_shows_the_first_of_the_compared_texts(
    browser: Browser, server: RunningServer
) -> None:
    phone: dict[str, Any] = {"has_touch": True, "viewport": {"width": 390, "height": 844}}
    with opened(browser, server.url, **phone) as page:
        generate(page, prime="abc", length=500)
        press(page, "Compare")
        press(page, "Generate")
        page.get_by_text("2 texts").wait_for()
        box = page.locator("#write .sheet").first.bounding_box()
        assert box is not None
        assert 0 <= box["y"] < 500


def test_a_continued_text_stays_in_view(page: Page) -> None:
    generate(page, length=1500)
    page.locator("#write .sheet").evaluate("sheet => (sheet.scrollTop = 0)")
    press(page, "Continue")
    wait_for_text(page, length=3000)
    page.locator("#status").get_by_text("3,000 in total").wait_for()
    rest = "sheet => sheet.scrollHeight - sheet.scrollTop - sheet.clientHeight"
    assert page.locator("#write .sheet").evaluate(rest) < 40
