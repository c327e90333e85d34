"""Write the lock files of the container image: python .ci/lock.py. It needs uv.

The packages come from pip's default index. PyTorch has one build for each kind of device, with
hashes of its own and mostly on PyTorch's indexes. So the locks leave out PyTorch and the CUDA
packages that some of its builds require. The Dockerfile names the version of PyTorch.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_PYPROJECT = "pyproject.toml"
_HEADER = "# Written by `make lock` from pyproject.toml. Do not edit."
_LEFT_OUT = re.compile(r"^(torch|triton|cuda-[\w-]+|nvidia-[\w-]+)==", re.M)


def main() -> None:
    """Write the locks of the service, of training and of the tools that build the image."""
    torch = re.findall(r"^ARG TORCH_VERSION=(\S+)$", (_ROOT / "Dockerfile").read_text(), re.M)[0]
    _lock("serve", _PYPROJECT)
    train = [_PYPROJECT, "--extra=train", f"--constraints={_name('serve')}", "--constraints=-"]
    found = _compile(*train, standard_input=f"torch=={torch}")
    left_out = [f"--no-emit-package={name}" for name in sorted(set(_LEFT_OUT.findall(found)))]
    _lock("train", *train, *left_out, standard_input=f"torch=={torch}")
    _lock("build", "--group", f"{_PYPROJECT}:image")


def _name(lock: str) -> str:
    return f"deploy/requirements-{lock}.lock"


def _lock(lock: str, *arguments: str, standard_input: str = "") -> None:
    text = _compile("--generate-hashes", *arguments, standard_input=standard_input)
    pins = [line for line in text.splitlines() if not line.startswith("#")]
    (_ROOT / _name(lock)).write_text("\n".join([_HEADER, *pins, ""]))
    print(f"{_name(lock)}: {text.count('==')} packages")


def _compile(*arguments: str, standard_input: str = "") -> str:
    """Resolve for every platform and every supported version of Python."""
    options = ["--quiet", "--universal", "--no-annotate", "--no-emit-index-url", "--no-config"]
    command = [sys.executable, "-m", "uv", "pip", "compile", *options, *arguments]
    result = subprocess.run(  # noqa: S603 - the command is ours
        command, cwd=_ROOT, input=standard_input, stdout=subprocess.PIPE, text=True, check=True
    )
    return result.stdout


if __name__ == "__main__":
    main()
