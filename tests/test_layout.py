"""The packages import in one direction: app -> model <- training; benchmarks -> all."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT: dict[str, set[str]] = {
    "model": {"model"},
    "training": {"training", "model"},
    "app": {"app", "model"},
    "clients": set(),  # for users to copy
    "benchmarks": {"benchmarks", "app", "model", "training"},
}


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names & {*MAY_IMPORT, "tests"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert imported_packages(path) <= MAY_IMPORT[package], path


@pytest.mark.parametrize("module", ["app.main", "training.trainer", "model.decoder"])
def test_importing_a_module_prints_and_loads_nothing(module: str) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import {module}"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert result.stdout == result.stderr == ""
