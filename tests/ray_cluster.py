"""Ray for tests: in a network namespace of its own, because Ray listens on all addresses."""

from __future__ import annotations

import functools
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Root inside a new user namespace may create a network namespace too.
_UNSHARE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
_INSIDE = "CHARSTREAM_TEST_NAMESPACE"


def isolated(*command: str) -> list[str]:
    """Return the command that runs a command where the only network is a loopback of its own."""
    return [*_UNSHARE, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]


@functools.cache
def can_isolate() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run(isolated("true"), capture_output=True).returncode == 0


needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or not can_isolate(),
    reason="needs Ray, and unshare with permission for a network namespace",
)


@contextmanager
def ray_environment() -> Iterator[dict[str, str]]:
    """The environment for Ray: a new token, and a home and a folder for temporary files, which end
    with the block.

    The folder is not pytest's: the paths of Ray's sockets have at most 107 characters.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "CHARSTREAM_"))}
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        token = Path(folder) / "token"
        token.touch(0o600)
        token.write_text(secrets.token_hex(32))
        yield kept | {
            "HOME": folder,
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            # By default, these files of Ray's HAProxy stay in /tmp.
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy/haproxy.cfg",
            "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/haproxy/admin.sock",
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/haproxy/metrics.sock",
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": f"{folder}/haproxy",
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/haproxy/server-state",
        }


def in_ray_namespace(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test and its fixtures in a pytest of its own, isolated and with Ray's environment."""
    if _INSIDE in os.environ:
        return test

    @needs_ray
    def run_inside(request: pytest.FixtureRequest) -> None:
        with ray_environment() as environment:
            node = request.node.nodeid
            options = [
                "-q",
                "-p",
                "no:cacheprovider",
                "--basetemp",
                f"{environment['HOME']}/pytest",
            ]
            result = subprocess.run(
                isolated(sys.executable, "-m", "pytest", *options, node),
                env=environment | {_INSIDE: "1"},
                cwd=request.config.rootpath,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=300,
            )
        assert result.returncode == 0, result.stdout

    run_inside.__name__ = test.__name__
    return run_inside
