"""The compiled library: which kernels are found, and when none is used."""

from __future__ import annotations

import ctypes.util
import logging
import platform
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from model.decoding.quantization import quantize_rows
from model.decoding.selection import choose_precision, kernels_for
from model.native import library as native_library
from model.pytorch.linear import int8_is_available
from tests.kernels import needs_kernel

ROOT = Path(__file__).parents[3]
CPU = "cpu"


def clear_caches() -> None:
    native_library.library.cache_clear()
    native_library.kernels.cache_clear()


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, "the native kernel is not compiled; the steps need torch"),
        ("damaged", "the native kernel does not load; the steps need torch: "),
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
@pytest.mark.parametrize("name", native_library.Layout._fields)
def test_a_kernel_of_another_version_is_not_used(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    actual = getattr(native_library.LAYOUT, name)
    changed = native_library.LAYOUT._replace(**{name: actual + 1})
    monkeypatch.setattr(native_library, "LAYOUT", changed)
    clear_caches()
    try:
        assert native_library.kernels() == ()
    finally:
        clear_caches()
    assert f"another version of the sources ({name} is {actual}, expected {actual + 1})" in (
        caplog.text
    )


@needs_kernel
def test_a_library_without_one_of_the_functions_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Libraries of earlier versions have other functions."""
    libc = ctypes.util.find_library("c")
    assert libc is not None
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda _: types.SimpleNamespace(origin=libc, name="libc")
    )
    clear_caches()
    try:
        assert native_library.kernels() == ()
    finally:
        clear_caches()
    assert "another version of the sources" in caplog.text
    assert "charstream_constants" in caplog.text


@needs_kernel
def test_no_kernel_of_this_processor_is_missing() -> None:
    """A kernel is left out if the compiler does not know its instruction set."""
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not cpuinfo.exists():
        pytest.skip("the system does not list the processor's instruction sets")
    flags = cpuinfo.read_text().partition("flags")[2].partition("\n")[0].split()
    expected = {"avx2", "avx_vnni", "avx512_vnni", "amx_int8"} & set(flags)  # the same names
    if not amx_is_permitted():
        expected.discard("amx_int8")
    assert expected <= set(native_library.kernels())


def amx_is_permitted() -> bool:
    """Ask Linux for AMX's registers. A sandbox may refuse."""
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return bool(ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0)


def test_weights_have_the_codes_that_the_kernels_expect() -> None:
    codes, _ = quantize_rows(np.array([[1.0, -2.0, 0.5], [3.0, 3.0, -3.0]], np.float32))
    assert np.abs(codes).max() == native_library.LAYOUT.most_weight


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
