"""Checkpoints of Udacity's notebook: the same network, and files that are refused."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from model.errors import CheckpointError
from model.pytorch.network import CharLSTM
from model.pytorch.tutorial import import_tutorial_checkpoint


class TutorialNetwork(nn.Module):
    """The tutorial's network: one-hot in, LSTM, dropout, fully connected out, batch first."""

    def __init__(self, characters: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(characters, hidden, layers, dropout=0.5, batch_first=True)
        self.fc = nn.Linear(hidden, characters)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.lstm(x)
        logits: Tensor = self.fc(hidden)
        return logits


def tutorial_file(path: Path, **changes: Any) -> tuple[Path, TutorialNetwork]:
    torch.manual_seed(1)
    network = TutorialNetwork(5, 16, 2).eval()
    content = {
        "n_hidden": 16,
        "n_layers": 2,
        "state_dict": network.state_dict(),
        "tokens": ("b", "a", "\n", "é", "z"),
    }
    torch.save({k: v for k, v in (content | changes).items() if v is not None}, path)
    return path, network


def test_the_imported_network_computes_the_same(tmp_path: Path) -> None:
    path, original = tutorial_file(tmp_path / "rnn_20_epoch.net")
    save_checkpoint(import_tutorial_checkpoint(path), tmp_path / "ours.safetensors")
    imported = load_checkpoint(tmp_path / "ours.safetensors")
    assert imported.vocabulary.characters == ("b", "a", "\n", "é", "z")
    ids = torch.tensor([0, 3, 1, 4, 2, 2, 1])
    with torch.no_grad():
        expected = original(nn.functional.one_hot(ids, 5).float().unsqueeze(0))[0]
        actual = CharLSTM.of(imported)(ids.unsqueeze(1))[0][:, 0]
    torch.testing.assert_close(actual, expected)


def test_a_file_name_that_is_not_utf_8_is_recorded_with_escapes(tmp_path: Path) -> None:
    path, _ = tutorial_file(tmp_path / "rnn.net")
    imported = import_tutorial_checkpoint(path.rename(tmp_path / os.fsdecode(b"r\xff.net")))
    save_checkpoint(imported, tmp_path / "ours.safetensors")
    record = load_checkpoint(tmp_path / "ours.safetensors").training
    assert record == {"imported_from": r"r\udcff.net"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": None}, "lacks tokens"),
        ({"tokens": ("a", "a", "b", "c", "d")}, "twice"),
        ({"tokens": 5}, "not iterable"),
        ({"n_hidden": "16"}, "hidden_size"),
        ({"n_layers": 3}, "lstm.weight_ih_l2 is missing"),
        ({"state_dict": {"a": 1}}, "map names to tensors"),
        ({"state_dict": {7: torch.zeros(1)}}, "map names to tensors"),
    ],
)
def test_a_mismatch_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path, _ = tutorial_file(tmp_path / "bad.net", **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_tutorial_checkpoint(path)
    assert "bad.net" in str(caught.value)


@pytest.mark.parametrize(
    ("convert", "kind"),
    [
        (lambda weight: weight.to_sparse(), "torch.float32, torch.sparse_coo, on cpu"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "torch.qint8"),
        (lambda weight: weight.to("meta"), "on meta"),
        (lambda weight: weight.to(torch.complex64), "torch.complex64"),
        (lambda weight: weight.to(torch.int64), "torch.int64"),
        (lambda weight: torch.nested.nested_tensor([weight, weight]), "nested"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # torch warns about quantized and nested tensors
def test_a_tensor_of_another_kind_is_named(
    tmp_path: Path, convert: Callable[[Tensor], Tensor], kind: str
) -> None:
    path, network = tutorial_file(tmp_path / "bad.net")
    state = network.state_dict()
    state["lstm.weight_ih_l0"] = convert(state["lstm.weight_ih_l0"])
    tutorial_file(path, state_dict=state)
    with pytest.raises(CheckpointError) as caught:
        import_tutorial_checkpoint(path)
    message = str(caught.value)
    assert "bad.net: lstm.weight_ih_l0 is not a dense floating-point tensor" in message
    assert kind in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.zeros(1).expand(1 << 24, 1 << 20), "less data than its shape needs"),
        (torch.zeros(65, 5), r"lstm.weight_ih_l0 is \[65, 5\], expected \[64, 5\]"),
    ],
)
def test_a_wrong_size_is_refused_before_the_tensor_is_copied(
    tmp_path: Path, weight: Tensor, message: str
) -> None:
    path, network = tutorial_file(tmp_path / "bad.net")
    tutorial_file(path, state_dict={**network.state_dict(), "lstm.weight_ih_l0": weight})
    with pytest.raises(CheckpointError, match=message):
        import_tutorial_checkpoint(path)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_a_hostile_pickle_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"tokens": Hostile()}, "hostile.net")
    Path("plain.net").write_bytes(pickle.dumps(Hostile()))
    for name in ("hostile.net", "plain.net"):
        with pytest.raises(CheckpointError, match="nothing in it was executed"):
            import_tutorial_checkpoint(Path(name))
    assert not Path("executed").exists()


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        import_tutorial_checkpoint(tmp_path / "absent.net")
