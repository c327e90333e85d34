"""Random regular expressions, and models whose distribution is known."""

from __future__ import annotations

import functools

import numpy as np
import torch
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.pytorch.network import CharLSTM
from model.text.vocabulary import Vocabulary

CHARACTERS = "\nabcAB1 -"
VOCABULARY = Vocabulary(CHARACTERS)

_leaves = st.sampled_from(
    ["a", "b", "c", "A", "1", "-", r"\n", ".", "[abc]", "[^a]", "[a-cA]", r"\w", r"\d", r"\s", ""]
)


def _combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    quantifiers = st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,3}", "{,2}", "{2,}"])
    return st.one_of(
        st.lists(parts, min_size=2, max_size=4).map("".join),
        st.lists(parts, min_size=2, max_size=3).map(lambda some: f"(?:{'|'.join(some)})"),
        st.tuples(parts, quantifiers).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


expressions = st.recursive(_leaves, _combined, max_leaves=12)


@functools.cache
def small_model(seed: int) -> Checkpoint:
    """A model with random weights that give clearly uneven distributions."""
    torch.manual_seed(seed)
    config = NetworkConfig(len(VOCABULARY), hidden_size=16 * (1 + seed % 3), layers=1 + seed % 2)
    weights = {name: tensor * 3 for name, tensor in CharLSTM(config).weights().items()}
    return Checkpoint(config, VOCABULARY, weights, {})


@functools.cache
def steady_model(seed: int) -> Checkpoint:
    """A model that gives the same logits in every step, its `output.bias`."""
    model = small_model(seed)
    bias_V = np.random.default_rng(seed).normal(0, 1.5, len(VOCABULARY)).astype(np.float32)
    output = np.zeros_like(model.weights["output.weight"])
    weights = {**model.weights, "output.weight": output, "output.bias": bias_V}
    return Checkpoint(model.config, VOCABULARY, weights, {})
