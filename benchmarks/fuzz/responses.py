"""HTTP responses as bytes on a connection, read strictly."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [ -~]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~]*)")
_CHUNK_SIZE = re.compile(rb"[0-9a-f]+")


class ResponseError(Exception):
    """Bytes from a server that are not a well-formed response."""


@dataclass
class Response:
    """A response, or as much of it as has come.

    Attributes:
        complete: whether its end has come.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False


def read_responses(received: bytes, methods: list[str], closed: bool) -> list[Response]:
    """The responses to requests of these methods, in their order.

    Args:
        received: everything that the server has sent.
        methods: of the requests, one for each response; further responses count as GET's.
        closed: whether the server has closed the connection.

    Raises:
        ResponseError: if the bytes are not HTTP responses, the last of which may be incomplete.
    """
    responses = []
    final = 0
    while received:
        method = methods[final] if final < len(methods) else "GET"
        head, end, rest = received.partition(b"\r\n\r\n")
        if not end:
            break  # a head that has not come whole
        response = _read_head(head)
        received = _read_body(response, method, rest, closed)
        responses.append(response)
        final += response.status >= 200
        if not response.complete:
            break
    return responses


def _read_head(head: bytes) -> Response:
    first, *lines = head.split(b"\r\n")
    status = _STATUS_LINE.fullmatch(first)
    if not status:
        raise ResponseError(f"not a status line: {first[:200]!r}")
    response = Response(int(status[1]))
    for line in lines:
        parts = _FIELD.fullmatch(line)
        if not parts:
            raise ResponseError(f"not a header: {line[:200]!r}")
        name = parts[1].decode().lower()
        if name in response.headers and name in ("content-length", "transfer-encoding"):
            raise ResponseError(f"{name} comes twice: {head[:500]!r}")
        response.headers[name] = parts[2].decode()
    return response


def _read_body(response: Response, method: str, data: bytes, closed: bool) -> bytes:
    """Fill in the body; return what comes after it."""
    headers = response.headers
    if "content-length" in headers and "transfer-encoding" in headers:
        raise ResponseError("both Content-Length and Transfer-Encoding")
    if method == "HEAD" or response.status < 200 or response.status in (204, 304):
        response.complete = True
        return data
    if "content-length" in headers:
        size = int(headers["content-length"])
        response.body, response.complete = data[:size], len(data) >= size
        return data[size:]
    if "transfer-encoding" in headers:
        return _read_chunks(response, data)
    if headers.get("connection") != "close":
        raise ResponseError("the end of a body cannot be known")
    response.body, response.complete = data, closed
    return b""


def _read_chunks(response: Response, data: bytes) -> bytes:
    chunks = []
    while True:
        line, end, rest = data.partition(b"\r\n")
        if end and not _CHUNK_SIZE.fullmatch(line):
            raise ResponseError(f"not the size of a chunk: {line[:200]!r}")
        size = int(line, 16) if end else 0
        if not end or len(rest) < size + 2:
            break  # a chunk that has not come whole
        if rest[size : size + 2] != b"\r\n":
            raise ResponseError(f"no end of a chunk: {rest[size : size + 20]!r}")
        chunks.append(rest[:size])
        data = rest[size + 2 :]
        if size == 0:
            response.complete = True
            break
    response.body = b"".join(chunks)
    return data
