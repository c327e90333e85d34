"""Shared cores: models that compute at the same time divide the cores among them."""

from __future__ import annotations

from model.decoding.decoder import Decoder


def share_cores(decoder: Decoder, computing: int) -> None:
    """Let a decoder compute with its share of its threads, at least one. Texts stay the same.

    Every decoder has as many threads as if it were alone. Without this rule, the threads of two
    models would wait for each other's cores in every step.

    Args:
        decoder: the decoder of the calling thread.
        computing: number of models that compute now, including this one.
    """
    decoder.limit_threads(decoder.threads // computing)
