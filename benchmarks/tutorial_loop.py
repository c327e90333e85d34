"""The generation loop of the tutorial (`model.pytorch.tutorial`): the baseline of other results."""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F

from model.checkpoints.checkpoint import Checkpoint
from model.pytorch.network import CharLSTM

_TOP_K = 5  # as in the tutorial


def tutorial_rate(checkpoint: Checkpoint, characters: int) -> float:
    """Return the characters per second of one stream.

    A character is a one-hot input, one `nn.LSTM` step, a softmax, and `numpy.random.choice`.
    """
    network = CharLSTM.of(checkpoint)
    state = network.zero_state(1)
    chosen = checkpoint.vocabulary.start_id
    began = 0.0
    with torch.no_grad():
        for step in range(-10, characters):
            if step == 0:
                began = time.perf_counter()
            one_hot = np.zeros((1, 1, len(checkpoint.vocabulary)), dtype=np.float32)
            one_hot[0, 0, chosen] = 1
            hidden, state = network.lstm(torch.from_numpy(one_hot), state)
            probabilities = F.softmax(network.output(hidden[0]), dim=1)
            likely, indices = probabilities.topk(_TOP_K)
            weights = likely.numpy().squeeze().astype(np.float64)
            chosen = int(np.random.choice(indices.numpy().squeeze(), p=weights / weights.sum()))
    return characters / (time.perf_counter() - began)
