"""The check that a run fits into memory, and errors when memory runs out."""

from __future__ import annotations

import pytest
import torch

from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from model.pytorch.network import CharLSTM
from training import memory
from training.memory import LACK_OF_MEMORY, available_bytes, check_memory, explaining_lack_of_memory

CPU = torch.device("cpu")
CONFIG = NetworkConfig(83, hidden_size=64, layers=2)


NEEDED = 20 * sum(parameter.numel() for parameter in CharLSTM(CONFIG).parameters())
# State, outputs, logits and log-probabilities of 4 x 10 characters.
NEEDED += 8 * 4 * 2 * 64 + 2 * 40 * 2 * 64 + 8 * 40 * 83


@pytest.mark.parametrize("available", [NEEDED, None])
def test_a_network_that_fits_or_a_machine_that_does_not_say_is_accepted(
    monkeypatch: pytest.MonkeyPatch, available: int | None
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _: available)
    check_memory(CONFIG, 4, 10, CPU)


def test_a_network_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _: NEEDED - 1)
    with pytest.raises(TrainingError, match="a network of 2 x 64 needs at least"):
        check_memory(CONFIG, 4, 10, CPU)


def test_this_machine_says_how_much_memory_it_has() -> None:
    assert 1e8 < (available_bytes(CPU) or 0) < 1e15


@pytest.mark.parametrize(("sequences", "length"), [(1_000_000, 1), (1000, 1000)])
def test_the_batches_need_memory_too(
    sequences: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _: 500_000_000)
    check_memory(CONFIG, 1000, 1, CPU)
    with pytest.raises(TrainingError, match=f"training with {sequences:,} x {length:,} characters"):
        check_memory(CONFIG, sequences, length, CPU)


def test_the_message_of_pytorchs_allocator_is_known() -> None:
    """If this fails, PyTorch has changed the message: change `LACK_OF_MEMORY`."""
    with pytest.raises(RuntimeError, match=LACK_OF_MEMORY):
        torch.empty(2**50)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(f"PyTorch {LACK_OF_MEMORY}: 1")])
def test_memory_that_runs_out_is_one_clear_error(error: Exception) -> None:
    with (
        pytest.raises(TrainingError, match="full: lower --hidden-size"),
        explaining_lack_of_memory(),
    ):
        raise error


def test_other_errors_pass_through() -> None:
    with pytest.raises(RuntimeError, match="sizes do not match"), explaining_lack_of_memory():
        raise RuntimeError("sizes do not match")
