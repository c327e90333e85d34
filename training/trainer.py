"""Trainer: from a corpus to the checkpoint that predicts it best.

Truncated backpropagation over contiguous streams whose state is carried from batch to batch;
AdamW, clipped gradients, a rate that warms up and decays along a cosine, and an exponential
average of the weights, which is what is validated and saved.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.atomic_file import replacing
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.errors import TrainingError
from model.network import CharLSTM, NetworkConfig
from training.corpus import Corpus
from training.evaluation import evaluate, yardstick
from training.streams import Streams

STATE_SECONDS = 15.0  # at most this much work is lost to a kill
_VALIDATION_STREAMS = 32  # a faster and slightly higher estimate than the yardstick's single one


@dataclass(frozen=True)
class TrainingConfig:
    """What a run does, apart from the text and the network's sizes."""

    epochs: float = 10.0  # passes over the training text
    streams: int = 32  # B, read side by side
    steps: int = 128  # T, characters per update and stream
    learning_rate: float = 3e-3  # at its peak
    warmup: int = 200  # updates over which the rate rises to its peak; a tenth of all at most
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of the gradient
    averaging: float = 0.999  # share of the averaged weights kept per update
    validations: int = 20  # over the whole run
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "epochs": (0 < self.epochs <= 1e6, "above 0 and at most a million"),
            "streams": (self.streams >= 1, "at least 1"),
            "steps": (self.steps >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "warmup": (self.warmup >= 0, "at least 0"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "clip": (self.clip > 0, "above 0"),
            "averaging": (0 <= self.averaging < 1, "at least 0 and below 1"),
            "validations": (self.validations >= 1, "at least 1"),
            "seed": (0 <= self.seed < 2**63, "at least 0 and below 2^63"),
        }
        for name, (fits, bound) in ranges.items():
            if not fits:
                raise TrainingError(f"{name} must be {bound}, got {getattr(self, name)}")

    def rate(self, step: int, total: int) -> float:
        """Learning rate of an update: linear warm-up, then a cosine down to 1% of the peak."""
        warmup = min(self.warmup, total // 10)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        done = (step - warmup) / (total - warmup)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class Update:
    """What one update of the weights showed."""

    step: int  # updates done, this one included
    total_steps: int
    epoch: float
    loss: float  # of this batch, with dropout, nats per character
    learning_rate: float
    characters: int  # read by this update


@dataclass(frozen=True)
class Validation:
    """What a validation showed. Losses are nats per character."""

    step: int
    epoch: float
    training_loss: float  # mean since the last validation, with dropout
    validation_loss: float
    best: bool  # the lowest so far, so it is now best.safetensors
    seconds: float  # of work since the run began


class Trainer:
    """One training run in one folder.

    The folder gets `best.safetensors` (lowest validation loss so far), `metrics.jsonl` (a JSON
    object per validation) and `state.pt` (all that a resumed run needs).

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
        folder: Path,
        device: torch.device,
        resume: bool = False,
    ) -> None:
        self.corpus, self.config, self.folder, self.device = corpus, config, folder, device
        self.streams = Streams(corpus.training, config.streams, config.steps)
        self.total_steps = max(1, round(config.epochs * self.streams.batches))
        torch.manual_seed(config.seed)
        self.network = CharLSTM(network_config).to(device)
        self._average = {k: v.clone() for k, v in self.network.state_dict().items()}
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._state = self.network.zero_state(config.streams)
        self.step = 0
        self.best_loss = math.inf  # an estimate, over 32 streams
        self.final_loss = math.nan  # of the best weights, over one stream, once the run has ended
        self._losses: list[float] = []  # since the last validation
        self._seconds = 0.0
        self._prepare_folder(resume)

    @property
    def record(self) -> dict[str, Any]:
        """The training record that goes into a checkpoint's metadata."""
        return {
            "corpus_sha256": self.corpus.sha256,
            "training_characters": len(self.corpus.training),
            "validation_characters": len(self.corpus.validation),
            "split": "by position; the last 10% validates",
            "validation_loss": self.best_loss,
            "steps": self.step,
            "epoch": round(self.epoch, 3),
            "settings": asdict(self.config),
        }

    @property
    def epoch(self) -> float:
        """Passes over the training text so far."""
        return self.step / self.streams.batches

    @property
    def best_path(self) -> Path:
        return self.folder / "best.safetensors"

    def run(self) -> Generator[Update | Validation, None, None]:
        """Trains to the end; yields what happens as it happens.

        The run may be left at any yield and resumed later: closing the iterator saves the state.

        Raises:
            TrainingError: if the loss is no longer a number, or the folder cannot be written.
                What was saved before stays as it was.
        """
        saved_at = started = time.monotonic()
        worked_before = self._seconds
        try:
            while self.step < self.total_steps:
                update = self._update()
                self._seconds = worked_before + time.monotonic() - started
                validation = self._validate() if self._validation_is_due() else None
                if validation or time.monotonic() - saved_at > STATE_SECONDS:
                    saved_at = self._save_state()
                yield update
                if validation:
                    yield validation
            self._record_yardstick()
        except GeneratorExit:
            self._save_state()
            raise

    def _update(self) -> Update:
        config, step = self.config, self.step
        index = step % self.streams.batches
        if index == 0:
            self._state = self.network.zero_state(config.streams)
        inputs_TB, targets_TB = self._batch(step // self.streams.batches, index)
        rate = config.rate(step, self.total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        logits_TBV, (hidden, cell) = self.network(inputs_TB, self._state)
        loss = F.cross_entropy(logits_TBV.flatten(0, 1), targets_TB.flatten())
        self._check_finite(loss)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation for it
        nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        self._optimizer.step()
        self._state = (hidden.detach(), cell.detach())
        self.step += 1
        self._average_weights()
        self._losses.append(loss.item())
        characters = inputs_TB.numel()
        return Update(self.step, self.total_steps, self.epoch, loss.item(), rate, characters)

    def _batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """A batch; each epoch starts at another place, so that each cuts the text otherwise."""
        random = np.random.default_rng([self.config.seed, epoch])
        offset = int(random.integers(0, self.streams.spare + 1))
        inputs, targets = self.streams.batch(index, offset)
        return inputs.to(self.device), targets.to(self.device)

    def _check_finite(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self.step}: lower --learning-rate. "
                f"{self.best_path} keeps the best weights so far"
            )

    @torch.no_grad()
    def _average_weights(self) -> None:
        keep = min(self.config.averaging, (1 + self.step) / (10 + self.step))
        weights = list(self.network.state_dict().values())
        torch._foreach_lerp_(list(self._average.values()), weights, 1 - keep)

    def _validation_is_due(self) -> bool:
        interval = max(1, self.total_steps // self.config.validations)
        return self.step % interval == 0 or self.step == self.total_steps

    def averaged_network(self) -> CharLSTM:
        """A network with the averaged weights, in evaluation mode."""
        network = copy.deepcopy(self.network)  # draws no random number, as a new one would
        network.load_state_dict(self._average)
        return network.eval()

    def _validate(self) -> Validation:
        loss = evaluate(
            self.averaged_network(), self.corpus.validation, _VALIDATION_STREAMS
        ).nats_per_character
        best = loss < self.best_loss
        if best:
            self.best_loss = loss
            checkpoint = Checkpoint(
                self.network.config, self.corpus.vocabulary, self._average, self.record
            )
            save_checkpoint(checkpoint, self.best_path)
        training_loss = sum(self._losses) / len(self._losses)
        self._losses.clear()
        validation = Validation(self.step, self.epoch, training_loss, loss, best, self._seconds)
        path = self.folder / "metrics.jsonl"
        with _explaining_full_disk(self.folder), path.open("a") as file:
            file.write(json.dumps(asdict(validation)) + "\n")
        return validation

    def _record_yardstick(self) -> None:
        """Puts the yardstick's loss of the best weights into their record, for the estimate's."""
        best = load_checkpoint(self.best_path)
        loss = yardstick(best, self.corpus.validation, self.device).nats_per_character
        record = {**best.training, "validation_loss": loss}
        save_checkpoint(dataclasses.replace(best, training=record), self.best_path)
        self.final_loss = loss

    # Saved state -------------------------------------------------------------

    @property
    def _state_path(self) -> Path:
        return self.folder / "state.pt"

    def _fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be the same run."""
        return {
            "corpus": self.corpus.sha256,
            "network": self.network.config.as_dict(),
            "settings": asdict(self.config),
        }

    def _prepare_folder(self, resume: bool) -> None:
        exists = self._state_path.exists()
        if exists and not resume:
            raise TrainingError(
                f"{self.folder} holds a training run: --resume goes on with it, "
                "another --out starts afresh"
            )
        if resume and not exists:
            raise TrainingError(f"{self.folder} holds no training run to resume")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{self.folder}: cannot be made: {error.strerror}") from error
        if resume:
            self._load_state()

    def _save_state(self) -> float:
        hidden, cell = self._state
        state = {
            "fingerprint": self._fingerprint(),
            "step": self.step,
            "best_loss": self.best_loss,
            "losses": self._losses,
            "seconds": self._seconds,
            "network": self.network.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "hidden": hidden,
            "cell": cell,
            "random": torch.get_rng_state(),
        }
        content = io.BytesIO()  # torch.save to a file hides the system's error
        torch.save(state, content)
        with _explaining_full_disk(self.folder), replacing(self._state_path) as file:
            file.write(content.getbuffer())
        return time.monotonic()

    def _load_state(self) -> None:
        try:
            state = torch.load(self._state_path, map_location=self.device, weights_only=True)
        except Exception as error:  # a damaged pickle can raise anything
            raise TrainingError(f"{self._state_path}: cannot be read: {error}") from error
        self._check_same_run(state["fingerprint"])
        self.step, self.best_loss = state["step"], state["best_loss"]
        self._losses, self._seconds = state["losses"], state["seconds"]
        self.network.load_state_dict(state["network"])
        self._average = state["average"]
        self._optimizer.load_state_dict(state["optimizer"])
        self._state = (state["hidden"], state["cell"])
        torch.set_rng_state(state["random"].cpu())
        self._forget_metrics_after(self.step)

    def _check_same_run(self, saved: dict[str, Any]) -> None:
        mine = self._fingerprint()
        if saved["corpus"] != mine["corpus"]:
            raise TrainingError(f"{self.folder} was trained on another text")
        differences = [
            f"{name} was {saved[part][name]}, is {value}"
            for part in ("network", "settings")
            for name, value in mine[part].items()
            if saved[part].get(name) != value
        ]
        if differences:
            raise TrainingError(f"{self.folder} is another run: {'; '.join(differences)}")

    def _forget_metrics_after(self, step: int) -> None:
        """Drops the records that the resumed run will write again."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        with replacing(path) as file:
            file.writelines(line.encode() for line in lines if _step_of(line) <= step)


@contextmanager
def _explaining_full_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{folder}: cannot be written: {error.strerror}. The state saved last is whole: "
            "make room and go on with --resume"
        ) from error


def _step_of(line: str) -> float:
    """The step of a metrics record; infinite if the line was torn by whatever stopped the run."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def saved_settings(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network's and the run's settings of the run in a folder, for resuming it.

    Raises:
        TrainingError: if there is none, or it cannot be read.
    """
    path = folder / "state.pt"
    try:
        fingerprint = torch.load(path, map_location="cpu", weights_only=True)["fingerprint"]
    except FileNotFoundError as error:
        raise TrainingError(f"{folder} holds no training run to resume") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise TrainingError(f"{path}: cannot be read: {error}") from error
    return fingerprint["network"], fingerprint["settings"]
