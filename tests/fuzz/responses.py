"""A strict parser of HTTP responses."""

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
    """A response, or the part of it that has arrived.

    Attributes:
        complete: whether all of it has arrived.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False


def read_responses(received: bytes, methods: list[str], closed: bool) -> list[Response]:
    """Return the responses to requests with the given methods, in order.

    Args:
        received: all bytes that the server has sent.
        methods: methods of the requests, one per response. Further responses are read as responses
            to GET.
        closed: whether the server has closed the connection.

    Raises:
        ResponseError: if the bytes are not HTTP responses. The last one may be incomplete.
    """
    responses = []
    final = 0
    while received:
        method = methods[final] if final < len(methods) else "GET"
        head, end, rest = received.partition(b"\r\n\r\n")
        if not end:
            break  # an incomplete head
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
            raise ResponseError(f"{name} is repeated: {head[:500]!r}")
        response.headers[name] = parts[2].decode()
    return response


def _read_body(response: Response, method: str, data: bytes, closed: bool) -> bytes:
    """Set the body of a response. Return the bytes after it."""
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
        raise ResponseError("the response does not say where its body ends")
    response.body, response.complete = data, closed
    return b""


def _read_chunks(response: Response, data: bytes) -> bytes:
    chunks = []
    while True:
        line, end, rest = data.partition(b"\r\n")
        if end and not _CHUNK_SIZE.fullmatch(line):
            raise ResponseError(f"not a chunk size: {line[:200]!r}")
        size = int(line, 16) if end else 0
        if not end or len(rest) < size + 2:
            break  # an incomplete chunk
        if rest[size : size + 2] != b"\r\n":
            raise ResponseError(f"no line end after a chunk: {rest[size : size + 20]!r}")
        chunks.append(rest[:size])
        data = rest[size + 2 :]
        if size == 0:
            response.complete = True
            break
    response.body = b"".join(chunks)
    return data
