"""The check that a run fits into memory, and errors when memory runs out."""

from __future__ import annotations

import pytest
import torch

from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from model.pytorch.network import CharLSTM
from training import memory
from training.memory import check_memory, explaining_lack_of_memory

CPU = torch.device("cpu")
CONFIG = NetworkConfig(83, hidden_size=64, layers=2)


def test_a_network_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 20 * sum(parameter.numel() for parameter in CharLSTM(CONFIG).parameters())
    # State, outputs, logits and log-probabilities of 4 x 10 characters.
    needed += 8 * 4 * 2 * 64 + 2 * 40 * 2 * 64 + 8 * 40 * 83
    monkeypatch.setattr(memory, "_available_bytes", lambda _: needed)
    check_memory(CONFIG, 4, 10, CPU)
    monkeypatch.setattr(memory, "_available_bytes", lambda _: needed - 1)
    with pytest.raises(TrainingError, match="a network of 2 x 64 needs at least"):
        check_memory(CONFIG, 4, 10, CPU)


def test_this_machine_says_how_much_memory_it_has() -> None:
    available = memory._available_bytes(CPU)
    assert available is not None
    assert 1e8 < available < 1e15


def test_a_machine_that_does_not_say_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_available_bytes", lambda _: None)
    check_memory(CONFIG, 4, 10, CPU)


@pytest.mark.parametrize(("sequences", "length"), [(1_000_000, 1), (1000, 1000)])
def test_the_batches_need_memory_too(
    sequences: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_available_bytes", lambda _: 500_000_000)
    check_memory(CONFIG, 1000, 1, CPU)
    with pytest.raises(TrainingError, match=f"training with {sequences:,} x {length:,} characters"):
        check_memory(CONFIG, sequences, length, CPU)


def test_memory_that_runs_out_is_one_clear_error() -> None:
    with (
        pytest.raises(TrainingError, match="full: lower --hidden-size"),
        explaining_lack_of_memory(),
    ):
        torch.empty(2**50)
    with (
        pytest.raises(TrainingError, match="full: lower --hidden-size"),
        explaining_lack_of_memory(),
    ):
        raise MemoryError


def test_other_errors_pass_through() -> None:
    with pytest.raises(RuntimeError, match="sizes do not match"), explaining_lack_of_memory():
        raise RuntimeError("sizes do not match")
