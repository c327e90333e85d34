"""The parser: the same requests, however their bytes arrive."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from app.server.refusal import RefusedError
from app.server.request_parser import HeadLimits, RequestParser

LIMITS = HeadLimits(url_bytes=20_000, header_bytes=1000, headers=10)
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@dataclass
class Request:
    head: Scope | None = None
    body: bytes = b""
    complete: bool = False

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        assert self.head is not None
        headers: list[tuple[bytes, bytes]] = self.head["headers"]
        return headers

    @property
    def url(self) -> bytes:
        assert self.head is not None
        return bytes(self.head["raw_path"] + b"?" + self.head["query_string"]).rstrip(b"?")


class Recorder:
    """Records what the parser reports, and checks the order."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def begin_head(self) -> None:
        assert all(request.complete for request in self.requests)
        self.requests.append(Request())

    def begin_body(self, head: Scope, keep_alive: bool) -> None:
        assert self.requests[-1].head is None
        self.requests[-1].head = head

    def add_body(self, data: bytes) -> None:
        assert self.requests[-1].head is not None
        assert not self.requests[-1].complete
        self.requests[-1].body += data

    def end_body(self) -> None:
        assert not self.requests[-1].complete
        self.requests[-1].complete = True


def parse(*pieces: bytes, limits: HeadLimits = LIMITS) -> list[Request]:
    recorder = Recorder()
    parser = RequestParser(recorder, limits)
    for piece in pieces:
        parser.feed_data(piece)
    return recorder.requests


def refusal(*pieces: bytes) -> tuple[int, str]:
    with pytest.raises(RefusedError) as caught:
        parse(*pieces)
    return caught.value.status, caught.value.code


HIDDEN = b"GET /hidden HTTP/1.1\r\n\r\nab"
CHUNKS = b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n"

REQUESTS = {
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n": b"",
    b"GET /a HTTP/1.1\r\n" + UPGRADE + b"\r\n": b"",
    b"GET /a HTTP/1.1\r\n" + UPGRADE + b"Content-Length: 0\r\n\r\n": b"",
    b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc": b"abc",
    b"POST /a HTTP/1.1\r\n" + UPGRADE + b"Content-Length: 26\r\n\r\n" + HIDDEN: HIDDEN,
    b"POST /a HTTP/1.1\r\n" + CHUNKED + UPGRADE + b"\r\n" + CHUNKS + b"\r\n": b"abcd",
    b"POST /a HTTP/1.1\r\n" + CHUNKED + b"\r\n" + CHUNKS + b"X-Trailer: 1\r\n\r\n": b"abcd",
}
CLOSING = {
    b"POST /a HTTP/1.0\r\nContent-Length: 2\r\n" + UPGRADE + b"\r\nhi": b"hi",
    b"POST /a HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi": b"hi",
}


@given(st.data())
def test_requests_arrive_the_same_in_any_pieces(data: st.DataObject) -> None:
    sent = data.draw(st.lists(st.sampled_from(list(REQUESTS)), min_size=1, max_size=4))
    sent += data.draw(st.lists(st.sampled_from(list(CLOSING)), max_size=1))
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    requests = parse(*pieces)
    assert [request.body for request in requests] == [(REQUESTS | CLOSING)[x] for x in sent]
    assert all(request.complete and request.url == b"/a" for request in requests)
    assert not any(name == b"x-trailer" for request in requests for name, _ in request.headers)


@pytest.mark.parametrize("beginning", [b"", b"POST / HTTP/1.1\r\n" + CHUNKED + b"\r\n0\r\n"])
def test_headers_and_trailers_are_few(beginning: bytes) -> None:
    head = beginning or b"GET / HTTP/1.1\r\n"
    used = head.count(CHUNKED)
    parse(head + b"a:\r\n" * (10 - used) + b"\r\n")
    assert refusal(head + b"a:\r\n" * (11 - used) + b"\r\n") == (431, "head_too_large")


def test_a_url_has_few_parameters() -> None:
    def head(count: int) -> bytes:
        return b"GET /a?" + b"&".join([b"x"] * count) + b" HTTP/1.1\r\n\r\n"

    (request,) = parse(head(1100))
    assert request.complete
    assert refusal(head(1101)) == (431, "head_too_large")


@pytest.mark.parametrize("size", [1, 100, 5000])
@pytest.mark.parametrize(
    "beginning",
    [
        b"GET / HTTP/1.1\r\nX-Long: ",
        b"GET / HTTP/1.1\r\nX-",
        b"GET / HTTP/1.1\r\nX: 1\r\nY: ",
        b"POST / HTTP/1.1\r\n" + CHUNKED + b"\r\n0\r\nX-Long: ",
        b"POST / HTTP/1.1\r\n" + CHUNKED + b"\r\n1;x=",
    ],
)
def test_what_does_not_end_is_refused(beginning: bytes, size: int) -> None:
    endless = [b"x" * size] * (10_000 // size)
    assert refusal(beginning, *endless) == (431, "head_too_large")


def test_a_url_may_be_long_and_its_path_may_not() -> None:
    (request,) = parse(b"GET /generate?prime=" + b"x" * 19_000 + b" HTTP/1.1\r\n\r\n")
    assert len(request.url) > 19_000
    assert refusal(b"GET /?" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n") == (431, "head_too_large")
    assert refusal(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n") == (431, "head_too_large")


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nContent-Length: " + b"0" * 900 + b"2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\n" + CHUNKED + b"\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + UPGRADE + b"\r\n",
        b"POST / HTTP/1.1\r\n" + CHUNKED + UPGRADE + b"\r\nnot a size\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
        b"CONNECT /generate HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01 hello\r\n\r\n",
    ],
)
def test_what_is_not_http_is_malformed(request_: bytes) -> None:
    assert refusal(request_) == (400, "malformed")
    assert refusal(*(request_[i : i + 1] for i in range(len(request_)))) == (400, "malformed")
