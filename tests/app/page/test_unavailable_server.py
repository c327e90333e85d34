"""A server that is busy, restarts, or cannot be reached."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.app.page.playground import (
    api_text,
    fill,
    look_through,
    opened,
    press,
    text_of,
    wait_for_text,
)
from tests.browser import needs_browser
from tests.conftest import SHIPPED
from tests.server import RunningServer, free_port, running_server

pytestmark = needs_browser


def test_an_unreachable_server_is_not_reported_as_a_lost_connection(browser: Browser) -> None:
    with running_server(SHIPPED) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.get_by_text("LSTM over").wait_for()
    press(page, "Generate")
    page.get_by_text("The server cannot be reached.", exact=True).wait_for()
    press(page, "Stop")
    assert page.locator("#status").inner_text() == "Stopped."
    context.close()


def test_a_broken_stream_continues_when_the_server_is_back(browser: Browser) -> None:
    port = str(free_port())
    with (
        running_server(SHIPPED, port=port) as first,
        opened(browser, first.url, expect_failures=True) as page,
    ):
        look_through(page, "Off")
        fill(page, prime="abc", length=10_000, seed=9)
        press(page, "Generate")
        wait_for_text(page, more_than=10)
        first.process.kill()
        first.process.wait()
        page.get_by_text("Connection lost").wait_for()
        page.get_by_text("Retrying in").wait_for()
        countdown = page.locator("#countdown").bounding_box()
        assert countdown is not None
        assert countdown["height"] < 25, "it is on one line"
        assert 10 < len(text_of(page)) < 10_000
        with running_server(SHIPPED, port=port) as second:
            page.get_by_text("10,000 characters").wait_for(timeout=120_000)
            assert text_of(page) == api_text(second, prime="abc", length=10_000, seed=9)


@contextmanager
def occupied(server: RunningServer, others: int) -> Iterator[None]:
    """Fill the server's slot for a while, with `others` short requests in its queue."""

    def read(length: int, started: threading.Event) -> None:
        request = {"length": length}
        with (
            server.client() as client,
            client.stream("GET", "/generate", params=request) as response,
        ):
            started.set()
            for _ in response.iter_bytes():
                pass

    readers = []
    for length in [6_000] + [1] * others:
        started = threading.Event()
        readers.append(threading.Thread(target=read, args=(length, started)))
        readers[-1].start()
        started.wait(20)
    yield
    for reader in readers:
        reader.join()


def test_a_request_to_a_full_server_is_retried(browser: Browser, one_slot: RunningServer) -> None:
    with opened(browser, one_slot.url, expect_failures=True) as page:
        fill(page, prime="abc", length=30)
        with occupied(one_slot, others=2):
            press(page, "Generate")
            page.get_by_text("The server cannot accept the request now").wait_for()
            page.get_by_text("Retrying in").wait_for()
            page.locator("#status").get_by_text("30 characters").wait_for(timeout=120_000)


def test_a_waiting_request_shows_how_many_are_ahead(
    browser: Browser, one_slot: RunningServer
) -> None:
    with opened(browser, one_slot.url) as page:
        fill(page, prime="abc", length=30)
        with occupied(one_slot, others=1):
            press(page, "Generate")
            page.get_by_text("In the queue: 1 request ahead").wait_for()
            page.locator("#status").get_by_text("30 characters").wait_for(timeout=120_000)


def test_a_request_to_a_draining_server_is_retried(browser: Browser, server: RunningServer) -> None:
    draining = {"detail": "the service is shutting down", "code": "draining"}
    cut = 'event: error\ndata: {"detail": "it is shutting down", "code": "draining"}\n\n'

    def refuse(route: Route) -> None:
        route.fulfill(status=503, headers={"Retry-After": "1"}, body=json.dumps(draining))

    def cut_off(route: Route) -> None:
        route.fulfill(status=200, content_type="text/event-stream", body=cut)

    for failure in (refuse, cut_off):
        with opened(browser, server.url, expect_failures=True) as page:
            page.route("**/generate", failure, times=1)
            fill(page, prime="abc", length=30)
            press(page, "Generate")
            page.get_by_text("Retrying in").wait_for()
            page.locator("#status").get_by_text("30 characters").wait_for(timeout=120_000)


def counted(page: Page, failure: Callable[[Route], None]) -> list[Route]:
    """Let all generations fail, and return the list to which each attempt is added."""
    attempts: list[Route] = []

    def fail(route: Route) -> None:
        attempts.append(route)
        failure(route)

    page.route("**/generate", fail)
    return attempts


def break_at_once(route: Route) -> None:
    route.fulfill(status=200, content_type="text/event-stream", body=": ping\n\n")


@pytest.mark.parametrize("failure", [Route.abort, break_at_once])
def test_the_page_gives_up_after_some_attempts_and_the_user_can_retry(
    browser: Browser, server: RunningServer, failure: Callable[[Route], None]
) -> None:
    with opened(browser, server.url, expect_failures=True) as page:
        attempts = counted(page, failure)
        page.clock.install()
        fill(page, prime="abc", length=30, seed=5)
        press(page, "Generate")
        given_up = page.locator("#status").get_by_text("Gave up after 8 attempts.")
        for _ in range(600):
            if given_up.is_visible():
                break
            page.clock.run_for(1000)
            page.wait_for_timeout(10)
        assert len(attempts) == 8
        page.clock.run_for(60_000)
        assert len(attempts) == 8
        page.unroute("**/generate")
        press(page, "Try again")
        page.locator("#status").get_by_text("30 characters").wait_for()
        assert text_of(page) == api_text(server, prime="abc", length=30, seed=5)


def test_a_request_that_has_given_up_can_be_stopped(
    browser: Browser, server: RunningServer
) -> None:
    with opened(browser, server.url, expect_failures=True) as page:
        page.clock.install()
        counted(page, Route.abort)
        press(page, "Generate")
        for _ in range(600):
            if page.get_by_role("button", name="Try again").is_visible():
                break
            page.clock.run_for(1000)
            page.wait_for_timeout(10)
        press(page, "Stop")
        assert page.locator("#status").inner_text() == "Stopped."
        assert page.get_by_role("button", name="Try again").is_hidden()
        assert page.get_by_role("button", name="Generate").is_enabled()


def test_an_unreadable_response_is_not_requested_again(
    browser: Browser, server: RunningServer
) -> None:
    with opened(browser, server.url, expect_failures=True) as page:
        broken = 'id: 5-1\ndata: {"token": \n\n'

        def fulfill(route: Route) -> None:
            route.fulfill(status=200, content_type="text/event-stream", body=broken)

        attempts = counted(page, fulfill)
        press(page, "Generate")
        page.locator("#status").get_by_text("a response that this page cannot read").wait_for()
        page.wait_for_timeout(1500)
        assert len(attempts) == 1
