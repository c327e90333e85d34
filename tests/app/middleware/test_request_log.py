"""Request ids, log lines and security headers."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.server.log_format import JsonLines, LineHandler, TextLines
from tests.server import RunningServer, running_server

PRIME = "abc FED"


@pytest.fixture(scope="module")
def logged(tiny_path: Path) -> Iterator[RunningServer]:
    with running_server(tiny_path, log_format="json") as server:
        yield server


def line_of(server: RunningServer, request_id: str) -> dict[str, Any]:
    (line,) = server.log(json.dumps(request_id))
    fields: dict[str, Any] = json.loads(line)
    return fields


def test_a_request_has_one_log_line_with_its_result(logged: RunningServer) -> None:
    with logged.client() as client:
        params = {"prime": PRIME, "length": 30, "seed": 1}
        headers = {"X-Request-ID": "mine-1"}
        response = client.post("/generate", json=params, headers=headers)
        line = line_of(logged, "mine-1")
        model = client.get("/models").json()["models"][0]
    assert response.headers["X-Request-ID"] == "mine-1"
    expected = {
        "level": "INFO",
        "message": "request",
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/generate",
        "status": 200,
        "model": f"{model['name']}@{model['hash']}",
        "prime_characters": len(PRIME),
        "generated_characters": 30,
        "finish_reason": "length",
    }
    assert {name: line[name] for name in expected} == expected
    assert line["ms"] >= line["first_character_ms"] > 0


def test_a_line_tells_which_key_was_used(tiny_path: Path) -> None:
    with running_server(tiny_path, api_keys="abc,def") as server, server.client() as client:
        client.get("/info", headers={"Authorization": "Bearer def"})
        (line,) = server.log("path=/info")
    assert "key=cb8379ac" in line.split()  # printf def | sha256sum


def test_neither_primes_nor_queries_are_logged(logged: RunningServer) -> None:
    with logged.client() as client:
        client.get("/generate", params={"prime": PRIME, "length": 3})
        client.post("/generate", json={"prime": PRIME, "length": "wrong"})
        client.post("/score", json={"text": PRIME})
        client.get("/nothing/here", headers={"X-Request-ID": "last"})
        line_of(logged, "last")
    assert not any(PRIME in line or "FED" in line for line in logged.lines)


def test_primes_are_logged_if_the_operator_wants_them(tiny_path: Path) -> None:
    with running_server(tiny_path, log_primes="true") as server, server.client() as client:
        client.post("/generate", json={"prime": PRIME, "length": 3})
        (line,) = server.log("path=/generate")
    assert f'prime="{PRIME}"' in line


def test_an_incomplete_response_is_logged_as_broken(logged: RunningServer) -> None:
    params = {"length": 100_000, "stream": True}
    with (
        logged.client() as client,
        client.stream(
            "POST", "/generate", json=params, headers={"X-Request-ID": "broken"}
        ) as stream,
    ):
        next(stream.iter_lines())
    line = line_of(logged, "broken")
    assert line["broken"] is True
    assert line["finish_reason"] == "cancelled"


@pytest.mark.parametrize("given_id", [None, "", "two words", "x" * 129, 'q"uote', "b\xe9"])
def test_a_harmful_request_id_is_replaced(logged: RunningServer, given_id: str | None) -> None:
    headers = {} if given_id is None else {b"X-Request-ID": given_id.encode("latin-1")}
    with logged.client() as client:
        response = client.get("/info", headers=headers)
    assert len(response.headers["X-Request-ID"]) == 32
    assert int(response.headers["X-Request-ID"], 16)


def test_successful_probes_and_files_of_the_page_are_not_logged(logged: RunningServer) -> None:
    with logged.client() as client:
        for path in ("/health/live", "/health/ready", "/metrics", "/static/main.js"):
            assert client.get(path, headers={"X-Request-ID": "probe"}).status_code == 200
        client.get("/info", headers={"X-Request-ID": "after"})
        line_of(logged, "after")
    assert not any("probe" in line for line in logged.lines)


def test_every_response_has_security_headers_and_does_not_name_the_server(
    logged: RunningServer,
) -> None:
    with logged.client() as client:
        for path in ("/", "/info", "/nothing", "/generate?length=0", "/static/style.css"):
            headers = client.get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "server" not in headers


any_text = st.text(st.characters(), max_size=40)


@given(any_text, any_text)
def test_log_lines_cannot_be_forged(message: str, value: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (message,), None)
    record.fields = {"path": value, "status": 200}
    for formatter in (JsonLines(), TextLines()):
        line = formatter.format(record)
        assert line.isascii()
        assert line.isprintable()
    parsed = json.loads(JsonLines().format(record))
    assert (parsed["message"], parsed["path"], parsed["status"]) == (message, value, 200)
    assert TextLines().format(record).endswith(" status=200")


async def test_lines_on_a_full_disk_are_no_reason_for_further_lines() -> None:
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    full = Path("/dev/full").open("w")  # noqa: SIM115  # its end fails
    handler = LineHandler(full)
    handler.emit(logging.LogRecord("charstream", logging.INFO, "", 0, "request", None, None))
    await asyncio.sleep(0.01)
    with suppress(OSError):
        full.close()
    assert not errors


def test_the_lines_of_a_closed_loop_do_not_hold_back_those_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    record = logging.LogRecord("charstream", logging.INFO, "", 0, "request", None, None)
    with path.open("w") as stream:
        handler = LineHandler(stream)

        async def emit() -> str:
            handler.emit(record)
            await asyncio.sleep(0)
            return path.read_text()

        loop = asyncio.new_event_loop()
        loop.call_soon(handler.emit, record)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        assert asyncio.run(emit()) == "request\n" * 2


def test_a_traceback_may_have_characters_that_utf_8_does_not() -> None:
    program = """
import logging
from app.server import log_format
log_format.set_up("text")
try:
    raise ValueError(chr(0xD800))
except ValueError:
    logging.exception("failed")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stderr.endswith("ValueError: \\ud800\n")
