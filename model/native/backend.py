"""NativeBackend: computes the steps with the compiled kernels, in int8 on a CPU.

It computes the same function as `pytorch.stepper` with `Int8Linear`, with the same codes for
weights and hidden values and the same integer sums. This module lays out the memory that the
kernels read and write. model/native/README.md shows the layouts.

Shape letters: k steps, S slots, R slot rows (slots and padding), V vocabulary, H hidden,
W = H padded to whole vectors, L layers, B banks of hidden values, N outputs, K inputs,
G = 4H gate rows, T tiles of outputs, O = 64 outputs of a tile.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from ctypes import pointer
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from model.checkpoints.network_config import Array, NetworkConfig, Weights
from model.choice.constraint import ConstraintColumns
from model.choice.held_cell import HeldCellColumns
from model.choice.read_cells import ReadCellColumns
from model.choice.sampling_params import SamplingParams, sampling_columns
from model.decoding.backend import DecoderState, PatternProgress, StepInput, StepOutput
from model.decoding.quantization import input_table, quantize_rows, stacked_weight
from model.native import library as native_library
from model.native.library import LAYOUT, aligned_copy, aligned_empty, checked_address
from model.native.memory import Memory, memory_bytes
from model.native.team import Team

_LANES, _TILE, _GROUP, _BLOCK = LAYOUT.lanes, LAYOUT.tile, LAYOUT.group, LAYOUT.block
_HIDDEN_SCALE = 1 / LAYOUT.hidden_steps  # hidden value per unit of its code
_ZERO_CODE = LAYOUT.zero_code

# The kernel computes sigmoid and tanh from powers of two, and the products give it the exponents:
# sigmoid(x) = 1 / (1 + 2^(-x log2 e)), tanh(x) = 2 sigmoid(2x) - 1.
# Factors of a tile's outputs, (O,): the units of the input, forget, cell and output gate.
_EXPONENTS = np.float32(-math.log2(math.e)) * np.array([1, 1, 2, 1], np.float32)
_GATE_EXPONENTS = np.repeat(_EXPONENTS, _LANES)

_INT32, _INT64, _FLOAT32, _UINT8 = map(np.dtype, (np.int32, np.int64, np.float32, np.uint8))

Ints = npt.NDArray[np.int32]


class NativeBackend:
    """A backend that computes in int8 with a compiled kernel. Implements `Backend`.

    Args:
        config: sizes of the network.
        weights: the weights of the network.
        slots: maximum number of streams.
        kernel: one of `model.native.library.kernels()`.
        threads: number of threads that compute, at least 1. The caller's thread is one of them.

    Raises:
        ValueError: if the kernel does not run on this processor, or `threads` is below 1.
        MemoryError: if the system has no memory or no threads left.
    """

    def __init__(
        self,
        config: NetworkConfig,
        weights: Weights,
        slots: int,
        kernel: str,
        threads: int = 1,
    ) -> None:
        self.kernel = kernel
        self._vocabulary_size, self._hidden_size = config.vocabulary_size, config.hidden_size
        self._network = _PackedNetwork(config, weights)
        width = _padded(config.hidden_size, _LANES)
        rows = slots + _BLOCK - 1
        self._hidden_BLRW = aligned_empty((2, config.layers, rows, width), np.uint8)
        self._hidden_BLRW.fill(_ZERO_CODE)
        self._cell_SLW = aligned_empty((slots, config.layers, width), np.float32)
        self._cell_SLW.fill(0)
        # Kept, because numpy takes a microsecond to tell an address.
        self._hidden_address = self._hidden_BLRW.ctypes.data
        self._cell_address = self._cell_SLW.ctypes.data
        self.sample_with([SamplingParams()] * slots)
        self.threads = threads
        self._team = Team(kernel, self._network.struct, threads)
        # Do not close the team at the interpreter's exit: a daemon thread may still compute a step.
        # The threads end with the process anyway.
        weakref.finalize(self, self._team.close).atexit = False

    def use_thread(self) -> None:
        """Do nothing: the team has its own threads."""

    def limit_threads(self, most: int) -> None:
        self._team.limit = max(1, most)

    def put(self, slot: int, state: DecoderState | None) -> None:
        self._hidden_BLRW[0, :, slot] = _ZERO_CODE if state is None else state.hidden
        self._cell_SLW[slot] = 0 if state is None else state.cell

    def state(self, slot: int) -> DecoderState:
        return DecoderState(self._hidden_BLRW[0, :, slot].copy(), self._cell_SLW[slot].copy())

    def move(self, source: int, target: int) -> None:
        self._hidden_BLRW[0, :, target] = self._hidden_BLRW[0, :, source]
        self._cell_SLW[target] = self._cell_SLW[source]

    def use_threads(self, threads: int) -> None:
        """Compute with some of the team's threads from now on. Results do not depend on it."""
        self.threads = threads
        self.limit_threads(threads)

    def sample_with(self, params: Sequence[SamplingParams], first: int = 0) -> None:
        self._first = first
        columns = sampling_columns(params, self._vocabulary_size)._asdict()
        held = HeldCellColumns.of([p.hold for p in params], self._cell_SLW.shape[2])
        if held is not None:
            columns |= held._asdict()
        self._constraints = ConstraintColumns.of(
            [p.constraint(self._vocabulary_size) for p in params]
        )
        if self._constraints is not None:
            columns["constraints"] = self._constraints.constraints
        self._columns_S: dict[str, npt.NDArray[Any]] = columns  # keeps the arrays alive
        self._column_addresses = [
            (name, column.ctypes.data, column.strides[0]) for name, column in columns.items()
        ]

    def step(self, inputs: StepInput) -> StepOutput:
        steps, streams = inputs.forced_ids_kS.shape
        if not steps or not streams:
            raise ValueError(
                f"a call needs at least one step and one stream, got {steps} steps of "
                f"{streams} streams"
            )
        alternatives_S = np.array(
            [-1 if n is None else min(n, self._vocabulary_size) for n in inputs.alternatives],
            np.int32,
        )
        most = int(alternatives_S.max())
        scores_kSD = np.zeros((steps, streams, 4 + 3 * most)) if most >= 0 else None
        progress = None if self._constraints is None else inputs.progress()
        result = StepOutput(np.empty((steps, streams), np.int64), scores_kSD, progress=progress)
        columns = ReadCellColumns.of(inputs.cells, self._hidden_size, self._cell_SLW.shape[2])
        if columns is None:
            self._run(inputs, alternatives_S, result)
            return result
        states_kC = np.zeros((steps, len(columns.read_cells)), np.float32)
        read = {**columns._asdict(), "read_states": states_kC}
        addresses = {name: array.ctypes.data for name, array in read.items()}
        self._run(inputs, alternatives_S, result, addresses)
        return result._replace(cells=columns.values(states_kC))

    def _run(
        self,
        inputs: StepInput,
        alternatives_S: Ints,
        result: StepOutput,
        read_addresses: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        steps, streams = size = result.ids.shape
        prompt_steps_S = inputs.prompt_steps_S.astype(np.int32)  # a name keeps the array alive
        scores, offset = result.scores, inputs.first - self._first
        memories_S = _memory_addresses(inputs.memories, self._vocabulary_size)
        batch = native_library.CBatch(
            hidden=self._hidden_address + inputs.first * self._hidden_BLRW.strides[2],
            cell=self._cell_address + inputs.first * self._cell_SLW.strides[0],
            slot_rows=self._hidden_BLRW.shape[2],
            streams=streams,
            steps=steps,
            max_alternatives=max(int(alternatives_S.max()), 0),
            last_ids=checked_address("last_ids", inputs.last_ids_S, _INT64, (streams,)),
            forced_ids=checked_address("forced_ids", inputs.forced_ids_kS, _INT64, size),
            uniforms=checked_address("uniforms", inputs.uniforms_kS, _FLOAT32, size),
            prompt_steps=checked_address("prompt_steps", prompt_steps_S, _INT32, (streams,)),
            alternatives=checked_address("alternatives", alternatives_S, _INT32, (streams,)),
            ids=checked_address("ids", result.ids, _INT64, size, writable=True),
            scores=None if scores is None else scores.ctypes.data,
            **_progress_addresses(result.progress, streams),
            **{name: first + offset * row for name, first, row in self._column_addresses},
            memories=None if memories_S is None else memories_S.ctypes.data,
            **read_addresses,
        )
        self._team.run(batch)

    def multiply(self, streams: int, steps: int) -> None:
        """Compute only the layers' matrix products of some steps, for benchmarks."""
        slot_rows = self._hidden_BLRW.shape[2]
        batch = native_library.CBatch(
            hidden=self._hidden_address, slot_rows=slot_rows, streams=streams, steps=steps
        )
        self._team.multiply(batch)


def _memory_addresses(
    memories: Sequence[Memory | None], vocabulary_size: int
) -> npt.NDArray[np.uint64] | None:
    """Return the address of each stream's memory, or 0. None if no stream has one."""
    if not memories:
        return None
    shape = (memory_bytes(vocabulary_size),)
    addresses = [
        0 if memory is None else checked_address("memory", memory, _UINT8, shape, writable=True)
        for memory in memories
    ]
    return np.array(addresses, np.uint64)


def _progress_addresses(progress: PatternProgress | None, streams: int) -> dict[str, int]:
    if progress is None:
        return {}
    columns = {"pattern_states": progress.states_S, "lengths": progress.lengths_S}
    return {
        name: checked_address(name, column, _INT32, (streams,), writable=True)
        for name, column in columns.items()
    }


class _PackedNetwork:
    """The weights of a network in the layout of the kernels. Owns the memory."""

    @np.errstate(invalid="ignore", over="ignore")  # weights that are not finite are only tested
    def __init__(self, config: NetworkConfig, weights: Weights) -> None:
        self._arrays: list[npt.NDArray[Any]] = []
        size = config.hidden_size
        first = self._gates(weights["lstm.weight_hh_l0"], None, size)
        higher = [
            self._gates(*stacked_weight(weights, layer), size) for layer in range(1, config.layers)
        ]
        self._layers = (native_library.CProduct * config.layers)(first, *higher)
        self._output = self._product(
            _padded_inputs(weights["output.weight"], size),
            weights["output.bias"],
            np.ones(config.vocabulary_size, np.float32),
        )
        table_VTO = _gate_tiles(input_table(weights).T, size).transpose(2, 0, 1)
        self.struct = native_library.CNetwork(
            input_table=self._keep(table_VTO * _GATE_EXPONENTS),
            layers=self._layers,
            output=pointer(self._output),
            depth=config.layers,
            width=_padded(size, _LANES),
            vocabulary_size=config.vocabulary_size,
        )

    def _gates(self, weight_GK: Array, bias_G: Array | None, size: int) -> native_library.CProduct:
        """Return the product of a layer. Its inputs are the hidden values of one or two layers."""
        tiles_TOK = _gate_tiles(_padded_inputs(weight_GK, size), size)
        weight_NK = tiles_TOK.reshape(-1, tiles_TOK.shape[2])
        bias_N = None if bias_G is None else _gate_tiles(bias_G[:, None], size).reshape(-1)
        return self._product(weight_NK, bias_N, np.tile(_GATE_EXPONENTS, len(tiles_TOK)))

    def _product(
        self, weight_NK: Array, bias_N: Array | None, factor_N: Array
    ) -> native_library.CProduct:
        """Return the product (weight @ inputs + bias) * factor, with inputs and weights in int8."""
        rows = _padded(len(weight_NK), _TILE) - len(weight_NK)
        codes_NK, scale_N = quantize_rows(np.pad(weight_NK, [(0, rows), (0, 0)]))
        factor_N = np.pad(factor_N, (0, rows))
        tiles = len(codes_NK) // _TILE
        weights = codes_NK.reshape(tiles, _TILE, -1, _GROUP).transpose(0, 2, 1, 3)
        biases = None if bias_N is None else self._keep(np.pad(bias_N, (0, rows)) * factor_N)
        return native_library.CProduct(
            weights=self._keep(weights),
            offsets=self._keep(-_ZERO_CODE * codes_NK.sum(axis=1, dtype=np.int32)),
            scales=self._keep(scale_N * np.float32(_HIDDEN_SCALE) * factor_N),
            biases=biases,
            tiles=tiles,
        )

    def _keep(self, array: npt.NDArray[Any]) -> int:
        """Keep a copy of an array, in C order and aligned. Return its address."""
        kept = aligned_copy(array)
        self._arrays.append(kept)
        return kept.ctypes.data


def _padded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _padded_inputs(weight_NK: Array, size: int) -> Array:
    """Pad the inputs of a weight with zeros, up to W after the hidden values of each layer."""
    parts = weight_NK.reshape(len(weight_NK), -1, size)
    padded = np.pad(parts, [(0, 0), (0, 0), (0, _padded(size, _LANES) - size)])
    return padded.reshape(len(weight_NK), -1)


def _gate_tiles(rows_GK: Array, size: int) -> Array:
    """Return gate rows as tiles (T, O, K): the four gates of 16 units, then of the next 16."""
    units = rows_GK.reshape(4, size, -1)
    padded = np.pad(units, [(0, 0), (0, _padded(size, _LANES) - size), (0, 0)])
    tiles = padded.reshape(4, -1, _LANES, padded.shape[2]).swapaxes(0, 1)
    return tiles.reshape(-1, _TILE, padded.shape[2])
