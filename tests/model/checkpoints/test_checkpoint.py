"""Checkpoint files: what is saved is loaded, and damaged or hostile files are refused."""

from __future__ import annotations

import dataclasses
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from model.checkpoints import tensor_file
from model.checkpoints.about import About
from model.checkpoints.atomic_file import replacing
from model.checkpoints.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_about,
    save_checkpoint,
)
from model.errors import CheckpointError
from tests.conftest import make_checkpoint
from tests.fuzz.checkpoints import json_values

Metadata = dict[str, str]


def rewrite(
    path: Path,
    target: Path,
    change: Callable[[dict[str, torch.Tensor], Metadata], None],
) -> Path:
    """A copy with a change, saved by safetensors without a digest."""
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    tensors = safetensors.torch.load_file(path)
    del metadata["digest"]
    change(tensors, metadata)
    safetensors.torch.save_file(tensors, target, metadata)
    return target


def test_loading_gives_what_was_saved(tmp_path: Path) -> None:
    saved = make_checkpoint(embedding_size=5)
    save_checkpoint(saved, tmp_path / "model.safetensors")
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert loaded.config == saved.config
    assert loaded.vocabulary == saved.vocabulary
    assert loaded.training == {"validation_loss": 3.5}
    assert loaded.name == "model"
    assert len(loaded.hash) == 16
    assert loaded.weights.keys() == saved.weights.keys()
    for name, array in saved.weights.items():
        assert np.array_equal(loaded.weights[name], array)


def test_the_format_is_the_documented_one(tiny_path: Path, tiny: Checkpoint) -> None:
    with safe_open(tiny_path, framework="pt") as file:
        assert json.loads(file.metadata()["vocabulary"]) == list(tiny.vocabulary.characters)
        assert {"lstm.weight_ih_l0", "lstm.bias_hh_l1", "output.weight"} <= set(file.keys())


