"""Requests as bytes, valid and invalid, and the responses that a server may send to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from hypothesis import strategies as st

_UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
_CHUNKED = "Transfer-Encoding: chunked\r\n"
_EXPECT = "Expect: 100-continue\r\n"


class Kind(Enum):
    """The state of the connection after a request."""

    KEPT = "kept"  # a response is sent, and the next request may follow
    LAST = "last"  # a response is sent, and the connection closes
    SAYS = "says"  # a response is sent, and says whether the connection closes
    NOT_HTTP = "not http"  # the request is refused, and the connection closes
    BROKEN = "broken"  # refused, unless the response was sent before; the connection closes


@dataclass(frozen=True)
class Message:
    """A request with the placeholder `{id}` for its X-Request-ID.

    Attributes:
        name: name of this kind of request, for the counts.
        method: method of the request, which determines whether its response has a body.
        text: the whole request, with latin-1 characters only.
        statuses: statuses of correct responses. 503 with Retry-After is always correct.
        kind: state of the connection after the request.
    """

    name: str
    method: str
    text: str
    statuses: tuple[int, ...]
    kind: Kind = Kind.KEPT

    def encoded(self, request_id: str) -> bytes:
        return self.text.replace("{id}", request_id).encode("latin-1")


def _head(method: str, target: str, version: str, headers: str) -> str:
    return f"{method} {target} HTTP/{version}\r\nHost: x\r\nX-Request-ID: {{id}}\r\n{headers}\r\n"


def _chunked(body: str, sizes: list[int], extension: str, trailers: str) -> str:
    chunks = []
    for size in sizes:
        chunks.append(body[:size])
        body = body[size:]
    chunks.append(body)
    lines = "".join(f"{len(c):x}{extension}\r\n{c}\r\n" for c in chunks if c)
    return f"{lines}0\r\n{trailers}\r\n"


_GETS = [
    ("/health/live", 200),
    ("/info", 200),
    ("/nowhere", 404),
    ("/generate?length=0", 422),
    ("/generate?length=40&seed=3", 200),
    ("/generate?length=400&seed=4", 200),
    ("/generate?prime=" + "%41" * 200 + "&length=3", 200),
    ("/generate?length=2&seed=1&logprobs=2", 200),
]
_BODIES = [
    ("/generate", {"length": 5, "seed": 1}, 200),
    ("/generate", {"length": 50, "seed": 2, "prime": "He"}, 200),
    ("/generate", {"length": 50, "seed": 2, "stream": True}, 200),
    ("/generate", {"length": 1, "unknown_field": "GET /info HTTP/1.1\r\n\r\n"}, 422),
    ("/score", {"text": "abc"}, 200),
    ("/v1/completions", {"prompt": "He", "max_tokens": 3}, 200),
    ("/nowhere", {}, 404),
    ("/info", {}, 405),
]
_SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
_HEADERS = [
    "",
    "",
    "",
    "X-Long: " + "x" * 9000 + "\r\n",
    "X-Forwarded-For: y, 203.0.113.7\r\n",
    _UPGRADE,
]


@st.composite
def gets(draw: st.DrawFn) -> Message:
    """Draw a request without a body."""
    target, status = draw(st.sampled_from(_GETS))
    method = draw(st.sampled_from(["GET", "GET", "GET", "HEAD"]))
    version, kind = draw(_versions)
    headers = draw(st.sampled_from(_HEADERS)) + draw(_closing(kind, version))
    statuses = (status, 405) if method == "HEAD" else (status,)
    return Message("get", method, _head(method, target, version, headers), statuses, kind)


@st.composite
def posts(draw: st.DrawFn) -> Message:
    """Draw a request with a body, either with Content-Length or in chunks."""
    target, fields, status = draw(st.sampled_from(_BODIES))
    body = json.dumps(fields)
    if draw(st.integers(0, 5)) == 0:
        body, status = _SMUGGLED, {404: 404, 405: 405}.get(status, 400)
    version, kind = draw(_versions)
    headers = draw(st.sampled_from([*_HEADERS, _EXPECT]))
    if headers == _EXPECT and kind is Kind.KEPT and status in (404, 405):  # nobody reads the body
        kind = Kind.SAYS
    headers += draw(_closing(kind, version))
    if version == "1.0" or draw(st.booleans()):
        headers += f"Content-Length: {len(body)}\r\n"
    else:
        headers += _CHUNKED
        sizes = draw(st.lists(st.integers(1, 40), max_size=4))
        trailers = "X-Request-ID: trailer\r\n" * draw(st.sampled_from([0, 0, 1, 20]))
        body = _chunked(body, sizes, draw(st.sampled_from(["", ";a=b", ';a="b c"'])), trailers)
    statuses = (status, 400) if status in (404, 405) else (status,)
    return Message("post", "POST", _head("POST", target, version, headers) + body, statuses, kind)


_versions = st.sampled_from([("1.1", Kind.KEPT)] * 8 + [("1.1", Kind.LAST), ("1.0", Kind.LAST)])


def _closing(kind: Kind, version: str) -> st.SearchStrategy[str]:
    return st.just("Connection: close\r\n" if kind is Kind.LAST and version == "1.1" else "")


def _fatal(name: str, text: str, status: int, kind: Kind = Kind.NOT_HTTP) -> Message:
    return Message(name, "POST", text, (status,), kind)


def _post(headers: str, body: str) -> str:
    return _head("POST", "/generate", "1.1", headers) + body


FATAL = [
    _fatal("not http", "\x16\x03\x01 hello\r\n\r\n", 400),
    _fatal("zero byte", "GET /\x00 HTTP/1.1\r\n\r\n", 400),
    _fatal("connect", "CONNECT example.org:443 HTTP/1.1\r\n\r\n", 400),
    _fatal("http 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    _fatal("folded header", _head("GET", "/", "1.1", "X: a\r\n b\r\n"), 400),
    _fatal("two lengths", _post("Content-Length: 2\r\nContent-Length: 3\r\n", "{} "), 400),
    _fatal("length of zeros", _post(f"Content-Length: {'0' * 4300}2\r\n", "{}"), 400),
    _fatal(
        "length and chunks", _post(f"Content-Length: 2\r\n{_CHUNKED}", "2\r\n{}\r\n0\r\n\r\n"), 400
    ),
    _fatal("many headers", _head("GET", "/", "1.1", "a:\r\n" * 40_000), 431),
    _fatal("long header", _head("GET", "/", "1.1", f"a: {'x' * 200_000}\r\n"), 431),
    _fatal("long path", _head("GET", "/" + "x" * 20_000, "1.1", ""), 431),
    _fatal("long url", _head("GET", "/?" + "x" * 300_000, "1.1", ""), 431),
    _fatal("bad chunk", _post(_CHUNKED, "zz\r\n"), 400, Kind.BROKEN),
    _fatal(
        "bad chunk after upgrade", _post(_CHUNKED + _UPGRADE, "1\r\n{\r\nzz\r\n"), 400, Kind.BROKEN
    ),
    _fatal("gzip", _post("Transfer-Encoding: gzip\r\n", "zz"), 400, Kind.BROKEN),
    _fatal("gzip in chunks", _post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400),
    _fatal(
        "many trailers", _post(_CHUNKED, "2\r\n{}\r\n0\r\n" + "a:b\r\n" * 40_000), 431, Kind.BROKEN
    ),
    _fatal("long trailer", _post(_CHUNKED, "2\r\n{}\r\n0\r\na:" + "b" * 200_000), 431, Kind.BROKEN),
    _fatal("long extension", _post(_CHUNKED, "2;" + "b" * 200_000), 431, Kind.BROKEN),
    _fatal(
        "large body",
        _post(_CHUNKED, "ffff\r\n" + "b" * 65_535 + "\r\nffff\r\n" + "b" * 65_535),
        413,
        Kind.BROKEN,
    ),
]
