"""The model card and the API key."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.app.page.playground import fill, generate, is_focused, opened, press
from tests.browser import needs_browser
from tests.server import RunningServer, running_server

pytestmark = needs_browser

SECRET = "a-secret-key"


def test_the_page_asks_for_a_key_and_sends_it(browser: Browser, tiny_path: Path) -> None:
    with (
        running_server(tiny_path, api_keys=SECRET) as locked,
        opened(browser, locked.url, expect_failures=True) as page,
    ):
        dialog = page.get_by_role("dialog", name="This server requires an API key")
        dialog.wait_for()
        page.keyboard.press("Escape")
        page.locator("#card").get_by_text("this server requires an API key").wait_for()
        fill(page, prime="abc", length=30)
        press(page, "Generate")
        dialog.wait_for()
        press(page, "Cancel")
        page.locator("#status").get_by_text("requires an API key").wait_for()
        press(page, "Generate")
        dialog.get_by_label("API key").fill("wrong")
        page.keyboard.press("Enter")
        dialog.get_by_text("rejected this key").wait_for()
        dialog.get_by_label("API key").fill(SECRET)
        press(page, "Use this key")
        page.locator("#status").get_by_text("30 characters").wait_for()
        page.get_by_text("LSTM over").wait_for()
        page.reload()
        page.locator("#status").get_by_text("30 characters").wait_for()
        assert SECRET not in page.url
        page.get_by_text("LSTM over").wait_for()
        assert page.get_by_text("Model card as JSON").is_hidden(), "a link brings no key"


def test_an_unusable_key_is_explained_beside_its_field(browser: Browser, tiny_path: Path) -> None:
    with (
        running_server(tiny_path, api_keys=SECRET) as locked,
        opened(browser, locked.url, expect_failures=True) as page,
    ):
        key, problem = page.locator("#key"), page.locator("#key-error")
        for entered, words in (("", "Enter a key."), ("a b", "without spaces.")):
            key.fill(entered)
            press(page, "Use this key")
            problem.get_by_text(words).wait_for()
            assert key.get_attribute("aria-invalid") == "true"
            assert is_focused(key)
        key.fill(SECRET)
        press(page, "Use this key")
        page.get_by_text("LSTM over").wait_for()


def test_the_page_works_without_the_model_card(browser: Browser, server: RunningServer) -> None:
    with opened(browser, server.url, expect_failures=True) as page:
        page.route("**/info", lambda route: route.abort())
        page.reload()
        page.get_by_text("The model card could not be read").wait_for()
        assert len(generate(page, prime="abc", length=30)) == 30
        page.unroute("**/info")
        press(page, "Try again")
        assert is_focused(page.get_by_role("heading", name="The model")), "the button is gone"
        page.get_by_text("LSTM over").wait_for()
        assert page.get_by_label("Length").get_attribute("max") == "5000"
        page.get_by_role("link", name="Model card as JSON").click()
        assert page.url.endswith("/info")


def test_the_model_card_names_the_backend(page: Page, server: RunningServer) -> None:
    with server.client() as client:
        info = client.get("/info").json()
    page.get_by_text(f"{info['device']}, {info['precision']}, {info['kernel']}").wait_for()
