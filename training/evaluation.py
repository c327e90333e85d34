"""Evaluation: measures how well a network predicts a text, in nats per character."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import Precision, StepInput
from model.decoding.selection import make_backend
from model.errors import TrainingError
from model.native.memory import Memory, new_memory
from model.pytorch.lstm_layer import State
from model.pytorch.network import CharLSTM
from model.text.vocabulary import CorpusIds
from training.config import MAX_VALIDATED

# The state is carried from call to call, so these limits bound memory and change no result.
_LOGITS_PER_CALL = 1 << 20
_STEPS_PER_CALL = 256  # of the decoder; progress and Ctrl-C wait for a call

# For an estimate: largest number of segments, and warm-up characters of each.
_SEGMENTS = 64
_WARMUP = 512

Report = Callable[[int], None]


def _no_report(_: int) -> None:
    pass


class Stopped(Exception):  # noqa: N818  # not an error
    """The evaluation was stopped, as requested."""


@dataclass(frozen=True)
class Evaluation:
    """The mean negative log-likelihood of the predicted characters, and their number."""

    nats_per_character: float
    characters: int

    @property
    def bits_per_character(self) -> float:
        """Mean loss in bits per character."""
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """Number of equally likely characters that would be as hard to predict.

        Infinite if it is beyond the range of a float.
        """
        try:
            return math.exp(self.nats_per_character)
        except OverflowError:
            return math.inf


@torch.no_grad()
def evaluate(network: CharLSTM, ids: CorpusIds, report: Report = _no_report) -> Evaluation:
    """Read a text as one sequence from a zero state to its end, without dropout.

    Args:
        network: the network to evaluate. Its training mode is restored afterwards.
        ids: character ids, (N,) with N >= 2. Every character except the first is predicted.
        report: function to call with the number of characters predicted so far.
    """
    start = np.zeros(1, dtype=np.int64)
    return _read(network, ids, start, len(ids) - 1, None, report=report)[0]


@torch.no_grad()
def evaluate_windows(network: CharLSTM, ids: CorpusIds, length: int) -> Evaluation:
    """Read windows of `length` characters that do not overlap, each from a zero state.

    Transformers with a limited context are measured like this, with random windows (nanoGPT). The
    first characters of a window have hardly any context, so the loss is higher.

    Raises:
        TrainingError: if the text has no such window.
    """
    starts = np.arange(0, len(ids) - length, max(1, length))
    if length < 1 or not len(starts):
        most = f"from 1 to {len(ids) - 1}, the length of the evaluated text"
        raise TrainingError(f"--window must be {most}, got {length}")
    return _read(network, ids, starts, length, None)[0]


@torch.no_grad()
def estimate(
    network: CharLSTM,
    ids: CorpusIds,
    most: int = MAX_VALIDATED,
    stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Approximate `evaluate` to about three decimals, many times faster.

    Reads up to 64 segments of the text in parallel. For each segment after the first, the network
    first reads the 512 characters before it, from a zero state. It is then close to the state that
    it has after all of the text before the segment.

    Args:
        network: the network to evaluate. Its training mode is restored afterwards.
        ids: character ids, (N,) with N >= 2.
        most: the largest number of characters to predict. In a longer text, only the first part of
            each segment is read.
        stop: function that returns whether to stop. It is called often.

    Raises:
        Stopped: if `stop` returned true.
    """
    count = _segments(len(ids), most)
    spacing = (len(ids) - 1) // count
    starts = np.arange(count) * spacing
    state: State | None = None
    if count > 1:
        _, warmed_up = _read(network, ids, starts[1:] - _WARMUP, _WARMUP, None, stop)
        zeros = network.zero_state(1)
        state = (torch.cat([zeros[0], warmed_up[0]], 1), torch.cat([zeros[1], warmed_up[1]], 1))
    return _read(network, ids, starts, min(spacing, most // count), state, stop)[0]


def estimated_characters(length: int, most: int) -> int:
    """Return how many characters `estimate` reads of a text of some length, with the warm-up."""
    return min(length - 1, most) + (_segments(length, most) - 1) * _WARMUP


def _segments(length: int, most: int) -> int:
    return max(1, min(_SEGMENTS, min(length - 1, most) // (2 * _WARMUP)))


def _read(
    network: CharLSTM,
    ids: CorpusIds,
    starts: npt.NDArray[np.int64],
    length: int,
    state: State | None,
    stop: Callable[[], bool] = lambda: False,
    report: Report = _no_report,
) -> tuple[Evaluation, State]:
    """Read `length` characters from each start in parallel. Return the loss and the final state."""
    steps_per_call = max(1, _LOGITS_PER_CALL // (len(starts) * network.config.vocabulary_size))
    was_training, nats = network.training, 0.0
    network.eval()
    state = state or network.zero_state(len(starts))
    for first in range(0, length, steps_per_call):
        if stop():
            network.train(was_training)
            raise Stopped
        last = min(first + steps_per_call, length)
        chunk = _tensor(ids, _positions(starts, first, last + 1), network)
        logits, state = network(chunk[:-1], state)
        nats += F.cross_entropy(
            logits.flatten(0, 1).double(), chunk[1:].flatten(), reduction="sum"
        ).item()
        report(last)
    network.train(was_training)
    return Evaluation(nats / (length * len(starts)), length * len(starts)), state


def _positions(starts: npt.NDArray[np.int64], first: int, last: int) -> npt.NDArray[np.int64]:
    """Return the positions in the text of steps first..last-1 of each segment, (steps, starts)."""
    return np.arange(first, last)[:, None] + starts


def _tensor(ids: CorpusIds, positions: npt.NDArray[np.int64], network: CharLSTM) -> Tensor:
    return torch.from_numpy(ids[positions].astype(np.int64)).to(network.output.weight.device)


def evaluate_full_text(
    checkpoint: Checkpoint, ids: CorpusIds, device: torch.device, report: Report = _no_report
) -> Evaluation:
    """Evaluate a checkpoint in fp32 as `evaluate` does. Models are compared by this loss.

    On a CPU, a decoder backend reads the text, because `nn.LSTM` is several times slower with one
    sequence.

    Args:
        checkpoint: the model.
        ids: character ids, (N,) with N >= 2. Every character except the first is predicted.
        device: device to compute on.
        report: function to call with the number of characters predicted so far.
    """
    if device.type == "cpu":
        return evaluate_as_served(checkpoint, ids, "fp32", report)
    # By default cuDNN rounds the factors of float32 products to TF32, with 10 bits.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return evaluate(CharLSTM.of(checkpoint).to(device), ids, report)


def evaluate_as_served(
    checkpoint: Checkpoint,
    ids: CorpusIds,
    precision: Precision,
    report: Report = _no_report,
    with_memory: bool = False,
) -> Evaluation:
    """Evaluate a checkpoint on the CPU with the decoder backend that serves it in a precision.

    Args:
        checkpoint: the model.
        ids: character ids, (N,) with N >= 2. Every character except the first is predicted.
        precision: precision of the matrix products.
        report: function to call with the number of characters predicted so far, every 256
            characters.
        with_memory: whether to mix the model's predictions with those of a memory of the text.

    Raises:
        DeviceError: if the precision or the memory is not available.
    """
    memory = new_memory(checkpoint.config.vocabulary_size) if with_memory else None
    threads = torch.get_num_threads()
    backend = make_backend(checkpoint.config, checkpoint.weights, 1, "cpu", precision, threads)
    backend.put(0, None)
    backend.sample_with([SamplingParams()])
    text, nats = ids.astype(np.int64), 0.0
    for first in range(0, len(text) - 1, _STEPS_PER_CALL):
        last = min(first + _STEPS_PER_CALL, len(text) - 1)
        if (scores_kSD := backend.step(_forced(text, first, last, memory)).scores) is not None:
            nats -= scores_kSD[:, 0, 0].sum()
        report(last)
    return Evaluation(nats / (len(text) - 1), len(text) - 1)


def _forced(text: npt.NDArray[np.int64], first: int, last: int, memory: Memory | None) -> StepInput:
    """Return steps that read the characters first..last-1 and score the one after each."""
    targets_k1 = text[first + 1 : last + 1, None]
    return StepInput(
        first=0,
        last_ids_S=text[first : first + 1],
        forced_ids_kS=targets_k1,
        uniforms_kS=np.zeros(targets_k1.shape, np.float32),
        prompt_steps_S=np.zeros(1, np.int64),
        alternatives=[0],
        memories=() if memory is None else [memory],
    )
