"""CHARSTREAM_REQUIRE_NATIVE: in CI, the tests of the native kernel are not skipped in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def without_kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose kernel does not load, with one test."""
    folder = tmp_path_factory.mktemp("project")
    for package in ("app", "model"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.so"))
    (folder / "model" / f"_native{EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    (folder / "tests").mkdir()
    for name in ("__init__.py", "browser.py", "conftest.py", "server.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "tests" / "test_nothing.py").write_text("def test_nothing() -> None:\n    pass\n")
    return folder


@pytest.mark.parametrize(("value", "status"), [("1", pytest.ExitCode.USAGE_ERROR), ("", 0)])
def test_the_tests_end_at_once_if_a_required_kernel_is_missing(
    without_kernel: Path, value: str, status: int
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=without_kernel,
        env={**os.environ, "CHARSTREAM_REQUIRE_NATIVE": value},
        capture_output=True,
        text=True,
    )
    assert result.returncode == status, result.stdout
    assert ("the native kernel is not compiled" in result.stderr) == (value == "1")
