"""Jobs that score many texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.engine.job import Job
from model.decoding.text_scoring import Texts


def bulk_job(
    texts: Sequence[Sequence[int]],
    prime: Sequence[int] = (1,),
    alternatives: int = 0,
    detail: bool = False,
) -> Job:
    """A job that scores texts."""
    ids = np.array([i for text in texts for i in text], dtype=np.int32)
    packed = Texts(ids, np.array([len(text) for text in texts]))
    prompt = np.array(prime, dtype=np.int32)
    return Job(prompt, alternatives=alternatives, texts=packed, detail=detail)


def many(count: int, length: int = 30) -> list[list[int]]:
    """Texts that differ."""
    return np.random.default_rng(count).integers(0, 40, (count, length)).tolist()  # type: ignore[no-any-return]
