"""Evaluation: how well a network predicts a text, in nats per character."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from model.checkpoint import Checkpoint
from model.linear import Precision
from model.network import CharLSTM
from model.stepper import Stepper, compiled
from model.vocabulary import Ids

# Scores held at a time, which bounds memory; the state is carried, so it changes no result.
_SCORES_PER_CALL = 1 << 20
_STEPS_PER_CALL = 2048  # the same, of the decoder


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
def evaluate(network: CharLSTM, ids: Ids, streams: int = 1) -> Evaluation:
    """Reads ids from a zero state, the state carried to the end, dropout off.

    Args:
        network: put into evaluation mode for the while.
        ids: int32 (N,), N >= 2. Every character but the first is predicted.
        streams: more than 1 read as many stretches side by side, each from a zero state: a
            faster and slightly higher estimate.
    """
    streams = max(1, min(streams, (len(ids) - 1) // 2))
    length = (len(ids) - 1) // streams
    steps_per_call = max(1, _SCORES_PER_CALL // (streams * network.config.vocabulary_size))
    device = network.output.weight.device
    starts = np.arange(streams) * length
    was_training = network.training
    network.eval()
    state, nats = None, 0.0
    for first in range(0, length, steps_per_call):
        steps = np.arange(first, min(first + steps_per_call, length) + 1)
        chunk = torch.from_numpy(ids[steps[:, None] + starts].astype(np.int64)).to(device)
        logits, state = network(chunk[:-1], state)
        nats += F.cross_entropy(
            logits.flatten(0, 1).double(), chunk[1:].flatten(), reduction="sum"
        ).item()
    network.train(was_training)
    return Evaluation(nats / (length * streams), length * streams)


def yardstick(checkpoint: Checkpoint, ids: Ids, device: torch.device) -> Evaluation:
    """The loss that models are compared by: one stream from a zero state, read to the end.

    On a CPU by the decoder's steps in fp32, since `nn.LSTM` reads a lone stream several times
    slower there.
    """
    if device.type == "cpu":
        return evaluate_as_served(checkpoint, ids, "fp32")
    return evaluate(checkpoint.network().to(device), ids)


@torch.inference_mode()
def evaluate_as_served(checkpoint: Checkpoint, ids: Ids, precision: Precision) -> Evaluation:
    """As `evaluate` with one stream, by the decoder's own steps at a precision, on the CPU.

    Raises:
        DeviceError: if the precision is not to be had.
    """
    stepper = compiled(Stepper(checkpoint.config, checkpoint.weights, precision))
    width = checkpoint.config.layers * checkpoint.config.hidden_size
    hidden, cell = torch.zeros(1, width), torch.zeros(1, width)
    text = torch.from_numpy(ids.astype(np.int64)).unsqueeze(1)
    nats = 0.0
    for first in range(0, len(ids) - 1, _STEPS_PER_CALL):
        chunk = text[first : first + _STEPS_PER_CALL + 1]
        nats -= stepper.score(chunk[:-1], chunk[1:], hidden, cell).double().sum().item()
    return Evaluation(nats / (len(ids) - 1), len(ids) - 1)