def test_saving_the_same_twice_gives_the_same_hash(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_checkpoint(make_checkpoint(), tmp_path / name)
    assert load_checkpoint(tmp_path / "a").hash == load_checkpoint(tmp_path / "b").hash


def test_a_description_is_no_part_of_the_model(tmp_path: Path) -> None:
    path, about = tmp_path / "a", About("Anna Karenina", "a book", "ab\n")
    save_checkpoint(make_checkpoint(), path)
    plain = load_checkpoint(path)
    save_about(path, about)
    described = load_checkpoint(path)
    assert (described.about, described.hash) == (about, plain.hash)
    save_checkpoint(described, tmp_path / "b")
    assert load_checkpoint(tmp_path / "b").about == about
    for bad in (About(prime="Ω"), About(prime="\ud800")):
        with pytest.raises(CheckpointError, match="metadata key prime: has "):
            save_about(path, bad)
    for fields in ({"title": "two\nlines"}, {"source": "x" * 501}, {"title": "\ud800"}):
        with pytest.raises(ValueError, match="must"):
            About(**fields)
    save_about(path, About())
    assert load_checkpoint(path).about == About()


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read: no such file"):
        load_checkpoint(tmp_path / "absent.safetensors")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read: is a directory"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"# charstream\n", b"PK\x03\x04\0\0\x08\x08\0\0"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other: .*: it is a file of another kind, or trunc"):
        load_checkpoint(tmp_path / "other")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_truncated_file_is_refused(tiny_path: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = tiny_path.read_bytes()
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(damaged)


def _set(key: str, value: Any) -> Callable[[dict[str, torch.Tensor], Metadata], None]:
    def change(_: dict[str, torch.Tensor], metadata: Metadata) -> None:
        if value is None:
            del metadata[key]
        else:
            metadata[key] = value if isinstance(value, str) else json.dumps(value)

    return change


def _drop(tensors: dict[str, torch.Tensor], _: Metadata) -> None:
    del tensors["output.bias"]


def _add(tensors: dict[str, torch.Tensor], _: Metadata) -> None:
    tensors["lstm.weight_ih_l2"] = torch.zeros(1)


def _reshape(tensors: dict[str, torch.Tensor], _: Metadata) -> None:
    tensors["lstm.bias_ih_l0"] = torch.zeros(7)


def _poison(tensors: dict[str, torch.Tensor], _: Metadata) -> None:
    tensors["output.bias"][3] = float("nan")


def _double(tensors: dict[str, torch.Tensor], _: Metadata) -> None:
    tensors["output.bias"] = tensors["output.bias"].double()


def _huge(tensors: dict[str, torch.Tensor], metadata: Metadata) -> None:
    metadata["config"] = json.dumps(json.loads(metadata["config"]) | {"hidden_size": 60_000})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("format_version", None), "not a charstream checkpoint: .* lacks format_version"),
        (_set("format_version", "99"), "format_version is '99'"),
        (_set("vocabulary", None), "lacks vocabulary"),
        (_set("vocabulary", "[" * 5000), "'vocabulary' is not JSON"),
        (_set("vocabulary", {"a": 1}), "'vocabulary' is not a JSON list"),
        (_set("vocabulary", ["a", "a"]), "twice"),
        (_set("vocabulary", ["a", 5]), "not one character"),
        (_set("vocabulary", ["a", "b"]), "has 2 characters, the config says"),
        (_set("config", [1]), "'config' is not a JSON dict"),
        (_set("config", {"layers": 2}), "must have vocabulary_size"),
        (_set("config", {"vocabulary_size": 60, "depth": 2}), "it has depth, vocabulary_size"),
        (_set("config", {"vocabulary_size": 60, "layers": -1}), "layers must be"),
        (_set("config", {"vocabulary_size": 60, "layers": True}), "layers must be"),
        (_set("config", {"vocabulary_size": 60, "dropout": "x"}), "dropout must be"),
        (_set("training", "nonsense"), "'training' is not JSON"),
        (_set("training", '{"loss": NaN}'), "'training' is not JSON"),
        (_set("training", '{"loss": 1e999}'), "'training' is not JSON"),
        (_set("training", '{"note": "\\ud800"}'), "'training' is not JSON"),
        (_set("training", {"validation_loss": "low"}), "validation_loss must be a number"),
        (_drop, "output.bias is missing"),
        (_add, "lstm.weight_ih_l2 is not part"),
        (_reshape, r"lstm.bias_ih_l0 is \[7\], expected \[128\]"),
        (_huge, "expected"),
        (_poison, "output.bias has values that are not finite"),
        (_double, "output.bias is 'F64', expected F32, F16, BF16"),
    ],
)
def test_the_message_names_what_is_wrong(
    tiny_path: Path,
    tmp_path: Path,
    change: Callable[[dict[str, torch.Tensor], Metadata], None],
    message: str,
) -> None:
    altered = rewrite(tiny_path, tmp_path / "altered.safetensors", change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(altered)
    assert "altered.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_a_digest_is_fine(tiny_path: Path, tmp_path: Path) -> None:
    copy = rewrite(tiny_path, tmp_path / "copy.safetensors", lambda tensors, metadata: None)
    assert load_checkpoint(copy).vocabulary == load_checkpoint(tiny_path).vocabulary


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_exactly(
    tiny_path: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    def shorten(tensors: dict[str, torch.Tensor], _: Metadata) -> None:
        tensors |= {name: tensor.to(dtype) for name, tensor in tensors.items()}

    short = load_checkpoint(rewrite(tiny_path, tmp_path / "short.safetensors", shorten))
    for name, array in load_checkpoint(tiny_path).weights.items():
        assert short.weights[name].dtype == np.float32
        assert np.array_equal(short.weights[name], torch.tensor(array).to(dtype).float().numpy())


def test_weights_that_do_not_fit_are_not_saved(tmp_path: Path) -> None:
    good = make_checkpoint()
    bad = Checkpoint(good.config, good.vocabulary, {"output.bias": np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match=r"lstm\.weight_ih_l0 is missing"):
        save_checkpoint(bad, tmp_path / "bad")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "training",
    [
        {"clip": float("inf")},
        {"loss": float("nan")},
        {"validation_loss": "low"},
        {"warmup": 10**400},
        {"name": "\udcff"},
        {"values": {1, 2}},
        {"nested": json.loads("[" * 20 + "]" * 20)},
    ],
)
def test_a_record_that_cannot_be_loaded_is_not_saved(
    tmp_path: Path, training: dict[str, Any]
) -> None:
    checkpoint = dataclasses.replace(make_checkpoint(), training=training)
    with pytest.raises(CheckpointError, match=r"bad: "):
        save_checkpoint(checkpoint, tmp_path / "bad")
    assert not list(tmp_path.iterdir())


@given(record=st.dictionaries(st.text(max_size=10), json_values, max_size=4))
def test_what_is_saved_can_be_loaded(
    tmp_path_factory: pytest.TempPathFactory, record: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "saved.safetensors"
    checkpoint = make_checkpoint(hidden_size=1, layers=1)
    try:
        save_checkpoint(dataclasses.replace(checkpoint, training=record), path)
    except CheckpointError:
        return
    assert load_checkpoint(path).training == record


def test_metadata_longer_than_a_reader_accepts_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_file, "_MAX_HEADER_BYTES", 1000)
    with pytest.raises(CheckpointError, match=r"metadata is too long: .* the limit is 1,000"):
        save_checkpoint(make_checkpoint(), tmp_path / "bad")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_half() -> None:
        with replacing(path) as file:
            file.write(b"ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path: Path) -> None:
    """The limit on a file's size stands in for a full disk."""
    path = tmp_path / "model.safetensors"
    save_checkpoint(make_checkpoint(), path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="cannot be written: File too large"):
            save_checkpoint(make_checkpoint(seed=1), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_s_best_checkpoint_has_the_folder_s_name(tmp_path: Path) -> None:
    for file, name in (("best.safetensors", "book"), ("other.safetensors", "other")):
        path = tmp_path / "book" / file
        path.parent.mkdir(exist_ok=True)
        save_checkpoint(make_checkpoint(), path)
        assert load_checkpoint(path).name == name
