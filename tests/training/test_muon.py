"""Muon: what it computes, which weights it updates, and that its runs resume exactly."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from model.pytorch.native_lstm import native_lstm_runs
from model.pytorch.network import CharLSTM
from tests.training.small_runs import (
    CONFIG,
    assert_same_weights,
    finished,
    make_trainer,
    resumed_after,
    stop_after,
)
from training.muon import Muon, orthogonalize, weight_matrices

MUON = dataclasses.replace(CONFIG, optimizer="muon", muon_weight_decay=0.1)


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**31))
def test_an_orthogonal_matrix_keeps_the_singular_vectors(
    rows: int, columns: int, seed: int
) -> None:
    """Compared with the singular value decomposition, which gives the exact answer."""
    size = min(rows, columns)
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(random, full_matrices=False)
    values = torch.linspace(0.1, 1, size, dtype=torch.float64)
    inner = left.T @ orthogonalize(left @ values.diag() @ right, 5) @ right.T
    assert inner.diagonal().min() > 0.65
    assert inner.diagonal().max() < 1.25
    assert (inner - inner.diagonal().diag()).abs().max() < 1e-6


def test_a_gradient_of_zeros_changes_nothing() -> None:
    assert torch.equal(orthogonalize(torch.zeros(4, 4), 5), torch.zeros(4, 4))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="needs PyTorch 2.9")
@pytest.mark.parametrize("columns", [8, 16, 40])
def test_each_gate_is_updated_as_pytorchs_muon_would(columns: int) -> None:
    torch.manual_seed(0)
    stacked = nn.Parameter(torch.randn(4 * 16, columns))
    gates = [nn.Parameter(gate.detach().clone()) for gate in stacked.chunk(4)]
    expected = torch.optim.Muon(gates, lr=0.02, momentum=0.9, weight_decay=0.1)
    muon = Muon({"weight": stacked}, 0.9, 5, 0.1, torch.bfloat16)
    for _ in range(5):
        stacked.grad = torch.randn_like(stacked)
        for gate, gradient in zip(gates, stacked.grad.chunk(4), strict=True):
            gate.grad = gradient.clone()
        muon.step(0.02)
        expected.step()  # type: ignore[no-untyped-call]  # torch has no annotation for it
    assert torch.allclose(stacked, torch.cat([*gates]), atol=2e-3)  # bfloat16 has eight bits


@pytest.mark.parametrize(
    ("embedding_size", "names"),
    [
        (None, {"weight_hh_l0", "weight_hh_l1", "weight_ih_l1"}),
        (8, {"weight_ih_l0", "weight_hh_l0", "weight_hh_l1", "weight_ih_l1"}),
    ],
)
def test_it_updates_the_matrices_between_dense_values(
    embedding_size: int | None, names: set[str]
) -> None:
    network = CharLSTM(NetworkConfig(20, hidden_size=16, embedding_size=embedding_size))
    assert weight_matrices(network).keys() == names


@pytest.mark.parametrize("stop_at", [1, 17])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_its_runs_resume_exactly(tmp_path: Path, stop_at: int, precision: str) -> None:
    if precision == "bf16" and not native_lstm_runs(32):
        pytest.skip("the native kernel cannot train here, and PyTorch's bfloat16 may not either")
    config = dataclasses.replace(MUON, precision=precision)  # type: ignore[arg-type]
    whole = finished(make_trainer(tmp_path / "whole", config))
    make = partial(make_trainer, config=config)
    resumed = resumed_after(stop_at, tmp_path / "stopped", make)
    assert_same_weights(whole, resumed)
    assert whole.best_loss < 2.9  # it learns: a uniform guess has 3.4


def test_a_run_does_not_change_its_optimizer(tmp_path: Path) -> None:
    stop_after(make_trainer(tmp_path))
    with pytest.raises(TrainingError, match="--optimizer was adamw, is muon"):
        make_trainer(tmp_path, MUON, resume=True)
