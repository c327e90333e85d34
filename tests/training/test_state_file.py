"""A state file is read whole and unaltered, or refused in one line.

CHARSTREAM_FUZZ_EXAMPLES sets the number of examples of each fuzzer; 100,000 take about half an
hour.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from tests.training.small_runs import CORPUS, CPU
from training.config import TrainingConfig
from training.run_folder import RunFolder
from training.trainer import Trainer

NETWORK = NetworkConfig(len(CORPUS.vocabulary), hidden_size=4, layers=1)
CONFIG = TrainingConfig(epochs=3, batch_size=2, sequence_length=20, validations=1)

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


def sealed(archive: bytes) -> bytes:
    """An archive, whose end announces a comment, with the right digest."""
    return archive + f"sha256:{hashlib.sha256(archive).hexdigest()}".encode()


def rewritten(content: bytes, changes: dict[str, Any]) -> bytes:
    """A state with other values, or without those that are None, and with the right digest."""
    state = torch.load(io.BytesIO(content), weights_only=True) | changes
    archive = io.BytesIO()
    torch.save({name: value for name, value in state.items() if value is not None}, archive)
    return sealed(archive.getvalue()[:-2] + struct.pack("<H", 71))


def test_torch_reads_the_file_too(content: bytes) -> None:
    assert torch.load(io.BytesIO(content), weights_only=True)["step"] == 2


def refused(folder: Path, content: bytes) -> str:
    (folder / "state.pt").write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        resume(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-71],  # without its digest
        lambda content: content + b"\0",
        lambda content: content[:-73] + b"\0\0",  # the same as `torch.save` alone writes it
        lambda content: b"",
    ],
)
def test_a_damaged_state_is_refused_with_advice(
    saved: Path, content: bytes, damage: Callable[[bytes], bytes]
) -> None:
    message = refused(saved, damage(content))
    assert "state.pt: damaged or of another version" in message
    assert "so the run cannot be resumed: it is cut off or altered" in message
    assert "start a new run with another --out" in message
    assert "\n" not in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_a_fifo_is_not_read(saved: Path, content: bytes) -> None:
    (saved / "state.pt").unlink()
    os.mkfifo(saved / "state.pt")
    with pytest.raises(TrainingError, match="it is not a regular file"):
        RunFolder(saved).load_state(torch.device("cpu"))
    (saved / "state.pt").unlink()
    (saved / "state.pt").write_bytes(content)


def test_the_best_weights_are_offered_if_there_are_any(saved: Path, content: bytes) -> None:
    assert "--init-from" not in refused(saved, content[:-1])
    (saved / "best.safetensors").touch()
    assert f"--init-from {saved / 'best.safetensors'}" in refused(saved, content[:-1])
    (saved / "best.safetensors").unlink()


@pytest.mark.parametrize("version", [None, 0, 2, "1", torch.ones(2)])
def test_a_state_of_another_version_is_refused_with_advice(
    saved: Path, content: bytes, version: object
) -> None:
    other = rewritten(content, {"version": version, "step": None, "more": 1})
    assert "cannot be resumed: it does not have version 1 of the format. Instead, start a new" in (
        message := refused(saved, other)
    )
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": None}, "not a training state: hidden missing"),
        ({"step": "2"}, "not a training state: step missing or wrong"),
        ({"step": -1}, "make no sense"),
        ({"losses": [None]}, "make no sense"),
        ({"pace": None}, "not a training state: pace missing"),
        ({"pace": {}}, "the values of pace are not those of a plan"),
        ({"fingerprint": {"corpus": "a", "initial": "", "teachers": []}}, "network, settings miss"),
        ({"hidden": torch.zeros(1, 3, 4)}, "the tensors of hidden do not fit"),
        ({"average": {}}, "the tensors of average do not fit"),
        ({"optimizer": {}}, "the tensors of optimizer do not fit"),
        ({"muon": {}}, "the tensors of muon do not fit"),
        ({"teachers": {"0": {}}}, "the tensors of teachers do not fit"),
    ],
)
def test_a_state_that_lacks_a_part_is_refused(
    saved: Path, content: bytes, changes: dict[str, Any], message: str
) -> None:
    assert message in refused(saved, rewritten(content, changes))


@pytest.mark.parametrize("part", ["network", "settings"])
@pytest.mark.parametrize("value", [torch.zeros(2), [1]])
def test_a_state_with_other_values_than_settings_is_refused(
    saved: Path, content: bytes, part: str, value: object
) -> None:
    fingerprint = torch.load(io.BytesIO(content), weights_only=True)["fingerprint"]
    changed = {**fingerprint, part: {**fingerprint[part], "seed": value}}
    assert "make no sense" in refused(saved, rewritten(content, {"fingerprint": changed}))


@pytest.mark.parametrize("value", [torch.zeros(3), {"version": 1}, [1, 2], "text"])
def test_another_file_of_torch_is_refused(saved: Path, value: object) -> None:
    archive = io.BytesIO()
    torch.save(value, archive)
    assert "it is cut off or altered" in refused(saved, archive.getvalue())
    assert "it is not a training state" in refused(saved, sealed(archive.getvalue()))


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
    assert "so the run cannot be resumed" in refused(saved, damaged)


@fuzz
@given(data=st.data())
def test_no_damage_with_the_right_digest_raises_anything_else(
    saved: Path, content: bytes, data: st.DataObject
) -> None:
    archive = content[:-71]
    damaged = data.draw(damages(len(archive)))(archive)
    (saved / "state.pt").write_bytes(sealed(damaged))
    with suppress(TrainingError, StopIteration):
        next(resume(saved).run())
