"""Fixtures for the tests of the playground in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def one_slot() -> Iterator[RunningServer]:
    """A server with one slot, a queue of two, and the shipped model, which needs some time."""
    with running_server(SHIPPED, max_streams="1", max_queue="2") as running:
        yield running


@pytest.fixture(scope="session")
def charted(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose tiny model has a catalogue of cells."""
    path = tmp_path_factory.mktemp("checkpoint") / "charted.safetensors"
    shutil.copy(tiny_path, path)
    save_cells(path, CATALOGUE)
    with running_server(path) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    """The playground of the tiny model, loaded, with the prime "abc"."""
    with opened(browser, server.url) as page:
        page.get_by_text("LSTM over").wait_for()
        page.get_by_label("Prime").fill("abc")
        yield page
