"""Distillation: what a network learns from teachers, and that its runs resume exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from model.pytorch.network import CharLSTM, arrays
from model.text.vocabulary import Vocabulary
from tests.training.small_runs import (
    CONFIG,
    CORPUS,
    CPU,
    assert_same_weights,
    finished,
    make_trainer,
    resumed_after,
    stop_after,
)
from training.distillation import Teachers, check_vocabulary
from training.run_folder import RunFolder
from training.trainer import Trainer

SIZE = len(CORPUS.vocabulary)


def make_teacher(seed: int, **sizes: int) -> Checkpoint:
    """A network with random weights. Its hash stands for its content, as after loading."""
    torch.manual_seed(seed)
    config = NetworkConfig(SIZE, **{"hidden_size": 8, "layers": 1, **sizes})
    weights = arrays(CharLSTM(config).state_dict())
    return Checkpoint(config, CORPUS.vocabulary, weights, hash=f"hash of {seed}")


TEACHERS = [make_teacher(1), make_teacher(2, hidden_size=20, layers=3)]


def make_student(
    folder: Path,
    teachers: Sequence[Checkpoint] = TEACHERS,
    resume: bool = False,
    **settings: float | str,
) -> Trainer:
    config = dataclasses.replace(CONFIG, **settings)  # type: ignore[arg-type]
    network = NetworkConfig(SIZE, hidden_size=32, dropout=0.2)
    return Trainer(CORPUS, network, config, RunFolder(folder), CPU, resume, teachers=teachers)


def batches(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(SIZE, (5, 3), generator=generator) for _ in range(count)]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_target_is_the_mean_of_the_teachers_probabilities(temperature: float) -> None:
    """Also in the second batch, which the teachers read with their states of the first."""
    teachers = Teachers(TEACHERS, 3, temperature, "fp32", CPU)
    inputs, logits = batches(2), torch.randn(5, 3, SIZE)
    divergences = [teachers.divergence(logits, part) for part in inputs]
    whole = [CharLSTM.of(teacher)(torch.cat(inputs))[0] for teacher in TEACHERS]
    targets = sum((each / temperature).softmax(-1) for each in whole) / len(whole)
    assert isinstance(targets, Tensor)
    own = (logits / temperature).log_softmax(-1)
    for number, divergence in enumerate(divergences):
        target = targets[5 * number : 5 * number + 5]
        expected = (target * (target.log() - own)).sum(-1).mean() * temperature**2
        assert divergence.item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_network_that_predicts_as_its_teachers_has_no_divergence() -> None:
    teachers = Teachers(TEACHERS[:1], 3, 1.0, "fp32", CPU)
    (inputs,) = batches(1)
    logits = CharLSTM.of(TEACHERS[0])(inputs)[0]
    assert teachers.divergence(logits, inputs).item() == pytest.approx(0, abs=1e-6)


def test_a_student_learns_to_predict_as_its_teacher(tmp_path: Path) -> None:
    first = finished(make_trainer(tmp_path / "teacher"))
    teacher = load_checkpoint(first.folder.best_path)
    distances = []
    for weight in (0.0, 1.0):
        student = make_student(tmp_path / str(weight), [teacher], distill_weight=weight, epochs=1)
        finished(student)
        ids = torch.from_numpy(CORPUS.validation.astype("int64"))[:, None]
        with torch.no_grad():
            logits = student.learner.averaged_network()(ids)[0]
        alike = Teachers([teacher], 1, 1.0, "fp32", CPU)
        distances.append(alike.divergence(logits, ids).item())
    assert distances[1] < distances[0]
    record = load_checkpoint(student.folder.best_path).training
    assert record["teachers"] == [teacher.hash]


@pytest.mark.parametrize("stop_at", [1, 100])
def test_its_runs_resume_exactly(tmp_path: Path, stop_at: int) -> None:
    whole = finished(make_student(tmp_path / "whole"))
    resumed = resumed_after(stop_at, tmp_path / "stopped", make_student)
    assert_same_weights(whole, resumed)


def test_only_a_run_with_the_same_teachers_is_resumed(tmp_path: Path) -> None:
    stop_after(make_student(tmp_path))
    for teachers in ([], TEACHERS[:1], TEACHERS[::-1]):
        with pytest.raises(TrainingError, match="--distill-from must be the same"):
            make_student(tmp_path, teachers, resume=True)


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        ("abc", r"\(3 characters, the run has 2\): it also has 'c'. Use teachers"),
        ("ac", r"it lacks 'b'; it also has 'c'"),
        ("ba", r"the order differs"),
    ],
)
def test_a_teacher_with_another_vocabulary_is_refused(characters: str, message: str) -> None:
    teacher = dataclasses.replace(TEACHERS[0], vocabulary=Vocabulary(list(characters)))
    with pytest.raises(TrainingError, match=f"--distill-from t.safetensors has .*{message}"):
        check_vocabulary(teacher, Path("t.safetensors"), Vocabulary(["a", "b"]))


def test_an_ensemble_computes_in_bfloat16_nearly_as_in_float32() -> None:
    inputs, logits = batches(3), torch.randn(5, 3, SIZE)
    results = []
    for precision in ("fp32", "bf16"):
        teachers = Teachers(TEACHERS, 3, 1.0, precision, CPU)
        results.append([teachers.divergence(logits, part).item() for part in inputs])
        assert all(value.dtype == torch.float32 for state in teachers.states for value in state)
    assert results[0] == pytest.approx(results[1], abs=0.02)
