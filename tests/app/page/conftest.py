"""Fixtures for the tests of the playground in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.app.page.playground import opened
from tests.browser import running_browser
from tests.conftest import SHIPPED
from tests.server import RunningServer, running_server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def one_slot() -> Iterator[RunningServer]:
    """A server with one slot, a queue of two, and the shipped model, which needs some time."""
    with running_server(SHIPPED, max_streams="1", max_queue="2") as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    """The playground of the tiny model, loaded, with the prime "abc"."""
    with opened(browser, server.url) as page:
        page.get_by_text("LSTM over").wait_for()
        page.get_by_label("Prime").fill("abc")
        yield page
