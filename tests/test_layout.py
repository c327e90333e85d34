"""Imports point in one direction, between packages and between the layers inside `app`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT: dict[str, set[str]] = {
    "model": {"model"},
    "training": {"training", "model"},
    "app": {"app", "model"},
    "clients": set(),  # for users to copy
    "benchmarks": {"benchmarks", "app", "model", "training", "tests"},
}
# From the bottom to the top. A module imports from its own layer and from lower ones.
LAYERS: list[set[str]] = [
    {
        *("engine", "errors", "pattern_cache"),
        *("settings", "__init__"),
    },
    {"service", "middleware"},
    {"model_manager", "model_loader", "loaded_models"},
    {"api"},
    {"openai"},
    {"main"},
    {"server", "ray_serve"},
    {"__main__"},
]
WEB_FRAMEWORKS = {"fastapi", "starlette", "uvicorn", "httptools", "fastapi_offline"}


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_names(path)} & {*MAY_IMPORT, "tests"}


def layer_of(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


def part_of(path: Path) -> str:
    """Return the module or sub-package of `app` that a file belongs to."""
    return path.relative_to(ROOT / "app").parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    parts = [name.split(".") for name in imported_names(path) if name.startswith("app.")]
    known = {part for layer in LAYERS for part in layer}
    return {part[1] for part in parts if part[1] in known}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert imported_packages(path) <= MAY_IMPORT[package], path


@pytest.mark.parametrize("path", sorted((ROOT / "app").rglob("*.py")), ids=str)
def test_the_layers_of_the_service_import_downwards(path: Path) -> None:
    above = [part for part in imported_parts(path) if layer_of(part) > layer_of(part_of(path))]
    assert not above


def test_the_engine_runs_without_a_web_framework() -> None:
    program = (
        "import sys, app.engine.engine, app.service; "
        f"print(*sorted({WEB_FRAMEWORKS!r} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("module", ["app.main", "training.trainer", "model.decoding.decoder"])
def test_importing_a_module_prints_nothing(module: str) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import {module}"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert result.stdout == result.stderr == ""
