"""The service with models that differ from the usual."""

from __future__ import annotations

from pathlib import Path

from model.checkpoints.checkpoint import Checkpoint
from tests.server import running_server


def test_a_vocabulary_without_a_newline_can_start_a_text(tmp_path: Path) -> None:
    from model.checkpoints.checkpoint import save_checkpoint
    from model.checkpoints.network_config import NetworkConfig
    from model.pytorch.network import CharLSTM
    from model.text.vocabulary import Vocabulary

    config = NetworkConfig(3, hidden_size=8, layers=1)
    model = Checkpoint(config, Vocabulary("abc"), CharLSTM(config).weights())
    save_checkpoint(model, tmp_path / "abc.safetensors")
    with running_server(tmp_path / "abc.safetensors") as abc, abc.client() as client:
        assert len(client.post("/generate", json={"length": 9}).json()["text"]) == 9
        assert client.post("/generate", json={"prime": "\n"}).status_code == 422
