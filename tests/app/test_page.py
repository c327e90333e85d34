"""The page at / in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import browser_path, running_browser
from tests.server import RunningServer, running_server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser_path() is None, reason="neither Chromium nor Chrome is installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    """The page, opened; after the test it must have logged no error and asked no other host."""
    page = browser.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((server.url, "data:")) else troubles.append(request.url)
        ),
    )
    page.goto(server.url)
    page.get_by_label("Prime").fill("abc")
    yield page
    assert not troubles
    page.close()


def text_of(page: Page) -> str:
    return page.locator("#text").evaluate("element => element.textContent")  # type: ignore[no-any-return]


def test_the_text_grows_on_the_page(page: Page, server: RunningServer) -> None:
    page.get_by_label("Length").fill("5000")
    page.get_by_label("Seed").fill("7")
    page.evaluate(
        """() => {
            window.sizes = [];
            new MutationObserver(() => window.sizes.push(text.textContent.length)).observe(
                document.querySelector("#text"),
                { childList: true, characterData: true, subtree: true },
            );
        }"""
    )
    page.get_by_role("button", name="Generate").click()
    page.get_by_text("5000 characters").wait_for(timeout=30_000)
    sizes = page.evaluate("window.sizes")
    assert len(set(sizes)) > 10, "the text came in many pieces"
    assert sizes == sorted(sizes)
    with server.client() as client:
        ask = {"prime": "abc", "length": 5000, "top_k": 5, "temperature": 0.8, "seed": 7}
        expected = client.post("/generate", json=ask).json()["text"]
    assert text_of(page) == expected


def test_stop_keeps_what_is_there_and_generate_starts_anew(
    browser: Browser, tiny_path: Path
) -> None:
    with running_server(tiny_path) as patient:
        page = browser.new_page()
        page.goto(patient.url)
        page.get_by_label("Prime").fill("abc")
        stop_and_start_anew(page)


def stop_and_start_anew(page: Page) -> None:
    page.get_by_label("Length").fill("100000")  # takes seconds, so that there is time to stop
    page.get_by_role("button", name="Generate").click()
    page.wait_for_function("document.querySelector('#text').textContent.length > 10")
    page.get_by_role("button", name="Stop").click()
    size = len(text_of(page))
    page.wait_for_timeout(200)
    assert len(text_of(page)) == size
    assert page.get_by_role("button", name="Generate").is_enabled()
    page.get_by_label("Length").fill("20")
    page.get_by_role("button", name="Generate").click()
    page.get_by_text("20 characters").wait_for()
    assert len(text_of(page)) == 20


def test_every_control_counts(page: Page, server: RunningServer) -> None:
    values = {"Length": "40", "Top-k": "", "Temperature": "1.5", "Seed": "11"}
    for label, value in values.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Generate").click()
    page.get_by_text("40 characters").wait_for()
    ask = {"prime": "abc", "length": 40, "top_k": None, "temperature": 1.5, "seed": 11}
    with server.client() as client:
        assert text_of(page) == client.post("/generate", json=ask).json()["text"]


def test_a_refusal_is_said_in_words(page: Page) -> None:
    page.get_by_label("Prime").fill("Ж")
    page.get_by_role("button", name="Generate").click()
    page.get_by_text("characters that the model's vocabulary lacks").wait_for()
    assert page.get_by_role("button", name="Generate").is_enabled()


def test_a_server_that_is_gone_is_said_in_words(browser: Browser, tiny_path: Path) -> None:
    with running_server(tiny_path) as brief:
        page = browser.new_page()
        page.goto(brief.url)
        page.get_by_label("Prime").fill("abc")
        brief.process.kill()
        brief.process.wait()
        page.get_by_role("button", name="Generate").click()
        page.get_by_text("Connection lost").wait_for()
        page.get_by_role("button", name="Stop").click()
        assert page.get_by_role("button", name="Generate").is_enabled()
        page.close()
