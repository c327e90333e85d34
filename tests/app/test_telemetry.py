"""OpenTelemetry: traces of requests reach a collector that the standard variables name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.server import running_server
from tests.waiting import wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"  # 32 hex digits


@contextmanager
def collector() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Run a collector. Yield its address, and what it has received at each path."""
    received: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received[self.path] = received.get(self.path, b"") + body
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()


def test_traces_reach_the_collector(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with collector() as (address, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with running_server(tiny_path) as server, server.client() as client:
            parent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            response = client.post("/generate", json={"length": 5}, headers=parent)
            assert response.status_code == 200
            assert f" trace_id={TRACE} " in server.log("path=/generate")[0]
            assert client.post("/generate", json={"length": 0}).status_code == 422
            client.get("/health/ready")
            wait_until(lambda: received.get("/v1/traces", b"").count(b"POST /generate") >= 2)
    assert b"/health/ready" not in received["/v1/traces"]
