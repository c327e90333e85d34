""".safetensors files: exact copies of their content, and headers that are refused."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.checkpoints import tensor_file
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.network_config import Array
from model.errors import CheckpointError

ROOT = Path(__file__).parents[3]

OVERWRITE = """
import sys
from pathlib import Path
from model.checkpoints.checkpoint import load_checkpoint

path = Path(sys.argv[1])
weights = load_checkpoint(path).weights
before = {name: tensor.sum().item() for name, tensor in weights.items()}
with path.open("r+b") as file:
    file.write(bytes(path.stat().st_size))
assert before == {name: tensor.sum().item() for name, tensor in weights.items()}
with path.open("wb"):
    pass
assert before == {name: tensor.sum().item() for name, tensor in weights.items()}
"""


def test_a_file_may_be_overwritten_in_place_after_it_was_loaded(
    tiny_path: Path, tmp_path: Path
) -> None:
    """In a process of its own: reading a mapped file that was truncated ends the process."""
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(tiny_path.read_bytes())
    result = subprocess.run([sys.executable, "-c", OVERWRITE, str(copy)], cwd=ROOT)
    assert result.returncode == 0


LOAD = """
import sys
from pathlib import Path
from model.checkpoints.checkpoint import load_checkpoint
from model.errors import CheckpointError

try:
    load_checkpoint(Path(sys.argv[1]))
except CheckpointError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_a_fifo_or_a_device_is_refused_at_once(tmp_path: Path) -> None:
    """In a process of its own, with a timeout: opening a FIFO without a writer may block."""
    os.mkfifo(tmp_path / "fifo")
    for path in (str(tmp_path / "fifo"), "/dev/zero"):
        command = [sys.executable, "-c", LOAD, path]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert result.stdout == f"{path}: not a regular file\n"


@pytest.mark.parametrize("change", [b"", b"longer than the tensor was " * 1000])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(tiny_path.read_bytes())
    read_tensor = tensor_file.TensorFile._read_tensor

    def read_and_change(*arguments: Any) -> Array:
        copy.write_bytes(change)
        return read_tensor(*arguments)

    monkeypatch.setattr(tensor_file.TensorFile, "_read_tensor", read_and_change)
    with pytest.raises(CheckpointError, match="changed while it was read"):
        load_checkpoint(copy)


def test_the_content_is_copied_exactly(tiny_path: Path, tiny: Checkpoint) -> None:
    content = tiny_path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name, array in tiny.weights.items():
        begin, end = header[name]["data_offsets"]
        assert array.tobytes() == content[8 + length + begin : 8 + length + end]


def test_every_flipped_bit_of_the_digests_key_is_noticed(tiny_path: Path, tmp_path: Path) -> None:
    content = tiny_path.read_bytes()
    position = content.index(b'"digest"')
    damaged = tmp_path / "damaged.safetensors"
    for bit in range(8 * len(b'"digest"')):
        flipped = bytearray(content)
        flipped[position + bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            load_checkpoint(damaged)


def edit(tiny_path: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy with another header."""
    content = tiny_path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    encoded = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["output.bias"].update(data_offsets=[0, 4]), "the data of"),
        (lambda h: h["output.bias"].update(data_offsets=[2**70, 2**80]), "the data of"),
        (lambda h: h["output.bias"].update(data_offsets=[0, -4]), "entry of tensor 'output.bias'"),
        (lambda h: h["output.bias"].update(shape=[1] * 100_000), "output.bias is"),
        (lambda h: h["output.bias"].update(shape="x"), "entry of tensor 'output.bias'"),
        (lambda h: h["output.bias"].update(dtype="U8"), "output.bias is 'U8', expected"),
        (lambda h: h["output.bias"].pop("dtype"), "entry of tensor 'output.bias'"),
        (lambda h: h.update({"x" * 500: h["output.bias"]}), "x is not part of the network"),
        (lambda h: h.update({f"x{i}": h["output.bias"] for i in range(50)}), "42 more"),
        (lambda h: h["__metadata__"].update(training=5), "does not consist of strings"),
    ],
)
def test_what_a_header_claims_is_checked(
    tiny_path: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(edit(tiny_path, tmp_path / "edited.safetensors", change))
    assert len(str(caught.value)) < 1500


def test_data_after_the_tensors_is_refused(tiny_path: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.safetensors"
    longer.write_bytes(tiny_path.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match=r"has \d+ bytes of data, but its tensors need"):
        load_checkpoint(longer)


def test_a_key_that_is_twice_in_the_header_is_refused(tiny_path: Path, tmp_path: Path) -> None:
    content = tiny_path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip()[:-1] + b',"__metadata__":{}}'
    twice = tmp_path / "twice.safetensors"
    twice.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    with pytest.raises(CheckpointError, match="its header is not valid JSON"):
        load_checkpoint(twice)


def _without_digest(**values: str) -> Callable[[dict[str, Any]], object]:
    def change(header: dict[str, Any]) -> None:
        del header["__metadata__"]["digest"]
        header["__metadata__"].update(values)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_digest(training='{"a":' * 300 + "1" + "}" * 300), "more than 16 nested"),
        (_without_digest(training="[" * 17 + "]" * 17), "not a JSON dict|more than 16 nested"),
        (_without_digest(training='{"validation_loss": 1%s}' % ("0" * 400)), "range of a float"),
        (_without_digest(training='{"a": [-1%s]}' % ("0" * 400)), "range of a float"),
        (_without_digest(other="x"), "unknown metadata key 'other'"),
    ],
)
def test_metadata_that_responses_cannot_carry_is_refused(
    tiny_path: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(edit(tiny_path, tmp_path / "edited.safetensors", change))


def test_an_unknown_key_is_ignored_if_the_digest_covers_it(
    tiny_path: Path, tmp_path: Path, tiny: Checkpoint
) -> None:
    """A later version may add metadata."""
    from model.checkpoints import checkpoint

    def add_key(header: dict[str, Any]) -> None:
        metadata = header["__metadata__"]
        metadata["later"] = "x"
        metadata["digest"] = checkpoint._digest(metadata, tiny.weights)

    later = edit(tiny_path, tmp_path / "later.safetensors", add_key)
    assert load_checkpoint(later).training == tiny.training
