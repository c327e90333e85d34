"""Texts side by side, with different sampling settings."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page

from tests.app.page import playground as ui
from tests.server import RunningServer


def test_removing_a_text_does_not_stop_the_others(browser: Browser, shipped: RunningServer) -> None:
    with ui.opened(browser, shipped.url) as page:
        ui.press(page, "Compare")
        ui.fill(page, length=15_000)
        ui.press(page, "Generate")
        ui.wait_for_text(page, more_than=100)
        ui.press(page, "Remove text B")
        page.locator("#status").get_by_text("15,000 characters").wait_for(timeout=120_000)


@ui.failures_expected
def test_an_error_shared_by_all_compared_texts_is_shown_once(page: Page) -> None:
    ui.press(page, "Compare")
    ui.fill(page, prime="Ж", length=10)
    ui.press(page, "Generate")
    page.locator("#status").get_by_text("Invalid input: check Prime.").wait_for()


def test_settings_are_compared_on_the_same_seed(page: Page, server: RunningServer) -> None:
    ui.fill(page, length=60)
    ui.press(page, "Compare")
    ui.press(page, "Compare with a third")
    ui.generate_texts(page, 3)
    seed = int(page.locator("#status").inner_text().split()[-1].rstrip("."))
    texts = ui.texts_of(page)
    kinds: list[dict[str, Any]] = [{}, {"top_k": 1}, {"top_k": None, "temperature": 1.2}]
    assert texts == [
        ui.api_text(server, prime="abc", length=60, seed=seed, **kind) for kind in kinds
    ]


def test_a_text_says_whose_settings_it_has(page: Page) -> None:
    ui.fill(page, length=60)
    ui.press(page, "Compare")
    page.get_by_text("Begins with top-k 1").wait_for()
    assert page.get_by_text("Uses the settings of the main form.").count() == 1
    ui.generate_texts(page, 2)
    page.reload()
    page.locator("#status").get_by_text("2 texts").wait_for()
    assert page.get_by_text("Uses the settings of the main form.").count() == 1, "of text A only"
    assert page.get_by_text("Begins with top-k 1").is_hidden()


def test_an_existing_text_is_kept_for_comparison(page: Page) -> None:
    text = ui.generate(page, length=60)
    ui.press(page, "Compare")
    ui.generate_texts(page, 2)
    assert ui.text_of(page) == text
    ui.press(page, "Remove text B")
    assert page.get_by_label("Seed").input_value() == "", "it was not typed"


def test_a_forked_text_shows_its_own_seed(page: Page) -> None:
    ui.fill(page, length=60)
    ui.press(page, "Compare")
    ui.generate_texts(page, 2)
    page.locator(".column").nth(1).locator(".c").nth(9).click()
    page.locator("#alternatives button").first.click()
    page.locator("#status").get_by_text("60 characters").wait_for()
    seed = page.locator("#status").inner_text().split()[-1].rstrip(".")
    assert f"2.seed={seed}" in page.evaluate("location.hash")


def test_compared_texts_are_shown_from_their_beginnings(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    ui.fill(page, length=1600)
    left = ui.box_of(page.locator("#prime"))
    ui.press(page, "Compare")
    ui.press(page, "Compare with a third")
    ui.generate_texts(page, 3)
    sheets = page.locator("#write .sheet")
    assert [sheet.evaluate("sheet => sheet.scrollTop") for sheet in sheets.all()] == [0, 0, 0]
    assert ui.box_of(page.locator("#prime")) == left, "the form stays where it is"
    tops = {ui.box_of(sheet)["y"] for sheet in sheets.all()}
    assert len(tops) == 1, "the texts are side by side"
    table = page.get_by_role("table", name="Comparison")
    assert table.get_by_role("columnheader").all_inner_texts() == ["A", "B", "C"]
    table.get_by_role("row", name="Model tiny tiny tiny").wait_for()
    heads = table.get_by_role("rowheader")
    assert [head.text_content() for head in heads.all()] == [
        "Model",
        "What it is",
        "Bits per character of its validation text",
        "Settings",
        "bits per character here",
        "characters",
        "characters per second",
    ]
    assert len({ui.box_of(head)["x"] for head in heads.all()}) == 1
    assert table.get_by_role("row", name="characters 1,600 1,600 1,600").count() == 1
    ui.press(page, "Continue")
    ui.wait_for_text(page, length=3200)
    assert sheets.first.evaluate("sheet => sheet.scrollTop") > 0, "what was added is in view"


@ui.on_a_phone
def test_a_phone_shows_the_first_of_the_compared_texts(page: Page) -> None:
    ui.generate(page, length=500)
    ui.press(page, "Compare")
    ui.generate_texts(page, 2)
    assert 0 <= ui.box_of(page.locator("#write .sheet").first)["y"] < 500


def test_a_continued_text_stays_in_view(page: Page) -> None:
    ui.generate(page, length=1500)
    page.locator("#write .sheet").evaluate("sheet => (sheet.scrollTop = 0)")
    ui.press(page, "Continue")
    ui.wait_for_text(page, length=3000)
    page.locator("#status").get_by_text("3,000 in total").wait_for()
    rest = "sheet => sheet.scrollHeight - sheet.scrollTop - sheet.clientHeight"
    assert page.locator("#write .sheet").evaluate(rest) < 40
