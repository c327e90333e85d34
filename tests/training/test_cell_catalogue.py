"""The search for cells that track properties of a text, and the command that stores them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_cells, save_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from model.pytorch.network import CharLSTM
from model.text.properties import PROPERTIES
from model.text.vocabulary import CorpusIds, Vocabulary
from training import cell_catalogue
from training.cell_catalogue import add_catalogue, divide, find_tracked_cells
from training.command_line import run as main

LINE = 'Kitty said: "I (and you) know 20 of them."\n'
TEXT = "".join(LINE[number % 5 :] + "\n" * (number % 3 == 0) for number in range(400))


@pytest.fixture
def counting() -> Checkpoint:
    """A network that does nothing, except for cell 3 of layer 0: it counts up to each newline."""
    vocabulary = Vocabulary.from_text(TEXT)
    config = NetworkConfig(len(vocabulary), hidden_size=5, layers=2)
    network = CharLSTM(config)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    inputs, forget, candidate = (gate * config.hidden_size + 3 for gate in range(3))
    weight_ih = network.lstm.all_weights[0][0].data
    weight_ih[inputs] = 20  # an open gate
    weight_ih[forget] = 20
    weight_ih[forget, vocabulary.characters.index("\n")] = -20
    weight_ih[candidate] = 0.002
    return Checkpoint(config, vocabulary, network.weights())


def ids_of(checkpoint: Checkpoint, text: str) -> CorpusIds:
    return checkpoint.vocabulary.encode_corpus(text)[0]


def test_the_cell_that_counts_is_found(counting: Checkpoint) -> None:
    cells = find_tracked_cells(CharLSTM.of(counting), counting.vocabulary, ids_of(counting, TEXT))
    best = {tracked.property: tracked for tracked in cells}
    assert best.keys() == PROPERTIES.keys() - {"indentation"}, "nothing is indented"
    assert (best["line_position"].layer, best["line_position"].cell) == (0, 3)
    assert best["line_position"].correlation > 0.999
    assert cells[0] == best["line_position"]


def test_the_result_does_not_depend_on_how_many_values_are_held(
    counting: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, ids = CharLSTM.of(counting), ids_of(counting, TEXT)
    whole = find_tracked_cells(network, counting.vocabulary, ids)
    monkeypatch.setattr(cell_catalogue, "_VALUES_PER_CALL", 1000)
    assert find_tracked_cells(network.train(), counting.vocabulary, ids) == whole


def test_a_long_text_is_read_in_part_and_to_its_end(
    counting: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_catalogue, "_PASSAGE", 100)
    monkeypatch.setattr(cell_catalogue, "_SHORT_PASSAGE", 100)
    passages = divide(TEXT, 4000)
    assert len(passages) == 40
    assert sum(map(len, passages)) <= 4000
    assert TEXT.rindex(passages[-1]) > 0.9 * len(TEXT)
    reports: list[int] = []
    ids = ids_of(counting, TEXT)
    find_tracked_cells(CharLSTM.of(counting), counting.vocabulary, ids, reports.append, most=4000)
    assert reports == sorted(reports)
    assert reports[-1] == 4000


def test_a_short_run_reads_short_passages_at_the_same_time() -> None:
    text = TEXT * (250_000 // len(TEXT))
    for most, count, longest in ((10_000, 20, 500), (60_000, 40, 1500), (200_000, 40, 5000)):
        passages = divide(text, most)
        assert len(passages) == count
        assert max(map(len, passages)) == longest


@settings(deadline=None)
@given(st.text("ab \n", min_size=200, max_size=2000), st.integers(10, 300), st.integers(200, 3000))
def test_passages_are_parts_of_the_text_in_order(text: str, length: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_catalogue, "_PASSAGE", length)
        passages = divide(text, most)
    assert len(passages) >= 2
    assert sum(map(len, passages)) <= most
    end = 0
    for passage in passages:
        assert 0 < len(passage) <= length
        end = text.index(passage, end) + len(passage)


def test_a_passage_begins_with_a_paragraph_or_a_line() -> None:
    paragraphs = divide("one line\nmore\n\nnext\n" * 1000)
    assert all(passage.startswith("next") for passage in paragraphs)
    lines = divide("one line\nmore of it and more\n" * 1000)
    assert all(passage.startswith(("one", "more of")) for passage in lines)
    assert "".join(divide("x" * 9000)) == "x" * 9000


def test_a_text_that_is_too_short_is_refused(counting: Checkpoint) -> None:
    with pytest.raises(TrainingError, match="has 199 characters; the catalogue of cells needs"):
        find_tracked_cells(CharLSTM.of(counting), counting.vocabulary, np.zeros(199, np.uint8))


def test_a_short_run_reads_little_for_its_catalogue(
    counting: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def measure(text: str, most: int) -> list[str]:
        read.append(sum(map(len, divide(text, most))))
        return divide(text, most)

    monkeypatch.setattr(cell_catalogue, "divide", measure)
    ids = ids_of(counting, TEXT)
    for trained, least, most in ((0, 150, 200), (50_000, 900, 1000), (10**9, 14_000, 15_000)):
        path = tmp_path / f"{trained}.safetensors"
        save_checkpoint(counting, path)
        add_catalogue(path, ids[:199], torch.device("cpu"), trained)
        assert load_checkpoint(path).cells == (), "the text is too short"
        add_catalogue(path, ids, torch.device("cpu"), trained)
        assert load_checkpoint(path).cells
        assert least <= read[-1] <= most
        add_catalogue(path, ids, torch.device("cpu"), trained)
    assert len(read) == 3, "a checkpoint with a catalogue keeps it"


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_prints_and_stores_the_catalogue(
    counting: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    path, text = tmp_path / "counting.safetensors", tmp_path / "text.txt"
    save_checkpoint(counting, path)
    text.write_text("x" * 9 * len(TEXT) + TEXT)
    before = load_checkpoint(path)
    command = ["cells", str(path), "--text", str(text), "--device", "cpu"]
    assert main([*command, *["--json"] * as_json]) == 0
    shown = capsys.readouterr().out
    after = load_checkpoint(path)
    assert after.hash == before.hash
    assert after.cells == find_tracked_cells(
        CharLSTM.of(counting), counting.vocabulary, ids_of(counting, TEXT)
    )
    if as_json:
        (first, *_) = json.loads(shown)["cells"]
        assert (first["property"], first["layer"], first["cell"]) == ("line_position", 0, 3)
    else:
        assert shown.splitlines()[1].split()[:3] == ["line_position", "0", "3"]
        assert shown.endswith("indentation         does not vary in this text\n")


def test_a_resumed_run_that_has_ended_gets_a_missing_catalogue(
    text: Path, out: Path, train: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """It also takes over its settings."""
    best = out / "best.safetensors"
    assert train() == 0
    cells = load_checkpoint(best).cells
    assert cells
    save_cells(best, [])
    assert load_checkpoint(best).cells == ()
    assert main(["train", "--text", str(text), "--out", str(out), "--resume"]) == 0
    assert "resumed at" in capsys.readouterr().out
    assert load_checkpoint(best).cells == cells
