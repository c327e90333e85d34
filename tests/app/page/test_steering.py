"""Steering: a cell is held while a second text is written beside the first one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

from model.checkpoints.checkpoint import load_checkpoint
from tests.app.page import playground as ui
from tests.conftest import SHIPPED
from tests.server import RunningServer


@pytest.fixture
def page(charted_page: Page) -> Page:
    return charted_page


def tab_to(page: Page, element: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(40):
        if ui.is_focused(element):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not reach the element")


def steer_by_mouse(page: Page) -> None:
    ui.press(page, "Generate")
    page.locator("#status").get_by_text("500 characters").wait_for()
    page.locator("#write .lenses").get_by_text("Cells").click(force=True)
    page.locator("#columns figure").wait_for()
    slider = page.get_by_label("Hold at")
    box = ui.box_of(slider)
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
    assert ui.is_focused(slider)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("steer", [steer_by_mouse, steer_by_keyboard])
def test_from_opening_the_page_to_both_texts_side_by_side(
    browser: Browser, shipped: RunningServer, theme: Any, steer: Callable[[Page], None]
) -> None:
    first = load_checkpoint(SHIPPED).cells[0]
    with ui.opened(browser, shipped.url, color_scheme=theme) as page:
        page.locator("#write-cell option").first.wait_for(state="attached")
        steer(page)
        second = page.locator(".column").nth(1)
        second.locator("figure").wait_for()
        assert page.get_by_label("Hold at").get_attribute("aria-valuetext") == f"{ui.MINUS}3"
        held_at = f"cell {first.cell} of layer {first.layer} held at {ui.MINUS}3"
        second.get_by_text(held_at).wait_for()
        seed = int(page.get_by_label("Seed").input_value())
        request = {"prime": "And Levin said,", "length": 500, "seed": seed}
        held = [{"layer": first.layer, "cell": first.cell, "value": -3}]
        texts = [ui.api_text(shipped, **request), ui.api_text(shipped, **request, hold=held)]
        assert ui.texts_of(page) == texts
        tops = {ui.box_of(sheet)["y"] for sheet in page.locator("#write .sheet").all()}
        assert len(tops) == 1, "they are side by side"


def steered(page: Page, **values: Any) -> list[str]:
    """Generate a text, hold the first cell at -1, and return both texts."""
    ui.generate(page, **{"length": 60, "temperature": 1.5, "top_k": "", "seed": 7, **values})
    ui.look_through(page, "Cells")
    page.locator("#columns figure").wait_for()
    hold_at(page, "-1")
    page.locator(".column").nth(1).locator("figure").wait_for()
    return ui.texts_of(page)


def hold_at(page: Page, value: str) -> None:
    page.get_by_label("Hold at").fill(value)


def test_a_link_restores_the_lens_the_cell_and_the_held_value(browser: Browser, page: Page) -> None:
    texts = steered(page)
    assert texts[0] != texts[1]
    with ui.opened(browser, page.url) as other:
        other.locator(".column").nth(1).locator("figure").wait_for()
        assert ui.texts_of(other) == texts
        assert other.get_by_role("radio", name="Cells").is_checked()
        assert other.get_by_label("Hold at").input_value() == "-1"
        assert other.get_by_label("Hold at").get_attribute("aria-valuetext") == f"{ui.MINUS}1"
        other.locator("#columns").get_by_text(f"cell 30 of layer 1 held at {ui.MINUS}1").wait_for()
        ui.generate_texts(other, 2)
        assert ui.texts_of(other) == texts


def test_a_link_whose_first_text_holds_a_cell_gets_a_free_text_beside_it(
    browser: Browser, charted: RunningServer
) -> None:
    link = f"{charted.url}/#prime=abc&length=30&temperature=1.5&seed=7&hold=1:30:-1"
    with ui.opened(browser, link) as page:
        page.locator("#status").get_by_text("2 texts").wait_for()
        request: dict[str, Any] = {"prime": "abc", "length": 30, "temperature": 1.5, "seed": 7}
        held = [{"layer": 1, "cell": 30, "value": -1}]
        texts = [ui.api_text(charted, **request), ui.api_text(charted, **request, hold=held)]
        assert ui.texts_of(page) == texts
        ui.generate_texts(page, 2)
        assert ui.texts_of(page) == texts


@ui.with_clipboard
def test_code_and_export_contain_the_held_cell(page: Page) -> None:
    steered(page)
    for label, words in (
        ("Copy as curl", '"hold":[{"layer":1,"cell":30,"value":-1}]'),
        ("Copy as Python", 'hold=[{"layer": 1, "cell": 30, "value": -1}]'),
    ):
        assert ui.copied(page, label).count(words) == 1
    first, second = json.loads(ui.saved(page, "Download JSON"))["texts"]
    assert "hold" not in first["request"]
    assert second["request"]["hold"] == [{"layer": 1, "cell": 30, "value": -1}]


def test_the_slider_changes_the_second_text_only(page: Page, charted: RunningServer) -> None:
    first, _ = steered(page)
    hold_at(page, "2.5")
    page.locator("#columns").get_by_text("held at +2.5").wait_for()
    page.locator("#status").get_by_text("60 characters").wait_for()
    wild: dict[str, Any] = {"prime": "abc", "length": 60, "seed": 7, "temperature": 1.5}
    held = [{"layer": 1, "cell": 30, "value": 2.5}]
    third = ui.api_text(charted, **wild, top_k=None, hold=held)
    page.locator(".column").nth(1).locator("figure").wait_for()
    assert ui.texts_of(page) == [first, third]
    ui.press(page, "Remove text B")
    assert page.get_by_label("Hold at").get_attribute("aria-valuetext") == "not held"
    assert ui.text_of(page) == first


def test_without_a_text_the_slider_writes_both(page: Page) -> None:
    ui.fill(page, length=50)
    ui.look_through(page, "Cells")
    hold_at(page, "1")
    page.locator("#status").get_by_text("2 texts").wait_for()
    assert all(len(text) == 50 for text in ui.texts_of(page))


def test_a_steered_text_keeps_its_cell_when_it_is_continued(
    page: Page, charted: RunningServer
) -> None:
    _, second = steered(page)
    ui.press(page, "Continue")
    page.locator("#status").get_by_text("2 texts").wait_for()
    held = [{"layer": 1, "cell": 30, "value": -1}]
    wild: dict[str, Any] = {"length": 60, "seed": 7, "temperature": 1.5, "top_k": None}
    more = ui.api_text(charted, prime="abc" + second, **wild, hold=held)
    assert ui.texts_of(page)[1] == second + more


def test_a_fourth_text_is_refused_with_what_to_do(page: Page) -> None:
    ui.press(page, "Compare")
    ui.press(page, "Compare with a third")
    ui.look_through(page, "Cells")
    hold_at(page, "1")
    page.get_by_text("There is no room for another text. Remove one, then steer.").wait_for()
    assert page.get_by_label("Hold at").get_attribute("aria-valuetext") == "not held"


@ui.on_a_phone
def test_steering_works_by_touch(page: Page) -> None:
    ui.generate(page, length=60)
    page.locator("#write .lenses").get_by_text("Cells").tap(force=True)
    page.locator("#columns figure").wait_for()
    page.get_by_label("Hold at").tap(position={"x": 12, "y": 8})
    second = page.locator(".column").nth(1)
    second.locator("figure").wait_for()
    assert len(ui.texts_of(page)) == 2
    second.locator("canvas").tap(position={"x": 60, "y": 20})
    second.locator(".read-out", has_text="0.").wait_for()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == 390, "nothing is wider than the window"
