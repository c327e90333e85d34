"""Input that the page or the server rejects."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from tests.app.page import playground as ui
from tests.server import RunningServer


def test_a_prime_at_the_length_limit_of_the_server_shows_a_note(
    browser: Browser, short: RunningServer
) -> None:
    with ui.opened(browser, short.url, expect_failures=True) as page:
        ui.generate(page, prime="abc", length=60)
        ui.press(page, "Continue")
        page.locator("#status").get_by_text("longest prime that the server accepts").wait_for()
        assert page.locator("[aria-invalid]").count() == 0


def test_typographic_characters_are_replaced(browser: Browser, shipped: RunningServer) -> None:
    with ui.opened(browser, shipped.url, expect_failures=True) as page:
        prime = "“Don\u2019t stop,” she said — it\u2019s the naïve café…\u00a0Ж"
        ui.fill(page, prime=prime, length=10)
        ui.press(page, "Generate")
        ui.press(page, "Replace or remove them")
        page.locator("#status").get_by_text("10 characters").wait_for()
        plain = "\"Don't stop,\" she said -- it's the naive cafe... "
        assert page.get_by_label("Prime").input_value() == plain


@ui.failures_expected
def test_bad_input_is_explained_beside_its_field(page: Page) -> None:
    wrongs = {
        "length": ("0", "greater than or equal to 1"),
        "top_k": ("1.5", "enter a whole number instead of 1.5"),
        "temperature": ("", "enter a number."),
        "top_p": ("2", "less than or equal to 1"),
        "min_p": ("-0.5", "greater than or equal to 0"),
        "stop": ("a\nb\nc\nd\ne", "enter at most 4 lines instead of 5"),
        "pattern": ("(a", "is not a regular expression: missing )"),
        "seed": ("-1", "enter a whole number from 0 to 9223372036854775807 instead of -1"),
    }
    rights: dict[str, object] = {"length": 10, "top_k": 5, "temperature": 1, "seed": 1}
    rights |= dict.fromkeys(("top_p", "min_p", "stop", "pattern"), "")
    for name, (value, words) in wrongs.items():
        ui.fill(page, **{**rights, name: value})
        ui.press(page, "Generate")
        field = page.locator(f"#controls [name={name}][aria-invalid=true]")
        field.wait_for()
        assert words.lower() in page.locator(f"#{name}-error").inner_text().lower()
        assert ui.is_focused(field)
    ui.fill(page, **rights, prime="aЖbü\x07Ж\u00a0")
    ui.press(page, "Generate")
    unknown = "Ж (U+0416), ü (U+00FC), U+0007, U+00A0"
    page.get_by_text(f"The model does not know: {unknown}.").wait_for()
    ui.press(page, "Replace or remove them")
    page.locator("#status").get_by_text("10 characters").wait_for()
    assert page.get_by_label("Prime").input_value() == "abu "
    assert page.locator("[aria-invalid]").count() == 0
    assert ui.generate(page, length=10)
    ui.press(page, "Compare")
    second = page.locator(".column").nth(1)
    second.get_by_label("Temperature").fill("-1")
    ui.press(page, "Generate")
    second.get_by_text("greater than or equal to 0").wait_for()
    page.locator("#stop[disabled]").wait_for()
    assert page.locator("#status").inner_text() == "Invalid input for B: check Temperature."
    ui.press(page, "Remove text B")
    assert page.locator("#status").inner_text() == "Ready."
    page.locator("#controls [name=top_k]").clear()
    page.locator("#controls [name=top_k]").press_sequentially("e")  # scripts see an empty value
    ui.press(page, "Generate")
    assert page.locator("#top_k-error").inner_text() == "Enter a number."


@ui.failures_expected
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (r"\q", r"Write \n, \t, \r or \\ instead of \q."),
        ("a" * 1001, "at most 1000 characters"),
    ],
    ids=["page", "server"],
)
def test_stop_strings_are_checked(page: Page, value: str, words: str) -> None:
    ui.fill(page, stop=value)
    ui.press(page, "Generate")
    page.locator("#stop-error").get_by_text(words).wait_for()
    assert page.locator("#status").inner_text() == "Invalid input: check Stop strings."
