"""Trainer: trains a network on a corpus and keeps the checkpoint that predicts it best."""

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
from model.network import CharLSTM, arrays
from model.network_config import NetworkConfig
from training.batches import Batches
from training.config import TrainingConfig
from training.corpus import Corpus
from training.evaluation import estimate
from training.fingerprint import Fingerprint, check_same_run, make_fingerprint
from training.learner import new_learner
from training.learning_rate import learning_rate
from training.process_group import Flags, ProcessGroup
from training.run_folder import RunFolder

STATE_SECONDS = 15.0  # longest time between two saved states


@dataclass(frozen=True)
class Update:
    """Report of one update of the weights."""

    step: int  # updates so far, including this one
    total_steps: int
    epoch: float
    loss: float  # of this batch, with dropout, nats per character
    learning_rate: float
    characters: int  # in this batch, over all processes


@dataclass(frozen=True)
class Validation:
    """Report of one validation. Losses are in nats per character."""

    step: int
    epoch: float
    training_loss: float  # mean since the last validation, with dropout
    validation_loss: float  # of the averaged weights, see `training.evaluation.estimate`
    learning_rate: float
    best: bool  # the lowest validation loss so far: best.safetensors now holds these weights
    seconds: float  # of training since the run began


class Trainer:
    """One training run in one folder.

    It reads the text as contiguous sequences and carries the state from batch to batch. The
    learning rate warms up and then decays along a cosine. The averaged weights are validated and
    saved.

    Args:
        corpus: the text to train on.
        network_config: sizes and dropout of the network.
        config: all other settings that determine the result.
        folder: folder for the files of the run.
        device: device to train on.
        resume: whether to continue the run in the folder.
        process_group: the processes that share the work. Each of them creates a Trainer.
        initial: checkpoint whose weights the run starts from. None starts from random weights.

    Raises:
        TrainingError: if the folder holds a run and `resume` is false, if there is nothing to
            resume, or if the run to resume has other settings.
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
        process_group: ProcessGroup | None = None,
        initial: Checkpoint | None = None,
    ) -> None:
        self.corpus, self.config, self.folder, self.device = corpus, config, folder, device
        self.process_group = process_group or ProcessGroup()
        self._initial = initial
        self.batches = Batches(corpus.training, config.batch_size, config.sequence_length)
        self.total_steps = max(1, round(config.epochs * self.batches.per_epoch))
        self.learner = new_learner(network_config, config, device, self.process_group, initial)
        self.step = 0
        self.best_loss = math.inf
        self._losses: list[float] = []  # since the last validation
        self._seconds = 0.0
        self._saved_at: float | None = None  # None: no state is saved yet
        if resume:
            self._load_state()
        elif self.process_group.is_main:
            self.folder.start()

    @property
    def network(self) -> CharLSTM:
        """The network in training. `learner.average` has its averaged weights."""
        return self.learner.network

    @property
    def record(self) -> dict[str, Any]:
        """The training record for a checkpoint's metadata."""
        record = {
            "corpus_sha256": self.corpus.sha256,
            "training_characters": len(self.corpus.training),
            "validation_characters": len(self.corpus.validation),
            "split": "by position; the last 10% validates",
            "validation_loss": self.best_loss,
            "steps": self.step,
            "epoch": round(self.epoch, 3),
            "seconds": round(self._seconds, 1),
            "settings": self.config.as_record(),
        }
        if self._initial is not None:
            record["initial_checkpoint"] = self._initial.hash
        return record

    @property
    def epoch(self) -> float:
        """Number of passes over the training text so far."""
        return self.step / self.batches.per_epoch

    @property
    def done(self) -> bool:
        """Whether all updates of the run have been made."""
        return self.step >= self.total_steps

    def run(
        self, stop: Callable[[], bool] = lambda: False
    ) -> Generator[Update | Validation, None, None]:
        """Train to the end or until `stop` returns true, and yield each event as it happens.

        The state is saved after the first update, after each validation, every 15 seconds, and at
        a stop. In a single process it is also saved if the iterator is closed between two events.
        An exception does not save it: the state saved last stays in the folder. With several
        processes, each must iterate to the end, and only the main one yields validations.

        Raises:
            TrainingError: if the loss is NaN or infinite, or the folder cannot be written.
        """
        started = time.monotonic()
        seconds_before = self._seconds
        try:
            while not self.done:
                update, flags = self._update(Flags(stop(), self._save_is_due()))
                self._seconds = seconds_before + time.monotonic() - started
                validation = self._finish_update(update, flags)
                yield update
                if validation:
                    yield validation
                if flags.stop:
                    return
        except GeneratorExit:
            if self.process_group.size == 1:  # with more, saving needs all of them, which still run
                self._save_state()
            raise

    def averaged(self) -> Checkpoint:
        """Return a checkpoint of the averaged weights at this point of the run."""
        weights = arrays(self.learner.average)
        return Checkpoint(self.network.config, self.corpus.vocabulary, weights, self.record)

    def _update(self, flags: Flags) -> tuple[Update, Flags]:
        """Make one update. Return its report, and the flags that any process has set."""
        step, per_epoch = self.step, self.batches.per_epoch
        if step % per_epoch == 0:
            self.learner.reset_state()
        config = self.config
        rate = learning_rate(step, self.total_steps, config.learning_rate, config.warmup)
        inputs_TB, targets_TB = self._batch(*divmod(step, per_epoch))
        result = self.learner.update(inputs_TB, targets_TB, step, rate, flags)
        if not math.isfinite(result.loss):
            raise self._loss_error(result.loss)
        self.step += 1
        self._losses.append(result.loss)
        update = Update(
            self.step, self.total_steps, self.epoch, result.loss, rate, inputs_TB.numel()
        )
        return update, result.flags

    def _loss_error(self, loss: float) -> TrainingError:
        message = f"the loss is {loss} at step {self.step}: lower --learning-rate"
        if math.isfinite(self.best_loss):  # there was a validation
            message += f". {self.folder.best_path} holds the best weights so far"
        return TrainingError(message)

    def _finish_update(self, update: Update, flags: Flags) -> Validation | None:
        """Validate and save the state if they are due. Only the main process validates."""
        validation = None
        validation_is_due = self._validation_is_due()
        if validation_is_due:
            if self.process_group.is_main:
                validation = self._validate(update)
            self._losses.clear()
        if validation_is_due or flags.stop or flags.save:
            self._save_state()
        return validation

    def _batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """Return a batch. Each epoch starts at another offset, so that the sequences differ."""
        random = np.random.default_rng([self.config.seed, epoch])
        return self.batches.batch(index, int(random.integers(0, self.batches.spare + 1)))

    def _validation_is_due(self) -> bool:
        """Whether a validation is due. The validations divide the updates into equal parts."""
        parts, total = self.config.validations, self.total_steps
        return self.step * parts // total > (self.step - 1) * parts // total

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

    def _fingerprint(self) -> Fingerprint:
        return make_fingerprint(self.corpus, self.network.config, self.config, self._initial)

    def _save_is_due(self) -> bool:
        """Whether the saved state is older than 15 seconds, or no state is saved yet."""
        if not self.process_group.is_main:
            return False
        return self._saved_at is None or time.monotonic() - self._saved_at > STATE_SECONDS

    def _save_state(self) -> None:
        state = {
            "fingerprint": self._fingerprint(),
            "step": self.step,
            "best_loss": self.best_loss,
            "losses": self._losses,
            "seconds": self._seconds,
            **self.learner.state_dict(),
        }
        if self.process_group.is_main:
            self.folder.save_state(state)
        self._saved_at = time.monotonic()

    def _load_state(self) -> None:
        state = self.folder.load_state(self.device)
        check_same_run(state["fingerprint"], self._fingerprint(), self.folder)
        self._saved_at = time.monotonic()
        self.step, self.best_loss = state["step"], state["best_loss"]
        self._losses, self._seconds = state["losses"], state["seconds"]
        try:
            self.learner.load_state_dict(state)
        except ValueError as error:
            raise self.folder.damaged_state(str(error)) from error
        if self.process_group.is_main:
            self.folder.drop_records_after(self.step)
