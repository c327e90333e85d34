"""The pace at which the page shows a text."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.app.page import playground as ui
from tests.server import RunningServer

MOVING: dict[str, Any] = {"reduced_motion": "no-preference"}


def status(page: Page) -> str:
    return page.locator("#status").inner_text()


def test_the_text_grows_at_the_chosen_pace_and_both_rates_are_shown(
    page: Page, server: RunningServer
) -> None:
    page.get_by_label("Pace").select_option("reading")
    ui.fill(page, length=50, seed=7)
    ui.press(page, "Generate")
    page.locator("#status").get_by_text("Shown at 25 per second…").wait_for()
    assert re.match(r"Received at [\d,]+ characters per second\.", status(page))
    assert len(ui.text_of(page)) < 50
    page.locator("#status").get_by_text("50 characters").wait_for()
    words = r"50 characters, [\d,]+ per second from the server, shown at (\d+) per second, seed 7\."
    shown = re.fullmatch(words, status(page))
    assert shown is not None
    assert 10 <= int(shown[1]) <= 27  # 25; less if the machine is busy
    assert ui.text_of(page) == ui.api_text(server, prime="abc", length=50, seed=7)


def test_stop_ends_a_paced_text_at_the_character_that_is_visible(
    page: Page, server: RunningServer
) -> None:
    page.get_by_label("Pace").select_option("slow")
    ui.fill(page, length=500, seed=7)
    ui.press(page, "Generate")
    page.locator("#status").get_by_text("Shown at 5 per second…").wait_for()
    ui.wait_for_text(page, more_than=3)
    ui.press(page, "Stop")
    stopped = ui.text_of(page)
    page.get_by_text(f"Stopped after {len(stopped)} characters.").wait_for()
    page.wait_for_timeout(500)
    assert ui.text_of(page) == stopped
    assert stopped == ui.api_text(server, prime="abc", length=len(stopped), seed=7)
    page.get_by_label("Pace").select_option("instant")
    ui.press(page, "Continue")
    page.locator("#status").get_by_text("500 characters added").wait_for()
    assert ui.text_of(page).startswith(stopped)


def test_a_paced_text_can_be_shown_at_once(page: Page) -> None:
    page.get_by_label("Pace").select_option("slow")
    ui.fill(page, length=500)
    ui.press(page, "Generate")
    page.locator("#status").get_by_text("Shown at 5 per second…").wait_for()
    start = time.monotonic()
    page.get_by_label("Pace").select_option("instant")
    page.locator("#status").get_by_text("500 characters").wait_for()
    assert time.monotonic() - start < 20  # it would take 100 seconds


def test_the_browser_remembers_the_pace_that_was_chosen_with_the_keyboard(page: Page) -> None:
    pace = page.get_by_label("Pace")
    assert pace.input_value() == "instant"
    pace.focus()
    for expected in ("reading", "slow"):
        page.keyboard.press("ArrowUp")
        assert pace.input_value() == expected
    page.reload()
    assert pace.input_value() == "slow"


def test_the_link_keeps_the_pace(browser: Browser, page: Page, server: RunningServer) -> None:
    page.get_by_label("Pace").select_option("reading")
    ui.fill(page, length=10)
    ui.press(page, "Generate")
    page.locator("#status").get_by_text("10 characters").wait_for()
    paced = page.url
    assert paced.endswith("&pace=reading")
    with ui.opened(browser, paced, **MOVING) as other:
        assert other.get_by_label("Pace").input_value() == "reading"
        other.locator("#status").get_by_text("shown at").wait_for()
    page.get_by_label("Pace").select_option("instant")
    assert page.url == paced.removesuffix("&pace=reading")
    with ui.opened(browser, f"{server.url}/#prime=abc&length=10&pace=wrong", **MOVING) as other:
        assert other.get_by_label("Pace").input_value() == "instant"


@pytest.mark.parametrize("chosen", [False, True])
def test_reduced_motion_overrides_a_link_but_not_the_user(
    browser: Browser, server: RunningServer, chosen: bool
) -> None:
    with ui.opened(browser, f"{server.url}/") as page:
        if chosen:
            page.get_by_label("Pace").select_option("reading")
        page.goto(f"{server.url}/#prime=abc&length=20&pace=slow")
        page.locator("#status").get_by_text("20 characters").wait_for()
        expected = "reading" if chosen else "instant"
        assert page.get_by_label("Pace").input_value() == expected


def test_the_pace_holds_for_characters_that_arrive_one_by_one(page: Page) -> None:
    page.get_by_label("Pace").select_option("slow")
    counts = page.evaluate(
        """async () => {
            const { PacedBuffer } = await import("/static/text/paced_buffer.js");
            let now = 1000;
            performance.now = () => now;
            const buffer = new PacedBuffer();
            const count = (milliseconds, isArriving) => {
                let taken = 0;
                for (const end = now + milliseconds; now < end; now += 20) {
                    if (isArriving) buffer.add([{ token: "a" }]);
                    taken += buffer.take().length;
                }
                return taken;
            };
            return [count(2000, true), count(8000, false), count(60_000, false)];
        }"""
    )
    assert counts[0] in (10, 11)
    assert counts[1] in (40, 41)
    assert sum(counts) == 100
