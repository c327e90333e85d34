"""A server that is busy, restarts, or cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.app.page import playground as ui
from tests.conftest import SHIPPED
from tests.server import RunningServer, free_port, running_server
from tests.sockets import connected
from tests.waiting import wait_until


def test_an_unreachable_server_is_not_reported_as_a_lost_connection(browser: Browser) -> None:
    with (
        running_server(SHIPPED) as server,
        ui.opened(browser, server.url, expect_failures=True) as page,
    ):
        page.locator("#card dl").wait_for()
        server.process.kill()
        server.process.wait()
        ui.press(page, "Generate")
        page.get_by_text("The server cannot be reached.", exact=True).wait_for()
        ui.press(page, "Stop")
        assert page.locator("#status").inner_text() == "Stopped."


def test_a_broken_stream_continues_when_the_server_is_back(browser: Browser) -> None:
    slow = {"port": str(free_port()), "precision": "fp32"}  # the text is not done at the kill
    with (
        running_server(SHIPPED, **slow) as first,
        ui.opened(browser, first.url, expect_failures=True) as page,
    ):
        ui.look_through(page, "Off")
        ui.fill(page, prime="abc", length=1_500, seed=9)
        ui.press(page, "Generate")
        ui.wait_for_text(page, more_than=10)
        first.process.kill()
        first.process.wait()
        page.get_by_text("Connection lost").wait_for()
        page.get_by_text("Retrying in").wait_for()
        assert ui.box_of(page.locator("#countdown"))["height"] < 25, "it is on one line"
        assert 10 < len(ui.text_of(page)) < 1_500
        with running_server(SHIPPED, **slow) as second:
            page.get_by_text("1,500 characters").wait_for(timeout=120_000)
            assert ui.text_of(page) == ui.api_text(second, prime="abc", length=1_500, seed=9)


LONG = b'POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n{"length": 100000}'


@contextmanager
def occupied(server: RunningServer, others: int) -> Iterator[None]:
    """Fill the server's slot, and its queue with `others` requests, until the end of the block."""
    with ExitStack() as stack:
        stack.enter_context(connected(server, LONG))
        wait_until(lambda: server.gauge("charstream_streams_active") == 1)
        for _ in range(others):
            stack.enter_context(connected(server, LONG))
        wait_until(lambda: server.gauge("charstream_streams_waiting") == others)
        yield
    gauges = ("charstream_streams_active", "charstream_streams_waiting")
    wait_until(lambda: not any(map(server.gauge, gauges)))


def wait_with_a_fast_clock(page: Page, words: str) -> None:
    """Let the clock of a page, which must be installed, skip waits until it shows these words."""
    element, wait = page.get_by_text(words), page.get_by_text("Retrying in")

    def is_there() -> bool:
        # A busy server needs longer than the page waits for data if the clock always runs fast.
        page.clock.run_for(1000 if wait.is_visible() else 50)
        return element.is_visible()

    ui.wait_until(page, is_there)


def test_a_request_to_a_full_server_is_retried(browser: Browser, one_slot: RunningServer) -> None:
    with ui.opened(browser, one_slot.url, expect_failures=True, is_new=True) as page:
        page.clock.install()
        ui.fill(page, prime="abc", length=30)
        with occupied(one_slot, others=2):
            ui.press(page, "Generate")
            page.get_by_text("The server cannot accept the request now").wait_for()
            page.get_by_text("Retrying in").wait_for()
        wait_with_a_fast_clock(page, "30 characters")


def test_a_waiting_request_shows_how_many_are_ahead(
    browser: Browser, one_slot: RunningServer
) -> None:
    with ui.opened(browser, one_slot.url) as page:
        ui.fill(page, prime="abc", length=30)
        with occupied(one_slot, others=1):
            ui.press(page, "Generate")
            page.get_by_text("In the queue: 1 request ahead").wait_for()
        page.locator("#status").get_by_text("30 characters").wait_for()


def streamed(body: str) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=200, content_type="text/event-stream", body=body)


def refused(route: Route) -> None:
    draining = {"detail": "the service is shutting down", "code": "draining"}
    route.fulfill(status=503, headers={"Retry-After": "1"}, json=draining)


CUT_OFF = 'event: error\ndata: {"detail": "it is shutting down", "code": "draining"}\n\n'


@ui.failures_expected
@pytest.mark.parametrize("failure", [refused, streamed(CUT_OFF)], ids=["before", "within"])
def test_a_request_to_a_draining_server_is_retried(
    page: Page, failure: Callable[[Route], None]
) -> None:
    page.route("**/generate", failure, times=1)
    ui.fill(page, length=30)
    ui.press(page, "Generate")
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


@pytest.mark.parametrize("failure", [Route.abort, streamed(": ping\n\n")])
@ui.failures_expected
@ui.with_a_clock
def test_the_page_gives_up_after_some_attempts_and_the_user_can_retry(
    page: Page, server: RunningServer, failure: Callable[[Route], None]
) -> None:
    attempts = counted(page, failure)
    page.clock.install()
    ui.fill(page, length=30, seed=5)
    ui.press(page, "Generate")
    wait_with_a_fast_clock(page, "Gave up after 8 attempts.")
    assert len(attempts) == 8
    page.clock.run_for(60_000)
    assert len(attempts) == 8
    page.unroute("**/generate")
    ui.press(page, "Try again")
    page.locator("#status").get_by_text("30 characters").wait_for()
    assert ui.text_of(page) == ui.api_text(server, prime="abc", length=30, seed=5)


@ui.failures_expected
@ui.with_a_clock
def test_a_request_that_has_given_up_can_be_stopped(page: Page) -> None:
    page.clock.install()
    counted(page, Route.abort)
    ui.press(page, "Generate")
    wait_with_a_fast_clock(page, "Gave up after 8 attempts.")
    ui.press(page, "Stop")
    assert page.locator("#status").inner_text() == "Stopped."
    assert page.get_by_role("button", name="Try again").is_hidden()
    assert page.get_by_role("button", name="Generate").is_enabled()


@ui.failures_expected
def test_an_unreadable_response_is_not_requested_again(page: Page) -> None:
    attempts = counted(page, streamed('id: 5-1\ndata: {"token": \n\n'))
    ui.press(page, "Generate")
    page.locator("#status").get_by_text("a response that this page cannot read").wait_for()
    page.wait_for_timeout(1500)
    assert len(attempts) == 1
