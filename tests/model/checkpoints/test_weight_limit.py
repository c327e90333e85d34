"""Weights that are too large are refused, and all others give finite values everywhere."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.checkpoints.weight_limit import MAX_SUM, greatest_sums
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.decoding.selection import kernels_for
from model.errors import CheckpointError
from model.patterns.pattern import compile_pattern
from model.text.vocabulary import UNKNOWN, Vocabulary

VOCABULARY = Vocabulary("abcdefgh\n" + UNKNOWN)
PATTERN = "[a-h]{3,9}"
TENSORS = list(NetworkConfig(len(VOCABULARY), 8, 2, embedding_size=3).shapes())


def extreme(seed: int, tensor: str, share: float) -> Checkpoint:
    """A model with one tensor so large that the sums reach a share of the limit."""
    embedding_size = 3 if tensor == "embedding.weight" or seed % 2 else None
    config = NetworkConfig(len(VOCABULARY), 8, 2, embedding_size)
    random = np.random.default_rng(seed)
    weights = {
        name: random.choice([-1, -0.5, 0, 0.5, 1], shape).astype(np.float32)
        for name, shape in config.shapes().items()
    }
    signs = random.choice([-1, 1], weights[tensor].shape)
    weights[tensor] = (1e25 * signs).astype(np.float32)
    greatest = max(value for _, value in greatest_sums(config, weights))
    weights[tensor] *= np.float32(share * MAX_SUM / greatest)
    return Checkpoint(config, VOCABULARY, weights)


@functools.cache
def params() -> SamplingParams:
    return SamplingParams(pattern=compile_pattern(PATTERN, VOCABULARY), temperature=0.5)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), tensor=st.sampled_from(TENSORS))
def test_weights_within_the_limit_give_finite_scores_and_matches(seed: int, tensor: str) -> None:
    checkpoint = extreme(seed, tensor, 0.99)
    for precision in ("int8", "fp32"):
        for kernel in kernels_for(precision, "cpu"):
            decoder = Decoder(checkpoint, 2, precision=precision, kernel=kernel)
            free = DecoderStream(
                VOCABULARY.encode_read("a" + UNKNOWN), 12, SamplingParams(), seed, 9
            )
            held = DecoderStream(VOCABULARY.encode("b"), 12, params(), seed, 9)
            for stream in (free, held):
                decoder.join(stream)
            result = decoder.advance(13)
            ids = result.ids[: result.length(1), 1]
            assert re.fullmatch(PATTERN, VOCABULARY.decode(ids)), (kernel, ids)
            assert VOCABULARY.unknown_id not in result.ids[1:, 0]
            assert result.scores is not None
            assert np.isfinite(result.scores[1:]).all()
            assert (result.scores[1:, 0, 3] > 0).all(), "the probability of a drawn character"


@pytest.mark.parametrize("tensor", TENSORS)
def test_weights_beyond_the_limit_are_refused(tmp_path: Path, tensor: str) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint = extreme(1, tensor, 1.01)
    part = (
        "the logits"
        if "output" in tensor
        else f"LSTM layer {tensor[-1] if tensor[-1] == '1' else 0}"
    )
    message = rf"model.safetensors: the weights are too large: .*{part} may reach 1e\+31, expected "
    with pytest.raises(CheckpointError, match=message):
        save_checkpoint(checkpoint, path)
    assert not path.exists()
    save_checkpoint(extreme(1, tensor, 0.99), path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != "digest"}
    safetensors.numpy.save_file(dict(checkpoint.weights), path, metadata)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)
