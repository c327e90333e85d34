"""A real headless browser: Debian's Chromium, or an installed Chrome."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ARGUMENTS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def browser_path() -> str | None:
    """Return the path of an installed browser, or None if there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


# Marks for a test or, as `pytestmark`, for all tests of a module.
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(browser_path() is None, reason="neither Chromium nor Chrome is installed"),
]


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser until the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(_ARGUMENTS))
        yield browser
        browser.close()
