"""Sample: generates text from a checkpoint without a server."""

from __future__ import annotations

import torch

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from model.decoding.selection import choose_precision


def sample(
    checkpoint: Checkpoint,
    prime: str,
    length: int,
    params: SamplingParams,
    seed: int,
    device: str = "cpu",
) -> str:
    """Return `length` characters that continue a prime: the same text as the service generates.

    The prime may be empty, see `Vocabulary.prompt`.

    Raises:
        UnknownCharacterError: if the prime has characters that are not in the vocabulary, and the
            vocabulary has no character for unknown ones.
    """
    vocabulary = checkpoint.vocabulary
    ids = vocabulary.prompt(vocabulary.encode_read(prime))
    precision = choose_precision("auto", device)  # the service's default, for equal texts
    decoder = Decoder(checkpoint, 1, device, precision, torch.get_num_threads())
    return vocabulary.decode(decoder.generate(ids, length, params, seed))
