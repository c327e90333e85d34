"""Scoring a passage, and adding scores to a generated text."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.app.page.playground import (
    character,
    content,
    fill,
    generate,
    held_request,
    is_focused,
    look_through,
    opened,
    press,
    text_of,
)
from tests.browser import needs_browser
from tests.server import RunningServer, running_server

pytestmark = needs_browser


def test_a_text_is_scored_only_when_a_lens_is_chosen(page: Page) -> None:
    look_through(page, "Off")
    text = generate(page, length=50, seed=2)
    assert page.locator("#text .c").count() == 0
    look_through(page, "Surprisal")
    character(page, 49).wait_for()
    assert text_of(page) == text
    page.locator("#columns").get_by_text("bits per character").wait_for()
    assert page.locator("#columns canvas").is_visible()


def test_a_new_text_ends_the_request_for_scores_of_the_one_before(page: Page) -> None:
    page.route("**/score", lambda _: None)  # no response
    look_through(page, "Off")
    generate(page, length=50, seed=2)
    look_through(page, "Surprisal")
    page.locator("#status").get_by_text("Scoring the text…").wait_for()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/score")):
        text = generate(page, length=60, seed=3)
    page.unroute("**/score")
    assert text_of(page) == text
    character(page, 59).wait_for()


def test_colors_that_cannot_be_loaded_can_be_requested_again(
    browser: Browser, server: RunningServer
) -> None:
    with opened(browser, server.url, expect_failures=True) as page:
        status, again = page.locator("#status"), page.get_by_role("button", name="Try again")
        look_through(page, "Off")
        generate(page, prime="abc", length=50)
        summary = status.inner_text()
        page.route("**/score", lambda route: route.abort(), times=1)
        look_through(page, "Surprisal")
        status.get_by_text("The colors could not be loaded. The server cannot be").wait_for()
        again.focus()
        request = held_request(page, "**/score", lambda: page.keyboard.press("Enter"))
        status.get_by_text("Scoring the text…").wait_for()
        assert is_focused(status), "the button has disappeared"
        request.continue_()
        character(page, 49).wait_for()
        assert again.is_hidden()
        status.get_by_text(summary).wait_for()


def test_the_summary_of_a_text_returns_when_its_colors_are_loaded(page: Page) -> None:
    look_through(page, "Off")
    generate(page, length=50)
    summary = page.locator("#status").inner_text()
    request = held_request(page, "**/score", lambda: look_through(page, "Surprisal"))
    page.locator("#status").get_by_text("Scoring the text…").wait_for()
    request.continue_()
    page.locator("#status").get_by_text(summary).wait_for()


def test_scoring_can_be_stopped(page: Page) -> None:
    page.get_by_role("tab", name="Score").click()
    page.get_by_label("Passage").fill("abc")
    page.route("**/score", lambda _: None)  # no response
    press(page, "Score")
    page.locator("#score-status").get_by_text("Scoring").wait_for()
    press(page, "Stop")
    page.locator("#score-status").get_by_text("Stopped.").wait_for()
    assert page.locator("#score-stop").is_disabled()


def test_back_from_a_passage_leads_to_the_tab_before(page: Page) -> None:
    page.get_by_role("tab", name="Score").click()
    page.get_by_label("Passage").fill("abc")
    press(page, "Score")
    page.locator("#score-status").get_by_text("3 characters").wait_for()
    page.go_back()
    page.get_by_role("tab", name="Write", selected=True).wait_for()
    assert page.get_by_label("Prime").is_visible()
    page.go_forward()
    page.get_by_role("tab", name="Score", selected=True).wait_for()


def test_a_passage_that_is_too_long_is_refused_with_the_limit(
    browser: Browser, tiny_path: Path
) -> None:
    too_long = "This passage is too long for this server. Score a shorter part"
    longest = ("a" * 399 + "\n") * 100
    with (
        running_server(tiny_path, max_prime="20000") as server,
        opened(browser, server.url, expect_failures=True) as page,
    ):
        page.get_by_text("LSTM over").wait_for()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.get_by_role("tab", name="Score").click()
        page.get_by_label("Passage").fill(longest + "a")
        press(page, "Score")
        error = page.locator("#text-error")
        error.get_by_text(f"{too_long}: at most 40,000 characters.", exact=True).wait_for()
        assert not requests
        page.get_by_label("Passage").fill(longest)
        press(page, "Score")
        page.locator("#score-status").get_by_text("40,000 characters, ").wait_for()
        # Without the card, the page does not know the limit.
        page.route("**/info", lambda route: route.abort())
        page.goto(server.url)
        page.get_by_text("The model card could not be read.").wait_for()
        page.get_by_role("tab", name="Score").click()
        page.get_by_label("Passage").fill(longest + "a")
        press(page, "Score")
        error.get_by_text(f"{too_long}.", exact=True).wait_for()


def test_one_character_is_counted_in_the_singular(page: Page) -> None:
    fill(page, length=1)
    press(page, "Generate")
    page.locator("#status").get_by_text(re.compile("^1 character, ")).wait_for()
    press(page, "Continue")
    page.locator("#status").get_by_text("1 character added, 2 in total").wait_for()
    page.get_by_role("tab", name="Score").click()
    page.get_by_label("Passage").fill("a")
    press(page, "Score")
    page.locator("#score-status").get_by_text(re.compile("^1 character, ")).wait_for()


def test_a_mistake_of_the_page_is_logged_and_not_shown(page: Page) -> None:
    page.evaluate("console.error = (error) => { window.logged = String(error); }")
    page.route("**/score", lambda route: route.fulfill(json={}))
    page.get_by_role("tab", name="Score").click()
    page.get_by_label("Passage").fill("abc")
    press(page, "Score")
    page.locator("#score-status").get_by_text("An unexpected error occurred.").wait_for()
    assert page.evaluate("window.logged").startswith("TypeError: ")


def test_a_passage_is_scored_and_continued(page: Page, server: RunningServer) -> None:
    page.get_by_role("tab", name="Score").click()
    passage = "a cab (feed) bad\ncafe"
    page.get_by_label("Passage").fill(passage)
    page.keyboard.press("Control+Enter")
    page.get_by_text(f"{len(passage)} characters, ").wait_for()
    with server.client() as client:
        expected = client.post("/score", json={"text": passage}).json()["bits_per_character"]
    page.locator("#scored").get_by_text(f"{expected:.2f}").wait_for()
    assert content(page.locator("#scored .text")) == passage
    page.keyboard.press("Escape")
    page.get_by_text(f"{len(passage)} characters, ").wait_for()
    assert page.evaluate("location.hash").startswith("#passage=a+cab")
    page.locator("#scored .c").nth(6).click()
    page.locator("#alternatives button").first.click()
    page.get_by_text("500 characters").wait_for()
    assert content(page.locator("#columns .prime")) == passage[:6]


def test_a_failed_score_says_so_and_keeps_both_texts(
    browser: Browser, server: RunningServer
) -> None:
    with opened(browser, server.url, expect_failures=True) as page:
        page.get_by_role("tab", name="Score").click()
        passage, status = page.get_by_label("Passage"), page.locator("#score-status")
        note = page.get_by_text("The text below is the passage that was scored before.")
        passage.fill("abc")
        press(page, "Score")
        status.get_by_text("3 characters").wait_for()
        passage.fill("abЖ")
        press(page, "Score")
        status.get_by_text("Invalid input: check Passage.").wait_for()
        assert note.is_visible()
        page.route("**/score", lambda route: route.fulfill(body="<html>"))
        passage.fill("abcd")
        press(page, "Score")
        status.get_by_text("a response that this page cannot read").wait_for()
        assert note.is_visible()
        assert passage.input_value() == "abcd"
        assert content(page.locator("#scored .text")) == "abc"
        page.unroute("**/score")
        press(page, "Score")
        status.get_by_text("4 characters").wait_for()
        assert note.is_hidden()
