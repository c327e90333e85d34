"""Every way to decode, and texts to decode: alone, at random beside others, and by the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from model.checkpoints.checkpoint import Checkpoint
from model.choice.held_cell import HeldCell
from model.choice.read_cells import NO_CELLS, CellNumbers
from model.choice.sampling_params import SamplingParams, uniforms
from model.decoding.backend import Precision
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
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
CELLS = checkpoint.config.layers * checkpoint.config.hidden_size


class Text(NamedTuple):
    """The arguments of a stream."""

    prime: Ids
    length: int
    params: SamplingParams
    seed: int
    prompt_length: int | None = None
    cells: CellNumbers = NO_CELLS

    def stream(self, alternatives: int | None = None) -> DecoderStream:
        return DecoderStream(*self[:4], alternatives, *self[4:])


@dataclass
class Written:
    """What a stream returned: the ids after its prompt, and the bytes of its cells' values."""

    ids: list[int]
    values: bytes

    def __add__(self, later: Written) -> Written:
        return Written(self.ids + later.ids, self.values + later.values)


@st.composite
def texts(draw: st.DrawFn, read_cells: bool = False, memory: bool = True) -> Text:
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
                SamplingParams(memory=True),
                SamplingParams(top_k=None, hold=(HeldCell(1, 7, 1.5),), memory=True),
            ]
        )
    )
    if not memory:
        params = replace(params, memory=False)
    seed = draw(st.integers(0, 1000))
    text = Text(np.array(prime, dtype=np.int32), length, params, seed)
    if not read_cells:
        return text
    cells = draw(st.lists(st.integers(0, CELLS - 1), max_size=12))
    prompt_length = draw(st.integers(1, len(prime)))
    return text._replace(prompt_length=prompt_length, cells=np.array(cells, dtype=np.int32))


def make_decoder(model: Checkpoint, slots: int, way: Way) -> Decoder:
    precision, kernel, threads = way
    return Decoder(model, slots, precision=precision, kernel=kernel, threads=threads)


def advance(decoder: Decoder, steps: int, first: int = 0) -> list[Written]:
    """Advance the streams from the first one on. Return what each of them wrote."""
    streams = decoder.streams[first:]
    skips = [stream.prompt_steps_left for stream in streams]
    result = decoder.advance(steps, first)
    return [
        Written(
            result.ids[skip:, row].tolist(),
            result.cells[row][skip:].tobytes() if len(stream.cells) and skip < steps else b"",
        )
        for row, (stream, skip) in enumerate(zip(streams, skips, strict=True))
    ]


def run_alone(decoder: Decoder, text: Text) -> Written:
    stream = text.stream()
    decoder.join(stream)
    (written,) = advance(decoder, stream.steps_left)
    decoder.leave(stream)
    return written


def run_at_random(decoder: Decoder, waiting: list[DecoderStream], random: Random) -> list[Written]:
    """Streams join, leave and pause at random, and sometimes only the last ones advance."""
    waiting = list(waiting)
    written = {stream: Written([], b"") for stream in waiting}
    while waiting or decoder.streams:
        while waiting and len(decoder.streams) < decoder.slots and random.random() < 0.5:
            decoder.join(waiting.pop(0))
        if not decoder.streams:
            continue
        first = random.choice([0, random.randrange(len(decoder.streams))])
        stepped = decoder.streams[first:]
        limit = min(stream.steps_left for stream in stepped)
        more = advance(decoder, random.randint(1, limit), first)
        for stream, part in zip(stepped, more, strict=True):
            written[stream] += part
        for stream in list(decoder.streams):
            if stream.steps_left == 0:
                decoder.leave(stream)
            elif random.random() < 0.1:  # pause: another stream may take the slot
                decoder.leave(stream)
                waiting.append(stream)
    return list(written.values())


def network_logprobs(model: Checkpoint, ids: Ids) -> Tensor:
    """The log-probability of each id after the ones before it by `CharLSTM`, without the first."""
    ids_1S = torch.from_numpy(ids).long().unsqueeze(1)
    with torch.no_grad():
        logits_SV = CharLSTM.of(model)(ids_1S)[0][:-1, 0]
    logprobs_S: Tensor = logits_SV.double().log_softmax(1).gather(1, ids_1S[1:])[:, 0]
    return logprobs_S


def logprobs(decoder: Decoder, ids: Ids) -> Tensor:
    """The same by a decoder."""
    decoder.join(DecoderStream(ids, 0, SamplingParams(), 0, alternatives=2, prompt_length=1))
    scores = decoder.advance(len(ids) - 1).scores
    assert scores is not None
    return torch.from_numpy(scores[:, 0, 0])


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
