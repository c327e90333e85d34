"""The native training kernel: it computes what `nn.LSTM` computes, rounded to bfloat16."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from model.pytorch.lstm_layer import lstm_layer
from model.pytorch.native_lstm import native_lstm_runs

needs_kernel = pytest.mark.skipif(
    not native_lstm_runs(32), reason="the processor or the compiler has no AMX with bfloat16"
)
_TOLERANCE = 0.02  # relative, in the Euclidean norm. bfloat16 has eight bits
_NOISE = 2e-3  # of each value: large products that cancel leave their rounding
_FORK_SECONDS = 20


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def layer_of(inputs: int, hidden: int, seed: int) -> nn.LSTM:
    torch.manual_seed(seed)
    return nn.LSTM(inputs, hidden)


def outputs_and_gradients(
    layer: nn.LSTM, values_TBI: Tensor, state: tuple[Tensor, Tensor], in_bfloat16: bool
) -> list[Tensor]:
    """Return the hidden values, the last cells, and the gradients of the input and the weights."""
    weights: Sequence[Tensor] = layer.all_weights[0]
    inputs = values_TBI.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
        hidden, (last, cell) = lstm_layer(inputs, state, weights)
    assert torch.equal(last[0], hidden[-1])
    towards = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(1))
    (hidden.float() * towards).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [inputs.grad, *(weight.grad for weight in weights)]
    return [tensor.detach().float() for tensor in (hidden, cell, *gradients) if tensor is not None]


@needs_kernel
@given(
    steps=st.integers(1, 9),
    batch_size=st.integers(1, 70),
    inputs=st.integers(1, 70),
    blocks=st.integers(1, 3),
    threads=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_it_computes_what_pytorch_computes_in_float32(
    steps: int, batch_size: int, inputs: int, blocks: int, threads: int, seed: int
) -> None:
    torch.set_num_threads(threads)
    layer = layer_of(inputs, 32 * blocks, seed)
    values_TBI = torch.randn(steps, batch_size, inputs)
    state = torch.randn(1, batch_size, 32 * blocks) / 2, torch.randn(1, batch_size, 32 * blocks)
    expected = outputs_and_gradients(layer, values_TBI, state, in_bfloat16=False)
    found = outputs_and_gradients(layer, values_TBI, state, in_bfloat16=True)
    for right, value in zip(expected, found, strict=True):
        limit = _TOLERANCE * right.norm() + _NOISE * right.numel() ** 0.5
        assert (value - right).norm() <= limit


@needs_kernel
def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    layer, values_TBI = layer_of(40, 160, 0), torch.randn(6, 37, 40)
    state = torch.zeros(1, 37, 160), torch.zeros(1, 37, 160)
    results = []
    for threads in (1, 2, 3, 8):
        torch.set_num_threads(threads)
        results.append(outputs_and_gradients(layer, values_TBI, state, in_bfloat16=True))
    hidden, cells, *_, bias = results[0]  # the kernel alone computes these
    for result in results[1:]:
        assert torch.equal(result[0], hidden)
        assert torch.equal(result[1], cells)
        assert torch.equal(result[-1], bias)


@needs_kernel
def test_a_diverged_value_is_not_hidden() -> None:
    layer, values_TBI = layer_of(4, 32, 0), torch.zeros(3, 2, 4)
    values_TBI[1, 0, 0] = torch.nan
    state = torch.zeros(1, 2, 32), torch.zeros(1, 2, 32)
    with torch.autocast("cpu", torch.bfloat16):
        hidden, _ = lstm_layer(values_TBI, state, layer.all_weights[0])
    assert hidden[:, 1].isfinite().all()
    assert hidden[0].isfinite().all()
    assert hidden[1:, 0].isnan().all()


@needs_kernel
def test_large_sums_saturate_the_gates() -> None:
    layer = layer_of(4, 32, 0)
    state = torch.zeros(1, 1, 32), torch.zeros(1, 1, 32)
    with torch.autocast("cpu", torch.bfloat16):
        hidden, (_, cell) = lstm_layer(torch.full((5, 1, 4), 1e4), state, layer.all_weights[0])
    assert hidden.abs().max() <= 1
    assert cell.abs().max() <= 5


@pytest.mark.parametrize(("hidden_size", "in_bfloat16"), [(48, True), (64, False)])
def test_other_sizes_and_precisions_are_pytorchs(hidden_size: int, in_bfloat16: bool) -> None:
    assert not native_lstm_runs(48)
    layer, state = layer_of(4, hidden_size, 0), torch.zeros(1, 2, hidden_size)
    with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
        hidden, _ = lstm_layer(torch.randn(3, 2, 4), (state, state), layer.all_weights[0])
    assert "NativeLstm" not in str(hidden.grad_fn)


@needs_kernel
def test_threads_of_python_take_turns() -> None:
    layer, values_TBI = layer_of(8, 64, 0), torch.randn(20, 16, 8)
    state = torch.zeros(1, 16, 64), torch.zeros(1, 16, 64)
    results: list[Tensor] = []

    def compute() -> None:
        for _ in range(20):
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                results.append(lstm_layer(values_TBI, state, layer.all_weights[0])[0])

    with ThreadPoolExecutor(3) as others:
        for _ in range(3):
            others.submit(compute)
    assert len(results) == 60
    assert all(torch.equal(result, results[0]) for result in results)


@needs_kernel
def test_a_forked_process_has_threads_of_its_own() -> None:
    torch.set_num_threads(1)  # PyTorch's own threads do not survive a fork
    layer, values_TBI = layer_of(8, 64, 0), torch.randn(3, 4, 8)
    state = torch.zeros(1, 4, 64), torch.zeros(1, 4, 64)

    def compute(threads: int) -> Tensor:
        torch.set_num_threads(threads)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return lstm_layer(values_TBI, state, layer.all_weights[0])[0]

    expected = compute(1)
    pid = os.fork()
    if pid == 0:
        signal.alarm(_FORK_SECONDS)  # a process that hangs ends the test
        os._exit(0 if torch.equal(compute(1), expected) else 1)
    assert os.waitpid(pid, 0)[1] == 0


@needs_kernel
def test_a_second_backward_pass_is_refused() -> None:
    """The first one overwrites the gates."""
    layer, state = layer_of(4, 32, 0), torch.zeros(1, 2, 32)
    with torch.autocast("cpu", torch.bfloat16):
        hidden, _ = lstm_layer(torch.randn(3, 2, 4), (state, state), layer.all_weights[0])
    hidden.float().sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        hidden.float().sum().backward()  # type: ignore[no-untyped-call]


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_state_of_another_type_is_converted(dtype: torch.dtype) -> None:
    layer, values_TBI = layer_of(4, 32, 0), torch.randn(3, 2, 4)
    state = torch.ones(1, 2, 32), torch.ones(1, 2, 32)
    converted = state[0].to(dtype), state[1].to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        expected, _ = lstm_layer(values_TBI, state, layer.all_weights[0])
        hidden, _ = lstm_layer(values_TBI, converted, layer.all_weights[0])
    assert torch.equal(hidden, expected)
