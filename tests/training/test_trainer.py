"""The trainer: runs that learn, stop, resume exactly, and are refused."""

from __future__ import annotations

import dataclasses
import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import CharstreamError, CorpusError, TrainingError
from model.pytorch.network import CharLSTM
from model.text.vocabulary import UNKNOWN, Vocabulary
from tests.training.small_runs import (
    CONFIG,
    CORPUS,
    CPU,
    TEXT,
    assert_same_best_weights,
    assert_same_weights,
    finished,
    make_trainer,
    metrics,
    resumed_after,
    run_to_first_validation,
    stop_after,
)
from training import trainer as trainer_module
from training.config import TrainingConfig
from training.corpus import Corpus
from training.evaluation import estimate
from training.events import Validation
from training.run_folder import RunFolder
from training.trainer import Trainer


def test_a_run_learns_and_keeps_its_best(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    validations = [event for event in trainer.run() if isinstance(event, Validation)]
    losses = [validation.validation_loss for validation in validations]
    assert trainer.step == trainer.total_steps == 3 * trainer.batches.per_epoch
    assert losses[-1] < losses[0] - 0.3
    assert trainer.best_loss == min(losses)
    best = load_checkpoint(trainer.folder.best_path)
    assert best.vocabulary == trainer.corpus.vocabulary
    by_hand = estimate(CharLSTM.of(best), trainer.corpus.validation).nats_per_character
    assert best.training["validation_loss"] == trainer.best_loss == by_hand
    assert best.training["corpus_sha256"] == trainer.corpus.sha256
    records = metrics(tmp_path)
    assert [record["step"] for record in records] == [v.step for v in validations]
    assert all(type(record["step"]) is int for record in records)
    assert [record["validation_loss"] for record in records] == losses


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Trainer]:
    """Runs that were never stopped, by the number of their validations."""
    return {
        number: finished(make_trainer(tmp_path_factory.mktemp("whole"), with_validations(number)))
        for number in (6, 18)
    }


def with_validations(number: int) -> TrainingConfig:
    return dataclasses.replace(CONFIG, validations=number)


@pytest.mark.parametrize("stop_at", [1, 17, 100])
def test_a_resumed_run_ends_as_one_that_was_never_stopped(
    tmp_path: Path, whole_runs: dict[int, Trainer], stop_at: int
) -> None:
    whole, resumed = whole_runs[6], resumed_after(stop_at, tmp_path, make_trainer)
    assert_same_weights(whole, resumed)
    assert resumed.best_loss == whole.best_loss
    assert_same_best_weights(whole.folder, resumed.folder)
    steps = [record["step"] for record in metrics(tmp_path)]
    assert steps == sorted(set(steps))


def test_a_killed_run_continues_from_its_last_saved_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_runs: dict[int, Trainer]
) -> None:
    killed = make_trainer(tmp_path)
    run = killed.run()
    list(islice(run, 60))
    monkeypatch.setattr(RunFolder, "save_state", lambda *_: None)  # as if the power had gone
    run.close()
    monkeypatch.undo()
    resumed = make_trainer(tmp_path, resume=True)
    assert 0 < resumed.step < killed.step
    for _ in resumed.run():
        torch.rand(1)  # whatever else draws random numbers
    assert_same_weights(whole_runs[6], resumed)


class Killed(BaseException):
    """What no code but the test's own catches."""


# The first of 18 validations is due after the first update.
@pytest.mark.parametrize(("validations", "last"), [*((6, n) for n in range(12)), (18, 0), (18, 1)])
def test_a_run_killed_between_any_two_writes_continues(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole_runs: dict[int, Trainer],
    validations: int,
    last: int,
) -> None:
    """Whole files replace old ones, so a kill can only fall between two replacements."""
    config, whole = with_validations(validations), whole_runs[validations].folder
    replaced = 0
    replace = os.replace

    def replace_or_die(*names: str) -> None:
        nonlocal replaced
        if replaced == last:
            raise Killed
        replaced += 1
        replace(*names)

    monkeypatch.setattr("os.replace", replace_or_die)
    with pytest.raises(Killed):
        finished(make_trainer(tmp_path, config))
    monkeypatch.undo()
    started = (tmp_path / "state.pt").exists()
    resumed = finished(make_trainer(tmp_path, config, resume=started))
    assert_same_best_weights(whole, resumed.folder)
    losses = [record["validation_loss"] for record in metrics(tmp_path)]
    assert losses == [record["validation_loss"] for record in metrics(whole.path)]


