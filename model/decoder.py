"""Decoder: many streams of text advanced together, one character at a time.

A stream's prime is not a special phase: its characters are forced in the same batched step
that samples for every other stream.

Shape letters: k steps, S streams, H hidden, L layers, X = L * H.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from model import native
from model.batch import Batch, DecoderState, Plan, StepIds, Steps
from model.checkpoint import Checkpoint
from model.cores import available_cores
from model.errors import DeviceError
from model.linear import Precision, int8_is_available
from model.native_batch import NativeBatch
from model.network import NetworkConfig
from model.sampling import SamplingParams, Uniforms, uniforms
from model.torch_batch import TorchBatch
from model.vocabulary import Ids

logger = logging.getLogger("charstream")

TORCH = "torch"  # the kernel made of torch's operators

_STEPS_PER_CALL = 64  # in `generate`
_NEVER = -1e30  # a score that no random number picks


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


class Decoder:
    """Holds up to `slots` streams and advances all of them together.

    A vocabulary's UNKNOWN is read and never generated.
    A stream's characters depend on its own prime, parameters and seed alone, never on the
    streams beside it. Not safe for use from several threads at once.

    Args:
        slots: most streams at a time.
        precision: "fp32", or "int8" (CPU; weights and hidden values in 8 bits, the rest in
            float32).
        threads: of a native kernel; torch has a setting of its own.
        kernel: what computes, by default the fastest: one of `kernels_for` the precision.

    Raises:
        DeviceError: if the precision or the kernel is not to be had on the device.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        slots: int,
        device: torch.device | None = None,
        precision: Precision = "fp32",
        threads: int = 1,
        kernel: str | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.slots, self.precision = slots, precision
        self.vocabulary_size = checkpoint.config.vocabulary_size
        weights = {name: tensor.to(self.device) for name, tensor in checkpoint.weights.items()}
        if (unknown := checkpoint.vocabulary.unknown_id) is not None:
            bias_V = weights["output.bias"].clone()
            bias_V[unknown] = _NEVER
            weights["output.bias"] = bias_V
        self._batch = make_batch(checkpoint.config, weights, slots, precision, threads, kernel)
        self.streams: list[DecoderStream] = []
        self._changed = False  # whether streams have come or gone since the last step

    @property
    def kernel(self) -> str:
        """What computes."""
        return self._batch.kernel

    def join(self, stream: DecoderStream) -> None:
        """Adds a stream as the last row.

        Raises:
            ValueError: if every slot is taken, or the prime has an id that is no character's.
        """
        row = len(self.streams)
        if row == self.slots:
            raise ValueError(f"all {self.slots} slots are taken")
        if stream.prime.min() < 0 or stream.prime.max() >= self.vocabulary_size:
            raise ValueError(f"a prime's ids must be in 0..{self.vocabulary_size - 1}")
        self._batch.put(row, stream.state)
        self.streams.append(stream)
        self._changed = True

    def leave(self, stream: DecoderStream) -> None:
        """Takes a stream out and puts its state into it, ready to join again.

        The last row moves into the gap.
        """
        row = self.streams.index(stream)
        stream.state = self._batch.state(row)
        last = self.streams.pop()
        if last is not stream:
            self.streams[row] = last
            self._batch.move(len(self.streams), row)
        self._changed = True

    def state(self, stream: DecoderStream) -> DecoderState:
        """A copy of a stream's state after the characters it has read."""
        return self._batch.state(self.streams.index(stream))

    def advance(self, steps: int, first: int = 0) -> Steps:
        """Steps the streams from row `first` on, by default all, `steps` characters on.

        Columns of the result are in the order of `self.streams[first:]`. In each, what is left
        of a stream's prime comes first, then what it generated.
        """
        streams = self.streams[first:]
        if self._changed:
            self._batch.sample_with([stream.params for stream in self.streams])
            self._changed = False
        result = self._batch.step(_plan(streams, steps, first))
        for stream, last_id in zip(streams, result.ids[-1].tolist(), strict=True):
            stream.read += steps
            stream.last_id = last_id
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


def _plan(streams: Sequence[DecoderStream], steps: int, first: int) -> Plan:
    count = len(streams)
    forced_kS = np.full((steps, count), -1, dtype=np.int64)
    uniforms_kS = np.zeros((steps, count), dtype=np.float32)
    for row, stream in enumerate(streams):
        stream.plan(forced_kS[:, row], uniforms_kS[:, row])
    return Plan(
        first=first,
        last_ids_S=np.array([stream.last_id for stream in streams], dtype=np.int64),
        forced_kS=forced_kS,
        uniforms_kS=uniforms_kS,
        hidden_S=np.array([stream.hidden_left for stream in streams], dtype=np.int64),
        alternatives=[stream.alternatives for stream in streams],
    )


def default_threads(precision: Precision, device: torch.device) -> int:
    """How many threads suit what computes beside a server's event loop, 8 at most.

    Those of the native kernel let others have their core while they wait. Torch's spin, so it
    leaves a core to the event loop.
    """
    native_kernel = kernels_for(precision, device)[0] != TORCH
    return max(1, min(8, available_cores() - (0 if native_kernel else 1)))


def make_batch(
    config: NetworkConfig,
    weights: Mapping[str, Tensor],
    slots: int,
    precision: Precision,
    threads: int = 1,
    kernel: str | None = None,
) -> Batch:
    """What steps the streams; see `Decoder` for the arguments.

    Raises:
        DeviceError: if the precision or the kernel is not to be had on the weights' device.
    """
    device = weights["output.bias"].device
    known = kernels_for(precision, device)
    if not known:
        raise DeviceError(f"precision {precision!r} is not to be had on {device} with this torch")
    kernel = kernel or known[0]
    if kernel not in known:
        raise DeviceError(f"kernel {kernel!r} is not to be had here, only {', '.join(known)}")
    if kernel == TORCH:
        return TorchBatch(config, weights, slots, precision)
    return NativeBatch(config, weights, slots, kernel, threads)


def kernels_for(precision: Precision, device: torch.device) -> tuple[str, ...]:
    """What can compute in a precision on a device, the fastest first.

    Plain C++ comes after torch, which is faster with several streams.
    """
    if precision == "fp32":
        return (TORCH,)
    compiled = native.kernels() if device.type == "cpu" else ()
    fast = [kernel for kernel in compiled if kernel != native.PLAIN]
    by_torch = [TORCH] if int8_is_available(device) else []
    return (*fast, *by_torch, *compiled[len(fast) :])


def choose_device(name: str) -> torch.device:
    """The device of a name: "auto" is a GPU where there is one, else the CPU.

    Raises:
        DeviceError: if torch does not know the device or this machine lacks it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device {name!r}: auto, cpu, cuda or cuda:1 were expected") from error
    try:
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
    kernels = kernels_for("int8", device)
    if kernels and (name == "int8" or kernels[0] != native.PLAIN):
        return "int8"
    if name == "int8":
        raise DeviceError(f"precision 'int8' is not to be had on {device} with this torch")
    logger.info("int8 is not to be had on %s with this torch: computing in fp32", device)
    return "fp32"
