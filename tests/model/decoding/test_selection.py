"""The choice of the device, the precision and the number of threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.decoding import selection
from model.decoding.selection import choose_device, choose_precision, default_threads, kernels_for
from model.errors import DeviceError
from model.native import library as native_library

ROOT = Path(__file__).parents[3]
CPU = "cpu"


@pytest.mark.parametrize("name", ["hpu", "privateuseone", "meta", "xpu", "mps", "xla", "vulkan"])
def test_a_device_that_torch_knows_but_that_is_not_here_is_refused(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(DeviceError, match=f"device '{name}' is not available here: ") as caught:
        choose_device(name)
    assert "expected auto, cpu, cuda or a numbered GPU" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "toaster", "cpu:x", "cuda:-1", "cuda:9999", "é", "auto "])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="expected auto, cpu, cuda"):
        choose_device(name)


def test_int8_off_the_cpu_is_refused() -> None:
    with pytest.raises(DeviceError, match="int8"):
        choose_precision("int8", "meta")
    assert choose_precision("auto", "meta") == "fp32"


def test_auto_is_a_device_that_can_compute() -> None:
    assert choose_device("cpu") == "cpu"
    device = choose_device("auto")
    assert torch.ones(2, device=device).sum().item() == 2


def test_refusing_a_device_prints_nothing() -> None:
    """Torch writes warnings about devices to standard error."""
    code = """
from model.errors import DeviceError
from model.decoding.selection import choose_device

for name in ("hpu", "privateuseone", "meta"):
    try:
        choose_device(name)
    except DeviceError:
        continue
    raise SystemExit(f"{name} was not refused")
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_int8_is_chosen_where_a_fast_kernel_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = [kernel for kernel in native_library.kernels() if kernel != native_library.PLAIN]
    expected = "int8" if kernels_for("int8", CPU)[:1] != (native_library.PLAIN,) else "fp32"
    assert choose_precision("auto", CPU) == expected
    assert kernels_for("int8", CPU)[: len(fast)] == tuple(fast)
    monkeypatch.setattr(selection, "default_kernel", lambda *_: native_library.PLAIN)
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("int8", CPU) == "int8"


def test_a_forced_kernel_decides_the_precision() -> None:
    for kernel in kernels_for("int8", CPU):
        assert choose_precision("auto", CPU, kernel) == "int8"
        assert choose_precision("fp32", CPU, kernel) == "fp32"
    if "torch" not in kernels_for("int8", CPU):
        assert choose_precision("auto", CPU, "torch") == "fp32"


def test_torch_leaves_a_core_to_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "available_cores", lambda: 4)
    assert default_threads("fp32", CPU) == 3
    monkeypatch.setattr(selection, "available_cores", lambda: 1)
    assert default_threads("fp32", CPU) == 1
    monkeypatch.setattr(selection, "available_cores", lambda: 64)
    assert default_threads("fp32", CPU) == 8
