"""Fixtures for the tests of the playground in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from model.cells.catalogue import TrackedCell
from model.checkpoints.checkpoint import save_cells
from tests.app.page.playground import opened
from tests.browser import running_browser
from tests.conftest import SHIPPED
from tests.server import RunningServer, running_server

CATALOGUE = (
    TrackedCell("quotes", 1, 30, -0.9876),
    TrackedCell("new_property", 0, 7, 0.5),
    TrackedCell("digits", 0, 3, 0.1),
)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for the tests of all modules here: a start takes a second of a core."""
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def one_slot() -> Iterator[RunningServer]:
    """A server with one slot and a queue of two, where 100,000 characters take up to a minute."""
    limits = {"max_streams": "1", "max_queue": "2", "deadline_seconds": "60"}
    with running_server(SHIPPED, **limits, precision="fp32") as running:
        yield running


@pytest.fixture(scope="session")
def charted(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose tiny model has a catalogue of cells."""
    path = tmp_path_factory.mktemp("checkpoint") / "charted.safetensors"
    shutil.copy(tiny_path, path)
    save_cells(path, CATALOGUE)
    with running_server(path) as running:
        yield running


@pytest.fixture(scope="session")
def locked(tiny_path: Path) -> Iterator[RunningServer]:
    """A server that requires the key "secret"."""
    with running_server(tiny_path, api_keys="secret") as running:
        yield running


@pytest.fixture(scope="session")
def short(tiny_path: Path) -> Iterator[RunningServer]:
    """A server that accepts primes of at most 50 characters."""
    with running_server(tiny_path, max_prime="50") as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: RunningServer, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The playground of the tiny model, loaded, with the prime "abc"."""
    yield from _loaded(browser, server, request)


@pytest.fixture
def charted_page(
    browser: Browser, charted: RunningServer, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """The playground of a model with a catalogue of cells, as `page`."""
    yield from _loaded(browser, charted, request)


def _loaded(
    browser: Browser, server: RunningServer, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """A loaded page. The arguments of marks named `page` are those of `opened`."""
    options: dict[str, Any] = {}
    for mark in request.node.iter_markers("page"):
        options |= mark.kwargs
    with opened(browser, server.url, **options) as page:
        page.locator("#card dl").wait_for()
        page.get_by_label("Prime").fill("abc")
        yield page
