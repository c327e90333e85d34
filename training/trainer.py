"""Trainer: from a corpus to the checkpoint that predicts it best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import Checkpoint, save_checkpoint
from model.errors import TrainingError
from model.network import CharLSTM, NetworkConfig
from training.config import TrainingConfig
from training.corpus import Corpus
from training.evaluation import estimate
from training.group import Group
from training.learner import Learner
from training.run_folder import RunFolder
from training.streams import Streams

STATE_SECONDS = 15.0  # at most this much work is lost to a kill


@dataclass(frozen=True)
class Update:
    """What one update of the weights showed."""

    step: int  # updates done, this one included
    total_steps: int
    epoch: float
    loss: float  # of this batch, with dropout, nats per character
    learning_rate: float
    characters: int  # read by this update, by all processes


@dataclass(frozen=True)
class Validation:
    """What a validation showed. Losses are nats per character."""

    step: int
    epoch: float
    training_loss: float  # mean since the last validation, with dropout
    validation_loss: float  # of the averaged weights, see `training.evaluation.estimate`
    learning_rate: float
    best: bool  # the lowest so far, so it is now best.safetensors
    seconds: float  # of work since the run began


class Trainer:
    """One training run in one folder.

    Contiguous streams of text whose state is carried from batch to batch, a rate that warms up
    and decays along a cosine, and averaged weights, which are what is validated and saved.

    Args:
        corpus: what to learn.
        network_config: sizes and dropout.
        config: everything else that decides what comes out.
        folder: where it goes.
        device: what to compute on.
        resume: go on with the run that the folder holds.
        group: the processes that share the work, all of which make a Trainer.
        initial: weights to begin with, random when None.

    Raises:
        TrainingError: if the folder holds a run already and `resume` was not asked for, or the
            other way round, or the run to resume was another.
        CorpusError: if the text is too short for these settings.
    """

    def __init__(
        self,
        corpus: Corpus,
        network_config: NetworkConfig,
        config: TrainingConfig,
        folder: RunFolder,
        device: torch.device,
        resume: bool = False,
        group: Group | None = None,
        initial: Checkpoint | None = None,
    ) -> None:
        self.corpus, self.config, self.folder, self.device = corpus, config, folder, device
        self.group = group or Group()
        self._initial = initial
        self.streams = Streams(corpus.training, config.streams, config.steps)
        self.total_steps = max(1, round(config.epochs * self.streams.batches))
        self.learner = new_learner(network_config, config, device, self.group, initial)
        self.step = 0
        self.best_loss = math.inf
        self._losses: list[float] = []  # since the last validation
        self._seconds = 0.0
        if resume:
            self._load_state()
        elif self.group.leads:
            self.folder.start()

    @property
    def network(self) -> CharLSTM:
        """The network under training; its averaged weights are the better ones."""
        return self.learner.network

    @property
    def record(self) -> dict[str, Any]:
        """The training record that goes into a checkpoint's metadata."""
        record = {
            "corpus_sha256": self.corpus.sha256,
            "training_characters": len(self.corpus.training),
            "validation_characters": len(self.corpus.validation),
            "split": "by position; the last 10% validates",
            "validation_loss": self.best_loss,
            "steps": self.step,
            "epoch": round(self.epoch, 3),
            "seconds": round(self._seconds, 1),
            "settings": asdict(self.config),
        }
        if self._initial is not None:
            record["initial_checkpoint"] = self._initial.hash
        return record

    @property
    def epoch(self) -> float:
        """Passes over the training text so far."""
        return self.step / self.streams.batches

    @property
    def done(self) -> bool:
        return self.step >= self.total_steps

    def run(
        self, stop: Callable[[], bool] = lambda: False
    ) -> Generator[Update | Validation, None, None]:
        """Trains to the end, or until `stop` says so; yields what happens as it happens.

        However it ends, the state is saved; in one process also when the iterator is closed at a
        yield. In a group every process iterates to the end, and only the one that leads yields
        validations.

        Raises:
            TrainingError: if the loss is no longer a number, or the folder cannot be written.
                What was saved before stays as it was.
        """
        saved_at = started = time.monotonic()
        worked_before = self._seconds
        try:
            while not self.done:
                overdue = self.group.leads and time.monotonic() - saved_at > STATE_SECONDS
                update, stopping, saving = self._update([float(stop()), float(overdue)])
                self._seconds = worked_before + time.monotonic() - started
                due = self._validation_is_due()
                validation = self._validate(update) if due and self.group.leads else None
                if due:
                    self._losses.clear()
                if due or stopping or saving:
                    self._save_state()
                    saved_at = time.monotonic()
                yield update
                if validation:
                    yield validation
                if stopping:
                    return
        except GeneratorExit:
            if self.group.size == 1:  # saving takes all processes, and the others go on
                self._save_state()
            raise

    def _update(self, wishes: list[float]) -> tuple[Update, bool, bool]:
        """One update, and whether any process wishes to stop, and to save."""
        step, batches = self.step, self.streams.batches
        if step % batches == 0:
            self.learner.forget()
        rate = self.config.rate(step, self.total_steps)
        inputs_TB, targets_TB = self._batch(*divmod(step, batches))
        loss, *wished = self.learner.update(inputs_TB, targets_TB, step, rate, wishes)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {step}: lower --learning-rate. "
                f"{self.folder.best_path} keeps the best weights so far"
            )
        self.step += 1
        self._losses.append(loss)
        update = Update(self.step, self.total_steps, self.epoch, loss, rate, inputs_TB.numel())
        return update, wished[0] > 0, wished[1] > 0

    def _batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """A batch; each epoch starts at another place, so that each cuts the text otherwise."""
        random = np.random.default_rng([self.config.seed, epoch])
        return self.streams.batch(index, int(random.integers(0, self.streams.spare + 1)))

    def _validation_is_due(self) -> bool:
        """Whether another of the run's equal parts, one for each validation, is over."""
        parts, total = self.config.validations, self.total_steps
        return self.step * parts // total > (self.step - 1) * parts // total

    def averaged(self) -> Checkpoint:
        """What the run has come to so far."""
        return Checkpoint(
            self.network.config, self.corpus.vocabulary, self.learner.average, self.record
        )

    def _validate(self, update: Update) -> Validation:
        network = self.learner.averaged_network()
        loss = estimate(network, self.corpus.validation).nats_per_character
        best = loss < self.best_loss
        if best:
            self.best_loss = loss
            with self.folder.explaining_failure():
                save_checkpoint(self.averaged(), self.folder.best_path)
        training_loss = sum(self._losses) / len(self._losses)
        validation = Validation(
            self.step, self.epoch, training_loss, loss, update.learning_rate, best, self._seconds
        )
        self.folder.add_record(asdict(validation))
        return validation

    # Saved state -------------------------------------------------------------

    def _fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be the same run."""
        return {
            "corpus": self.corpus.sha256,
            "vocabulary": "".join(self.corpus.vocabulary.characters),
            "network": self.network.config.as_dict(),
            "settings": asdict(self.config),
            "initial": "" if self._initial is None else self._initial.hash,
        }

    def _save_state(self) -> None:
        state = {
            "fingerprint": self._fingerprint(),
            "step": self.step,
            "best_loss": self.best_loss,
            "losses": self._losses,
            "seconds": self._seconds,
            **self.learner.state_dict(),
        }
        if self.group.leads:
            self.folder.save_state(state)

    def _load_state(self) -> None:
        state = self.folder.load_state(self.device)
        self._check_same_run(state["fingerprint"])
        self.step, self.best_loss = state["step"], state["best_loss"]
        self._losses, self._seconds = state["losses"], state["seconds"]
        self.learner.load_state_dict(state)
        if self.group.leads:
            self.folder.forget_records_after(self.step)

    def _check_same_run(self, saved: dict[str, Any]) -> None:
        mine, folder = self._fingerprint(), self.folder.path
        if saved["corpus"] != mine["corpus"]:
            raise TrainingError(f"{folder} was trained on another text")
        if saved.get("initial", "") != mine["initial"]:
            raise TrainingError(f"{folder} began with other weights: --init-from must be the same")
        if saved.get("vocabulary", mine["vocabulary"]) != mine["vocabulary"]:
            raise TrainingError(f"{folder} has another vocabulary: --min-count must be the same")
        differences = [
            f"{name} was {saved[part].get(name)}, is {value}"
            for part in ("network", "settings")
            for name, value in mine[part].items()
            if saved[part].get(name) != value
        ]
        if differences:
            advice = f"another run may begin with --init-from {self.folder.best_path} --out OTHER"
            raise TrainingError(
                f"{folder} is another run: {'; '.join(differences)}. Without such flags it goes on"
                + (f"; {advice}" if saved["network"] == mine["network"] else "")
            )


def new_learner(
    network_config: NetworkConfig,
    config: TrainingConfig,
    device: torch.device,
    group: Group,
    initial: Checkpoint | None = None,
) -> Learner:
    """A learner at the start of a run: the same weights in every process.

    Raises:
        TrainingError: if the processes cannot share the streams evenly.
    """
    if config.streams % group.size:
        raise TrainingError(
            f"streams must be a multiple of the {group.size} processes, got {config.streams}"
        )
    torch.manual_seed(config.seed)
    network = CharLSTM(network_config)
    if initial is not None:
        network.load_state_dict(dict(initial.weights))
    return Learner(network.to(device), config, group)
