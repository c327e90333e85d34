"""Actions on the playground, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, FloatRect, Locator, Page, Request, Route

from tests.server import RunningServer

MINUS = "\u2212"
CLIPBOARD = ["clipboard-read", "clipboard-write"]  # permissions of a context
BLANK = "about:blank"
WINDOW = {"width": 1280, "height": 720}

# Marks for tests that use the fixture `page`: how its page is opened.
failures_expected = pytest.mark.page(expect_failures=True)
with_clipboard = pytest.mark.page(permissions=CLIPBOARD)
with_a_clock = pytest.mark.page(is_new=True)
on_a_phone = pytest.mark.page(is_new=True, has_touch=True, viewport={"width": 390, "height": 844})


@contextmanager
def opened(
    browser: Browser, address: str, expect_failures: bool = False, is_new: bool = False, **more: Any
) -> Iterator[Page]:
    """Open a page, and assert at its end that it logged no error and contacted no other host.

    Args:
        browser: the browser to open it in.
        address: the page's address.
        expect_failures: whether requests may fail, which the browser logs as errors.
        is_new: whether to use a new context, which takes 0.7 s of a core. It is needed for
            `Page.clock`, which stays installed, and for options that `_idle_page` does not have.
        more: options for `Browser.new_page`, or for `_idle_page`.
    """
    more = {"reduced_motion": "reduce", **more}
    page = browser.new_page(**more) if is_new else _idle_page(browser, **more)
    origin = "/".join(address.split("/")[:3])
    problems: list[str] = []

    def on_error(error: object) -> None:
        problems.append(str(error))

    def on_console(message: ConsoleMessage) -> None:
        is_expected = expect_failures and "load resource" in message.text
        if message.type == "error" and not is_expected:
            problems.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith(origin):
            problems.append(request.url)

    page.on("pageerror", on_error)
    page.on("console", on_console)
    page.on("request", on_request)
    page.goto(address)
    yield page
    assert not problems
    if is_new:
        page.close()
        return
    _leave(page)
    page.remove_listener("pageerror", on_error)
    page.remove_listener("console", on_console)
    page.remove_listener("request", on_request)


def _idle_page(
    browser: Browser, viewport: Any = WINDOW, permissions: Sequence[str] = (), **media: Any
) -> Page:
    """A page that an earlier test has left, or a new one. `media` is for `Page.emulate_media`."""
    idle = (page for context in browser.contexts for page in context.pages if page.url == BLANK)
    page = next(idle, None) or browser.new_page()
    page.set_viewport_size(viewport)
    page.context.grant_permissions(permissions)
    defaults = {"media": "null", "color_scheme": "light", "forced_colors": "none"}
    page.emulate_media(**{**defaults, **media})
    return page


def _leave(page: Page) -> None:
    """Leave a page that worked, in the state of a new one."""
    page.evaluate("localStorage.clear(), sessionStorage.clear()")
    page.unroute_all()
    page.context.clear_permissions()
    page.goto(BLANK)
    page.mouse.move(0, 0)


def fill(page: Page, **values: object) -> None:
    """Fill in fields of the main form, also of those that are folded."""
    for name, value in values.items():
        field = page.locator(f"#controls [name={name}]")
        if not field.is_visible():
            page.get_by_text("More settings").click()
        field.fill(str(value))


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


def generate_texts(page: Page, number: int) -> None:
    """Generate all compared texts, and wait for their end."""
    press(page, "Generate")
    page.locator("#status").get_by_text(f"{number} texts").wait_for()


def score(page: Page, passage: str) -> None:
    """Let the other tab score a passage."""
    page.get_by_role("tab", name="Score").click()
    page.get_by_label("Passage").fill(passage)
    press(page, "Score")


def choose_memory(page: Page, choice: str) -> None:
    """Choose "On" or "Both" for the scored passage, and wait for its scores."""
    page.get_by_role("group", name="Memory").get_by_role("radio", name=choice).check()
    page.locator("#score-status").get_by_text("per character with memory.").wait_for()


def copied(page: Page, label: str) -> str:
    """The code that an entry of the export menu copies."""
    page.locator("#export summary").click()
    press(page, label)
    page.locator("#status").get_by_text("copied.").wait_for()
    return page.evaluate("navigator.clipboard.readText()")  # type: ignore[no-any-return]


def saved(page: Page, label: str) -> str:
    """Download a file and return its content."""
    if page.locator("#export summary").is_visible():
        page.locator("#export summary").click()
    with page.expect_download() as download:
        press(page, label)
    extension = label.split()[-1].lower()
    assert download.value.suggested_filename.endswith(f".{extension}")
    return Path(download.value.path()).read_bytes().decode()


def watch_frames(page: Page) -> None:
    """Measure the page's frames from now on."""
    page.evaluate(
        """() => {
            window.longest = 0;
            let last = performance.now();
            const frame = (now) => {
                window.longest = Math.max(window.longest, now - last);
                last = now;
                requestAnimationFrame(frame);
            };
            requestAnimationFrame(frame);
        }"""
    )


def longest_frame(page: Page) -> float:
    """The longest frame in milliseconds since `watch_frames`."""
    return page.evaluate("window.longest")  # type: ignore[no-any-return]


def text_of(page: Page) -> str:
    """The text of the first column."""
    return content(page.locator("#text"))


def texts_of(page: Page) -> list[str]:
    """The texts of all columns."""
    return [content(text) for text in page.locator("#columns .text").all()]


def wait_for_text(page: Page, length: int | None = None, more_than: int = 0) -> None:
    """Wait until the text has a length.

    `Page.wait_for_function` needs eval, which the page's policy forbids.
    """

    def has_the_length() -> bool:
        size = len(text_of(page))
        return size == length or (length is None and size > more_than)

    wait_until(page, has_the_length)


def held_request(page: Page, pattern: str, send: Callable[[], object]) -> Route:
    """Do what sends a request, and return this request, which waits. Later ones do not wait."""
    routes: list[Route] = []
    page.route(pattern, lambda route: routes.append(route), times=1)
    send()
    wait_until(page, lambda: bool(routes))
    return routes[0]


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    """Wait until a condition is true, while the page goes on."""
    for _ in range(1500):
        if condition():
            return
        page.wait_for_timeout(20)
    raise AssertionError("the condition has not become true")


def is_focused(element: Locator) -> bool:
    focused: bool = element.evaluate("element => element === document.activeElement")
    return focused


def box_of(element: Locator) -> FloatRect:
    """Where an element lies in the window."""
    box = element.bounding_box()
    assert box is not None
    return box


def content(element: Locator) -> str:
    """The text content of an element, with white space as it is."""
    return element.evaluate("element => element.textContent")  # type: ignore[no-any-return]


def character(page: Page, index: int) -> Locator:
    """The element of the character at an index of the text, which must have scores."""
    return page.locator("#text .c").nth(index)


def answer(server: RunningServer, path: str, **request: object) -> Any:
    """What the server answers to POST."""
    with server.client() as client:
        return client.post(path, json=request).raise_for_status().json()


def api_text(server: RunningServer, **request: object) -> str:
    """The text that POST /generate returns. The page has the same default settings."""
    return answer(server, "/generate", **request)["text"]  # type: ignore[no-any-return]
