"""Steering: a cell is held while a second text is written beside the first one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

from model.checkpoints.checkpoint import load_checkpoint
from tests.app.page.playground import (
    api_text,
    content,
    fill,
    generate,
    is_focused,
    look_through,
    opened,
    press,
    text_of,
)
from tests.browser import needs_browser
from tests.conftest import SHIPPED
from tests.server import RunningServer

pytestmark = needs_browser

MINUS = "\u2212"

CLIPBOARD: dict[str, Any] = {"permissions": ["clipboard-read", "clipboard-write"]}


def tab_to(page: Page, element: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(40):
        if is_focused(element):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not reach the element")


def steer_by_mouse(page: Page) -> None:
    press(page, "Generate")
    page.locator("#status").get_by_text("500 characters").wait_for()
    page.locator("#write .lenses").get_by_text("Cells").click(force=True)
    page.locator("#columns figure").wait_for()
    slider = page.get_by_label("Hold at")
    box = slider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert slider.input_value() == "-3"


def steer_by_keyboard(page: Page) -> None:
    page.keyboard.press("Control+Enter")
    page.locator("#status").get_by_text("500 characters").wait_for()
    tab_to(page, page.get_by_role("radio", name="Surprisal"))
    page.keyboard.press("ArrowRight")
    page.locator("#columns figure").wait_for()
    slider = page.get_by_label("Hold at")
    tab_to(page, slider)
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    assert is_focused(slider)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("steer", [steer_by_mouse, steer_by_keyboard])
def test_from_opening_the_page_to_both_texts_side_by_side(
    browser: Browser, shipped: RunningServer, theme: Any, steer: Callable[[Page], None]
) -> None:
    first = load_checkpoint(SHIPPED).cells[0]
    with opened(browser, shipped.url, color_scheme=theme) as page:
        page.locator("#write-cell option").first.wait_for(state="attached")
        steer(page)
        second = page.locator(".column").nth(1)
        second.locator("figure").wait_for()
        assert page.get_by_label("Hold at").get_attribute("aria-valuetext") == f"{MINUS}3"
        held_at = f"cell {first.cell} of layer {first.layer} held at {MINUS}3"
        second.get_by_text(held_at).wait_for()
        seed = int(page.get_by_label("Seed").input_value())
        request = {"prime": "And Levin said,", "length": 500, "seed": seed}
        held = [{"layer": first.layer, "cell": first.cell, "value": -3}]
        texts = [content(text) for text in page.locator("#columns .text").all()]
        assert texts == [api_text(shipped, **request), api_text(shipped, **request, hold=held)]
        sheets = [sheet.bounding_box() for sheet in page.locator("#write .sheet").all()]
        assert sheets[0]["y"] == sheets[1]["y"], "they are side by side"  # type: ignore[index]


def steered(page: Page, **values: Any) -> list[str]:
    """Generate a text, hold the first cell at -1, and return both texts."""
    generate(page, **{"length": 60, "temperature": 1.5, "top_k": "", "seed": 7, **values})
    look_through(page, "Cells")
    page.locator("#columns figure").wait_for()
    hold_at(page, "-1")
    page.locator(".column").nth(1).locator("figure").wait_for()
    return texts_of(page)


def hold_at(page: Page, value: str) -> None:
    page.get_by_label("Hold at").fill(value)


def texts_of(page: Page) -> list[str]:
    return [content(text) for text in page.locator("#columns .text").all()]


@pytest.fixture
def open_page(browser: Browser, charted: RunningServer) -> Iterator[Page]:
    with opened(browser, charted.url, **CLIPBOARD) as page:
        page.get_by_text("LSTM over").wait_for()
        fill(page, prime="abc")
        yield page


def test_a_link_restores_the_lens_the_cell_and_the_held_value(
    browser: Browser, open_page: Page
) -> None:
    texts = steered(open_page)
    assert texts[0] != texts[1]
    with opened(browser, open_page.url) as other:
        other.locator(".column").nth(1).locator("figure").wait_for()
        assert texts_of(other) == texts
        assert other.get_by_role("radio", name="Cells").is_checked()
        assert other.get_by_label("Hold at").input_value() == "-1"
        assert other.get_by_label("Hold at").get_attribute("aria-valuetext") == f"{MINUS}1"
        other.get_by_text(f"cell 30 of layer 1 held at {MINUS}1").wait_for()
        press(other, "Generate")
        other.locator("#status").get_by_text("2 texts").wait_for()
        assert texts_of(other) == texts


def test_a_link_whose_first_text_holds_a_cell_gets_a_free_text_beside_it(
    browser: Browser, charted: RunningServer
) -> None:
    link = f"{charted.url}/#prime=abc&length=30&temperature=1.5&seed=7&hold=1:30:-1"
    with opened(browser, link) as page:
        page.locator("#status").get_by_text("2 texts").wait_for()
        request: dict[str, Any] = {"prime": "abc", "length": 30, "temperature": 1.5, "seed": 7}
        held = [{"layer": 1, "cell": 30, "value": -1}]
        texts = [api_text(charted, **request), api_text(charted, **request, hold=held)]
        assert texts_of(page) == texts
        press(page, "Generate")
        page.locator("#status").get_by_text("2 texts").wait_for()
        assert texts_of(page) == texts


def test_code_and_export_contain_the_held_cell(open_page: Page) -> None:
    steered(open_page)
    for label, words in (
        ("Copy as curl", '"hold":[{"layer":1,"cell":30,"value":-1}]'),
        ("Copy as Python", 'hold=[{"layer": 1, "cell": 30, "value": -1}]'),
    ):
        open_page.locator("#export summary").click()
        press(open_page, label)
        open_page.locator("#status").get_by_text("copied.").wait_for()
        assert open_page.evaluate("navigator.clipboard.readText()").count(words) == 1
    open_page.locator("#export summary").click()
    with open_page.expect_download() as download:
        press(open_page, "Download JSON")
    first, second = json.loads(Path(download.value.path()).read_text())["texts"]
    assert "hold" not in first["request"]
    assert second["request"]["hold"] == [{"layer": 1, "cell": 30, "value": -1}]


def test_the_slider_changes_the_second_text_only(open_page: Page, charted: RunningServer) -> None:
    first, _ = steered(open_page)
    hold_at(open_page, "2.5")
    open_page.get_by_text("held at +2.5").wait_for()
    open_page.locator("#status").get_by_text("60 characters").wait_for()
    wild: dict[str, Any] = {"prime": "abc", "length": 60, "seed": 7, "temperature": 1.5}
    held = [{"layer": 1, "cell": 30, "value": 2.5}]
    third = api_text(charted, **wild, top_k=None, hold=held)
    open_page.locator(".column").nth(1).locator("figure").wait_for()
    assert texts_of(open_page) == [first, third]
    press(open_page, "Remove text B")
    assert open_page.get_by_label("Hold at").get_attribute("aria-valuetext") == "not held"
    assert text_of(open_page) == first


def test_without_a_text_the_slider_writes_both(open_page: Page) -> None:
    fill(open_page, length=50)
    look_through(open_page, "Cells")
    hold_at(open_page, "1")
    open_page.locator("#status").get_by_text("2 texts").wait_for()
    assert all(len(text) == 50 for text in texts_of(open_page))


def test_a_steered_text_keeps_its_cell_when_it_is_continued(
    open_page: Page, charted: RunningServer
) -> None:
    _, second = steered(open_page)
    press(open_page, "Continue")
    open_page.locator("#status").get_by_text("2 texts").wait_for()
    held = [{"layer": 1, "cell": 30, "value": -1}]
    wild: dict[str, Any] = {"length": 60, "seed": 7, "temperature": 1.5, "top_k": None}
    more = api_text(charted, prime="abc" + second, **wild, hold=held)
    assert texts_of(open_page)[1] == second + more


def test_a_fourth_text_is_refused_with_what_to_do(open_page: Page) -> None:
    press(open_page, "Compare")
    press(open_page, "Compare with a third")
    look_through(open_page, "Cells")
    hold_at(open_page, "1")
    open_page.get_by_text("There is no room for another text. Remove one, then steer.").wait_for()
    assert open_page.get_by_label("Hold at").get_attribute("aria-valuetext") == "not held"


def test_steering_works_by_touch(browser: Browser, charted: RunningServer) -> None:
    phone: dict[str, Any] = {"has_touch": True, "viewport": {"width": 390, "height": 844}}
    with opened(browser, charted.url, **phone) as page:
        page.get_by_text("LSTM over").wait_for()
        generate(page, prime="abc", length=60)
        page.locator("#write .lenses").get_by_text("Cells").tap(force=True)
        page.locator("#columns figure").wait_for()
        page.get_by_label("Hold at").tap(position={"x": 12, "y": 8})
        page.locator(".column").nth(1).locator("figure").wait_for()
        assert len(texts_of(page)) == 2
        page.locator(".column").nth(1).locator("canvas").tap(position={"x": 60, "y": 20})
        page.locator(".column").nth(1).locator(".read-out", has_text="0.").wait_for()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width == 390, "nothing is wider than the window"
