"""An EventSource gets the undisturbed text although the server restarts in mid-text."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.browser import browser_path, running_browser
from tests.conftest import SHIPPED
from tests.event_source import MODULES, BrowserClient, EventSourceClient, NodeClient
from tests.server import RestartingServer

LENGTH = 12_000  # so long that the server is not done when the first characters arrive
STOPS = [signal.SIGTERM, signal.SIGKILL]


@pytest.fixture(scope="module")
def restarting() -> Iterator[RestartingServer]:
    with closing(RestartingServer(SHIPPED, drain_seconds="0.2")) as server:
        yield server


def wait_for_characters(client: EventSourceClient, connections: int) -> None:
    """Waits until characters have come over a number of connections."""
    client.wait(lambda progress: len(progress.opened) == connections)
    received = client.progress.opened[-1]
    client.wait(lambda progress: progress.received > received)


def check_restarts(
    server: RestartingServer, client: EventSourceClient, seed: int, stops: list[signal.Signals]
) -> None:
    """Restarts the server once per signal while the text arrives."""
    for connections, stop in enumerate(stops, 1):
        wait_for_characters(client, connections)
        assert server.restart(stop) == (0 if stop == signal.SIGTERM else -stop)
    client.wait(lambda progress: progress.ended)
    request = {"prime": "And Levin said,", "length": LENGTH, "seed": seed}
    with server.current.client(timeout=60) as http:
        text = http.post("/generate", json=request).json()["text"]
    progress = client.progress
    assert progress.failure == ""
    assert progress.text == text
    first, *later = progress.opened
    assert first == 0
    assert len(later) == len(stops), "each restart came in mid-text"
    assert all(0 < number < LENGTH for number in later)


@pytest.mark.browser
@pytest.mark.skipif(
    browser_path() is None,
    reason="runs in a real browser, and neither Chromium nor Chrome is installed; CI installs one",
)
def test_event_source_of_a_browser_survives_restarts(restarting: RestartingServer) -> None:
    with (
        running_browser() as browser,
        closing(BrowserClient(browser, restarting.current.url, LENGTH, 7)) as client,
    ):
        check_restarts(restarting, client, 7, [*STOPS, *STOPS])


@pytest.mark.skipif(
    shutil.which("node") is None,
    reason="runs npm's eventsource in Node.js, which is not installed; CI installs it",
)
@pytest.mark.skipif(
    not MODULES.exists(),
    reason="runs npm's eventsource: npm install --prefix tests/javascript installs it, as CI does",
)
def test_event_source_of_npm_survives_restarts(
    restarting: RestartingServer, tmp_path: Path
) -> None:
    with closing(NodeClient(tmp_path, restarting.current.url, LENGTH, 7)) as client:
        check_restarts(restarting, client, 7, STOPS)
