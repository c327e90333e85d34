"""Install what this machine needs into .venv: python install.py serve, or python install.py dev.

The service needs PyTorch only on a machine with an NVIDIA GPU, and where the native kernel cannot
compute. Training, the tests and the benchmarks always need it ("dev").
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parent
_ENVIRONMENT = _ROOT / ".venv"
_PYTHON = _ENVIRONMENT / "bin" / "python"
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())
_PIP = [str(_PYTHON), "-m", "pip", "install"]
_EDITABLE = ["--no-build-isolation", "--editable"]  # compiles the native kernel with our setuptools
_COMPILE = [*_PIP, "--verbose", "--no-deps", *_EDITABLE, "."]
_COMPILERS = (os.environ.get("CXX", "c++"), "g++", "clang++")
_SLOW_KERNEL = "plain"  # PyTorch is faster with several streams
_KERNELS = "from model.native import library; print(*library.kernels())"


def main() -> None:
    """Install the packages, and say which ones and why."""
    commands = {"serve": install_for_serving, "dev": install_for_development}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit("usage: python install.py serve|dev")
    try:
        commands[sys.argv[1]]()
    except subprocess.CalledProcessError as error:
        sys.exit(f"install: this command failed, with the reason above: {_shell(error.cmd)}")
    except KeyboardInterrupt:
        print("\ninstall: interrupted; run the same command again", file=sys.stderr)
        sys.exit(130)


def install_for_serving() -> None:
    """Install the packages of the service, and PyTorch if this machine needs it."""
    _make_environment()
    _say("installing the service's packages (about 30 MB) and compiling the native kernel")
    _install_project("", "--quiet", "--no-compile")  # Python writes the bytecode that it needs
    gpu, names = has_nvidia_gpu(), kernels()
    reason = why_pytorch(gpu, names, compiler())
    if reason is None:
        _say(f"the native kernel computes here ({names[0]}), so the service needs no PyTorch")
    elif _has_pytorch():
        _say(f"{reason}; PyTorch is installed already")
    else:
        _say(reason)
        _install_pytorch(gpu)


def install_for_development() -> None:
    """Install everything: the service, training, tests and checks."""
    _make_environment()
    has_pytorch = _has_pytorch()
    if has_pytorch:
        _say("updating the packages and compiling the native kernel")
    else:
        _say("installing all packages with PyTorch (on Linux up to 3 GB), and the native kernel")
    _install_project("[dev]", "--no-compile", *(["--quiet"] if has_pytorch else []))


def why_pytorch(gpu: bool, kernels: list[str], compiler: str | None) -> str | None:
    """Return the reason why the service needs PyTorch on this machine, or None if it does not.

    Args:
        gpu: whether the machine has an NVIDIA GPU.
        kernels: names of the native kernels that run on the processor, fastest first.
        compiler: path of a C++ compiler, if there is one.
    """
    if gpu:
        return "this machine has an NVIDIA GPU"
    if kernels:
        slow = kernels[0] == _SLOW_KERNEL
        return "this processor has no fast int8 instructions" if slow else None
    if compiler is None:
        return (
            f"there is no C++ compiler ({', '.join(_COMPILERS)}), so the native kernel, which is "
            "several times faster than PyTorch, cannot be compiled"
        )
    return f"{compiler} could not compile the native kernel (to see why: {_shell(_COMPILE)})"


def has_nvidia_gpu() -> bool:
    """Tell whether there is a device or a driver of NVIDIA, also under Windows' WSL."""
    devices = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("dxg")]
    return bool(devices) or shutil.which("nvidia-smi") is not None


def kernels() -> list[str]:
    """Return the names of the compiled kernels that run on this processor, fastest first."""
    command = [str(_PYTHON), "-c", _KERNELS]
    found = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return found.stdout.split()


def compiler() -> str | None:
    """Return the path of a C++ compiler, or None if there is none."""
    return next(filter(None, map(shutil.which, _COMPILERS)), None)


def _make_environment() -> None:
    if not _PYTHON.exists():
        _say(f"creating .venv with Python {sys.version.partition(' ')[0]}")
    _run([sys.executable, "-m", "venv", str(_ENVIRONMENT)])
    _run([*_PIP, "--quiet", "--upgrade", *_PROJECT["build-system"]["requires"]])


def _install_project(extras: str, *options: str) -> None:
    _run([*_PIP, *options, *_EDITABLE, f".{extras}"])


def _has_pytorch() -> bool:
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return subprocess.run([str(_PYTHON), "-c", code]).returncode == 0  # noqa: S603


def _install_pytorch(gpu: bool) -> None:
    """Install PyTorch: without a GPU the build for CPUs, which PyPI does not have for Linux."""
    requirements = _PROJECT["project"]["optional-dependencies"]["gpu"]
    if sys.platform != "linux" or gpu:
        _say("installing PyTorch (with CUDA about 3 GB)")
    elif _install_with_uv(requirements):
        return
    else:
        _say("PyTorch's own index cannot be reached: installing what pip finds (up to 3 GB)")
    _run([*_PIP, *requirements])


def _install_with_uv(requirements: list[str]) -> bool:
    """Install PyTorch's build for CPUs, which uv finds. Return whether that succeeded."""
    _say("installing PyTorch's build for CPUs (about 200 MB)")
    with tempfile.TemporaryDirectory() as folder:
        _run([*_PIP, "--quiet", "--target", folder, "uv"])
        options = ["--python", str(_PYTHON), "--torch-backend", "cpu"]
        command = [f"{folder}/bin/uv", "pip", "install", *options, *requirements]
        return subprocess.run(command, cwd=_ROOT).returncode == 0  # noqa: S603


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=_ROOT, check=True)  # noqa: S603 - the commands are ours


def _shell(command: list[str]) -> str:
    return shlex.join(command).replace(str(_ROOT), ".")


def _say(text: str) -> None:
    print(f"install: {text}", flush=True)


if __name__ == "__main__":
    main()
