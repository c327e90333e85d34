"""The network in training and evaluation, and the sizes that its config accepts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from model.checkpoints.network_config import NetworkConfig
from model.pytorch.network import CharLSTM


@pytest.mark.parametrize("embedding", [None, 6])
def test_the_config_gives_every_tensor_and_shape(embedding: int | None) -> None:
    config = NetworkConfig(11, hidden_size=8, layers=3, embedding_size=embedding)
    state = CharLSTM(config).weights()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == config.shapes()
    assert config.parameters == sum(tensor.size for tensor in state.values())


def test_carrying_the_state_equals_reading_the_whole_text() -> None:
    network = CharLSTM(NetworkConfig(11, hidden_size=8)).eval()
    ids = torch.randint(0, 11, (20, 3))
    whole, _ = network(ids)
    first, state = network(ids[:7])
    second, _ = network(ids[7:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)


def test_without_dropout_training_computes_what_evaluation_does() -> None:
    network = CharLSTM(NetworkConfig(11, hidden_size=8, layers=3, dropout=0.0))
    ids = torch.randint(0, 11, (20, 3))
    for state in (None, network.zero_state(3)):
        trained, (hidden, cell) = network.train()(ids, state)
        evaluated, (expected_hidden, expected_cell) = network.eval()(ids, state)
        torch.testing.assert_close(trained, evaluated)
        torch.testing.assert_close(hidden, expected_hidden)
        torch.testing.assert_close(cell, expected_cell)


@pytest.mark.parametrize("kind", ["dropout", "weight_dropout"])
def test_either_dropout_changes_what_is_computed_in_training_only(kind: str) -> None:
    rates: dict[str, Any] = {"dropout": 0.0, "weight_dropout": 0.0, kind: 0.5}
    network = CharLSTM(NetworkConfig(11, hidden_size=8, **rates))
    ids = torch.randint(0, 11, (20, 3))
    assert not torch.equal(network.train()(ids)[0], network(ids)[0])
    assert torch.equal(network.eval()(ids)[0], network(ids)[0])


def test_no_state_is_a_state_of_zeros() -> None:
    network = CharLSTM(NetworkConfig(11, hidden_size=8)).eval()
    ids = torch.randint(0, 11, (5, 2))
    assert torch.equal(network(ids)[0], network(ids, network.zero_state(2))[0])


@pytest.mark.parametrize(
    "values",
    [
        {"vocabulary_size": 1},
        {"vocabulary_size": 9, "hidden_size": 0},
        {"vocabulary_size": 9, "layers": 2.0},
        {"vocabulary_size": 9, "layers": 10**9},
        {"vocabulary_size": 9, "embedding_size": 0},
        {"vocabulary_size": 9, "dropout": 1.0},
        {"vocabulary_size": 9, "dropout": None},
        {"vocabulary_size": 9, "weight_dropout": -0.1},
    ],
)
def test_sizes_out_of_range_are_named(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(values)[-1]):
        NetworkConfig(**values)
