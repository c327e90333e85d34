"""The cell lens: which cells track what, and how a text looks through it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, Page, Route

from tests.app.page import playground as ui
from tests.server import RunningServer

EQUALS = "\u00a0=\u00a0"  # with no-break spaces


@pytest.fixture
def cells(charted_page: Page) -> Page:
    """The playground with a text of 300 characters, seen through the cell lens."""
    ui.generate(charted_page, length=300, seed=7, temperature=1.5, top_k="")
    ui.look_through(charted_page, "Cells")
    charted_page.locator("#columns figure").wait_for()
    return charted_page


def values_of(server: RunningServer, text: str, layer: int, cell: int) -> list[float]:
    """The values that POST /cells returns for the text after the prime "abc"."""
    request = {"prime": "abc", "text": text, "cells": [{"layer": layer, "cell": cell}]}
    return ui.answer(server, "/cells", **request)["cells"][0]["values"]  # type: ignore[no-any-return]


def level(value: float) -> str:
    """The class of a character that has a value: n4 to n1, nothing, or p1 to p4."""
    number = min(4, int(abs(value) / 0.2 + 1e-9))
    return f"{'n' if value < 0 else 'p'}{number}" if number else ""


def shown_levels(page: Page) -> list[str]:
    """The level of each character of the first text."""
    runs = page.locator("#text").evaluate(
        """text => {
            const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
            const runs = [];
            while (walker.nextNode()) {
                const { parentElement, data } = walker.currentNode;
                runs.push([/[np][1-4]/.exec(parentElement.className)?.[0] ?? "", data]);
            }
            return runs;
        }"""
    )
    return [name for name, characters in runs for _ in characters]


def cell_choice(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Cell", exact=True)


def choose(page: Page, label: str) -> None:
    """Choose the cell whose label begins like this."""
    choice = cell_choice(page)
    choice.select_option(label=choice.locator("option", has_text=label).inner_text())


def select_characters(page: Page, start: int, end: int) -> None:
    """Select a span of the first text as a pointer does."""
    page.locator("#text").evaluate(
        """(text, [start, end]) => {
            const range = document.createRange();
            const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
            for (let at = 0; walker.nextNode(); ) {
                const characters = [...walker.currentNode.data];
                const offset = (index) => characters.slice(0, index - at).join("").length;
                const reaches = (index) => index >= at && index <= at + characters.length;
                const node = walker.currentNode;
                if (reaches(start) && range.collapsed) range.setStart(node, offset(start));
                if (reaches(end)) range.setEnd(node, offset(end));
                at += characters.length;
            }
            getSelection().removeAllRanges();
            getSelection().addRange(range);
        }""",
        [start, end],
    )


def test_the_page_lists_what_the_cells_track(cells: Page) -> None:
    groups = cell_choice(cells).locator("optgroup")
    assert [group.get_attribute("label") for group in groups.all()] == [
        "Track a property",
        "Hardly track a property",
    ]
    assert cell_choice(cells).locator("option").all_inner_texts() == [
        f"Quotation marks: cell 30 of layer 1 (r{EQUALS}{ui.MINUS}0.99)",
        f"New property: cell 7 of layer 0 (r{EQUALS}+0.50)",
        f"Digits: cell 3 of layer 0 (r{EQUALS}+0.10)",
    ]
    cells.get_by_text(
        f"Cell 30 of layer 1 falls inside quotation marks (r = {ui.MINUS}0.99)."
    ).wait_for()
    tracked = cells.locator("#card").get_by_text("Quotation marks: cell 30")
    assert "Digits" not in tracked.inner_text(), "it hardly tracks them"


def test_each_character_has_the_color_of_its_value(cells: Page, charted: RunningServer) -> None:
    text = ui.text_of(cells)
    for label, layer, cell in (("New property", 0, 7), ("Quotation marks", 1, 30)):
        choose(cells, label)
        cells.locator("figcaption", has_text=f"Cell {cell} of layer {layer}").wait_for()
        expected = [level(value) for value in values_of(charted, text, layer, cell)]
        assert shown_levels(cells) == expected
        assert len(set(expected)) > 2
    assert ui.text_of(cells) == text


def test_a_text_of_another_length_or_model_gets_its_own_values(
    cells: Page, charted: RunningServer
) -> None:
    text = ui.generate(cells, length=40, seed=8)
    cells.locator("#columns figure").wait_for()
    assert shown_levels(cells) == [level(value) for value in values_of(charted, text, 1, 30)]
    ui.press(cells, "Continue")
    cells.locator("#status").get_by_text("80 in total").wait_for()
    cells.locator("#columns figure").wait_for()
    longer = ui.text_of(cells)
    assert shown_levels(cells) == [level(value) for value in values_of(charted, longer, 1, 30)]


def test_pointer_and_keys_tell_the_value_of_a_character(
    cells: Page, charted: RunningServer
) -> None:
    text = ui.text_of(cells)
    shown = [f"{value:+.2f}".replace("-", ui.MINUS) for value in values_of(charted, text, 1, 30)]
    read_out = cells.locator("#columns .read-out")
    cells.get_by_role("group", name="Generated text").focus()
    for index in range(3):
        cells.keyboard.press("ArrowRight")
        assert read_out.inner_text().split()[-1] == shown[index]
        assert cells.locator("#announcer").inner_text().endswith(f": {shown[index]}")
    marker = ui.box_of(cells.locator("#columns .marker"))
    cells.mouse.move(marker["x"] + marker["width"] / 2, marker["y"] + 5)
    assert read_out.inner_text().split()[-1] == shown[2]
    cells.mouse.move(1, 1)
    assert read_out.inner_text() == ""
    cells.locator("#columns canvas").click(position={"x": 41, "y": 20})
    assert read_out.inner_text().split()[-1] == shown[0]
    assert cells.locator("#alternatives").is_hidden()


def test_a_selected_passage_finds_the_cells_that_track_it(
    cells: Page, charted: RunningServer
) -> None:
    text = ui.text_of(cells)
    assert cells.get_by_role("button", name="Find cells").is_disabled()
    select_characters(cells, 40, 90)
    cells.get_by_text("(50 characters)").wait_for()
    ui.press(cells, "Find cells")
    cells.get_by_text("8 cells found.").wait_for()
    found = ui.answer(charted, "/cells", prime="abc", text=text, find=[[40, 90]])["cells"]
    options = cell_choice(cells).locator("optgroup").first.locator("option")
    names = [f"Cell {each['cell']} of layer {each['layer']} (" for each in found]
    assert all(map(str.startswith, options.all_inner_texts(), names))
    assert "".join(map(ui.content, cells.locator("#text .marked").all())) == text[40:90]
    change = "falls" if found[0]["correlation"] < 0 else "rises"
    cells.locator("figcaption").get_by_text(f"{change} in the marked passage").wait_for()
    assert shown_levels(cells) == [level(value) for value in found[0]["values"]]
    choose(cells, "Quotation marks")
    cells.get_by_text("falls inside quotation marks").wait_for()
    assert cells.locator("#text .marked").count() == 0
    choose(cells, names[1])
    cells.locator("figcaption").get_by_text("in the marked passage").wait_for()
    assert cells.locator("#text .marked").count() > 0


def test_a_found_cell_stays_chosen_for_the_next_text(cells: Page) -> None:
    select_characters(cells, 40, 90)
    ui.press(cells, "Find cells")
    cells.get_by_text("8 cells found.").wait_for()
    choice = cell_choice(cells)
    name = choice.locator("option").first.inner_text().split(" (")[0]
    ui.generate(cells, length=60, seed=8)
    cells.locator("#columns figcaption").get_by_text(f"Value of {name.lower()}.").wait_for()
    assert choice.locator("option").all_inner_texts()[:1] == [name]
    assert choice.locator("optgroup").first.get_attribute("label") == "Chosen"


def test_a_passage_is_selected_with_the_keyboard(cells: Page) -> None:
    text = ui.text_of(cells)
    cells.get_by_role("group", name="Generated text").focus()
    for key in ["ArrowRight"] * 3 + ["Shift+ArrowRight"] * 4 + ["Shift+ArrowLeft"]:
        cells.keyboard.press(key)
    assert cells.evaluate("getSelection().toString()").strip("\n") == text[2:6].strip("\n")
    assert cells.locator("#announcer").inner_text() == "4 characters selected"
    cells.keyboard.press("Shift+End")
    cells.get_by_text("(298 characters)").wait_for()
    cells.keyboard.press("Home")
    cells.keyboard.press("Control+Shift+ArrowRight")
    word = re.match(r"[ \n\u2028]*[^ \n\u2028]*", text)
    assert word is not None
    assert cells.locator("#announcer").inner_text() == f"{word.end()} characters selected"
    with cells.expect_request("**/cells") as request:
        ui.press(cells, "Find cells")
    assert json.loads(request.value.post_data or "")["find"] == [[0, word.end()]]


def find_in_whole_text(page: Page) -> None:
    page.get_by_role("group", name="Generated text").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+End")
    ui.press(page, "Find cells")


@ui.failures_expected
def test_the_whole_text_is_no_passage(cells: Page) -> None:
    find_in_whole_text(cells)
    cells.get_by_text("Select a shorter passage.").wait_for()
    select_characters(cells, 40, 90)
    error = {"field": "find", "value": "[[40, 90]]", "message": "other words"}
    body = {"detail": "other words", "code": "invalid_field", "errors": [error]}
    cells.route("**/cells", lambda route: route.fulfill(status=422, json=body))
    with cells.expect_response("**/cells"):
        ui.press(cells, "Find cells")
    cells.get_by_text("Select a shorter passage.").wait_for()


def test_one_selected_character_is_counted_in_the_singular(cells: Page) -> None:
    cells.get_by_role("group", name="Generated text").focus()
    cells.keyboard.press("Home")
    cells.keyboard.press("Shift+Home")
    cells.get_by_text("(1 character)").wait_for()
    assert cells.locator("#announcer").inner_text() == "1 character selected"


def test_a_passage_that_fills_a_request_is_refused_with_the_limit(page: Page) -> None:
    messages = page.evaluate(
        """async () => {
            const { findCells } = await import("/static/server/cell_request.js");
            const records = Array.from({ length: 20_001 }, () => ({ token: "a" }));
            const messageOf = (length) =>
                findCells({ prime: "", records }, [0, length], {}).catch(({ message }) => message);
            return Promise.all([messageOf(20_000), messageOf(20_001)]);
        }"""
    )
    assert messages == ["Select fewer than 20,000 characters."] * 2


def test_a_text_that_is_too_long_to_read_is_explained(
    browser: Browser, short: RunningServer
) -> None:
    link = f"{short.url}/#prime=abc&length=60&lens=cells&cell=0:1"
    with ui.opened(browser, link, expect_failures=True) as page:
        words = "This text is too long for this server. Choose a shorter one."
        page.locator("#write-cells-status").get_by_text(words).wait_for()


def test_a_scored_passage_is_seen_through_the_lens_and_linked(
    browser: Browser, charted_page: Page
) -> None:
    charted_page.get_by_role("tab", name="Score").click()
    charted_page.get_by_label("Passage").fill('he said "abc" (a) bad')
    ui.look_through(charted_page, "Cells")
    ui.press(charted_page, "Score")
    charted_page.locator("#scored figcaption").get_by_text(
        "falls inside quotation marks"
    ).wait_for()
    choose(charted_page, "Digits")
    charted_page.locator("#scored figcaption").get_by_text(
        "Cell 3 of layer 0 hardly rises"
    ).wait_for()
    assert charted_page.url.endswith("&lens=cells&cell=0%3A3")
    with ui.opened(browser, charted_page.url) as other:
        other.locator("#scored figcaption").get_by_text("Cell 3 of layer 0").wait_for()
        assert ui.content(other.locator("#scored .text")) == 'he said "abc" (a) bad'


def test_a_model_without_a_catalogue_says_how_to_make_one(page: Page) -> None:
    ui.generate(page, length=60)
    ui.look_through(page, "Cells")
    page.get_by_text("python -m training cells CHECKPOINT --text FILE").wait_for()
    assert cell_choice(page).is_disabled()
    assert page.get_by_label("Hold at").is_disabled()
    select_characters(page, 5, 20)
    ui.press(page, "Find cells")
    page.get_by_text("8 cells found.").wait_for()
    assert page.get_by_label("Hold at").is_enabled()


def refuse(status: int, detail: str, **headers: str) -> Callable[[Route], None]:
    body = json.dumps({"detail": detail, "code": "refused"})
    return lambda route: route.fulfill(status=status, headers=headers, body=body)


@ui.failures_expected
def test_a_failure_is_explained_and_repeated_if_that_may_help(cells: Page) -> None:
    soon = {"Retry-After": "1"}
    failures: list[tuple[Callable[[Route], None], str]] = [
        (refuse(429, "too many requests; try again in 1 s", **soon), "too many requests."),
        (refuse(503, "the queue is full; try again in 1 s", **soon), "the queue is full."),
        (lambda route: route.abort(), "The server cannot be reached."),
    ]
    status, caption = cells.locator("#write-cells-status"), cells.locator("#columns figcaption")
    for place, (failure, words) in enumerate(failures):
        cells.route("**/cells", failure, times=1)
        label, name = [("Digits", "Cell 3 of"), ("New property", "Cell 7 of")][place % 2]
        choose(cells, label)
        status.get_by_text(words).wait_for()
        caption.get_by_text(name).wait_for()
        assert status.inner_text() == ""
    cells.route("**/cells", refuse(413, "the body is too large; send at most 8 bytes"), times=1)
    choose(cells, "Quotation marks")
    status.get_by_text("The body is too large; send at most 8 bytes.", exact=True).wait_for()
    choose(cells, "New property")
    caption.get_by_text("Cell 7 of").wait_for()
    assert status.inner_text() == ""


@ui.failures_expected
def test_another_model_is_not_asked_unless_the_user_wants_it(cells: Page) -> None:
    def answer(route: Route) -> None:
        if "model" in json.loads(route.request.post_data or ""):
            body = json.dumps({"detail": "another model", "code": "other_model"})
            route.fulfill(status=409, body=body)
        else:
            route.continue_()

    cells.route("**/cells", answer)
    choose(cells, "Digits")
    cells.get_by_text("This was made with another model.").wait_for()
    ui.press(cells, "Read with this model")
    cells.locator("figcaption").get_by_text("Cell 3 of layer 0").wait_for()
    assert ui.is_focused(cells.get_by_role("group", name="Cells", exact=True))


def test_20000_characters_are_colored_while_the_page_responds(charted_page: Page) -> None:
    ui.look_through(charted_page, "Off")
    ui.fill(charted_page, length=20_000, top_k="", temperature=1)
    ui.press(charted_page, "Generate")
    charted_page.locator("#status").get_by_text("20,000 characters").wait_for(timeout=60_000)
    ui.watch_frames(charted_page)
    ui.look_through(charted_page, "Cells")
    charted_page.locator("#columns figure").wait_for()
    charted_page.wait_for_timeout(300)
    longest = ui.longest_frame(charted_page)
    elements = charted_page.locator("#text span").count()
    print(f"longest frame {longest:.0f} ms, {elements} elements for 20,000 characters")
    assert len(shown_levels(charted_page)) == 20_000
    assert elements < 20_000
    assert longest < 1000  # about 60 on an idle machine
