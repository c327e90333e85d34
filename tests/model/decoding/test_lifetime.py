"""What a decoder holds is freed with its last reference, without the garbage collector."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch

from model.choice.sampling_params import SamplingParams
from model.decoding.backend import Precision
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.decoding.selection import TORCH
from model.native import library as native_library
from tests.conftest import make_checkpoint
from tests.devices.graphed import graphed_decoder
from tests.threads import await_threads, count_threads

KERNELS: list[tuple[Precision, str]] = [
    ("fp32", "torch"),
    *(("int8", kernel) for kernel in native_library.kernels()[:1]),
]

pytestmark = pytest.mark.usefixtures("no_garbage_collection")


def use(decoder: Decoder) -> None:
    """Generate, and leave a stream inside."""
    prime = np.array([1, 2], dtype=np.int32)
    decoder.generate(prime, 20, SamplingParams(), 1)
    decoder.join(DecoderStream(prime, 20, SamplingParams(), 2, alternatives=2))
    decoder.advance(5)


@pytest.mark.parametrize(("precision", "kernel"), KERNELS)
def test_a_decoder_is_freed_with_its_last_reference(precision: Precision, kernel: str) -> None:
    before = count_threads()
    threads = None if kernel == TORCH else 3  # torch keeps its threads
    decoder = Decoder(make_checkpoint(), 4, precision=precision, kernel=kernel, threads=threads)
    use(decoder)
    assert kernel == TORCH or count_threads() in (0, before + 2)
    backend = decoder._backend
    freed: list[weakref.ref[Any]] = [weakref.ref(decoder), weakref.ref(backend)]
    freed += [weakref.ref(value) for value in vars(backend).values() if holds_memory(value)]
    assert len(freed) > 3
    del decoder, backend
    assert [reference() for reference in freed] == [None] * len(freed)
    assert await_threads(before) == before


def holds_memory(value: object) -> bool:
    """Whether a value is a tensor, an array or an object of this project or of torch."""
    module = type(value).__module__
    is_object = module.startswith(("model.", "torch")) and not isinstance(value, tuple)
    return isinstance(value, torch.Tensor | np.ndarray) or (
        is_object and hasattr(value, "__dict__")
    )


def test_a_step_graph_is_freed_with_its_last_reference() -> None:
    decoder = graphed_decoder(make_checkpoint(), 4, torch.device("cpu"))
    use(decoder)
    graph = decoder._backend.graph  # type: ignore[attr-defined]
    freed = weakref.ref(graph)
    del decoder, graph
    assert freed() is None


def test_a_checkpoint_is_freed_with_its_last_reference() -> None:
    checkpoint = make_checkpoint()
    Decoder(checkpoint, 2)
    freed: list[weakref.ref[Any]] = [weakref.ref(checkpoint)]
    freed += map(weakref.ref, checkpoint.weights.values())
    del checkpoint
    assert [reference() for reference in freed] == [None] * len(freed)
