"""install.py: when the service needs PyTorch, and what the light set contains."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import install
from model.native import library as native_library
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
KERNELS = st.sampled_from(
    [[], ["plain"], ["avx2", "plain"], ["amx_int8", "avx512_vnni", "avx2", "plain"]]
)


@given(st.booleans(), KERNELS, st.sampled_from([None, "/usr/bin/c++"]))
def test_the_service_needs_pytorch_for_a_gpu_and_without_a_fast_kernel(
    gpu: bool, kernels: list[str], compiler: str | None
) -> None:
    reason = install.why_pytorch(gpu, kernels, compiler)
    assert (reason is None) == (not gpu and kernels[:1] not in ([], ["plain"]))


@pytest.mark.parametrize(
    ("gpu", "kernels", "compiler", "expected"),
    [
        (True, ["avx2", "plain"], "/usr/bin/c++", "this machine has an NVIDIA GPU"),
        (False, ["plain"], "/usr/bin/c++", "no fast int8 instructions"),
        (False, [], None, "no C++ compiler"),
        (False, [], "/usr/bin/c++", "/usr/bin/c++ could not compile"),
    ],
)
def test_the_reason_is_given(
    gpu: bool, kernels: list[str], compiler: str | None, expected: str
) -> None:
    assert expected in str(install.why_pytorch(gpu, kernels, compiler))


def test_the_kernels_are_those_that_the_service_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_PYTHON", sys.executable)
    assert install.kernels() == list(native_library.kernels())


def test_the_light_set_has_no_package_of_training() -> None:
    extras = PROJECT["optional-dependencies"]
    assert not {*extras["train"], *extras["gpu"]} & set(PROJECT["dependencies"])
    assert set(extras["gpu"]) <= set(extras["train"])  # one range of PyTorch


@pytest.mark.parametrize("arguments", [[], ["everything"]])
def test_an_unknown_set_of_packages_ends_with_the_usage(arguments: list[str]) -> None:
    command = [sys.executable, "install.py", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "usage: python install.py serve|dev\n"


def test_a_command_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["install.py", "serve"])
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(SystemExit, match=r"this command failed.*: false -m venv ./.venv"):
        install.main()


def test_ctrl_c_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(command: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["install.py", "serve"])
    monkeypatch.setattr(install, "_run", interrupt)
    with pytest.raises(SystemExit) as ended:
        install.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\ninstall: interrupted; run the same command again\n"
