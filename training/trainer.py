"""Trainer: trains a network on a corpus and keeps the checkpoint that predicts it best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from typing import Any

import torch

from model.checkpoints.checkpoint import Checkpoint, save_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import CheckpointError, TrainingError
from model.pytorch.network import CharLSTM, arrays
from training.batches import Batches
from training.config import TrainingConfig
from training.corpus import Corpus
from training.evaluation import Stopped, estimate
from training.events import Update, Validation
from training.fingerprint import Fingerprint, check_same_run, make_fingerprint
from training.learner import new_learner
from training.learning_rate import learning_rate
from training.numeric_failure import explain_refusal, explain_update, explain_validation
from training.plan import Plan, plan_from_state
from training.precision import autocast
from training.process_group import NO_FLAGS, Flags, ProcessGroup
from training.run_folder import RunFolder
from training.training_record import training_record

STATE_SECONDS = 15.0  # longest time between two saved states


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
        initial: checkpoint whose weights the run starts from, instead of random ones.
        plan: plan of a new run with a time limit. None makes the updates of `config.epochs`.
        teachers: checkpoints with the same vocabulary to learn from, in addition to the text.

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
        plan: Plan | None = None,
        teachers: Sequence[Checkpoint] = (),
    ) -> None:
        self.corpus, self.config, self.folder, self.device = corpus, config, folder, device
        self.process_group = process_group or ProcessGroup()
        self._initial, self._teachers = initial, teachers
        self.batches = Batches(corpus.training, config.batch_size, config.sequence_length)
        updates = max(1, round(config.epochs * self.batches.per_epoch))
        self.plan = plan or Plan(updates, config.validations)
        self.learner = new_learner(
            network_config, config, device, self.process_group, initial, teachers
        )
        self.step = 0
        self.best_loss = math.inf
        self._losses: list[float] = []  # since the last validation
        self.seconds = 0.0
        self._saved_at: float | None = None  # None: no state is saved yet
        self.clock = time.monotonic
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
        return training_record(
            self.corpus, self.config, self._initial, self._teachers,
            validation_loss=self.best_loss, steps=self.step, epoch=round(self.epoch, 3),
            seconds=round(self.seconds, 1),
        )  # fmt: skip

    @property
    def epoch(self) -> float:
        """Number of passes over the training text so far."""
        return self.step / self.batches.per_epoch

    @property
    def total_steps(self) -> int:
        """Number of updates of the whole run. With a time limit, it may change during the run."""
        return self.plan.total_steps

    @property
    def validated_characters(self) -> int:
        """Number of characters that a validation predicts, or about one percent less."""
        return min(len(self.corpus.validation) - 1, self.config.validation_characters)

    @property
    def done(self) -> bool:
        """Whether all updates and validations of the run have been made."""
        return self.step >= self.total_steps and not self.plan.validation_is_due(self.step)

    def run(
        self, stop: Callable[[], bool] = lambda: False, spent: float = 0.0
    ) -> Generator[Update | Validation, None, None]:
        """Train to the end or until `stop` returns true, and yield each event as it happens.

        The state is saved after the first update, after each validation, every 15 seconds, and at
        a stop. In a single process it is also saved if the iterator is closed between two events,
        and a stop ends a validation, which the resumed run then repeats. An exception does not save
        the state: the state saved last stays in the folder. With several processes, each must
        iterate to the end, and only the main one yields validations.

        Args:
            stop: function that returns whether to stop.
            spent: seconds of a time limit that have passed before the call.

        Raises:
            TrainingError: if a loss or the gradient is NaN or infinite, the weights are too large
                to be served, or the folder cannot be written.
        """
        self.plan.shorten(spent)
        self._began = self.clock() - self.seconds
        try:
            while not self.done:
                update, flags = None, NO_FLAGS
                if not self.plan.validation_is_due(self.step):  # else a stop ended it: repeat it
                    update, flags = self._update(stop())
                validation = self._finish_update(flags, stop)
                if update:
                    yield update
                if validation:
                    yield validation
                    self.plan.validation_took(self._elapsed() - validation.seconds)
                if flags.stop or self.plan.validation_is_due(self.step):
                    return
        except GeneratorExit:
            if self.process_group.size == 1:  # with more, saving needs all of them, which still run
                self._save_state()
            raise

    def averaged(self) -> Checkpoint:
        """Return a checkpoint of the averaged weights at this point of the run."""
        weights = arrays(self.learner.average)
        return Checkpoint(
            self.network.config,
            self.corpus.vocabulary,
            weights,
            self.record,
            about=self.corpus.about,
        )

    def _update(self, stop: bool) -> tuple[Update, Flags]:
        if self.step % self.batches.per_epoch == 0:
            self.learner.reset_state()
        inputs_TB, targets_TB = self.batches.of_step(self.step, self.config.seed)
        rate, flags = self._learning_rate(self.step), self._flags(stop)
        result = self.learner.update(inputs_TB, targets_TB, self.step, rate, flags)
        if not result.is_finite:
            fine_tuned = self._initial is not None
            raise self._failure(explain_update(result, self.step, self.config, fine_tuned))
        self.step += 1
        self._losses.append(result.loss)
        self.seconds = self._elapsed()
        total, left = self.total_steps, self.plan.seconds_left(self.seconds)
        update = Update(self.step, total, self.epoch, result.loss, rate, inputs_TB.numel(), left)
        return update, result.flags

    def _flags(self, stop: bool) -> Flags:
        is_main = self.process_group.is_main
        count = is_main and self.plan.count_is_due(self.step, self._elapsed())
        return Flags(stop, is_main and self._save_is_due(), count)

    def _elapsed(self) -> float:
        return self.clock() - self._began

    def _learning_rate(self, step: int) -> float:
        config = self.config
        return learning_rate(step, self.total_steps, config.learning_rate, config.warmup)

    def _failure(self, message: str) -> TrainingError:
        if math.isfinite(self.best_loss):
            message += f". {self.folder.best_path} holds the best weights so far"
        return TrainingError(message)

    def _finish_update(self, flags: Flags, stop: Callable[[], bool]) -> Validation | None:
        """Plan, validate and save the state if they are due. Only the main process validates."""
        if flags.count:
            is_main = self.process_group.is_main
            counts = self.plan.count(self.step, self.seconds) if is_main else (0, 0)
            self.plan.adopt(*self.process_group.from_main(counts, self.device))
        validation = None
        validation_is_due = self.plan.validation_is_due(self.step)
        if validation_is_due:
            if self._saved_at is None:  # the best weights of a run need a state beside them
                self._save_state()
            validation = self._validate(stop)
        if validation_is_due or flags.stop or flags.save:
            self._save_state()
        return validation

    def _validate(self, stop: Callable[[], bool]) -> Validation | None:
        """Validate in the main process. Return None in others, and if `stop` returns true."""
        validation = None
        if self.process_group.is_main:
            try:
                loss = self._validation_loss(lambda: self.process_group.size == 1 and stop())
            except Stopped:
                return None
            if not math.isfinite(loss):
                raise self._failure(explain_validation(loss, self.step, self.config))
            validation = self._validated(loss)
            self.folder.add_record(asdict(validation))
        self._losses.clear()
        self.plan.validation_done(self.step)
        return validation

    def _validation_loss(self, stop: Callable[[], bool]) -> float:
        text, most = self.corpus.validation, self.config.validation_characters
        with autocast(self.config.precision, self.device):
            return estimate(self.learner.averaged_network(), text, most, stop).nats_per_character

    def _validated(self, loss: float) -> Validation:
        if best := loss < self.best_loss:
            self._save_best(loss)
        training_loss = sum(self._losses) / len(self._losses)
        rate = self._learning_rate(self.step - 1)
        return Validation(self.step, self.epoch, training_loss, loss, rate, best, self.seconds)

    def _save_best(self, loss: float) -> None:
        before, self.best_loss = self.best_loss, loss
        try:
            with self.folder.explaining_failure():
                save_checkpoint(self.averaged(), self.folder.best_path)
        except CheckpointError as error:  # the weights are too large
            self.best_loss = before
            raise self._failure(explain_refusal(str(error), self.step, self.config)) from error

    def _fingerprint(self) -> Fingerprint:
        return make_fingerprint(
            self.corpus, self.network.config, self.config, self._initial, self._teachers
        )

    def _save_is_due(self) -> bool:
        return self._saved_at is None or self.clock() - self._saved_at > STATE_SECONDS

    def _save_state(self) -> None:
        state = {
            "fingerprint": self._fingerprint(),
            "step": self.step,
            "best_loss": self.best_loss,
            "losses": self._losses,
            "seconds": self.seconds,
            "pace": self.plan.as_state(),
            **self.learner.state_dict(),
        }
        if self.process_group.is_main:
            self.folder.save_state(state)
        self._saved_at = self.clock()

    def _load_state(self) -> None:
        state = self.folder.load_state(self.device)
        check_same_run(state["fingerprint"], self._fingerprint(), self.folder)
        self._saved_at = self.clock()
        self.step, self.best_loss = state["step"], state["best_loss"]
        self._losses, self.seconds = state["losses"], state["seconds"]
        try:
            self.plan = plan_from_state(state["pace"], self.step)
            if self.plan.validation_is_due(self.step) and not self._losses:
                raise ValueError("a validation is due, but there are no losses")
            self.learner.load_state_dict(state)
        except ValueError as error:
            raise self.folder.unusable_state(str(error)) from error
        if self.process_group.is_main:
            self.folder.prepare_resume(self.step - self.plan.validation_is_due(self.step))
