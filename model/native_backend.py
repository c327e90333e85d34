"""NativeBackend: streams that the compiled kernel steps on a CPU, in int8.

It computes what `model.stepper` computes with `Int8Linear`: the same codes of weights and of
hidden values, the same integer sums. Here are the layouts in memory; model/native has the rest.

Shape letters: k steps, S slots, R rows (slots and padding), V vocabulary, H hidden, W = H padded to
whole vectors, L layers, B banks of hidden values, N outputs, K inputs, T tiles of outputs.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from ctypes import pointer
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from model import native_library
from model.backend import DecoderState, StepInput, StepOutput
from model.network import NetworkConfig
from model.packing import input_table, stacked_weight
from model.quantization import quantize_rows
from model.sampling import SamplingParams, sampling_columns
from model.scores import ScoreRows

_LANES = 16  # floats of a vector
_TILE = 4 * _LANES  # outputs computed together; of a layer, the four gates of 16 units
_GROUP = 4  # inputs that are multiplied and added by one instruction
_ROWS = 16  # streams that a kernel may read together, though some are not there
_HIDDEN_STEP = 1 / 127  # of the hidden values' codes
_ZERO_CODE = 128

# The kernel makes sigmoid and tanh of powers of two, whose exponents it gets from the products:
# sigmoid(x) = 1 / (1 + 2^(-x log2 e)), tanh(x) = 2 sigmoid(2x) - 1.
_EXPONENTS = -math.log2(math.e) * torch.tensor([1.0, 1.0, 2.0, 1.0])  # of the gates i, f, g, o


class NativeBackend:
    """See `model.backend.Backend`.

    Args:
        weights: torch's names to float32 tensors on the CPU.
        kernel: one of `model.native_library.kernels()`.
        threads: that step the streams, the caller's one of them; at least 1.

    Raises:
        ValueError: if the kernel does not run here, or there are no threads.
        MemoryError: if there is no room for it.
    """

    def __init__(
        self,
        config: NetworkConfig,
        weights: Mapping[str, Tensor],
        slots: int,
        kernel: str,
        threads: int = 1,
    ) -> None:
        self.kernel = kernel
        self._characters = config.vocabulary_size
        self._network = _PackedNetwork(config, weights)
        width = _padded(config.hidden_size, _LANES)
        rows = slots + _ROWS - 1
        self._hidden_BLRW = torch.full(
            (2, config.layers, rows, width), _ZERO_CODE, dtype=torch.uint8
        )
        self._cell_SLW = torch.zeros(slots, config.layers, width)
        self._scale_S, self._top_p_S, self._min_p_S = np.ones((3, slots), np.float32)
        self._top_k_S = np.ones(slots, np.int32)
        self.sample_with([SamplingParams()] * slots)
        self._team = native_library.Team(kernel, self._network.struct, threads)
        # Not at exit: a daemon thread may be in a step, and threads end with the process.
        weakref.finalize(self, self._team.close).atexit = False

    def put(self, slot: int, state: DecoderState | None) -> None:
        if state is None:
            self._hidden_BLRW[0, :, slot].fill_(_ZERO_CODE)
            self._cell_SLW[slot].zero_()
        else:
            self._hidden_BLRW[0, :, slot].copy_(state.hidden)
            self._cell_SLW[slot].copy_(state.cell)

    def state(self, slot: int) -> DecoderState:
        return DecoderState(self._hidden_BLRW[0, :, slot].clone(), self._cell_SLW[slot].clone())

    def move(self, source: int, target: int) -> None:
        self._hidden_BLRW[0, :, target] = self._hidden_BLRW[0, :, source]
        self._cell_SLW[target].copy_(self._cell_SLW[source])

    def sample_with(self, params: Sequence[SamplingParams]) -> None:
        columns, rows = sampling_columns(params, self._characters), len(params)
        self._scale_S[:rows], self._top_p_S[:rows], self._min_p_S[:rows] = (
            columns.scale,
            columns.top_p,
            columns.min_p,
        )
        self._top_k_S[:rows] = np.array(columns.last_rank, np.int32) + 1

    def step(self, inputs: StepInput) -> StepOutput:
        steps, streams = inputs.forced_ids_kS.shape
        if not steps or not streams:
            raise ValueError(f"at least one step of one stream, got {steps} of {streams}")
        slots = slice(inputs.first, inputs.first + streams)
        alternatives_S = np.array(
            [-1 if a is None else min(a, self._characters) for a in inputs.alternatives], np.int32
        )
        most = int(alternatives_S.max(initial=-1))
        ids_kS = np.empty((steps, streams), np.int64)
        scores_kSD: ScoreRows | None = None
        if most >= 0:
            scores_kSD = np.zeros((steps, streams, 4 + 2 * most))
        arrays: dict[str, npt.NDArray[Any] | None] = {
            "last_ids": inputs.last_ids_S,
            "forced": inputs.forced_ids_kS,
            "uniforms": inputs.uniforms_kS,
            "first_steps": inputs.prompt_steps_S.astype(np.int32),
            "scales": self._scale_S[slots],
            "top_k": self._top_k_S[slots],
            "top_p": self._top_p_S[slots],
            "min_p": self._min_p_S[slots],
            "alternatives": alternatives_S,
            "ids": ids_kS,
            "scores": scores_kSD,
        }
        batch = native_library.CBatch(
            hidden=_address(self._hidden_BLRW, inputs.first, axis=2),
            cell=_address(self._cell_SLW, inputs.first),
            rows=self._hidden_BLRW.size(2),
            streams=streams,
            steps=steps,
            most_alternatives=max(most, 0),
            **{name: None if a is None else a.ctypes.data for name, a in arrays.items()},
        )
        self._team.run(batch)
        return StepOutput(ids_kS, scores_kSD)

    def multiply(self, streams: int, steps: int) -> None:
        """The layers' products of so many steps and nothing else, for benchmarks."""
        hidden = self._hidden_BLRW
        batch = native_library.CBatch(
            hidden=hidden.data_ptr(), rows=hidden.size(2), streams=streams, steps=steps
        )
        self._team.multiply(batch)


