"""Write: text from a checkpoint, without a server."""

from __future__ import annotations

import torch

from model.checkpoint import Checkpoint
from model.decoder import Decoder
from model.sampling import SamplingParams
from model.selection import choose_precision, default_threads


def write(
    checkpoint: Checkpoint,
    prime: str,
    length: int,
    params: SamplingParams,
    seed: int,
    device: torch.device | None = None,
) -> str:
    """`length` characters that go on from a prime; an empty one starts as after a new line.

    Raises:
        UnknownCharacterError: if the prime has characters that the vocabulary lacks, and has no
            other one for.
    """
    vocabulary = checkpoint.vocabulary
    ids = vocabulary.encode_read(prime or vocabulary.characters[vocabulary.start_id])
    device = device or torch.device("cpu")
    precision = choose_precision("auto", device)  # as the service, so that the seed's text is its
    decoder = Decoder(checkpoint, 1, device, precision, default_threads(precision, device))
    return vocabulary.decode(decoder.generate(ids, length, params, seed))
