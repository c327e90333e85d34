"""Selection: choose the device, the precision, the kernel and the backend that computes steps.

Torch is imported only where it computes: on a GPU, in fp32, or without a fast native kernel. It
takes more than a second and 180 MB.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from model.checkpoints.network_config import NetworkConfig, Weights
from model.decoding.backend import Backend, Precision
from model.decoding.cores import available_cores
from model.decoding.thread_count import choose_threads
from model.errors import DeviceError
from model.native import library as native_library
from model.native.backend import NativeBackend

TORCH = "torch"  # name of the kernel made of torch operators

_MAX_DEFAULT_THREADS = 8
_PRECISIONS: tuple[Precision, ...] = ("int8", "fp32")
_GPU = re.compile("cuda(:[0-9]+)?")
_GPU_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

logger = logging.getLogger("charstream")


def choose_device(name: str) -> str:
    """Return the device for a name. "auto" is a GPU if there is one, otherwise the CPU.

    Raises:
        DeviceError: if the name is unknown, or this machine does not have the device.
    """
    if name == "cpu":
        return name
    if name == "auto":
        return "cuda" if _has_gpu() else "cpu"
    expected = "expected auto, cpu, cuda or a numbered GPU such as cuda:1"
    if not (_GPU.fullmatch(name) or torch_is_installed()):  # torch may know further devices
        raise DeviceError(f"device {name!r}: {expected}")
    require_torch(f"device {name!r}", "gpu")
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device {name!r}: {expected}") from error
    try:
        torch.empty(1, device=device).fill_(0).item()
    except Exception as error:  # each device type of torch raises errors of its own
        reason = str(error).partition("\n")[0]
        raise DeviceError(f"device {name!r} is not available here: {reason}; {expected}") from error
    return str(device)


def choose_precision(name: str, device: str, kernel: str | None = None) -> Precision:
    """Return the precision for a name. "auto" is int8 if a fast kernel has it, otherwise fp32.

    With a kernel that a user chose, "auto" is int8 if this kernel has it. Without torch, "auto" is
    int8 on a CPU even if only the plain kernel is available.

    Raises:
        DeviceError: if `name` is "int8" and int8 is not available on the device, or if torch is
            needed and not installed.
    """
    if name == "fp32":
        require_torch("precision 'fp32'", "train")
        return "fp32"
    if name == "auto" and kernel is not None:
        return "int8" if _computes(kernel, "int8", device) else "fp32"
    kernel = default_kernel("int8", device)
    fast = kernel is not None and (kernel != native_library.PLAIN or not torch_is_installed())
    if fast or (kernel and name == "int8"):
        return "int8"
    require_torch("this machine, which cannot run the native kernel,", "train")
    if name == "int8":
        raise DeviceError(_unavailable("int8", device))
    logger.info("%s: computing in fp32", _unavailable("int8", device))
    return "fp32"


def default_kernel(precision: Precision, device: str) -> str | None:
    """Return the name of the fastest kernel for a precision on a device, or None."""
    if precision == "int8" and (fast := _fast_kernels(device)):
        return fast[0]
    return next(iter(kernels_for(precision, device)), None)


def kernels_for(precision: Precision, device: str) -> tuple[str, ...]:
    """Return the names of the kernels that compute in a precision on a device, fastest first.

    The plain C++ kernel comes after torch, because torch is faster with several streams. This
    imports torch if it is installed.
    """
    if precision == "fp32":
        return (TORCH,) if torch_is_installed() else ()
    fast = _fast_kernels(device)
    by_torch = [TORCH] if _torch_has_int8(device) else []
    compiled = native_library.kernels() if device == "cpu" else ()
    return (*fast, *by_torch, *compiled[len(fast) :])


def check_kernel(name: str, device: str) -> str:
    """Return the name of a kernel that a user chose.

    Raises:
        DeviceError: if the kernel is not available on the device in any precision.
    """
    if not any(_computes(name, precision, device) for precision in _PRECISIONS):
        if name == TORCH:
            require_torch(f"kernel {name!r}", "train")
        available = dict.fromkeys(k for p in _PRECISIONS for k in kernels_for(p, device))
        raise DeviceError(
            f"kernel {name!r} is not available on {device}; expected {_listed(available)}"
        )
    return name


def default_threads(precision: Precision, device: str, kernel: str | None = None) -> int:
    """Return the most threads that a server's decoder should use, 1 to 8.

    The native kernel's threads yield their core while they wait. Torch's threads spin, so with
    torch one core is left to the server's event loop.
    """
    native = (kernel or default_kernel(precision, device)) != TORCH
    return max(1, min(_MAX_DEFAULT_THREADS, available_cores() - (0 if native else 1)))


def make_backend(
    config: NetworkConfig,
    weights: Weights,
    slots: int,
    device: str,
    precision: Precision,
    threads: int | None = 1,
    kernel: str | None = None,
) -> Backend:
    """Return a backend for a network. `Decoder` describes the arguments.

    Raises:
        DeviceError: if the precision or the kernel is not available on the device.
    """
    kernel = kernel or default_kernel(precision, device)
    if kernel is None:
        require_torch(f"precision {precision!r}", "train")
        raise DeviceError(_unavailable(precision, device))
    if not _computes(kernel, precision, device):
        raise DeviceError(
            f"kernel {kernel!r} is not available in {precision} on {device}; "
            f"expected {_listed(kernels_for(precision, device))}"
        )
    most = default_threads(precision, device, kernel) if threads is None else threads
    if kernel == TORCH:
        import torch

        from model.pytorch.backend import TorchBackend

        return TorchBackend(config, weights, slots, precision, torch.device(device), most)
    backend = NativeBackend(config, weights, slots, kernel, most)
    if threads is None:
        choose_threads(backend, slots, most)
    return backend


def torch_is_installed() -> bool:
    """Return whether torch is installed, without importing it."""
    try:
        return "torch" in sys.modules or importlib.util.find_spec("torch") is not None
    except ImportError:  # the error of something that hides torch on purpose
        return False


def require_torch(what: str, extra: str) -> None:
    """Raise DeviceError if torch is not installed. The message names the extra that installs it."""
    if not torch_is_installed():
        raise DeviceError(
            f"{what} needs torch, which is not installed: run make setup, or in a clone of the "
            f"repository: pip install '.[{extra}]'"
        )


def _computes(kernel: str, precision: Precision, device: str) -> bool:
    """Return whether a kernel is available. Native kernels are found without torch."""
    native = precision == "int8" and device == "cpu" and kernel in native_library.kernels()
    return native or kernel in kernels_for(precision, device)


def _listed(kernels: Iterable[str]) -> str:
    return ", ".join(kernels) or "none, because torch is not installed"


def _fast_kernels(device: str) -> tuple[str, ...]:
    """Return the native kernels that are faster than torch, fastest first."""
    compiled = native_library.kernels() if device == "cpu" else ()
    return tuple(kernel for kernel in compiled if kernel != native_library.PLAIN)


def _torch_has_int8(device: str) -> bool:
    if not torch_is_installed():
        return False
    import torch

    from model.pytorch.linear import int8_is_available

    return int8_is_available(torch.device(device))


def _has_gpu() -> bool:
    """Return whether torch can compute on a GPU. Import torch only if the GPU has a driver."""
    if not (_loads(_GPU_LIBRARY) or Path("/dev/kfd").exists()):  # NVIDIA's driver, AMD's driver
        return False
    if not torch_is_installed():
        logger.warning(
            "this machine seems to have a GPU, but torch is not installed, so the CPU computes; "
            "to use the GPU, run make setup, or in a clone of the repository: pip install '.[gpu]'"
        )
        return False
    import torch

    return torch.cuda.is_available()


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _unavailable(precision: str, device: str) -> str:
    return f"precision {precision!r} is not available on {device} with this build of torch"
