"""The keys: what Escape closes, and where the arrow keys start."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.app.page import playground as ui


@pytest.fixture
def running(page: Page) -> Page:
    """The page while it shows a text that takes long."""
    page.get_by_label("Pace").select_option("slow")
    ui.fill(page, length=500)
    ui.press(page, "Generate")
    ui.wait_for_text(page, more_than=3)
    return page


def is_running(page: Page) -> bool:
    return page.get_by_role("button", name="Stop", exact=True).is_enabled()


def test_escape_closes_the_topmost_thing_only(running: Page) -> None:
    ui.character(running, 1).hover()
    running.locator("#alternatives").wait_for()
    running.locator("#export summary").focus()
    running.keyboard.press("Enter")
    running.get_by_role("button", name="Copy as curl").wait_for()
    running.keyboard.press("Escape")
    assert running.get_by_role("button", name="Copy as curl").is_hidden()
    assert running.locator("#alternatives").is_visible()
    running.keyboard.press("Escape")
    assert running.locator("#alternatives").is_hidden()
    assert is_running(running)
    running.keyboard.press("Escape")
    assert not is_running(running)


def test_keys_of_an_input_method_do_nothing(running: Page) -> None:
    key = "new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, isComposing: true })"
    running.locator("#prime").evaluate(f"field => field.dispatchEvent({key})")
    assert is_running(running)


def test_the_menu_closes_when_the_focus_or_the_pointer_leaves_it(page: Page) -> None:
    curl = page.get_by_role("button", name="Copy as curl")
    page.locator("#export summary").click()
    curl.focus()
    page.locator("#length").focus()
    assert curl.is_hidden()
    page.locator("#export summary").click()
    curl.wait_for()
    page.locator("h1").click()
    assert curl.is_hidden()


def test_the_arrow_keys_start_at_the_beginning_of_a_new_text(page: Page) -> None:
    sheet = page.get_by_role("group", name="Generated text")
    ui.generate(page, length=300, seed=7)
    sheet.focus()
    page.keyboard.press("End")
    text = ui.generate(page, length=30, seed=8)
    sheet.focus()
    page.keyboard.press("ArrowRight")
    assert ui.content(page.locator(".c.highlighted")) == text[0]
    page.keyboard.press("End")
    ui.press(page, "Continue")
    ui.wait_for_text(page, length=60)
    sheet.focus()
    page.keyboard.press("ArrowRight")
    highlighted = "element => [...document.querySelectorAll('#text .c')].indexOf(element)"
    assert page.locator(".c.highlighted").evaluate(highlighted) == 30, "after the kept text"


def test_the_focus_moves_to_the_text_before_one_that_is_removed(page: Page) -> None:
    ui.press(page, "Compare")
    ui.press(page, "Compare with a third")
    for letter, before in (("C", "Generated text B"), ("B", "Generated text")):
        page.get_by_role("button", name=f"Remove text {letter}").focus()
        page.keyboard.press("Enter")
        assert ui.is_focused(page.get_by_role("group", name=before, exact=True))
