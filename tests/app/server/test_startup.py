"""The start of the server, and the errors that prevent it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Timer

import httpx
import pytest

from tests.server import free_port, running_server, start_process
from tests.waiting import wait_until


def _missing(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _tampered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_missing, _truncated, _tampered])
def test_a_damaged_checkpoint_prevents_the_start_with_one_line(
    damage: Callable[[Path], None], tiny_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(tiny_path.read_bytes())
    damage(path)
    process = start_process(path, port="0")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert output.startswith(f"charstream: CHARSTREAM_CHECKPOINT: {path}: ")
    assert output.count("\n") == 1


def test_an_invalid_setting_prevents_the_start_with_one_line(tiny_path: Path) -> None:
    process = start_process(tiny_path, port="99999", max_streams="none")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert output.startswith("charstream: CHARSTREAM_PORT: ")
    assert "CHARSTREAM_MAX_STREAMS" in output
    assert output.count("\n") == 1


def test_a_port_in_use_is_reported_in_one_line_before_the_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"CHARSTREAM_PORT": str(port), "CHARSTREAM_CHECKPOINT": "not-read"}
        run = subprocess.run(
            [sys.executable, "-m", "app"], env=os.environ | settings, capture_output=True, text=True
        )
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.startswith(
        f"charstream: CHARSTREAM_HOST, CHARSTREAM_PORT: cannot listen on 127.0.0.1:{port}: "
    )
    assert line.endswith("; choose another port or host")


def test_arguments_are_refused_and_help_names_the_settings() -> None:
    def run(argument: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", argument], capture_output=True, text=True, timeout=60
        )

    assert "CHARSTREAM_PORT" in run("--help").stdout
    refused = run("--port=1")
    assert refused.returncode == 2
    assert "unrecognized arguments: --port=1. There are no options. Set env" in refused.stderr


def test_the_server_starts_with_a_closed_stderr(tiny_path: Path) -> None:
    port = free_port()
    settings = {"CHARSTREAM_PORT": str(port), "CHARSTREAM_CHECKPOINT": str(tiny_path)}
    command = ["sh", "-c", 'exec "$0" -m app 2>&-', sys.executable]
    process = subprocess.Popen(command, env=os.environ | settings)

    def is_ready() -> bool:
        assert process.poll() is None
        with suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{port}/health/ready"
            return httpx.get(url, trust_env=False).status_code == 200
        return False

    try:
        wait_until(is_ready)
    finally:
        process.kill()
        process.wait()


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(),
    reason="reads in /proc when the server has set its handlers, and only Linux has /proc",
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_ends_the_server_at_once(
    tiny_path: Path, number: signal.Signals
) -> None:
    process = start_process(tiny_path, port="0")
    while not handles(process.pid, signal.SIGTERM):
        time.sleep(0.001)
    process.send_signal(number)
    assert process.communicate(timeout=20)[0] == ""
    assert process.returncode == 0


def test_the_log_of_the_start_describes_the_model_and_the_backend(tiny_path: Path) -> None:
    with running_server(tiny_path, log_format="json") as server:
        (line,) = server.log("loaded")
        with server.client() as client:
            info = client.get("/info").json()
    message = json.loads(line)["message"]
    for part in ("tiny.safetensors", info["hash"], "2 x 32", "on cpu", f"in {info['precision']}"):
        assert part in message


def test_sighup_during_the_start_reloads_after_it(tiny_path: Path) -> None:
    """The file may have been replaced after it was read."""
    process = start_process(tiny_path, port="0")
    assert process.stdout is not None
    timer = Timer(60, process.kill)
    timer.start()
    try:
        line = next(line for line in process.stdout if " loaded " in line)
        process.send_signal(signal.SIGHUP)
        line = next((line for line in process.stdout if " reloaded: " in line), "")
    finally:
        timer.cancel()
        process.kill()
        process.communicate()
    assert "reloaded: the checkpoints have not changed" in line
