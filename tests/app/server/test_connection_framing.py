"""Every response belongs to its request, whatever a client sends and however it arrives."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.responses import Response, read_responses
from tests.server import RunningServer, running_server
from tests.sockets import all_received, connected

ASKED = {"prime": "And", "length": 7, "seed": 7}
BODY = json.dumps(ASKED).encode()
CHUNKED_BODY = b"4\r\n%b\r\n%x;why=not\r\n%b\r\n0\r\n\r\n" % (BODY[:4], len(BODY) - 4, BODY[4:])
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ENDLESS_STREAM = b"GET /generate?length=1000000&seed=1 HTTP/1.1\r\nHost: x\r\n\r\n"
MEGABYTE = 1 << 20


def post(headers: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    return b"POST /generate HTTP/%b\r\nHost: x\r\n%b\r\n%b" % (version, headers, body)


@pytest.fixture(scope="module")
def running(tiny_path: Path) -> Iterator[RunningServer]:
    settings = {"max_prime": "100", "max_length": "1000000", "receive_seconds": "4"}
    with running_server(tiny_path, max_streams="4", max_queue="4", **settings) as server:
        yield server
        assert not any("Traceback" in line for line in server.lines)


@pytest.fixture(scope="module")
def expected(running: RunningServer) -> str:
    with running.client() as client:
        text: str = client.post("/generate", json=ASKED).json()["text"]
    return text


def answered(server: RunningServer, *pieces: bytes, methods: str = "") -> list[Response]:
    """The responses that come until the server closes the connection."""
    with connected(server) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            time.sleep(0.02 if number else 0)
            client.sendall(piece)
        return read_responses(all_received(client), methods.split(), closed=True)


def statuses(responses: list[Response]) -> list[int]:
    assert all(response.complete for response in responses)
    return [response.status for response in responses]


def texts(responses: list[Response]) -> list[str]:
    return [json.loads(response.body)["text"] for response in responses]


@pytest.mark.parametrize(
    "request_",
    [post(H2C + LENGTH, BODY), post(H2C + CHUNKED, CHUNKED_BODY)],
    ids=["length", "chunked"],
)
def test_upgrade_is_ignored_and_the_body_read(
    running: RunningServer, request_: bytes, expected: str
) -> None:
    head_end = request_.index(b"\r\n\r\n") + 4
    for cut in (0, 10, head_end - 2, head_end, head_end + 1, head_end + 9, len(request_)):
        first, second, last = answered(running, request_[:cut], request_[cut:] + request_ + LAST)
        assert statuses([first, second, last]) == [200, 200, 200]
        assert texts([first, second]) == [expected, expected]


def test_the_body_of_an_upgrade_is_no_request_of_its_own(running: RunningServer) -> None:
    hidden = b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n"
    head = post(H2C + b"Content-Length: %d\r\n" % len(hidden), b"")
    refused, last = answered(running, head, hidden + LAST)
    assert statuses([refused, last]) == [400, 200]


def test_an_upgrade_without_a_body_is_answered(running: RunningServer) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + H2C + b"\r\n"
    assert statuses(answered(running, request + request, LAST)) == [200, 200, 200]


def test_pipelined_requests_are_answered_in_their_order(running: RunningServer) -> None:
    """The size of all together is no matter: each head is counted by itself."""
    many = b"".join(
        b"GET /health/live HTTP/1.1\r\nX-Request-ID: %d\r\nX-Long: %b\r\n\r\n" % (n, b"x" * 9000)
        for n in range(70)
    )
    responses = answered(
        running, many + b"GET /health/liv", b"e HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    assert statuses(responses) == [200] * 71
    ids = [response.headers["x-request-id"] for response in responses[:70]]
    assert ids == [str(n) for n in range(70)]


def test_a_part_of_a_request_after_others_is_given_its_own_time(running: RunningServer) -> None:
    responses = answered(running, LIVE * 70 + b"GET /health/li")
    assert statuses(responses) == [200] * 70 + [408]


@pytest.mark.parametrize("body", [BODY, b""])
def test_garbage_after_a_request_is_refused_after_its_response(
    running: RunningServer, body: bytes
) -> None:
    stream = b"GET /generate?length=3000&seed=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    first = post(LENGTH, body) if body else stream
    responses = answered(running, first + b"\x00garbage\r\n\r\n" + LIVE)
    assert statuses(responses) == [200, 400]
    assert json.loads(responses[1].body)["code"] == "malformed"
    assert responses[1].headers["connection"] == "close"


def test_garbage_during_a_stream_does_not_break_it(running: RunningServer) -> None:
    request = b"GET /generate?length=20000&seed=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(running, request) as client:
        received = client.recv(1000)
        client.sendall(b"\x00garbage\r\n\r\n")
        received += all_received(client)
    responses = read_responses(received, [], closed=True)
    assert statuses(responses) == [200, 400]
    assert b"event: done" in responses[0].body


def test_a_body_that_breaks_after_the_response_gets_no_other(running: RunningServer) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n"
    for rest in (b"not a size\r\n", b"3\r\nabc"):
        assert statuses(answered(running, head, rest)) == [404]


def test_a_body_that_breaks_is_refused(running: RunningServer) -> None:
    for pieces in ([post(CHUNKED, b"zz\r\n")], [post(CHUNKED, b"1\r\n{\r\n"), b"zz\r\n"]):
        (response,) = answered(running, *pieces)
        assert statuses([response]) == [400]
        assert json.loads(response.body)["code"] == "malformed"


def test_http_1_0_gets_bodies_without_chunks(running: RunningServer, expected: str) -> None:
    (response,) = answered(running, post(LENGTH, BODY, b"1.0"))
    assert texts([response]) == [expected]
    (stream,) = answered(running, b"GET /generate?length=50&seed=7 HTTP/1.0\r\n\r\n")
    assert stream.headers["connection"] == "close"
    assert "transfer-encoding" not in stream.headers
    assert stream.body.startswith(b"id: 7-1\ndata: ")
    assert b"\nevent: done\n" in stream.body
    (head,) = answered(running, b"HEAD / HTTP/1.0\r\n\r\n", methods="HEAD")
    assert statuses([head]) == [200]


def test_a_long_prime_may_come_in_a_url(running: RunningServer) -> None:
    for size, status in ((65_535, 200), (65_536, 431)):
        target = b"/generate?length=1&prime=%41%41#ignored".ljust(size, b"x")
        request = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target
        assert statuses(answered(running, request)) == [status]


def test_leading_zeros_are_no_length(running: RunningServer) -> None:
    (response,) = answered(running, post(b"Content-Length: %b2\r\n" % (b"0" * 4300), b"{}"))
    assert statuses([response]) == [400]
    assert json.loads(response.body)["code"] == "malformed"


def test_a_second_request_has_its_time_to_be_answered(running: RunningServer) -> None:
    """The time that a connection may stay idle ends when a request comes."""
    with connected(running, LIVE) as client:
        received = client.recv(10_000)
        time.sleep(2)
        client.sendall(ENDLESS_STREAM)
        began = time.monotonic()
        while time.monotonic() < began + 5:
            data = client.recv(20_000)
            assert data, "the connection was closed"
            received += data
            time.sleep(0.02)  # so that the stream does not end before
    first, stream = read_responses(received, [], closed=False)
    assert first.complete
    assert (stream.status, stream.complete) == (200, False)


def test_a_body_that_breaks_before_it_was_asked_for_is_refused(running: RunningServer) -> None:
    head = post(CHUNKED + b"Expect: 100-continue\r\n", b"")
    (response,) = answered(running, head + b"zz\r\n")
    assert statuses([response]) == [400]


SMUGGLED = b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n"
UNREAD = b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)


@pytest.mark.parametrize("then", [SMUGGLED, SMUGGLED[:9], LIVE * 50, SMUGGLED + LIVE, b""])
@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"POST /nowhere", 404),
        (b"POST /info", 405),
        (b"GET /health/live", 200),
        (b"GET /generate?length=0", 422),
    ],
)
def test_a_response_before_the_body_was_asked_for_closes_the_connection(
    running: RunningServer, line: bytes, status: int, then: bytes
) -> None:
    """The client may send the body or its next request, and the server cannot tell which."""
    with connected(running, line + b" HTTP/1.1\r\nHost: x\r\n" + UNREAD) as client:
        client.recv(1, socket.MSG_PEEK)  # wait for the response
        client.sendall(then)
        responses = read_responses(all_received(client), [], closed=True)
    assert statuses(responses) == [status]
    assert responses[0].headers["connection"] == "close"


def test_a_body_that_came_without_being_asked_for_keeps_the_connection(
    running: RunningServer,
) -> None:
    request = b"POST /nowhere HTTP/1.1\r\nHost: x\r\n" + UNREAD + SMUGGLED
    responses = answered(running, request + request + LAST)
    assert statuses(responses) == [404, 404, 200]


def test_a_client_that_still_sends_receives_the_response(running: RunningServer) -> None:
    body = b"x" * MEGABYTE
    head = post(b"Content-Length: %d\r\n" % len(body), b"")
    with connected(running, head) as client:
        for start in range(0, len(body), 10_000):
            client.sendall(body[start : start + 10_000])
        (response,) = read_responses(all_received(client), [], closed=True)
    assert statuses([response]) == [413]


def test_trailers_are_not_headers(running: RunningServer) -> None:
    body = b"2\r\n{}\r\n0\r\nX-Request-ID: trailer\r\n\r\n"
    first, last = answered(running, post(CHUNKED, body) + LAST)
    assert statuses([first, last]) == [200, 200]
    assert first.headers["x-request-id"] != "trailer"


def test_what_a_client_invents_is_not_its_address(running: RunningServer) -> None:
    for number, value in enumerate((b"203.0.113.9:80", b"x" * 5000, b"invented, 203.0.113.9")):
        request = b"GET /info HTTP/1.1\r\nHost: x\r\nX-Request-ID: client-%d\r\n" % number
        answered(running, request + b"Connection: close\r\nX-Forwarded-For: %b\r\n\r\n" % value)
    clients = [running.log(f"client-{number}")[0] for number in range(3)]
    assert ["203.0.113.9" in line for line in clients] == [True, False, True]
    assert not any("xxx" in line or "invented" in line for line in running.lines)


@pytest.mark.parametrize(
    ("beginning", "line", "code"),
    [
        (post(CHUNKED, b"0\r\n"), b"a:b\r\n", "head_too_large"),
        (post(CHUNKED, b"0\r\n"), b"a", "head_too_large"),
        (post(CHUNKED, b"1;"), b"a", "head_too_large"),
        (b"GET / HTTP/1.1\r\n", b"a:\r\n", "head_too_large"),
        (b"GET / HTTP/1.1\r\na: ", b"a", "head_too_large"),
        (b"GET /", b"a", "head_too_large"),
        (ENDLESS_STREAM, LIVE, None),
        (ENDLESS_STREAM, b"\r\n", None),
        (ENDLESS_STREAM, b"x", None),
    ],
)
def test_a_flood_takes_no_memory(
    running: RunningServer, beginning: bytes, line: bytes, code: str | None
) -> None:
    """The server refuses it with a code, or stops reading."""
    before = running.gauge("process_resident_memory_bytes")
    sent, piece = 0, line * (50_000 // len(line))
    with connected(running, beginning) as client:
        client.settimeout(1)
        try:
            while sent < 32 * MEGABYTE:
                sent += client.send(piece)
        except OSError:  # it is closed, or nobody reads it
            pass
        after = running.gauge("process_resident_memory_bytes")
        client.settimeout(20)
        if code is not None and (received := all_received(client)):
            (response,) = read_responses(received, [], closed=True)
            assert json.loads(response.body)["code"] == code
    assert sent < 16 * MEGABYTE  # a few are in the buffers of the system
    assert after < before + 16 * MEGABYTE
