"""The panel with the alternatives of a character."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from tests.app.page import playground as ui
from tests.server import RunningServer


def test_pointing_at_a_character_shows_alternatives_that_fork_the_text(
    page: Page, server: RunningServer
) -> None:
    text = ui.generate(page, length=30, seed=5)
    ui.character(page, 9).hover()
    panel = page.locator("#alternatives")
    params = {"prime": "abc" + text[:9], "text": text[9:], "logprobs": 8}
    scored = ui.answer(server, "/score", **params)["characters"][0]
    assert panel.get_by_role("button").count() == 8
    other = next(token for token, *_ in scored["top"] if token not in (text[9], " ", "\n"))
    panel.get_by_role("button", name=f"{other}, ").first.click()
    ui.wait_for_text(page, length=40)
    forked = text[:9] + other
    assert ui.text_of(page) == forked + ui.api_text(server, prime="abc" + forked, length=30, seed=5)
    page.get_by_text("30 characters").wait_for()
    assert "".join(page.locator(".text .kept").all_text_contents()) == forked
    page.go_back()
    ui.wait_for_text(page, length=30)
    assert ui.text_of(page) == text, "back leads to the text before"


def test_the_panel_marks_alternatives_that_the_filters_exclude(page: Page) -> None:
    ui.generate(page, length=30, seed=5, top_k=3)
    ui.fill(page, top_k=50)  # must not affect the text that is already there
    ui.character(page, 9).hover()
    panel = page.locator("#alternatives")
    panel.get_by_text("with top-k 3, temperature 1").wait_for()
    panel.get_by_text("Excluded by the filters:").wait_for()
    assert panel.locator("button").count() == 8
    assert panel.locator("li").nth(4).inner_text().startswith("Excluded by the filters")
    assert panel.locator("button.excluded").count() == 5
    assert panel.get_by_role("button", name="excluded by the filters").count() == 5


def test_a_resting_pointer_does_not_open_the_panel(
    browser: Browser, shipped: RunningServer
) -> None:
    with ui.opened(browser, shipped.url, viewport={"width": 1366, "height": 650}) as page:
        page.locator("#write .sheet").hover()
        ui.fill(page, length=100_000)
        page.keyboard.press("Control+Enter")
        ui.wait_for_text(page, more_than=3000)  # the text has scrolled by then
        assert page.locator("#alternatives").is_hidden()
        page.keyboard.press("Escape")
        page.locator("#status").get_by_text("Stopped after").wait_for()


def test_the_panel_can_be_scrolled_in_a_small_window(page: Page) -> None:
    ui.generate(page, length=300, seed=7)
    page.set_viewport_size({"width": 568, "height": 320})
    ui.character(page, 100).scroll_into_view_if_needed()
    ui.character(page, 100).hover()
    panel, last = page.locator("#alternatives"), page.locator("#alternatives button").last
    panel.wait_for()
    last.focus()
    page.wait_for_timeout(100)
    box, area = ui.box_of(last), ui.box_of(panel)
    assert area["y"] <= box["y"] <= area["y"] + area["height"] - box["height"]


def test_the_panel_opens_for_a_new_text_under_the_pointer(page: Page) -> None:
    ui.generate(page, length=300, seed=7)
    ui.character(page, 40).hover()
    page.locator("#alternatives").wait_for()
    ui.fill(page, seed=8)
    page.keyboard.press("Control+Enter")
    page.locator("#status").get_by_text("seed 8").wait_for()
    assert page.locator("#alternatives").is_hidden()
    box = ui.box_of(ui.character(page, 40))
    for step in range(1, 5):
        page.mouse.move(box["x"] + 2, box["y"] + step)
    page.locator("#alternatives").wait_for()


def test_the_panel_is_beside_a_wide_text_and_stays_after_a_click(page: Page) -> None:
    page.set_viewport_size({"width": 1366, "height": 800})
    text = ui.generate(page, length=300, seed=7)
    panel, title = page.locator("#alternatives"), page.locator("#alternatives .title strong")
    ui.character(page, 10).click()
    place = ui.box_of(panel)
    assert place["x"] > ui.box_of(page.locator("#write .sheet"))["x"] + 600
    ui.character(page, 200).hover()
    page.wait_for_timeout(500)
    assert (title.inner_text(), ui.box_of(panel)) == (text[10], place), "the pointer passes by"
    ui.character(page, 200).click()
    ui.wait_until(page, lambda: title.inner_text() == text[200])
    page.keyboard.press("Escape")
    assert panel.is_hidden()


@pytest.mark.parametrize("size", [(1366, 650), (1100, 650), (568, 320), (390, 600)])
def test_the_panel_does_not_cover_its_character(page: Page, size: tuple[int, int]) -> None:
    ui.generate(page, length=700, seed=7)
    width, height = size
    page.set_viewport_size({"width": width, "height": height})
    panel = page.locator("#alternatives")
    for index in range(0, 700, 90):
        page.mouse.move(1, 1)
        panel.wait_for(state="hidden")  # else the panel of the last character is measured
        ui.character(page, index).scroll_into_view_if_needed()
        ui.character(page, index).hover()
        panel.wait_for()
        box, area = ui.box_of(ui.character(page, index)), ui.box_of(panel)
        beneath, above = area["y"] >= box["y"], area["y"] + area["height"] <= box["y"] + 1
        beside = area["x"] >= box["x"] + box["width"]
        assert beside if width >= 1200 else beneath or above
        assert area["y"] >= 0
        if area["height"] > 96:
            assert area["y"] + area["height"] <= height


def test_a_chosen_character_stays_visible(page: Page) -> None:
    page.set_viewport_size({"width": 1366, "height": 650})
    ui.generate(page, length=2000, seed=7)
    ui.character(page, 20).scroll_into_view_if_needed()
    ui.character(page, 20).hover()
    page.locator("#alternatives button").nth(6).click()
    page.locator("#status").get_by_text("2,000 characters").wait_for()
    chosen, sheet = ui.box_of(page.locator(".c.chosen")), ui.box_of(page.locator("#write .sheet"))
    assert sheet["y"] <= chosen["y"] <= sheet["y"] + sheet["height"]


def test_the_panel_closes_when_it_loses_the_focus(page: Page) -> None:
    ui.generate(page, length=30, seed=5)
    page.get_by_role("group", name="Generated text").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    while page.locator("#alternatives").is_visible():
        page.keyboard.press("Tab")
    assert ui.is_focused(page.locator("a[href=docs]"))


def test_the_panel_can_be_used_with_the_keyboard(page: Page) -> None:
    text = ui.generate(page, length=30, seed=5)
    sheet = page.get_by_role("group", name="Generated text")
    sheet.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert ui.content(page.locator(".c.highlighted")) == text[1]
    assert page.locator("#announcer").inner_text().count("%") == 4
    page.keyboard.press("Enter")
    assert ui.is_focused(page.locator("#alternatives button.current"))
    page.keyboard.press("ArrowDown")
    assert page.locator("#alternatives button:not(.current):focus").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#alternatives").is_hidden()
    assert ui.is_focused(sheet)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    ui.wait_for_text(page, length=33)
    assert ui.text_of(page)[:2] == text[:2]


def test_the_panel_can_show_the_probability_after_all_filters(page: Page) -> None:
    ui.generate(page, length=30, seed=5, top_k=2)
    page.evaluate(
        """async () => {
            const { show } = await import("/static/text/alternatives.js");
            const top = [["a", -0.5, 0.75], ["b", -1, 0.25], ["c", -3, 0]];
            const record = { token: "b", logprob: -1, rank: 2, entropy: 1, top, settings: {} };
            const sheet = document.querySelector("#write .sheet");
            show(document.querySelector("#text .c"), record, { sheet, onHide() {} });
        }"""
    )
    panel = page.locator("#alternatives")
    assert panel.locator("li").all_inner_texts() == [
        "model\ndrawn",
        "a\n61%\n75%",
        "b\n37%\n25%",
        "Excluded by the filters:",
        "c\n5.0%\n0%",
    ]
    names = [
        "a, 61%, drawn at 75%: ",
        "b, 37%, drawn at 25%, in the text: ",
        "excluded by the filters",
    ]
    for name in names:
        assert panel.get_by_role("button", name=name).count() == 1


@ui.on_a_phone
def test_a_tap_opens_the_panel(page: Page) -> None:
    ui.generate(page, length=30)
    ui.character(page, 4).tap()
    page.locator("#alternatives").wait_for()
    page.locator("h1").tap()
    assert page.locator("#alternatives").is_hidden()
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide)
