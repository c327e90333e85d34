"""The layout in narrow windows."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.app.page.playground import generate
from tests.browser import needs_browser

pytestmark = needs_browser


@pytest.mark.parametrize("tab", ["Write", "Score"])
def test_nothing_is_wider_than_the_window_of_a_small_phone(page: Page, tab: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    generate(page, length=60)
    page.get_by_role("tab", name=tab).click()
    root = page.locator("html")
    assert root.evaluate("root => root.scrollWidth <= root.clientWidth")


@pytest.mark.parametrize("width", [320, 390])
def test_the_toolbar_wraps_as_two_groups_and_its_menu_fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for group in (["Compare", "Copy text"], ["Copy link", "Export", "Clear"]):
        labels = [page.locator("#write .tools").get_by_text(name, exact=True) for name in group]
        boxes = [label.bounding_box() for label in labels]
        assert len({box["y"] for box in boxes if box}) == 1, group
    page.get_by_text("Export", exact=True).click()
    menu = page.locator("#export > div").bounding_box()
    assert menu is not None
    assert 0 <= menu["x"] <= width - menu["width"]
