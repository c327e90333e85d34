"""Every way to decode, and texts to decode: alone, at random beside others, and by the network."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.choice.held_cell import HeldCell
from model.choice.sampling_params import SamplingParams, uniforms
from model.decoding.backend import Precision
from model.decoding.decoder import Decoder, DecoderStream
from model.native import library as native_library
from model.pytorch.linear import int8_is_available
from model.pytorch.network import CharLSTM
from model.text.vocabulary import Ids
from tests.conftest import make_checkpoint

PRECISIONS: list[Precision] = (
    ["fp32", "int8"] if int8_is_available(torch.device("cpu")) else ["fp32"]
)
# (precision, kernel, threads) of each implementation; the native one with and without helpers.
Way = tuple[Precision, str, int]
WAYS: list[Way] = [(precision, "torch", 1) for precision in PRECISIONS]
WAYS += [("int8", kernel, threads) for kernel in native_library.kernels()[:1] for threads in (1, 3)]

checkpoint = make_checkpoint()
VOCABULARY = len(checkpoint.vocabulary)


class Text(NamedTuple):
    """The arguments of a stream."""

    prime: Ids
    length: int
    params: SamplingParams
    seed: int

    def stream(self, alternatives: int | None = None) -> DecoderStream:
        return DecoderStream(*self, alternatives)


@st.composite
def texts(draw: st.DrawFn) -> Text:
    prime = draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12))
    length = draw(st.integers(1, 20))
    params = draw(
        st.sampled_from(
            [
                SamplingParams(),
                SamplingParams(temperature=0),
                SamplingParams(top_k=None, top_p=0.8),
                SamplingParams(temperature=2, top_k=None, min_p=0.05),
                SamplingParams(hold=(HeldCell(0, 31, 2.5), HeldCell(1, 7, -1.5))),
            ]
        )
    )
    seed = draw(st.integers(0, 1000))
    return Text(np.array(prime, dtype=np.int32), length, params, seed)


def make_decoder(model: Checkpoint, slots: int, way: Way) -> Decoder:
    precision, kernel, threads = way
    return Decoder(model, slots, precision=precision, kernel=kernel, threads=threads)


def run_alone(decoder: Decoder, text: Text) -> list[int]:
    stream = text.stream()
    decoder.join(stream)
    skip = stream.prompt_steps_left
    ids: list[int] = decoder.advance(stream.steps_left).ids[skip:, 0].tolist()
    decoder.leave(stream)
    return ids


def run_at_random(
    decoder: Decoder, waiting: list[DecoderStream], random: Random
) -> list[list[int]]:
    """Streams join, leave and pause at random, and sometimes only the last ones advance."""
    waiting = list(waiting)
    written: dict[DecoderStream, list[int]] = {stream: [] for stream in waiting}
    while waiting or decoder.streams:
        while waiting and len(decoder.streams) < decoder.slots and random.random() < 0.5:
            decoder.join(waiting.pop(0))
        if not decoder.streams:
            continue
        first = random.choice([0, random.randrange(len(decoder.streams))])
        stepped = decoder.streams[first:]
        limit = min(stream.steps_left for stream in stepped)
        skips = [stream.prompt_steps_left for stream in stepped]
        ids = decoder.advance(random.randint(1, limit), first).ids
        for row, (stream, skip) in enumerate(zip(stepped, skips, strict=True)):
            written[stream] += ids[skip:, row].tolist()
        for stream in list(decoder.streams):
            if stream.steps_left == 0:
                decoder.leave(stream)
            elif random.random() < 0.1:  # pause: another stream may take the slot
                decoder.leave(stream)
                waiting.append(stream)
    return list(written.values())


def reference(model: Checkpoint, text: Text) -> list[int]:
    """The text by `CharLSTM`, which reads the whole text again for every character."""
    network = CharLSTM.of(model)
    ids: list[int] = text.prime.tolist()
    for uniform in uniforms(text.seed).random(text.length, dtype=np.float32):
        with torch.no_grad():
            logits = network(torch.tensor(ids).unsqueeze(1))[0][-1, 0]
        order = logits.argsort(descending=True, stable=True)[: text.params.top_k]
        cumulative = logits[order].softmax(0).cumsum(0)
        ids.append(int(order[int((cumulative <= uniform * cumulative[-1]).sum())]))
    return ids[len(text.prime) :]