class _PackedNetwork:
    """A network's weights as the kernel reads them; owns their memory."""

    def __init__(self, config: NetworkConfig, weights: Mapping[str, Tensor]) -> None:
        self._tensors: list[Tensor] = []
        size = config.hidden_size
        first = self._gates(weights["lstm.weight_hh_l0"], None, size)
        higher = [
            self._gates(*stacked_weight(weights, layer), size) for layer in range(1, config.layers)
        ]
        self._layers = (native_library.CProduct * config.layers)(first, *higher)
        self._output = self._product(
            _padded_inputs(weights["output.weight"], size),
            weights["output.bias"],
            torch.ones(config.vocabulary_size),
        )
        table_VTO = _gate_tiles(input_table(weights).T, size).permute(2, 0, 1)
        self.struct = native_library.CNetwork(
            table=self._keep(table_VTO * _gate_exponents()),
            layers=self._layers,
            output=pointer(self._output),
            depth=config.layers,
            width=_padded(size, _LANES),
            characters=config.vocabulary_size,
        )

    def _gates(
        self, weight_GK: Tensor, bias_G: Tensor | None, size: int
    ) -> native_library.CProduct:
        """A layer's product, its inputs one or two layers' hidden values."""
        weight_NK = _gate_tiles(_padded_inputs(weight_GK, size), size).flatten(0, 1)
        bias_N = None if bias_G is None else _gate_tiles(bias_G[:, None], size).flatten()
        return self._product(weight_NK, bias_N, _gate_exponents().repeat(len(weight_NK) // _TILE))

    def _product(
        self, weight_NK: Tensor, bias_N: Tensor | None, factor_N: Tensor
    ) -> native_library.CProduct:
        """Outputs (weight @ inputs + bias) * factor, inputs and weights in int8."""
        rows = _padded(len(weight_NK), _TILE) - len(weight_NK)
        codes_NK, scale_N = quantize_rows(F.pad(weight_NK, [0, 0, 0, rows]))
        factor_N = F.pad(factor_N, [0, rows])
        tiles = len(codes_NK) // _TILE
        weights = codes_NK.view(tiles, _TILE, -1, _GROUP).transpose(1, 2)
        biases = None if bias_N is None else self._keep(F.pad(bias_N, [0, rows]) * factor_N)
        return native_library.CProduct(
            weights=self._keep(weights),
            offsets=self._keep(-_ZERO_CODE * codes_NK.sum(dim=1, dtype=torch.int32)),
            scales=self._keep(scale_N * _HIDDEN_STEP * factor_N),
            biases=biases,
            tiles=tiles,
        )

    def _keep(self, tensor: Tensor) -> int:
        """The tensor's address, which torch aligns to 64 bytes."""
        tensor = tensor.contiguous().clone()
        self._tensors.append(tensor)
        return tensor.data_ptr()


def _address(tensor: Tensor, index: int, axis: int = 0) -> int:
    """Of an element with zeros for its other indices.

    It needs no operator of torch's, whose lock a process's end may break.
    """
    return tensor.data_ptr() + index * tensor.stride(axis) * tensor.element_size()


def _padded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _padded_inputs(weight_NK: Tensor, size: int) -> Tensor:
    """Zeros for the padding after each layer's hidden values."""
    parts = weight_NK.view(len(weight_NK), -1, size)
    return F.pad(parts, [0, _padded(size, _LANES) - size]).flatten(1)


def _gate_tiles(rows_GK: Tensor, size: int) -> Tensor:
    """(T, 64, K) of rows in torch's order: the four gates of 16 units, then of the next 16."""
    units = rows_GK.reshape(4, size, -1)
    padded = F.pad(units, [0, 0, 0, _padded(size, _LANES) - size])
    return padded.view(4, -1, _LANES, padded.size(2)).transpose(0, 1).flatten(1, 2)


def _gate_exponents() -> Tensor:
    """(64,) of a tile's outputs."""
    return _EXPONENTS.repeat_interleave(_LANES)
