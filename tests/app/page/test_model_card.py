"""The model card and the API key."""

from __future__ import annotations

from playwright.sync_api import Browser, Page

from tests.app.page import playground as ui
from tests.server import RunningServer

SECRET = "secret"


def test_the_page_asks_for_a_key_and_sends_it(browser: Browser, locked: RunningServer) -> None:
    with ui.opened(browser, locked.url, expect_failures=True) as page:
        dialog = page.get_by_role("dialog", name="This server requires an API key")
        dialog.wait_for()
        page.keyboard.press("Escape")
        page.locator("#card").get_by_text("this server requires an API key").wait_for()
        ui.fill(page, prime="abc", length=30)
        ui.press(page, "Generate")
        dialog.wait_for()
        ui.press(page, "Cancel")
        page.locator("#status").get_by_text("requires an API key").wait_for()
        ui.press(page, "Generate")
        dialog.get_by_label("API key").fill("wrong")
        page.keyboard.press("Enter")
        dialog.get_by_text("rejected this key").wait_for()
        dialog.get_by_label("API key").fill(SECRET)
        ui.press(page, "Use this key")
        page.locator("#status").get_by_text("30 characters").wait_for()
        page.locator("#card dl").wait_for()
        page.reload()
        page.locator("#status").get_by_text("30 characters").wait_for()
        assert SECRET not in page.url
        page.locator("#card dl").wait_for()
        assert page.get_by_text("Model card as JSON").is_hidden(), "a link brings no key"


def test_an_unusable_key_is_explained_beside_its_field(
    browser: Browser, locked: RunningServer
) -> None:
    with ui.opened(browser, locked.url, expect_failures=True) as page:
        key, problem = page.locator("#key"), page.locator("#key-error")
        for entered, words in (("", "Enter a key."), ("a b", "without spaces.")):
            key.fill(entered)
            ui.press(page, "Use this key")
            problem.get_by_text(words).wait_for()
            assert key.get_attribute("aria-invalid") == "true"
            assert ui.is_focused(key)
        key.fill(SECRET)
        ui.press(page, "Use this key")
        page.locator("#card dl").wait_for()


@ui.failures_expected
def test_the_page_works_without_the_model_card(page: Page) -> None:
    page.route("**/info", lambda route: route.abort())
    page.reload()
    page.get_by_text("The model card could not be read").wait_for()
    assert len(ui.generate(page, prime="abc", length=30)) == 30
    page.unroute("**/info")
    ui.press(page, "Try again")
    assert ui.is_focused(page.get_by_role("heading", name="The model")), "the button is gone"
    page.locator("#card dl").wait_for()
    assert page.get_by_label("Length").get_attribute("max") == "5000"
    page.get_by_role("link", name="Model card as JSON").click()
    assert page.url.endswith("/info")


def test_the_model_card_names_the_backend(page: Page, server: RunningServer) -> None:
    with server.client() as client:
        info = client.get("/info").json()
    page.get_by_text(f"{info['device']}, {info['precision']}, {info['kernel']}").wait_for()
