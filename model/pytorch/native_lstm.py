"""Native LSTM layer: a layer in training whose recurrence the native kernel computes in bfloat16.

Shape letters: T steps, B batch size, H hidden, I input size of the layer.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_int, c_int32, c_void_p
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.native.library import fields, library

_UNITS = 16  # units of a block, see model/native/training.h
_GATES = 4
_HIDDEN_MULTIPLE = 32


class CPass(Structure):
    """A pass over a layer. Mirrors LstmPass in model/native/training.h."""

    _fields_ = [
        *fields(c_void_p, "weights", "gates", "hidden", "cells", "d_hidden", "d_bias"),
        *fields(c_int32, "steps", "batch_size", "hidden_size"),
    ]


def native_lstm_runs(hidden_size: int) -> bool:
    """Tell whether the native kernel can train layers of a size on this processor."""
    return hidden_size > 0 and hidden_size % _HIDDEN_MULTIPLE == 0 and _available()


def native_lstm(
    values_TBI: Tensor, hidden_BH: Tensor, cell_BH: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Compute a layer of `nn.LSTM` in bfloat16. `native_lstm_runs` must be true for its size.

    The factors of all products are bfloat16. The products are added in float32.

    Args:
        values_TBI: the layer's input.
        hidden_BH: hidden values before the first step. No gradient flows into the state.
        cell_BH: cells before the first step.
        weights: input weights, recurrent weights and the two biases, in the order of `nn.LSTM`.

    Returns:
        hidden values (T, B, H) in bfloat16, and the last cells (B, H) in float32, out of which no
        gradient flows.

    Raises:
        MemoryError: if the memory for the kernel is exhausted.
    """
    results = _NativeLstm.apply(values_TBI, hidden_BH, cell_BH, *weights)  # type: ignore[no-untyped-call]
    return cast("tuple[Tensor, Tensor]", results)


class _NativeLstm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values_TBI: Tensor,
        hidden_BH: Tensor,
        cell_BH: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
    ) -> tuple[Tensor, Tensor]:
        steps = values_TBI.size(0)
        inputs_NI = values_TBI.to(torch.bfloat16).flatten(0, 1)
        by_block = _by_block(weight_ih).to(torch.bfloat16)
        bias = _by_block(bias_ih + bias_hh).to(torch.bfloat16)
        gates_NG = torch.addmm(bias, inputs_NI, by_block.T)
        recurrent = weight_hh.to(torch.bfloat16).contiguous()
        hidden = _with_first(hidden_BH.to(torch.bfloat16), steps)
        cells = _with_first(cell_BH.float(), steps)
        _run("forward", recurrent, gates_NG, hidden, cells)
        ctx.save_for_backward(inputs_NI, by_block, recurrent, gates_NG, hidden, cells)
        ctx.input_dtype = values_TBI.dtype
        last = cells[-1].clone()
        ctx.mark_non_differentiable(last)
        return hidden[1:], last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        inputs_NI, by_block, recurrent, gates_NG, hidden, cells = ctx.saved_tensors
        d_bias = torch.empty(gates_NG.size(1))
        d_hidden = d_hidden.to(torch.bfloat16).contiguous()
        _run("backward", recurrent, gates_NG, hidden, cells, d_hidden, d_bias)
        torch.autograd.graph.increment_version(gates_NG)  # a second backward pass raises an error
        d_sums_GN = gates_NG.T  # the pass has replaced the gates by the gradients of their sums
        d_weight_ih = _from_blocks(d_sums_GN @ inputs_NI)
        d_weight_hh = _from_blocks(d_sums_GN @ hidden[:-1].flatten(0, 1))
        d_bias = _from_blocks(d_bias)
        d_values = None
        if ctx.needs_input_grad[0]:
            d_values = (gates_NG @ by_block).view(*d_hidden.shape[:2], by_block.size(1))
            d_values = d_values.to(ctx.input_dtype)
        return d_values, None, None, d_weight_ih.float(), d_weight_hh.float(), d_bias, d_bias


def _run(direction: str, weights: Tensor, gates: Tensor, hidden: Tensor, cells: Tensor,
         d_hidden: Tensor | None = None, d_bias: Tensor | None = None) -> None:  # fmt: skip
    """Compute a pass. The arguments are those of LstmPass."""
    function = getattr(_library(), f"charstream_train_{direction}")
    arrays = [weights, gates, hidden, cells, d_hidden, d_bias]
    pointers = [None if array is None else array.data_ptr() for array in arrays]
    sizes = cells.size(0) - 1, cells.size(1), cells.size(2)
    if not function(byref(CPass(*pointers, *sizes)), torch.get_num_threads()):
        raise MemoryError("the native kernel could not allocate the memory for a training step")


@functools.cache
def _library() -> ctypes.CDLL:
    found = cast("ctypes.CDLL", library())
    for function in (found.charstream_train_forward, found.charstream_train_backward):
        function.argtypes = [POINTER(CPass), c_int]
    return found


@functools.cache
def _available() -> bool:
    return library() is not None and bool(_library().charstream_trains())


def _with_first(values_BH: Tensor, steps: int) -> Tensor:
    """Return memory for the values of all steps, (T + 1, B, H), with those before the first one."""
    memory = values_BH.new_empty(steps + 1, *values_BH.shape)
    memory[0] = values_BH
    return memory


def _by_block(weights: Tensor) -> Tensor:
    """Order the rows of the four gates, (4 H, ...), by [unit block][gate][unit of the block]."""
    by_gate = weights.reshape(_GATES, -1, _UNITS, *weights.shape[1:])
    return by_gate.transpose(0, 1).reshape(weights.shape)


def _from_blocks(weights: Tensor) -> Tensor:
    """Undo `_by_block`."""
    by_block = weights.reshape(-1, _GATES, _UNITS, *weights.shape[1:])
    return by_block.transpose(0, 1).reshape(weights.shape)
