"""Generating, stopping and continuing a text."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page

from tests.app.page import playground as ui
from tests.server import RunningServer


def test_the_text_grows_on_the_page_and_no_frame_takes_long(
    page: Page, server: RunningServer
) -> None:
    page.evaluate(
        """() => {
            window.sizes = [];
            const text = document.querySelector("#text");
            new MutationObserver(() => window.sizes.push(text.textContent.length)).observe(
                text, { childList: true, characterData: true, subtree: true },
            );
        }"""
    )
    ui.watch_frames(page)
    text = ui.generate(page, length=5000, seed=7)
    sizes, longest = page.evaluate("window.sizes"), ui.longest_frame(page)
    assert len(set(sizes)) >= 10, "the text came in many pieces"
    assert sizes == sorted(sizes)
    assert text == ui.api_text(server, prime="abc", length=5000, seed=7)
    print(f"the longest frame of 5,000 characters with scores took {longest:.0f} ms")
    assert longest < 1500  # about 100 on an idle machine


def test_stop_keeps_the_text_and_generate_starts_a_new_one(
    browser: Browser, one_slot: RunningServer
) -> None:
    with ui.opened(browser, one_slot.url) as page:
        ui.fill(page, prime="abc", length=100000)  # takes seconds, which leaves time to stop
        ui.press(page, "Generate")
        ui.wait_for_text(page, more_than=10)
        page.keyboard.press("Escape")
        size = len(ui.text_of(page))
        page.wait_for_timeout(200)
        assert len(ui.text_of(page)) == size
        page.get_by_text(f"Stopped after {size:,} characters.").wait_for()
        assert f"length={size}&" in page.url, "the link leads to the current text"
        assert len(ui.generate(page, length=20)) == 20


def test_every_control_changes_the_text(page: Page, server: RunningServer) -> None:
    wild: dict[str, Any] = {"length": 40, "temperature": 1.5, "seed": 2**63 - 1}
    text = ui.generate(page, top_k="", top_p="0.9", **wild)
    assert text == ui.api_text(server, prime="abc", top_k=None, top_p=0.9, **wild)
    text = ui.generate(page, top_k="", top_p="", min_p="0.3", **wild)
    assert text == ui.api_text(server, prime="abc", top_k=None, min_p=0.3, **wild)


def test_a_text_ends_before_a_stop_string(page: Page, server: RunningServer) -> None:
    whole = ui.generate(page, length=300, seed=7)
    stops = ["\\", "q\n", whole[20:23]]
    ui.fill(page, stop="\n".join(each.replace("\\", r"\\").replace("\n", r"\n") for each in stops))
    ui.press(page, "Generate")
    page.locator("#status").get_by_text(" before a stop string").wait_for()
    text = ui.text_of(page)
    assert text == ui.api_text(server, prime="abc", length=300, seed=7, stop=stops)
    assert len(text) <= 20
    page.reload()  # the link has the stop strings, too
    page.locator("#status").get_by_text(" before a stop string").wait_for()
    assert ui.text_of(page) == text


def test_a_text_matches_its_pattern(page: Page, server: RunningServer) -> None:
    pattern = r"[a-z]{20} [A-H]\W"
    ui.fill(page, length=300, seed=7, pattern=pattern)
    ui.press(page, "Generate")
    page.locator("#status").get_by_text("23 characters matching the pattern").wait_for()
    text = ui.text_of(page)
    assert text == ui.api_text(server, prime="abc", length=300, seed=7, pattern=pattern)
    page.reload()  # the link has the pattern, too
    page.locator("#status").get_by_text(" matching the pattern").wait_for()
    assert ui.text_of(page) == text


def test_an_empty_seed_differs_each_time_and_the_dice_fill_it_in(page: Page) -> None:
    assert ui.generate(page, length=40, seed="") != ui.generate(page, length=40, seed="")
    ui.press(page, "Choose a random seed")
    seed = page.get_by_label("Seed").input_value()
    assert seed.isdigit()
    assert page.get_by_text(f"seed {seed}").count() == 0
    page.keyboard.press("Control+Enter")
    page.get_by_text(f"seed {seed}").wait_for()


def test_continuing_a_text_uses_the_cache(page: Page, server: RunningServer) -> None:
    first = ui.generate(page, length=40, seed=3)
    ui.press(page, "Continue")
    ui.wait_for_text(page, length=80)
    page.locator("#status").get_by_text("40 characters added, 80 in total, ").wait_for()
    page.get_by_text("42 of 43").wait_for()  # characters of the prime came from the cache
    assert ui.text_of(page) == first + ui.api_text(server, prime="abc" + first, length=40, seed=3)
    assert page.locator("#text .c").count() == 80, "all are colored"


def test_generated_text_is_never_parsed_as_html(page: Page) -> None:
    ui.generate(page, prime="<b>&amp<script>", length=400, top_k="", temperature=3)
    assert "<" in ui.text_of(page)
    assert page.locator(".content :not(span)").count() == 0
    assert ui.content(page.locator("#columns .prime")) == "<b>&amp<script>"


def test_a_text_has_the_direction_of_its_script(page: Page) -> None:
    assert ui.generate(page, length=10)
    directions = ["textarea#prime", "textarea#passage", ".content"]
    assert all(page.locator(f"{each}[dir=auto]").count() for each in directions)
