"""A state file is read whole and unaltered, or refused in one line.

CHARSTREAM_FUZZ_EXAMPLES sets the number of examples of each fuzzer; 100,000 take about half an
hour.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.errors import TrainingError
from model.network_config import NetworkConfig
from training.config import TrainingConfig
from training.corpus import Corpus
from training.run_folder import RunFolder
from training.state_file import encode_state
from training.trainer import Trainer

TEXT = "".join(f"{n} green bottles standing on the wall.\n" for n in range(50))
CORPUS = Corpus.from_text(TEXT)
NETWORK = NetworkConfig(len(CORPUS.vocabulary), hidden_size=4, layers=1)
CONFIG = TrainingConfig(epochs=3, batch_size=2, sequence_length=20, validations=1)
CPU = torch.device("cpu")

fuzz = settings(
    max_examples=int(os.environ.get("CHARSTREAM_FUZZ_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def resume(folder: Path) -> Trainer:
    return Trainer(CORPUS, NETWORK, CONFIG, RunFolder(folder), CPU, resume=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was stopped after two updates."""
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(CORPUS, NETWORK, CONFIG, RunFolder(folder), CPU)
    for _ in trainer.run(stop=lambda: trainer.step == 1):
        pass
    assert trainer.step == 2
    return folder


@pytest.fixture(scope="module")
def content(saved: Path) -> bytes:
    return (saved / "state.pt").read_bytes()


@pytest.fixture(scope="module")
def without_digest(content: bytes) -> bytes:
    """The same state as the first release wrote it."""
    buffer = io.BytesIO()
    torch.save(torch.load(io.BytesIO(content), weights_only=True), buffer)
    return buffer.getvalue()


def test_torch_reads_the_file_too(content: bytes) -> None:
    assert torch.load(io.BytesIO(content), weights_only=True)["step"] == 2


def test_a_state_without_a_digest_is_resumed(tmp_path: Path, without_digest: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(without_digest)
    trainer = resume(tmp_path)
    assert trainer.step == 2
    list(trainer.run())
    assert trainer.done


def refused(folder: Path, content: bytes) -> str:
    (folder / "state.pt").write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        resume(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:-71],  # without its digest
        lambda content: content + b"\0",
        lambda content: b"",
        lambda content: flipped(content, len(content) // 2, 0),
        lambda content: flipped(content, len(content) - 1, 0),
    ],
)
def test_a_damaged_state_is_refused_with_advice(
    saved: Path, content: bytes, damage: Callable[[bytes], bytes]
) -> None:
    message = refused(saved, damage(content))
    assert "state.pt: damaged, so the run cannot be resumed: it is cut off or altered" in message
    assert "start a new run with another --out" in message
    assert "\n" not in message


def test_the_best_weights_are_offered_if_there_are_any(saved: Path, content: bytes) -> None:
    assert "--init-from" not in refused(saved, content[:-1])
    (saved / "best.safetensors").touch()
    assert f"--init-from {saved / 'best.safetensors'}" in refused(saved, content[:-1])
    (saved / "best.safetensors").unlink()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": None}, "not a training state: hidden missing"),
        ({"step": "2"}, "not a training state: step missing or wrong"),
        ({"step": -1}, "make no sense"),
        ({"losses": [None]}, "make no sense"),
        ({"fingerprint": {"corpus": "a"}}, "not a training state: network, settings missing"),
        ({"hidden": torch.zeros(1, 3, 4)}, "the tensors of hidden do not fit"),
        ({"average": {}}, "the tensors of average do not fit"),
        ({"optimizer": {}}, "the tensors of optimizer do not fit"),
    ],
)
def test_a_state_that_lacks_a_part_is_refused(
    saved: Path, content: bytes, changes: dict[str, Any], message: str
) -> None:
    state = torch.load(io.BytesIO(content), weights_only=True) | changes
    state = {name: value for name, value in state.items() if value is not None}
    assert message in refused(saved, bytes(encode_state(state)))


@pytest.mark.parametrize("value", [torch.zeros(3), {"state_dict": {}}, [1, 2], "text"])
def test_another_file_of_torch_is_refused(saved: Path, value: object) -> None:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    assert "it is not a training state" in refused(saved, buffer.getvalue())


def flipped(content: bytes, position: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    return bytes(changed)


@st.composite
def damages(draw: st.DrawFn, size: int) -> Callable[[bytes], bytes]:
    """One change of the content: a flipped bit, a cut, or bytes put in or taken out."""
    position = draw(st.integers(0, size - 1))
    kind = draw(st.sampled_from(["flip", "cut", "insert", "remove"]))
    if kind == "flip":
        bit = draw(st.integers(0, 7))
        return lambda content: flipped(content, position, bit)
    if kind == "cut":
        return lambda content: content[:position]
    count = draw(st.integers(1, 100))
    if kind == "remove":
        return lambda content: content[:position] + content[position + count :]
    extra = draw(st.binary(min_size=count, max_size=count))
    return lambda content: content[:position] + extra + content[position:]


@fuzz
@given(data=st.data())
def test_any_damage_is_found(saved: Path, content: bytes, data: st.DataObject) -> None:
    damaged = data.draw(damages(len(content)))(content)
    assert "damaged, so the run cannot be resumed" in refused(saved, damaged)


@fuzz
@given(data=st.data())
def test_no_damage_of_a_state_without_a_digest_raises_anything_else(
    saved: Path, without_digest: bytes, data: st.DataObject
) -> None:
    damaged = data.draw(damages(len(without_digest)))(without_digest)
    (saved / "state.pt").write_bytes(damaged)
    with suppress(TrainingError, StopIteration):
        next(resume(saved).run())
