"""The layout in narrow windows."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.app.page import playground as ui


@pytest.mark.parametrize("tab", ["Write", "Score"])
def test_nothing_is_wider_than_the_window_of_a_small_phone(page: Page, tab: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    ui.generate(page, length=60)
    page.get_by_role("tab", name=tab).click()
    root = page.locator("html")
    assert root.evaluate("root => root.scrollWidth <= root.clientWidth")


@pytest.mark.parametrize("width", [320, 390])
def test_the_toolbar_wraps_as_two_groups_and_its_menu_fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for group in (["Compare", "Copy text"], ["Copy link", "Export", "Clear"]):
        labels = [page.locator("#write .tools").get_by_text(name, exact=True) for name in group]
        assert len({ui.box_of(label)["y"] for label in labels}) == 1, group
    page.get_by_text("Export", exact=True).click()
    menu = ui.box_of(page.locator("#export > div"))
    assert 0 <= menu["x"] <= width - menu["width"]
