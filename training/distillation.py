"""Teachers: trained networks whose predictions another network learns to imitate.

Shape letters: T sequence length, B batch size, N = T * B, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from model.checkpoints.checkpoint import Checkpoint
from model.errors import TrainingError
from model.pytorch.lstm_layer import State
from model.pytorch.network import CharLSTM
from model.text.vocabulary import Vocabulary
from training.config import TrainingPrecision
from training.precision import autocast

_MAX_LISTED = 5  # characters in a message


class Teachers:
    """An ensemble of networks that read the batches of a run, each with a state of its own.

    The loss is that of Hinton et al. 2015, "Distilling the Knowledge in a Neural Network",
    with the mean of the teachers' probabilities as the target.

    Args:
        checkpoints: the teachers. None of them is a valid ensemble, which does nothing.
        batch_size: sequences that this process reads.
        temperature: divides the logits of the teachers and of the network that learns.
        precision: precision of matrix products on a CPU.
        device: device to compute on.
    """

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        batch_size: int,
        temperature: float,
        precision: TrainingPrecision,
        device: torch.device,
    ) -> None:
        self._networks = [CharLSTM.of(checkpoint).to(device).eval() for checkpoint in checkpoints]
        self._batch_size, self._temperature = batch_size, temperature
        self._precision, self._device = precision, device
        self.states: list[State] = []
        self.reset()

    def __len__(self) -> int:
        return len(self._networks)

    def reset(self) -> None:
        """Set the states to zeros."""
        self.states = [network.zero_state(self._batch_size) for network in self._networks]

    def divergence(self, logits_TBV: Tensor, inputs_TB: Tensor) -> Tensor:
        """Return the mean divergence of predictions from those of the teachers, in nats.

        It is the Kullback-Leibler divergence at the temperature, times the squared temperature, so
        that the size of its gradient hardly depends on the temperature.

        Args:
            logits_TBV: predictions of the network that learns.
            inputs_TB: its inputs, a batch that continues where the last one ended.
        """
        targets_NV = self._probabilities(inputs_TB)
        logits_NV = logits_TBV.float().flatten(0, 1) / self._temperature
        divergence = F.kl_div(logits_NV.log_softmax(dim=-1), targets_NV, reduction="batchmean")
        return divergence * self._temperature**2

    @torch.no_grad()
    def _probabilities(self, inputs_TB: Tensor) -> Tensor:
        """Return the mean of the teachers' probabilities, with few of them in memory at a time."""
        mean_NV = torch.zeros(())
        for number, network in enumerate(self._networks):
            with self._autocast():
                logits_TBV, (hidden, cell) = network(inputs_TB, self.states[number])
            self.states[number] = (hidden.float(), cell.float())
            probabilities_NV = (logits_TBV.float().flatten(0, 1) / self._temperature).softmax(-1)
            mean_NV = probabilities_NV.div_(len(self)).add_(mean_NV.to(self._device))
        return mean_NV

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        # On a GPU, autocast would compute cuDNN's LSTM in float16, see `model.pytorch.lstm_layer`.
        on_cpu = self._device.type == "cpu"
        return autocast(self._precision, self._device) if on_cpu else nullcontext()


def check_vocabulary(teacher: Checkpoint, path: Path, vocabulary: Vocabulary) -> None:
    """Check that a teacher predicts the characters of a run.

    Raises:
        TrainingError: if it does not. The message names some characters that differ.
    """
    if teacher.vocabulary == vocabulary:
        return
    own, others = set(vocabulary.characters), set(teacher.vocabulary.characters)
    differences = [
        f"{text} {', '.join(map(repr, sorted(characters)[:_MAX_LISTED]))}"
        for text, characters in (("it lacks", own - others), ("it also has", others - own))
        if characters
    ]
    raise TrainingError(
        f"--distill-from {path} has another vocabulary ({len(others)} characters, the run has "
        f"{len(own)}): {'; '.join(differences) or 'the order differs'}. Use teachers that were "
        "trained on the same text with the same --min-count"
    )