def test_the_state_is_saved_by_the_clock_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "STATE_SECONDS", 0.0)
    run = make_trainer(tmp_path).run()
    next(run)
    (tmp_path / "state.pt").unlink()  # saved after the first update in any case
    next(run)
    assert (tmp_path / "state.pt").exists()


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    make_trainer(tmp_path).run().close()
    stop_after(make_trainer(tmp_path))
    with pytest.raises(TrainingError, match="holds a training run: --resume"):
        make_trainer(tmp_path)


def test_only_the_same_run_is_resumed(tmp_path: Path) -> None:
    stop_after(make_trainer(tmp_path))
    with pytest.raises(TrainingError, match=r"--learning-rate was 0\.003, is 0\.1"):
        make_trainer(tmp_path, TrainingConfig(**vars(CONFIG) | {"learning_rate": 0.1}), True)
    with pytest.raises(TrainingError, match="no training run to resume"):
        make_trainer(tmp_path / "elsewhere", resume=True)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "epo')  # torn by a full disk
    make_trainer(tmp_path, resume=True)
    assert metrics(tmp_path) == []
    (tmp_path / "state.pt").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="so the run cannot be resumed"):
        make_trainer(tmp_path, resume=True)


def test_only_the_same_vocabulary_is_resumed(tmp_path: Path) -> None:
    """Also where folding rare characters leaves as many as there were."""
    stop_after(make_trainer(tmp_path))
    other = Vocabulary([*CORPUS.vocabulary.characters[:-1], UNKNOWN])
    renamed = dataclasses.replace(CORPUS, vocabulary=other)
    network = NetworkConfig(len(other), hidden_size=32, dropout=0.2, weight_dropout=0.1)
    with pytest.raises(TrainingError, match="--min-count must be the same"):
        Trainer(renamed, network, CONFIG, RunFolder(tmp_path), CPU, resume=True)


def test_a_confidence_penalty_makes_predictions_less_certain(tmp_path: Path) -> None:
    entropies = []
    for penalty in (0.0, 0.5):
        config = dataclasses.replace(CONFIG, confidence_penalty=penalty)
        trainer = finished(make_trainer(tmp_path / str(penalty), config))
        network = trainer.learner.averaged_network()
        with torch.no_grad():
            ids = torch.from_numpy(trainer.corpus.validation.astype("int64"))
            logprobs = network(ids[:, None])[0].log_softmax(dim=-1)
        entropies.append(-(logprobs.exp() * logprobs).sum(dim=-1).mean().item())
    assert entropies[1] > entropies[0] + 0.1


def test_a_full_disk_leaves_the_last_state_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tmp_path)
    run = run_to_first_validation(trainer)
    saved = (tmp_path / "state.pt").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CharstreamError, match=r"No space left on device.*: make room, then"):
        list(run)
    assert (tmp_path / "state.pt").read_bytes() == saved
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("resume", [False, True])
def test_temporary_files_of_a_killed_process_are_removed(tmp_path: Path, resume: bool) -> None:
    if resume:
        for _ in make_trainer(tmp_path).run(stop=lambda: True):
            pass
    (tmp_path / "samples").mkdir(exist_ok=True)
    names = (".state.pt.x1.part", ".best.safetensors.x2.part", "samples/.step-0000001.txt.x3.part")
    for name in (*names, ".film.x4.part"):
        (tmp_path / name).touch()
    make_trainer(tmp_path, resume=resume)
    assert [path.name for path in tmp_path.rglob(".*")] == [".film.x4.part"]


def test_training_begins_with_the_weights_of_another_checkpoint(tmp_path: Path) -> None:
    first = finished(make_trainer(tmp_path / "first"))
    initial = load_checkpoint(first.folder.best_path)
    corpus = Corpus.from_text(TEXT[::-1], vocabulary=initial.vocabulary)
    folder = RunFolder(tmp_path / "second")
    second = Trainer(corpus, initial.config, CONFIG, folder, CPU, initial=initial)
    for name, array in initial.weights.items():
        assert np.array_equal(second.network.state_dict()[name], array)
    list(second.run())
    assert load_checkpoint(folder.best_path).training["initial_checkpoint"] == initial.hash
    with pytest.raises(TrainingError, match="--init-from must be the same"):
        Trainer(corpus, initial.config, CONFIG, folder, CPU, resume=True)


def test_a_text_too_short_for_the_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="lower --batch-size or --seq-len"):
        make_trainer(tmp_path / "run", TrainingConfig(batch_size=4, sequence_length=5000))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_nan_at_once_names_no_file_that_does_not_exist(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    with torch.no_grad():
        trainer.network.output.bias.fill_(float("nan"))
    with pytest.raises(TrainingError) as caught:
        list(trainer.run())
    assert "the loss is nan at update 0: lower --learning-rate" in str(caught.value)
    assert "best.safetensors" not in str(caught.value)
