"""The commands of the command line, from a text to a checkpoint that evaluates and writes."""

from __future__ import annotations

import dataclasses
import json
import re
from itertools import chain
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tests.model.pytorch.test_tutorial import tutorial_file
from tests.training.commands import SMALL, TEXT
from training.command_line import run as main
from training.results import serve_line


def test_a_text_becomes_a_checkpoint_that_evaluates_and_writes(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    train = ["train", "--text", str(text), "--out", str(out), *SMALL, "--epochs", "2"]
    train += ["--precision", "auto"]
    assert main(train) == 0
    shown = capsys.readouterr().out
    assert "validation" in shown
    assert "sample" in shown
    last = shown.splitlines()[-1]
    assert last == serve_line(out / "best.safetensors")
    assert (out / "report.html").exists()
    assert len(list((out / "samples").iterdir())) == shown.count("epoch ") - 1
    best = str(out / "best.safetensors")
    trained = load_checkpoint(Path(best))
    assert "line_position" in [tracked.property for tracked in trained.cells]
    assert (trained.about.title, trained.about.source) == (text.stem, "")
    assert trained.about.prime in TEXT
    assert main(["describe", best, "--title", "A text", "--source", "a test"]) == 0
    assert (
        capsys.readouterr().out == f"title: A text\nsource: a test\nprime: {trained.about.prime}\n"
    )
    described = load_checkpoint(Path(best))
    assert (described.about.title, described.hash) == ("A text", trained.hash)
    assert main(["evaluate", best, "--text", str(text), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["characters"] == len(TEXT) // 10 - 1
    assert 0 < figures["nats_per_character"] < 4
    assert figures["bits_per_character"] == pytest.approx(figures["nats_per_character"] * 1.442695)
    assert main(["evaluate", best, "--text", str(text)]) == 0
    assert "nats per character" in capsys.readouterr().out
    samples = []
    for _ in range(2):
        assert main(["sample", best, "--prime", "All", "--length", "50", "--seed", "3"]) == 0
        samples.append(capsys.readouterr().out)
    assert samples[0] == samples[1]
    assert samples[0].startswith("All")
    assert len(samples[0]) == 54


def test_a_loss_without_a_perplexity_is_shown(
    text: Path, tiny: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bias = tiny.weights["output.bias"].copy()
    bias[0] = 1e30
    path = tmp_path / "extreme.safetensors"
    weights = {**tiny.weights, "output.bias": bias}
    save_checkpoint(dataclasses.replace(tiny, weights=weights), path)
    assert main(["evaluate", str(path), "--text", str(text), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["perplexity"] is None
    assert main(["evaluate", str(path), "--text", str(text)]) == 0
    assert "perplexity inf" in capsys.readouterr().out


def test_the_tutorials_checkpoint_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = tutorial_file(tmp_path / "rnn.net")
    assert main(["import", str(path), "--out", str(tmp_path / "ours.safetensors")]) == 0
    assert "2 x 16, 5 characters" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "ours.safetensors").config.hidden_size == 16


def test_a_tokenizer_is_written(
    tiny_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "tokenizer"
    vocabulary = load_checkpoint(tiny_path).vocabulary
    assert main(["tokenizer", str(tiny_path), "--out", str(folder)]) == 0
    assert f"{len(vocabulary)} characters" in capsys.readouterr().out
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.get_vocab() == {c: n for n, c in enumerate(vocabulary.characters)}


def replaced(arguments: str, text: Path, tiny_path: Path) -> list[str]:
    """The arguments, with the values that the capital words stand for."""
    words = {"TRAIN": ["train", "--text", str(text), "--out", "run"], "EMPTY": [""]}
    words |= {"BOOK": [str(text)], "TINY": [str(tiny_path)]}
    return list(chain(*(words.get(word, [word]) for word in arguments.split())))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --text absent.txt --out run", "absent.txt: cannot be read"),
        ("TRAIN --dropout 1", "dropout must be"),
        (f"TRAIN --title {'x' * 201}", "--title: must have at most 200 characters, got 201"),
        ("TRAIN --prime Z9", r"--prime: .*U\+005A.*; leave them out"),
        ("TRAIN --resume", "no training run to resume"),
        ("TRAIN --device toaster", "'toaster'"),
        ("evaluate absent.safetensors --text BOOK", "no such file"),
        ("sample TINY --prime Z9", r"--prime: .*U\+005A.*; leave them out"),
        ("sample TINY --length 0", "--length must be at least 1"),
        ("sample TINY --temperature -1", "--temperature must be in 0..100, got -1"),
        ("sample TINY --top-k -1", "--top-k must be at least 1, or 0 for all, got -1"),
        ("sample TINY --seed -1", "--seed must be in 0.."),
        ("TRAIN --precision fp8", "got 'fp8'"),
        ("TRAIN --min-count 0", "--min-count must"),
        ("TRAIN --minutes 0.001", "is too short"),
        ("TRAIN --init-from absent", "no such file"),
        ("TRAIN --distill-from absent", "no such file"),
        ("TRAIN --distill-from TINY", "--distill-from .*tiny.safetensors has another vocabulary"),
        ("TRAIN --init-from TINY --layers 3", "is 2 x 32, but the flags ask for 3 x 32"),
        (
            "TRAIN --hidden-size 65536 --layers 64",
            "a network of 64 x 65536 needs at least .* GB of memory",
        ),
        (
            "TRAIN --minutes 9 --batch-size 500",
            "500 sequences of 128 characters need 64001: lower --batch-size or --seq-len",
        ),
        ("TRAIN --init-from TINY --min-count 2", "--min-count 2 has no effect with --init-from"),
        ("tokenizer TINY --out BOOK", "book.txt: cannot be written: "),
        ("import BOOK --out x.safetensors", "nothing in it was executed"),
        ("corpus anna --from absent.txt", "absent.txt: cannot be read"),
    ],
)
def test_an_error_is_one_line_and_no_run_is_begun(
    arguments: str,
    message: str,
    text: Path,
    tmp_path: Path,
    tiny_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(replaced(arguments, text, tiny_path)) == 1
    error = capsys.readouterr().err
    assert error.startswith("charstream: ")
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "train --text EMPTY",
        "train --text BOOK --out EMPTY",
        "evaluate EMPTY --text BOOK",
        "score TINY EMPTY",
        "tokenizer TINY --out EMPTY",
    ],
)
def test_an_empty_path_is_refused(
    arguments: str, text: Path, tiny_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(replaced(arguments, text, tiny_path))
    assert ended.value.code == 2
    assert "expected a path, got an empty one" in capsys.readouterr().err


def test_a_text_is_evaluated_without_the_characters_that_the_model_lacks(
    text: Path, tiny_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tiny_path), "--text", str(text), "--json"]) == 0
    shown = capsys.readouterr()
    figures = json.loads(shown.out)
    assert figures["left_out"] > 0
    assert figures["characters"] == len(TEXT) // 10 - 1 - figures["left_out"]
    assert "left out" in shown.err
