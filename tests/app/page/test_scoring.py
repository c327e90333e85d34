"""Scoring a passage, and adding scores to a generated text."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.app.page import playground as ui
from tests.server import RunningServer, running_server


def test_a_text_is_scored_only_when_a_lens_is_chosen(page: Page) -> None:
    ui.look_through(page, "Off")
    text = ui.generate(page, length=50, seed=2)
    assert page.locator("#text .c").count() == 0
    ui.look_through(page, "Surprisal")
    ui.character(page, 49).wait_for()
    assert ui.text_of(page) == text
    page.locator("#columns").get_by_text("bits per character").wait_for()
    assert page.locator("#columns canvas").is_visible()


def test_a_new_text_ends_the_request_for_scores_of_the_one_before(page: Page) -> None:
    page.route("**/score", lambda _: None)  # no response
    ui.look_through(page, "Off")
    ui.generate(page, length=50, seed=2)
    ui.look_through(page, "Surprisal")
    page.locator("#status").get_by_text("Scoring the text…").wait_for()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/score")):
        text = ui.generate(page, length=60, seed=3)
    page.unroute("**/score")
    assert ui.text_of(page) == text
    ui.character(page, 59).wait_for()


@ui.failures_expected
def test_colors_that_cannot_be_loaded_can_be_requested_again(
    page: Page, server: RunningServer
) -> None:
    status, again = page.locator("#status"), page.get_by_role("button", name="Try again")
    ui.look_through(page, "Off")
    ui.generate(page, length=50)
    summary = status.inner_text()
    page.route("**/score", lambda route: route.abort(), times=1)
    ui.look_through(page, "Surprisal")
    status.get_by_text("The colors could not be loaded. The server cannot be").wait_for()
    again.focus()
    request = ui.held_request(page, "**/score", lambda: page.keyboard.press("Enter"))
    status.get_by_text("Scoring the text…").wait_for()
    assert ui.is_focused(status), "the button has disappeared"
    request.continue_()
    ui.character(page, 49).wait_for()
    assert again.is_hidden()
    status.get_by_text(summary).wait_for()


def test_scoring_can_be_stopped(page: Page) -> None:
    page.get_by_role("tab", name="Score").click()
    page.get_by_label("Passage").fill("abc")
    page.route("**/score", lambda _: None)  # no response
    ui.press(page, "Score")
    page.locator("#score-status").get_by_text("Scoring").wait_for()
    ui.press(page, "Stop")
    page.locator("#score-status").get_by_text("Stopped.").wait_for()
    assert page.locator("#score-stop").is_disabled()


def test_back_from_a_passage_leads_to_the_tab_before(page: Page) -> None:
    ui.score(page, "abc")
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
        ui.opened(browser, server.url, expect_failures=True) as page,
    ):
        page.locator("#card dl").wait_for()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        ui.score(page, longest + "a")
        error = page.locator("#text-error")
        error.get_by_text(f"{too_long}: at most 40,000 characters.", exact=True).wait_for()
        assert not requests
        page.get_by_label("Passage").fill(longest)
        ui.press(page, "Score")
        page.locator("#score-status").get_by_text("40,000 characters, ").wait_for()
        # Without the card, the page does not know the limit.
        page.route("**/info", lambda route: route.abort())
        page.goto(server.url)
        page.get_by_text("The model card could not be read.").wait_for()
        ui.score(page, longest + "a")
        error.get_by_text(f"{too_long}.", exact=True).wait_for()


def test_one_character_is_counted_in_the_singular(page: Page) -> None:
    ui.fill(page, length=1)
    ui.press(page, "Generate")
    page.locator("#status").get_by_text(re.compile("^1 character, ")).wait_for()
    ui.press(page, "Continue")
    page.locator("#status").get_by_text("1 character added, 2 in total").wait_for()
    ui.score(page, "a")
    page.locator("#score-status").get_by_text(re.compile("^1 character, ")).wait_for()


def test_a_mistake_of_the_page_is_logged_and_not_shown(page: Page) -> None:
    page.evaluate("console.error = (error) => { window.logged = String(error); }")
    page.route("**/score", lambda route: route.fulfill(json={}))
    ui.score(page, "abc")
    page.locator("#score-status").get_by_text("An unexpected error occurred.").wait_for()
    assert page.evaluate("window.logged").startswith("TypeError: ")


def test_a_passage_is_scored_and_continued(page: Page, server: RunningServer) -> None:
    page.get_by_role("tab", name="Score").click()
    passage = "a cab (feed) bad\ncafe"
    page.get_by_label("Passage").fill(passage)
    page.keyboard.press("Control+Enter")
    page.get_by_text(f"{len(passage)} characters, ").wait_for()
    expected = ui.answer(server, "/score", text=passage)["bits_per_character"]
    page.locator("#scored").get_by_text(f"{expected:.2f}").wait_for()
    assert ui.content(page.locator("#scored .text")) == passage
    page.keyboard.press("Escape")
    page.get_by_text(f"{len(passage)} characters, ").wait_for()
    assert page.evaluate("location.hash").startswith("#passage=a+cab")
    page.locator("#scored .c").nth(6).click()
    page.locator("#alternatives button").first.click()
    page.get_by_text("500 characters").wait_for()
    assert ui.content(page.locator("#columns .prime")) == passage[:6]


@ui.failures_expected
def test_a_failed_score_says_so_and_keeps_both_texts(page: Page) -> None:
    page.get_by_role("tab", name="Score").click()
    passage, status = page.get_by_label("Passage"), page.locator("#score-status")
    note = page.get_by_text("The text below is the passage that was scored before.")
    passage.fill("abc")
    ui.press(page, "Score")
    status.get_by_text("3 characters").wait_for()
    passage.fill("abЖ")
    ui.press(page, "Score")
    status.get_by_text("Invalid input: check Passage.").wait_for()
    assert note.is_visible()
    page.route("**/score", lambda route: route.fulfill(body="<html>"))
    passage.fill("abcd")
    ui.press(page, "Score")
    status.get_by_text("a response that this page cannot read").wait_for()
    assert note.is_visible()
    assert passage.input_value() == "abcd"
    assert ui.content(page.locator("#scored .text")) == "abc"
    page.unroute("**/score")
    ui.press(page, "Score")
    status.get_by_text("4 characters").wait_for()
    assert note.is_hidden()


def test_a_file_is_scored_and_its_lines_are_listed_by_surprise(
    browser: Browser, shipped: RunningServer, tmp_path: Path
) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("She was very happy.\n\nXqzj kwvv!\n")
    with ui.opened(browser, shipped.url) as page:
        page.get_by_role("tab", name="Score").click()
        page.get_by_label("Or a text file").set_input_files(path)
        page.get_by_text("Lines, the most surprising first").click()
        rows = page.locator("#score-lines tbody tr").all_inner_texts()
        assert [row.split("\t")[1:] for row in rows] == [
            ["3", "Xqzj kwvv!"],
            ["1", "She was very happy."],
        ]
        assert "Surprisal" in page.locator("#scored figcaption").first.inner_text()
