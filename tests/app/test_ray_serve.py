"""The application on Ray Serve. Needs Ray: pip install '.[ray]'."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from clients.charstream_client import Client, GenerateParams
from tests.conftest import SHIPPED
from tests.ray_cluster import in_ray_namespace, needs_ray
from tests.server import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own

DEPLOY = """
import sys, ray
from ray import serve
from app.ray_serve import Replicas, application

ray.init(num_cpus=4, include_dashboard=False, object_store_memory=100_000_000)
serve.start(http_options={"port": int(sys.argv[1])})
serve.run(application(Replicas(min_replicas=2, max_replicas=2)))
print("ready", flush=True)
sys.stdin.read()
serve.shutdown()
"""


@pytest.fixture
def deployed() -> Iterator[tuple[str, int]]:
    """The address of two replicas behind HAProxy, and the process id of the ancestor of all of
    Ray's processes.
    """
    port = free_port()
    environment = os.environ | {
        "CHARSTREAM_CHECKPOINT": str(SHIPPED),
        "CHARSTREAM_PRECISION": "fp32",  # slow enough to be interrupted
        "CHARSTREAM_THREADS": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",  # a short shutdown
    }
    process = subprocess.Popen(
        [sys.executable, "-c", DEPLOY, str(port)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "ready\n":
            break
    else:
        raise AssertionError("".join(lines))
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.communicate("")


def replicas(ancestor: int) -> list[int]:
    """The process ids of the replicas among the descendants of a process. Linux only."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
            if name.startswith(b"ray::ServeReplica:") and ancestor in ancestors(int(folder.name)):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        yield pid


@in_ray_namespace
def test_a_stream_continues_when_its_replica_dies(deployed: tuple[str, int]) -> None:
    url, ancestor = deployed
    fields: list[GenerateParams] = [
        {"prime": "abc", "length": 1_500, "seed": seed} for seed in range(4)
    ]
    first, _ = replicas(ancestor)
    with Client(url, max_retries=30, trust_env=False) as client:
        expected = [client.generate(**each)["text"] for each in fields]
        streams = [client.stream(**each) for each in fields]
        events = [iter(stream) for stream in streams]
        texts = [next(each)["token"] for each in events]
        os.kill(first, signal.SIGKILL)
        texts = [
            text + "".join(event["token"] for event in each)
            for text, each in zip(texts, events, strict=True)
        ]
    assert texts == expected


@in_ray_namespace
def test_a_request_has_a_log_line_without_a_forged_address(
    deployed: tuple[str, int],
) -> None:
    url, _ = deployed
    headers = {"X-Request-ID": "id-1", "X-Forwarded-For": "203.0.113.9"}
    response = httpx.get(f"{url}/info", headers=headers, trust_env=False)
    assert set(response.headers.get_list("X-Request-ID")) == {"id-1"}
    other = httpx.get(f"{url}/info", trust_env=False).headers.get_list("X-Request-ID")
    assert len(set(other)) == 1, "Ray adds it too"
    logs = Path(os.environ["RAY_TMPDIR"], "ray", "session_latest", "logs")
    wait_until(
        lambda: any(
            "request_id=id-1 client=127.0.0.1 " in log.read_text() for log in logs.glob("*.err")
        )
    )


@needs_ray
@pytest.mark.parametrize(
    ("active", "waiting", "queued", "expected"),
    [(0, 0, 0, 0), (48, 0, 0, 1), (49, 0, 0, 2), (64, 64, 0, 3), (64, 64, 20, 4)],
)
def test_waiting_streams_request_replicas(
    active: int, waiting: int, queued: int, expected: int
) -> None:
    from app.ray_serve import StreamsPolicy

    recorded = {"active": {"a": active}, "waiting": {"a": waiting}, "running": {"a": 1000}}
    context = SimpleNamespace(aggregated_metrics=recorded, total_queued_requests=queued)
    assert StreamsPolicy(slots=64)(context) == (expected, {})
