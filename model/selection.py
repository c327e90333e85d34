"""Selection: choose the device, the precision, the kernel and the backend that computes steps."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from model import native_library
from model.backend import Backend
from model.cores import available_cores
from model.errors import DeviceError
from model.linear import Precision, int8_is_available
from model.native_backend import NativeBackend
from model.network import NetworkConfig
from model.thread_count import choose_threads
from model.torch_backend import TorchBackend

TORCH = "torch"  # name of the kernel made of torch operators

_MOST_DEFAULT_THREADS = 8

logger = logging.getLogger("charstream")


def choose_device(name: str) -> torch.device:
    """Return the device for a name. "auto" is a GPU if there is one, otherwise the CPU.

    Raises:
        DeviceError: if torch does not know the device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    expected = "expected auto, cpu, cuda or a numbered GPU such as cuda:1"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device {name!r}: {expected}") from error
    try:
        torch.empty(1, device=device).fill_(0).item()
    except Exception as error:  # each device type of torch raises errors of its own
        reason = str(error).partition("\n")[0]
        raise DeviceError(f"device {name!r} is not available here: {reason}; {expected}") from error
    return device


def choose_precision(name: str, device: torch.device, kernel: str | None = None) -> Precision:
    """Return the precision for a name. "auto" is int8 if a fast kernel has it, otherwise fp32.

    With a kernel that a user chose, "auto" is int8 if this kernel has it.

    Raises:
        DeviceError: if `name` is "int8" and int8 is not available on the device.
    """
    if name == "fp32":
        return "fp32"
    kernels = kernels_for("int8", device)
    if name == "auto" and kernel is not None:
        return "int8" if kernel in kernels else "fp32"
    if kernels and (name == "int8" or kernels[0] != native_library.PLAIN):
        return "int8"
    if name == "int8":
        raise DeviceError(_unavailable("int8", device))
    logger.info("%s: computing in fp32", _unavailable("int8", device))
    return "fp32"


def kernels_for(precision: Precision, device: torch.device) -> tuple[str, ...]:
    """Return the names of the kernels that compute in a precision on a device, fastest first.

    The plain C++ kernel comes after torch, because torch is faster with several streams.
    """
    if precision == "fp32":
        return (TORCH,)
    compiled = native_library.kernels() if device.type == "cpu" else ()
    fast = [kernel for kernel in compiled if kernel != native_library.PLAIN]
    by_torch = [TORCH] if int8_is_available(device) else []
    return (*fast, *by_torch, *compiled[len(fast) :])


def check_kernel(name: str, device: torch.device) -> str:
    """Return the name of a kernel that a user chose.

    Raises:
        DeviceError: if the kernel is not available on the device in any precision.
    """
    precisions: tuple[Precision, ...] = ("int8", "fp32")
    available = dict.fromkeys(k for precision in precisions for k in kernels_for(precision, device))
    if name not in available:
        raise DeviceError(
            f"kernel {name!r} is not available on {device}; expected {', '.join(available)}"
        )
    return name


def default_threads(precision: Precision, device: torch.device, kernel: str | None = None) -> int:
    """Return the number of threads that a server's decoder should use, at most 8.

    The native kernel's threads yield their core while they wait. Torch's threads spin, so with
    torch one core is left to the server's event loop.
    """
    native = (kernel or kernels_for(precision, device)[0]) != TORCH
    return max(1, min(_MOST_DEFAULT_THREADS, available_cores() - (0 if native else 1)))


def make_backend(
    config: NetworkConfig,
    weights: Mapping[str, Tensor],
    slots: int,
    precision: Precision,
    threads: int | None = 1,
    kernel: str | None = None,
) -> Backend:
    """Return a backend for a network. `Decoder` describes the arguments.

    Raises:
        DeviceError: if the precision or the kernel is not available on the device of the weights.
    """
    device = weights["output.bias"].device
    available = kernels_for(precision, device)
    if not available:
        raise DeviceError(_unavailable(precision, device))
    kernel = kernel or available[0]
    if kernel not in available:
        raise DeviceError(
            f"kernel {kernel!r} is not available in {precision} on {device}; "
            f"expected {', '.join(available)}"
        )
    if kernel == TORCH:
        return TorchBackend(config, weights, slots, precision)
    most = threads or default_threads(precision, device, kernel)
    backend = NativeBackend(config, weights, slots, kernel, most)
    if threads is None:
        choose_threads(backend, slots, most)
    return backend


def _unavailable(precision: str, device: torch.device) -> str:
    return f"precision {precision!r} is not available on {device} with this build of torch"
