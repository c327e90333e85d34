"""Decoder: many streams of text advanced together, one character at a time.

A stream's prime is not a special phase: its characters are forced in the same batched step
that samples for every other stream.

Shape letters: k steps, S streams, H hidden, L layers, X = L * H.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.checkpoint import Checkpoint
from model.errors import DeviceError
from model.linear import Precision, int8_is_available
from model.sampling import SamplingParams, SamplingRows, Uniforms, uniforms
from model.scores import ScoreRows
from model.step_graph import MOST_STEPS, step_graph
from model.stepper import Stepper, compiled
from model.vocabulary import Ids

logger = logging.getLogger("charstream")

StepIds = npt.NDArray[np.int64]

_STEPS_PER_CALL = 64  # in `generate`
_NEVER = -1e30  # a score that no random number picks


@dataclass(frozen=True)
class DecoderState:
    """What a network remembers of the characters it has read: one size, however many."""

    hidden: Tensor  # (L * H,)
    cell: Tensor  # (L * H,)


class DecoderStream:
    """One text in the making: its prime, its random numbers and how far it has come.

    Args:
        prime: the ids to read first, at least one.
        length: characters to generate.
        params: how they are drawn.
        seed: of the numbers that they are drawn with.
        alternatives: makes scores, which name so many of the likeliest characters; None: none.
        hidden: characters of the prime that come before the text, by default all; the rest of
            the prime belongs to the text as if it had been generated, and is scored.

    Attributes:
        read: characters that the network has read so far.
        last_id: the character to read next.
        state: the network's state after those read, while not in a decoder; None is a state of
            zeros.
    """

    def __init__(
        self,
        prime: Ids,
        length: int,
        params: SamplingParams,
        seed: int,
        alternatives: int | None = None,
        hidden: int | None = None,
    ) -> None:
        self.hidden = len(prime) if hidden is None else hidden
        if not 1 <= self.hidden <= len(prime):
            raise ValueError("a stream's prime needs at least one id before the text")
        self.prime, self.length, self.params = prime, length, params
        self.alternatives = alternatives
        self.read = 0
        self.last_id = int(prime[0])
        self.state: DecoderState | None = None
        self._uniforms = uniforms(seed)

    @property
    def steps_left(self) -> int:
        """Steps until the text has its length."""
        return len(self.prime) - 1 + self.length - self.read

    @property
    def hidden_left(self) -> int:
        """Steps from here whose result comes before the text."""
        return max(0, self.hidden - 1 - self.read)

    def skip(self, read: int, state: DecoderState) -> None:
        """Takes a beginning of the prime as read already, with the state after it."""
        self.read, self.state = read, state
        self.last_id = int(self.prime[read])

    def plan(self, forced_k: StepIds, uniforms_k: Uniforms) -> None:
        """Fills in the next steps: the id to force (else -1 stays), the number to draw with."""
        forced = max(0, min(len(self.prime) - 1 - self.read, len(forced_k)))
        forced_k[:forced] = self.prime[self.read + 1 : self.read + 1 + forced]
        uniforms_k[forced:] = self._uniforms.random(len(forced_k) - forced, dtype=np.float32)


class Steps(NamedTuple):
    """What some steps gave."""

    ids: StepIds  # (k, S)
    scores: ScoreRows | None  # (k, S, D), where a stream makes scores, see `model.scores`


class Decoder:
    """Holds up to `slots` streams and advances all of them together.

    A vocabulary's UNKNOWN is read and never generated.
    A stream's characters depend on its own prime, parameters and seed alone, never on the
    streams beside it. Not safe for use from several threads at once.

    Args:
        slots: most streams at a time.
        precision: "fp32", or "int8" (CPU; weights and hidden values in 8 bits, the rest in
            float32).

    Raises:
        DeviceError: if the precision is not to be had on the device.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        slots: int,
        device: torch.device | None = None,
        precision: Precision = "fp32",
    ) -> None:
        self.device = device or torch.device("cpu")
        self.slots, self.precision = slots, precision
        self.vocabulary_size = checkpoint.config.vocabulary_size
        weights = {name: tensor.to(self.device) for name, tensor in checkpoint.weights.items()}
        if (unknown := checkpoint.vocabulary.unknown_id) is not None:
            bias_V = weights["output.bias"].clone()
            bias_V[unknown] = _NEVER
            weights["output.bias"] = bias_V
        width = checkpoint.config.layers * checkpoint.config.hidden_size
        self._hidden_SX = torch.zeros(slots, width, device=self.device)
        self._cell_SX = torch.zeros_like(self._hidden_SX)
        stepper = Stepper(checkpoint.config, weights, precision, slots)
        self._graph = step_graph(stepper, self._hidden_SX, self._cell_SX)
        self._stepper = compiled(stepper)
        self.streams: list[DecoderStream] = []
        self._rows: SamplingRows | None = None

    def join(self, stream: DecoderStream) -> None:
        """Adds a stream as the last row.

        Raises:
            ValueError: if every slot is taken.
        """
        row = len(self.streams)
        if row == self.slots:
            raise ValueError(f"all {self.slots} slots are taken")
        for rows, name in ((self._hidden_SX, "hidden"), (self._cell_SX, "cell")):
            if stream.state is None:
                rows[row].zero_()
            else:
                rows[row].copy_(getattr(stream.state, name))
        self.streams.append(stream)
        self._rows = None

    def leave(self, stream: DecoderStream) -> None:
        """Takes a stream out and puts its state into it, ready to join again.

        The last row moves into the gap.
        """
        row = self.streams.index(stream)
        stream.state = self.state(stream)
        last = self.streams.pop()
        if last is not stream:
            self.streams[row] = last
            for rows in (self._hidden_SX, self._cell_SX):
                rows[row].copy_(rows[len(self.streams)])
        self._rows = None

    def state(self, stream: DecoderStream) -> DecoderState:
        """A copy of a stream's state after the characters it has read."""
        row = self.streams.index(stream)
        return DecoderState(self._hidden_SX[row].clone(), self._cell_SX[row].clone())

    @torch.inference_mode()
    def advance(self, steps: int, first: int = 0) -> Steps:
        """Steps the streams from row `first` on, by default all, `steps` characters on.

        Columns of the result are in the order of `self.streams[first:]`. In each, what is left
        of a stream's prime comes first, then what it generated.
        """
        streams = self.streams[first:]
        count = len(streams)
        forced_kS = np.full((steps, count), -1, dtype=np.int64)
        uniforms_kS = np.zeros((steps, count), dtype=np.float32)
        for row, stream in enumerate(streams):
            stream.plan(forced_kS[:, row], uniforms_kS[:, row])
        last_S = torch.tensor([stream.last_id for stream in streams], device=self.device)
        hidden = min((stream.hidden_left for stream in streams), default=0)
        visible_k = [step >= hidden for step in range(steps)]
        result = self._steps(first, last_S, forced_kS, uniforms_kS, visible_k)
        for row, stream in enumerate(streams):
            stream.read += steps
            stream.last_id = int(result.ids[-1, row])
        return result

    def generate(self, prime: Ids, length: int, params: SamplingParams, seed: int) -> Ids:
        """The ids of one text, made while no other stream is in the decoder."""
        stream = DecoderStream(prime, length, params, seed)
        self.join(stream)
        generated = []
        while stream.steps_left:
            skip = stream.hidden_left
            ids_k = self.advance(min(stream.steps_left, _STEPS_PER_CALL)).ids[:, 0]
            generated.append(ids_k[skip:])
        self.leave(stream)
        return np.concatenate(generated).astype(np.int32)

    def _steps(
        self,
        first: int,
        last_S: Tensor,
        forced_kS: StepIds,
        uniforms_kS: Uniforms,
        visible_k: list[bool],
    ) -> Steps:
        if self._rows is None:
            params = [stream.params for stream in self.streams]
            self._rows = SamplingRows.of(params, self.vocabulary_size, self.device)
        wanted = [s.alternatives for s in self.streams[first:] if s.alternatives is not None]
        alternatives = min(max(wanted), self.vocabulary_size) if wanted else -1
        forced = torch.from_numpy(forced_kS).to(self.device)
        uniforms = torch.from_numpy(uniforms_kS).to(self.device)
        if self._graph is not None and first == 0 and not wanted and len(forced) <= MOST_STEPS:
            return Steps(self._graph(last_S, forced, uniforms, self._rows).cpu().numpy(), None)
        rows = slice(first, len(self.streams))
        ids_kS, scores_kSD = self._stepper(
            last_S,
            self._hidden_SX[rows],
            self._cell_SX[rows],
            forced,
            uniforms,
            visible_k,
            self._rows.of_streams(rows),
            alternatives,
        )
        return Steps(ids_kS.cpu().numpy(), scores_kSD.cpu().numpy() if wanted else None)


def choose_device(name: str) -> torch.device:
    """The device of a name: "auto" is a GPU where there is one, else the CPU.

    Raises:
        DeviceError: if torch does not know the device or this machine lacks it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"device {name!r} is not to be had here: {reason}") from error
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """The precision of a name: "auto" is int8 where the device has it, else fp32.

    Raises:
        DeviceError: if int8 was asked for and is not to be had.
    """
    if name == "fp32":
        return "fp32"
    if int8_is_available(device):
        return "int8"
    if name == "int8":
        raise DeviceError(f"precision 'int8' is not to be had on {device} with this torch")
    logger.info("int8 is not to be had on %s with this torch: computing in fp32", device)
    return "fp32"
