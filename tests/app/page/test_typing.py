"""Suggestions while the user types."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Locator, Page, Route

from tests.app.page import playground as ui
from tests.server import RunningServer


def typed(page: Page, text: str) -> Locator:
    """Fill in the field of the tab, wait for suggestions, and return the field."""
    page.locator("#card dl").wait_for()  # the model card causes a request, too
    page.get_by_role("tab", name="Type").click()
    field = page.get_by_label("Your text")
    field.fill(text)
    wait_for_answer(page)
    return field


def wait_for_answer(page: Page) -> None:
    """Wait until the suggestions are those of the text before the caret."""
    page.locator("#suggestions:not(.outdated)").wait_for()


def rests(server: RunningServer, prime: str, **fields: object) -> list[str]:
    """The texts that the server suggests after a prime."""
    found = ui.answer(server, "/suggest", prime=prime, **fields)["suggestions"]
    return [each["text"] for each in found]


def ghost(page: Page) -> str:
    return ui.content(page.locator(".ghost")).strip("\u200b")


def saved(page: Page) -> str:
    return ui.content(page.locator("#type-statistics dd").nth(1))


def test_suggestions_are_chosen_with_keys(browser: Browser, shipped: RunningServer) -> None:
    with ui.opened(browser, shipped.url) as page:
        field, bar = typed(page, "And Lev"), page.get_by_role("listbox", name="Suggestions")
        begun, keys = "And Lev", page.keyboard
        expected = rests(shipped, begun)
        words = bar.locator(".word").all_inner_texts()
        assert words == [f"Lev{rest}" for rest in expected]
        assert bar.get_by_role("option").first.inner_text().endswith("%")
        assert ghost(page) == expected[0] == "in"
        assert re.fullmatch("[0-9.]+ ms", ui.content(page.locator("#type-statistics dd").first))
        page.locator("#announcer").get_by_text("Levin", exact=True).wait_for()
        keys.press("Tab")
        assert (field.input_value(), saved(page)) == ("And Levin ", "2 of 10")
        keys.type(",")
        assert (field.input_value(), saved(page)) == ("And Levin,", "1 of 10"), "without the space"
        for key in ("Control+2", "Alt+2"):
            typed(page, begun)
            keys.press(key)
            assert field.input_value() == f"And Lev{expected[1]} "
        typed(page, begun)
        keys.press("ArrowDown")
        keys.press("ArrowDown")
        assert field.get_attribute("aria-activedescendant") == "suggestion-2"
        assert ghost(page) == expected[1]
        keys.press("Enter")
        assert field.input_value() == f"And Lev{expected[1]} "
        field.fill("")
        keys.type("12 Lev said")
        assert field.input_value() == "12 Lev said", "digits are typed"
        with page.expect_request(lambda request: '"12 Lev"' in str(request.post_data)):
            for _ in " said":
                keys.press("ArrowLeft")
        wait_for_answer(page)
        assert ghost(page) == "", "it would cover the text after the caret"
        keys.press("Control+1")
        assert field.input_value() == "12 Levin said", "there is a space already"
        typed(page, begun)
        keys.press("Escape")
        assert (bar.is_hidden(), ghost(page)) == (True, "")
        assert field.get_attribute("aria-expanded") == "false"
        keys.press("Tab")
        assert not ui.is_focused(field), "Tab leaves the field"


def test_a_late_answer_does_not_replace_a_newer_one(
    browser: Browser, shipped: RunningServer
) -> None:
    with ui.opened(browser, shipped.url) as page:
        field, bodies = typed(page, "And Le"), []
        page.on("request", lambda request: bodies.append(request.post_data_json))
        late = ui.held_request(page, "**/suggest", lambda: field.press("v"))
        page.locator("#suggestions.outdated").wait_for()
        assert ghost(page) == "in", "the rest of the word that it had suggested before"
        with page.expect_response("**/suggest"):
            field.press("y")
        wait_for_answer(page)
        words = [f"Levy{rest}" for rest in rests(shipped, "And Levy")]
        late.fulfill(json={"suggestions": [{"text": "in", "logprob": 0, "probability": 1}]})
        page.wait_for_timeout(200)
        shown = page.locator("#suggestions .word").all_inner_texts()
        assert shown == [word for word in words if word != "Levy"]
        page.get_by_label("Learn from what I type").check()
        typed(page, "é" * 1500 + "a" * 1000)
        request = {"n": 5, "unknown": "skip"}
        assert bodies[:3] == [
            {"prime": "And Lev", **request},
            {"prime": "And Levy", **request},
            {"prime": "And Levy", **request, "memory": True},
        ]
        last = {"prime": "é" * 500 + "a" * 1000, **request, "memory": True}
        assert bodies[-1] == last, "each character is one, and the beginning is cut off"


@ui.failures_expected
def test_errors_are_shown_while_typing_goes_on(page: Page, server: RunningServer) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=503, headers={"Retry-After": "60"}, json={"detail": "it is full"})

    def cut_off(route: Route) -> None:
        route.abort()

    status, field = page.locator("#type-status"), typed(page, "a")
    for failure, words in ((refuse, "it is full."), (cut_off, "cannot be reached.")):
        page.route("**/suggest", failure)
        field.press("b")
        status.get_by_text(words).wait_for()
        page.locator("#type-countdown").get_by_text("Retrying in").wait_for()
        page.unroute("**/suggest")
        field.press("c")
        status.get_by_text("Ready.").wait_for()
    assert field.input_value() == "abcbc"
    with server.client() as client:
        info = client.get("/info").json()
    page.route("**/info", lambda route: route.fulfill(json=info | {"memory": {"available": False}}))
    page.reload()
    page.locator("#card dl").wait_for()
    assert page.get_by_label("Learn from what I type").is_disabled()


def test_without_a_key_the_page_asks_once(browser: Browser, locked: RunningServer) -> None:
    with ui.opened(browser, locked.url, expect_failures=True) as page:
        dialog, field = page.get_by_role("dialog"), page.get_by_label("Your text")
        dialog.wait_for()
        ui.press(page, "Cancel")
        page.get_by_role("tab", name="Type").click()
        field.focus()
        dialog.wait_for()
        ui.press(page, "Cancel")
        page.locator("#type-status").get_by_text("requires an API key").wait_for()
        field.press_sequentially("ab")
        assert field.input_value() == "ab"
        assert dialog.is_hidden()
        page.locator("#type-remedy").click()
        dialog.get_by_label("API key").fill("secret")
        ui.press(page, "Use this key")
        page.locator("#type-status").get_by_text("Ready.").wait_for()
        assert ui.is_focused(field)


@ui.on_a_phone
def test_suggestions_are_chosen_by_tapping(page: Page, server: RunningServer) -> None:
    field = typed(page, "abc ")
    field.tap()
    page.get_by_role("option").nth(1).tap()
    assert field.input_value() == f"abc {rests(server, 'abc ')[1]} "
    assert ui.is_focused(field)
    wait_for_answer(page)
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        root = page.locator("html")
        assert root.evaluate("root => root.scrollWidth <= root.clientWidth")
