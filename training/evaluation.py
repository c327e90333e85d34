"""Evaluation: how well a network predicts a text, in nats per character."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from model.backend import StepInput
from model.checkpoint import Checkpoint
from model.linear import Precision
from model.network import CharLSTM, State
from model.sampling import SamplingParams
from model.selection import make_backend
from model.vocabulary import CorpusIds

# Scores held at a time, which bounds memory; the state is carried, so it changes no result.
_SCORES_PER_CALL = 1 << 20
_STEPS_PER_CALL = 2048  # the same, of the decoder

# Of an estimate: stretches, the characters that lead into each, and those read in all.
_STRETCHES = 64
_LEAD = 512
_ESTIMATED = 500_000


@dataclass(frozen=True)
class Evaluation:
    """Mean negative log-likelihood of the characters predicted."""

    nats_per_character: float
    characters: int

    @property
    def bits_per_character(self) -> float:
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats_per_character)


@torch.no_grad()
def evaluate(network: CharLSTM, ids: CorpusIds) -> Evaluation:
    """Reads ids as one stream from a zero state, the state carried to the end, dropout off.

    Args:
        network: put into evaluation mode for the while.
        ids: (N,), N >= 2. Every character but the first is predicted.
    """
    return _read(network, ids, np.zeros(1, dtype=np.int64), len(ids) - 1, None)[0]


@torch.no_grad()
def estimate(network: CharLSTM, ids: CorpusIds) -> Evaluation:
    """What `evaluate` finds, to about three decimals, many times as fast.

    The text is read as up to 64 stretches side by side. Each but the first is led in by the
    512 characters before it, from a zero state: long before their end the network's state is
    as good as that of a reader who came all the way. Of a long text only the first part of
    each stretch is read, half a million characters in all.
    """
    count = max(1, min(_STRETCHES, (len(ids) - 1) // (2 * _LEAD)))
    spacing = (len(ids) - 1) // count
    starts = np.arange(count) * spacing
    state: State | None = None
    if count > 1:
        _, led_in = _read(network, ids, starts[1:] - _LEAD, _LEAD, None)
        zeros = network.zero_state(1)
        state = (torch.cat([zeros[0], led_in[0]], 1), torch.cat([zeros[1], led_in[1]], 1))
    return _read(network, ids, starts, min(spacing, _ESTIMATED // count), state)[0]


def _read(
    network: CharLSTM,
    ids: CorpusIds,
    starts: npt.NDArray[np.int64],
    length: int,
    state: State | None,
) -> tuple[Evaluation, State]:
    """Reads `length` characters from each start, side by side; also returns the state then."""
    steps_per_call = max(1, _SCORES_PER_CALL // (len(starts) * network.config.vocabulary_size))
    was_training, nats = network.training, 0.0
    network.eval()
    state = state or network.zero_state(len(starts))
    for first in range(0, length, steps_per_call):
        last = min(first + steps_per_call, length)
        chunk = _tensor(ids, _positions(starts, first, last + 1), network)
        logits, state = network(chunk[:-1], state)
        nats += F.cross_entropy(
            logits.flatten(0, 1).double(), chunk[1:].flatten(), reduction="sum"
        ).item()
    network.train(was_training)
    return Evaluation(nats / (length * len(starts)), length * len(starts)), state


def _positions(starts: npt.NDArray[np.int64], first: int, last: int) -> npt.NDArray[np.int64]:
    """Where steps first..last-1 of stretches from `starts` lie in the text, (steps, starts)."""
    return np.arange(first, last)[:, None] + starts


def _tensor(ids: CorpusIds, positions: npt.NDArray[np.int64], network: CharLSTM) -> Tensor:
    return torch.from_numpy(ids[positions].astype(np.int64)).to(network.output.weight.device)


def yardstick(checkpoint: Checkpoint, ids: CorpusIds, device: torch.device) -> Evaluation:
    """The loss that models are compared by: one stream from a zero state, read to the end.

    On a CPU by the decoder's steps in fp32, since `nn.LSTM` reads a lone stream several times
    slower there.
    """
    if device.type == "cpu":
        return evaluate_as_served(checkpoint, ids, "fp32")
    return evaluate(checkpoint.network().to(device), ids)


def evaluate_as_served(checkpoint: Checkpoint, ids: CorpusIds, precision: Precision) -> Evaluation:
    """As `evaluate` with one stream, by the decoder's own steps at a precision, on the CPU.

    Raises:
        DeviceError: if the precision is not to be had.
    """
    threads = torch.get_num_threads()
    batch = make_backend(checkpoint.config, checkpoint.weights, 1, precision, threads)
    batch.put(0, None)
    batch.sample_with([SamplingParams()])
    text = ids.astype(np.int64)
    nats = 0.0
    for first in range(0, len(text) - 1, _STEPS_PER_CALL):
        targets_k1 = text[first + 1 : first + 1 + _STEPS_PER_CALL, None]
        plan = StepInput(
            first=0,
            last_ids_S=text[first : first + 1],
            forced_ids_kS=targets_k1,
            uniforms_kS=np.zeros(targets_k1.shape, np.float32),
            prompt_steps_S=np.zeros(1, np.int64),
            alternatives=[0],
        )
        if (scores_kSD := batch.step(plan).scores) is not None:
            nats -= scores_kSD[:, 0, 0].sum()
    return Evaluation(nats / (len(text) - 1), len(text) - 1)
