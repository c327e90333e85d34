from __future__ import annotations

from typing import Any

import pytest
import torch

from model.network import CharLSTM, NetworkConfig


@pytest.mark.parametrize("embedding", [None, 6])
def test_the_config_tells_every_tensor_and_shape(embedding: int | None) -> None:
    config = NetworkConfig(11, hidden_size=8, layers=3, embedding_size=embedding)
    state = CharLSTM(config).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == config.shapes()


def test_carrying_the_state_is_the_same_as_reading_on() -> None:
    network = CharLSTM(NetworkConfig(11, hidden_size=8)).eval()
    ids = torch.randint(0, 11, (20, 3))
    whole, _ = network(ids)
    first, state = network(ids[:7])
    second, _ = network(ids[7:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)


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
    ],
)
def test_sizes_out_of_range_are_named(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(values)[-1]):
        NetworkConfig(**values)
