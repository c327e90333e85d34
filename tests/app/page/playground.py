"""Actions on the playground, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route

from tests.server import RunningServer


@contextmanager
def opened(
    browser: Browser, address: str, expect_failures: bool = False, **context_options: Any
) -> Iterator[Page]:
    """Open a page, and assert at its end that it logged no error and contacted no other host.

    Args:
        browser: the browser to open it in.
        address: the page's address.
        expect_failures: whether requests may fail, which the browser logs as errors.
        context_options: options for `Browser.new_context`.
    """
    context = browser.new_context(**{"reduced_motion": "reduce", **context_options})
    page = context.new_page()
    origin = "/".join(address.split("/")[:3])
    problems: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        is_expected = expect_failures and "load resource" in message.text
        if message.type == "error" and not is_expected:
            problems.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith(origin):
            problems.append(request.url)

    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", on_console)
    page.on("request", on_request)
    page.goto(address)
    yield page
    assert not problems
    context.close()


def fill(page: Page, **values: object) -> None:
    """Fill in fields of the main form."""
    for name, value in values.items():
        page.locator(f"#controls [name={name}]").fill(str(value))


def press(page: Page, name: str) -> None:
    """Click the button with this name."""
    page.get_by_role("button", name=name, exact=True).click()


def look_through(page: Page, lens: str) -> None:
    """Choose a lens: "Surprisal", "Cells" or "Off"."""
    page.get_by_role("radio", name=lens, exact=True).check()


def generate(page: Page, **values: Any) -> str:
    """Fill in fields, generate, wait for the end, and return the text."""
    fill(page, **values)
    press(page, "Generate")
    page.locator("#status").get_by_text(f"{values['length']:,} characters").wait_for()
    return text_of(page)


def text_of(page: Page) -> str:
    """The text of the first column."""
    return content(page.locator("#text"))


def wait_for_text(page: Page, length: int | None = None, more_than: int = 0) -> None:
    """Wait until the text has a length.

    `Page.wait_for_function` needs eval, which the page's policy forbids.
    """
    for _ in range(1500):
        size = len(text_of(page))
        if size == length or (length is None and size > more_than):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"the text has {size} characters")


def held_request(page: Page, pattern: str, send: Callable[[], object]) -> Route:
    """Do what sends a request, and return this request, which waits. Later ones do not wait."""
    routes: list[Route] = []
    page.route(pattern, lambda route: routes.append(route), times=1)
    send()
    for _ in range(500):
        if routes:
            return routes[0]
        page.wait_for_timeout(20)
    raise AssertionError("no request was sent")


def is_focused(element: Locator) -> bool:
    focused: bool = element.evaluate("element => element === document.activeElement")
    return focused


def content(element: Locator) -> str:
    """The text content of an element, with white space as it is."""
    return element.evaluate("element => element.textContent")  # type: ignore[no-any-return]


def character(page: Page, index: int) -> Locator:
    """The element of the character at an index of the text, which must have scores."""
    return page.locator("#text .c").nth(index)


def api_text(server: RunningServer, **request: object) -> str:
    """The text that POST /generate returns, with the page's default settings."""
    with server.client() as client:
        request = {"top_k": 5, "temperature": 0.8, **request}
        return client.post("/generate", json=request).raise_for_status().json()["text"]  # type: ignore[no-any-return]
