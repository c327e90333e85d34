"""Imports point in one direction: between packages, layers inside `app`, and files."""

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
PRODUCT = ("app", "model", "training", "clients")
IMPORTS = (ast.Import, ast.ImportFrom)
WEB_FRAMEWORKS = {"fastapi", "starlette", "uvicorn", "httptools", "fastapi_offline"}


def names_of(node: ast.AST) -> Iterator[str]:
    """Yield the modules that an import statement may import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        yield from names_of(node)


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


def product_files() -> list[Path]:
    return [path for package in PRODUCT for path in sorted((ROOT / package).rglob("*.py"))]


def run_at_import(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a file is imported: those outside of functions."""
    for statement in statements:
        yield statement
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in ("body", "orelse", "finalbody"):
                yield from run_at_import(getattr(statement, name, []))
            for handler in getattr(statement, "handlers", []):
                yield from run_at_import(handler.body)


def imported_at_import(path: Path) -> set[str]:
    statements = run_at_import(ast.parse(path.read_text()).body)
    return {name for one in statements if isinstance(one, IMPORTS) for name in names_of(one)}


def imported_files(path: Path) -> set[Path]:
    """Return the product's files that a file imports, TYPE_CHECKING imports included."""
    found = [ROOT / name.replace(".", "/") for name in imported_at_import(path)]
    files = {one.with_suffix(".py") for one in found} | {one / "__init__.py" for one in found}
    return {one for one in files if one.is_file()} - {path}


@pytest.mark.parametrize("path", product_files(), ids=str)
def test_only_two_folders_import_torch_when_they_are_imported(path: Path) -> None:
    if path.is_relative_to(ROOT / "model/pytorch") or path.is_relative_to(ROOT / "training"):
        return
    assert "torch" not in {name.partition(".")[0] for name in imported_at_import(path)}
    in_pytorch = [file for file in imported_files(path) if "model/pytorch" in file.as_posix()]
    assert not in_pytorch


def test_no_circle_between_files() -> None:
    left = {path: imported_files(path) for path in product_files()}
    while free := {path for path, imported in left.items() if not imported & left.keys()}:
        left = {path: imported for path, imported in left.items() if path not in free}
    assert not left, f"in a circle, or above one: {sorted(map(str, left))}"


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
