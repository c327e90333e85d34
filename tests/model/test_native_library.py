from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model import native_library
from model.linear import int8_is_available
from model.selection import choose_precision, kernels_for

ROOT = Path(__file__).parents[2]
CPU = "cpu"
needs_kernel = pytest.mark.skipif(
    not native_library.kernels(), reason="the native kernel is not compiled here"
)


def clear_caches() -> None:
    native_library.library.cache_clear()
    native_library.kernels.cache_clear()


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, "the native kernel is not compiled; torch computes the steps"),
        ("damaged", "the native kernel does not load; torch computes the steps: "),
    ],
)
def test_without_a_kernel_torch_computes_the_steps(
    origin: str | None,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = None
    if origin is not None:
        (tmp_path / origin).write_bytes(b"no library")
        spec = importlib_spec(tmp_path / origin)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    caplog.set_level(logging.INFO)
    clear_caches()
    try:
        assert kernels_for("int8", CPU) == ("torch",)
        assert choose_precision("auto", CPU) == (
            "int8" if int8_is_available(torch.device(CPU)) else "fp32"
        )
    finally:
        clear_caches()
    (message,) = caplog.messages
    assert message.startswith(expected)


def importlib_spec(path: Path) -> object:
    class Spec:
        origin = str(path)

    return Spec()


@needs_kernel
def test_a_kernel_of_another_version_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native_library, "sizeof", lambda kind: 1)
    clear_caches()
    try:
        assert native_library.kernels() == ()
    finally:
        clear_caches()
    assert "another version of the sources" in caplog.text


def test_without_a_compiler_the_installation_succeeds_without_the_kernel(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "build_ext"]
    built = subprocess.run(
        [*command, "--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")],
        cwd=ROOT,
        env={"PATH": "", "CC": "no-compiler", "CXX": "no-compiler"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert 'building extension "model._native" failed' in built.stderr
    assert not list((tmp_path / "lib").rglob("*.so"))
