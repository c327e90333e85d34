"""nginx with the configuration that ships, and replicas that do as they are told."""

from __future__ import annotations

import getpass
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT
from tests.server import free_port

CONFIGURATION = ROOT / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

_SERVER = "server replica:8000 resolve max_fails=1 fail_timeout=2s;"
_LISTEN = "listen 8080 "
_HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nReplica: {}\r\n\r\n"
)


@dataclass
class RunningNginx:
    url: str
    log: Path


@contextmanager
def running_nginx(folder: Path, replicas: Sequence[int]) -> Iterator[RunningNginx]:
    """nginx before replicas on these ports of this machine."""
    assert NGINX is not None
    port = free_port()
    path = folder / "nginx.conf"
    path.write_text(_configuration(folder, port, replicas))
    log = folder / "log"
    directives = f"daemon off; user {getpass.getuser()};"
    command = [NGINX, "-p", str(folder), "-e", str(log), "-c", str(path), "-g", directives]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(port, process, log)
        yield RunningNginx(f"http://127.0.0.1:{port}", log)
    finally:
        process.terminate()
        process.wait()


def _configuration(folder: Path, port: int, replicas: Sequence[int]) -> str:
    """The shipped file with addresses in place of a name to resolve, and places of its own."""
    text = CONFIGURATION.read_text()
    servers = [_SERVER.replace("replica:8000 resolve", f"127.0.0.1:{port}") for port in replicas]
    changes = {
        _SERVER: "\n".join(servers),
        _LISTEN: f"listen 127.0.0.1:{port} ",
        "/tmp/": f"{folder}/",
        "/dev/stderr": str(folder / "log"),
    }
    for old, new in changes.items():
        assert old in text, f"the configuration has no {old!r} any more"
        text = text.replace(old, new)
    return text


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)
    raise AssertionError(f"nginx did not start: {log.read_text()}")


@dataclass
class HeldReplica:
    """A server that answers each request with a stream, and leaves its events to the test."""

    port: int
    heads: list[str] = field(default_factory=list)  # of the requests that came
    streams: queue.Queue[socket.socket] = field(default_factory=queue.Queue)


@contextmanager
def held_replica() -> Iterator[HeldReplica]:
    listener = socket.create_server(("127.0.0.1", 0))
    replica = HeldReplica(listener.getsockname()[1])

    def serve() -> None:
        with suppress(OSError):
            while True:
                stream, _ = listener.accept()
                head = b""
                while b"\r\n\r\n" not in head:
                    head += stream.recv(65536)
                replica.heads.append(head.decode())
                stream.sendall(_HEAD.format(replica.port).encode())
                replica.streams.put(stream)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield replica
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # a close alone leaves the other thread in accept
        listener.close()
        thread.join()
        while not replica.streams.empty():
            replica.streams.get().close()
