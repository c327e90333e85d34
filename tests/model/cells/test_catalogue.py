"""The catalogue of cells: what a checkpoint file may list, and that it is not part of the model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from model.cells.catalogue import TrackedCell, catalogue_json, parse_catalogue
from model.checkpoints import checkpoint as checkpoint_module
from model.checkpoints.checkpoint import load_checkpoint, save_cells, save_checkpoint
from model.errors import CheckpointError
from tests.conftest import SHIPPED, make_checkpoint
from tests.model.checkpoints.test_checkpoint import rewrite

CELLS = (TrackedCell("quotes", 1, 31, -0.9876), TrackedCell("of a later version", 0, 0, 1))
GOOD = {"property": "quotes", "layer": 0, "cell": 0, "correlation": 0.5}


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


@pytest.fixture
def path(tiny_path: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "tiny.safetensors"
    copy.write_bytes(tiny_path.read_bytes())
    return copy


tracked_cells = st.builds(
    TrackedCell,
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=64),
    st.integers(0, 3),
    st.integers(0, 31),
    st.floats(-1, 1) | st.integers(-1, 1),
)


@settings(deadline=None)
@given(st.lists(tracked_cells, max_size=9, unique_by=lambda tracked: tracked.property))
def test_a_catalogue_survives_json(cells: list[TrackedCell]) -> None:
    assert parse_catalogue(json.loads(catalogue_json(cells)), 4, 32) == tuple(cells)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{**GOOD, "layer": 2}], "layer 2, cell 0 is not part of a network with 2 layers of 32"),
        ([{**GOOD, "cell": 32}], "layer 0, cell 32 is not part of a network"),
        ([{**GOOD, "layer": -1}], "layer must be an integer of at least 0, got -1"),
        ([{**GOOD, "cell": True}], "cell must be an integer of at least 0, got True"),
        ([{**GOOD, "cell": 1.0}], "cell must be an integer"),
        ([{**GOOD, "cell": 10**500}], "cell 10{39} is not part of a network"),
        ([{**GOOD, "correlation": 1.0001}], r"correlation must be in -1\.\.1, got 1\.0001"),
        ([{**GOOD, "correlation": float("nan")}], r"correlation must be in -1\.\.1, got nan"),
        ([{**GOOD, "correlation": "1"}], "correlation must be a number, got '1'"),
        ([{**GOOD, "correlation": False}], "correlation must be a number, got False"),
        ([{**GOOD, "property": ""}], "property must have 1 to 64 characters"),
        ([{**GOOD, "property": "x" * 65}], "property must have 1 to 64 characters"),
        ([{**GOOD, "property": "a\nb"}], "property must have printable characters only"),
        ([{**GOOD, "property": None}], "property must have 1 to 64 characters: None"),
        ([{**GOOD, "more": 1}], "each item must have exactly property, layer, cell, correlation"),
        ([{"property": "quotes"}], "each item must have exactly"),
        ([5], "each item must have exactly property, layer, cell, correlation, got 5"),
        ([GOOD, GOOD], "a property occurs twice"),
        ([{**GOOD, "property": str(i)} for i in range(257)], "at most 256 cells, got 257"),
    ],
)
def test_what_a_catalogue_lists_is_checked(items: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_catalogue(items, 2, 32)
    assert len(str(caught.value)) < 300


def test_adding_a_catalogue_changes_neither_the_model_nor_its_hash(path: Path) -> None:
    before = load_checkpoint(path)
    assert before.cells == ()
    save_cells(path, CELLS)
    after = load_checkpoint(path)
    assert after.cells == CELLS
    assert after.hash == before.hash
    for name in ("config", "vocabulary", "training", "name"):
        assert getattr(after, name) == getattr(before, name)
    for name, tensor in before.weights.items():
        assert np.array_equal(after.weights[name], tensor)
    save_cells(path, CELLS[1:])  # replaces it
    assert load_checkpoint(path).cells == CELLS[1:]


def test_the_catalogue_of_another_model_is_refused(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="holds another model than at the start"):
        save_cells(path, CELLS, of="0" * 16)
    assert path.read_bytes() == before
    save_cells(path, CELLS, of=load_checkpoint(path).hash)


def test_a_checkpoint_is_saved_with_its_catalogue(path: Path, tmp_path: Path) -> None:
    save_checkpoint(dataclasses.replace(load_checkpoint(path), cells=CELLS), tmp_path / "new")
    assert load_checkpoint(tmp_path / "new").cells == CELLS
    assert load_checkpoint(tmp_path / "new").hash == load_checkpoint(path).hash


def test_the_hash_stays_where_this_version_would_write_other_metadata(path: Path) -> None:
    """Another program wrote the file: without a digest, without a record, with other spaces."""

    def change(tensors: object, metadata: dict[str, str]) -> None:
        del metadata["training"]
        metadata["config"] = metadata["config"].replace(" ", "  ")

    rewrite(path, path, change)
    before = load_checkpoint(path).hash
    config = metadata_of(path)["config"]
    save_cells(path, CELLS)
    assert load_checkpoint(path).hash == before
    assert metadata_of(path)["config"] == config


@pytest.mark.parametrize("cells", [[TrackedCell("quotes", 2, 0, 0.5)], [CELLS[0], CELLS[0]]])
def test_cells_that_do_not_fit_are_not_saved(path: Path, cells: list[TrackedCell]) -> None:
    before = path.read_bytes()
    message = "metadata key 'cells': (layer 2|a property)"
    with pytest.raises(CheckpointError, match=message):
        save_cells(path, cells)
    with pytest.raises(CheckpointError, match=message):
        save_checkpoint(dataclasses.replace(make_checkpoint(), cells=tuple(cells)), path)
    assert path.read_bytes() == before


def _edit(old: str, new: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        content = path.read_bytes()
        assert content.count(old.encode()) == 1
        path.write_bytes(content.replace(old.encode(), new.encode()))

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        _edit("-0.9876", "-0.9875"),
        _edit("quotes", "quates"),
        _edit(r"\"cell\": 31", r"\"cell\": 30"),
        _edit('"cells"', '"celts"'),
    ],
)
def test_a_changed_catalogue_is_refused(path: Path, damage: Callable[[Path], None]) -> None:
    save_cells(path, CELLS)
    damage(path)
    with pytest.raises(CheckpointError, match="altered or damaged"):
        load_checkpoint(path)


def test_without_a_digest_a_catalogue_is_checked(path: Path) -> None:
    save_cells(path, CELLS)

    def spoil(tensors: object, metadata: dict[str, str]) -> None:
        metadata["cells"] = json.dumps([{**GOOD, "layer": 7}])

    rewrite(path, path, spoil)
    with pytest.raises(CheckpointError, match="metadata key 'cells': layer 7, cell 0 is not part"):
        load_checkpoint(path)


def test_older_versions_can_read_a_file_with_a_catalogue(path: Path) -> None:
    """They compare the digest with that of all other metadata, known or not, and the weights."""
    save_cells(path, CELLS)
    metadata = metadata_of(path)
    weights = load_checkpoint(path).weights
    assert metadata["digest"] == checkpoint_module._digest(metadata, weights)


def test_the_shipped_model_has_a_catalogue_and_its_old_hash() -> None:
    shipped = load_checkpoint(SHIPPED)
    assert shipped.hash == "71a903de421a42bf"
    best = {tracked.property: tracked for tracked in shipped.cells}
    assert (best["quotes"].layer, best["quotes"].cell) == (1, 293)
    assert best["quotes"].correlation > 0.95
    assert (best["line_position"].layer, best["line_position"].cell) == (1, 506)
    assert best["line_position"].correlation < -0.9
    assert [abs(tracked.correlation) for tracked in shipped.cells] == sorted(
        [abs(tracked.correlation) for tracked in shipped.cells], reverse=True
    )
