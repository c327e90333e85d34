"""Memory: refuses a run that is too large, and explains errors when memory runs out.

Shape letters: T sequence length, B sequences of this process, V vocabulary, L layers, H hidden
size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError

_COPIES = 5  # of each parameter: weight, gradient, two moments of AdamW, averaged weight
_BYTES = 4  # of a float32
_HALF_BYTES = 2  # of a bfloat16
LACK_OF_MEMORY = "can't allocate memory"  # in the message of PyTorch's allocator for CPUs
_ADVICE = "lower --hidden-size, --layers, --batch-size or --seq-len"


def check_memory(
    config: NetworkConfig, sequences: int, sequence_length: int, device: torch.device
) -> None:
    """Check that a network in training and its batches fit into the memory of a device.

    Args:
        config: sizes of the network.
        sequences: sequences per batch that this process reads.
        sequence_length: characters per sequence and update.
        device: device to train on.

    Raises:
        TrainingError: if they do not fit. Training may need more memory than this counts.
    """
    needed = _COPIES * _BYTES * config.parameters + _batch_bytes(config, sequences, sequence_length)
    available = available_bytes(device)
    if available is not None and needed > available:
        raise TrainingError(
            f"a network of {config.layers} x {config.hidden_size} needs at least "
            f"{_gigabytes(needed)} of memory for training with {sequences:,} x "
            f"{sequence_length:,} characters per update; {_gigabytes(available)} are available on "
            f"{device}: {_ADVICE}"
        )


@contextmanager
def explaining_lack_of_memory() -> Iterator[None]:
    """Turn an out-of-memory error into a TrainingError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not known and LACK_OF_MEMORY not in str(error):
            raise
        raise TrainingError(f"the memory is full: {_ADVICE}") from error


def _batch_bytes(config: NetworkConfig, sequences: int, sequence_length: int) -> int:
    """Return the size of what an update cannot do without, beside the parameters."""
    state_LBH = config.layers * sequences * config.hidden_size
    outputs_TLBH = sequence_length * state_LBH
    logits_TBV = sequence_length * sequences * config.vocabulary_size
    # Hidden and cell values, the layers' outputs for the gradient, logits and log-probabilities.
    return 2 * _BYTES * state_LBH + _HALF_BYTES * outputs_TLBH + 2 * _BYTES * logits_TBV


def available_bytes(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes, or None if the system does not report it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    limits = [_physical_bytes(), *_container_limits()]
    return min((limit for limit in limits if limit is not None), default=None)


def _physical_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        return (kilobytes["MemAvailable"] + kilobytes["SwapFree"]) * 1024
    except (OSError, ValueError, LookupError):  # not Linux
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _container_limits() -> Iterator[int]:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            yield int((Path("/sys/fs/cgroup") / name).read_text())
        except (OSError, ValueError):  # no such file, or no limit: the word "max"
            continue


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
