"""The native kernels: the same bits by all of them, and the results that torch predicts."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import Backend, DecoderState, StepInput, StepOutput
from model.decoding.decoder import Decoder
from model.native.backend import NativeBackend
from model.pytorch.backend import TorchBackend
from model.pytorch.linear import int8_is_available
from model.pytorch.network import CharLSTM
from tests.kernels import KERNELS, needs_kernel
from tests.model.choice.test_held_cells import random_holds

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")

Floats = npt.NDArray[np.float64]


@st.composite
def networks(draw: st.DrawFn, most_hidden: int = 1024) -> CharLSTM:
    """Networks of any size, but rarely large in every way, so that the test ends in time."""
    layers = draw(st.integers(1, 4))
    hidden = draw(st.integers(16, most_hidden if layers == 1 else most_hidden // 4))
    vocabulary = draw(st.one_of(st.integers(2, 200), st.integers(2, 5000)))
    embedding = draw(st.sampled_from([None, 1, 24]))
    torch.manual_seed(draw(st.integers(0, 1000)))
    with torch.no_grad():
        network = CharLSTM(NetworkConfig(vocabulary, hidden, layers, embedding))
        for parameter in network.parameters():
            parameter.mul_(draw(st.sampled_from([0.5, 1, 3])))
    return network


params = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    top_k=st.one_of(st.none(), st.integers(1, 30)),
    top_p=st.one_of(st.none(), st.floats(0.01, 1)),
    min_p=st.one_of(st.none(), st.floats(0, 1)),
)


def make(network: CharLSTM, slots: int, kernel: str, threads: int = 1) -> NativeBackend:
    return NativeBackend(network.config, network.weights(), slots, kernel, threads)


def random_input(
    random: np.random.Generator, vocabulary: int, steps: int, streams: int, first: int = 0
) -> StepInput:
    forced_ids_kS = random.integers(-1, vocabulary, (steps, streams))
    forced_ids_kS[random.random((steps, streams)) < 0.5] = -1
    prompt_steps_S = random.integers(0, steps + 1, streams)
    for stream, count in enumerate(prompt_steps_S):  # every step of the prompt is forced
        prime = forced_ids_kS[:count, stream]
        prime[prime < 0] = 0
    return StepInput(
        first=first,
        last_ids_S=random.integers(0, vocabulary, streams),
        forced_ids_kS=forced_ids_kS,
        uniforms_kS=random.random((steps, streams), dtype=np.float32),
        prompt_steps_S=prompt_steps_S,
        alternatives=[[None, 0, 3, 10][choice] for choice in random.integers(0, 4, streams)],
    )


def results(
    backend: Backend, sampling: list[SamplingParams], inputs: list[StepInput]
) -> list[object]:
    """Everything that a backend's steps return and change, as plain lists."""
    for slot in range(len(sampling)):
        backend.put(slot, None)
    backend.sample_with(sampling)
    steps = [backend.step(given_input) for given_input in inputs]
    states = [backend.state(slot) for slot in range(len(sampling))]
    ids = [step.ids.tolist() for step in steps]
    scores = [None if step.scores is None else step.scores.tolist() for step in steps]
    return [ids, scores, [(s.hidden.tolist(), s.cell.tolist()) for s in states]]


@needs_kernel
@settings(max_examples=25, deadline=None)
@given(
    network=networks(),
    sampling=st.lists(params, min_size=1, max_size=21),
    seed=st.integers(0, 1000),
    threads=st.integers(1, 3),
)
def test_every_kernel_gives_the_same_bits(
    network: CharLSTM, sampling: list[SamplingParams], seed: int, threads: int
) -> None:
    random = np.random.default_rng(seed)
    vocabulary, slots = network.config.vocabulary_size, len(sampling)
    if seed % 3:  # otherwise the kernels get no arrays of holds
        sampling = [replace(p, hold=random_holds(random, network.config)) for p in sampling]
    inputs = [random_input(random, vocabulary, 3, slots)]
    for steps in (1, 2):
        first, end = sorted(random.choice(slots + 1, 2, replace=False))
        inputs.append(random_input(random, vocabulary, steps, int(end - first), int(first)))
    expected = results(make(network, slots, "plain"), sampling, inputs)
    for kernel in KERNELS:
        assert results(make(network, slots, kernel, threads), sampling, inputs) == expected


@needs_kernel
@pytest.mark.parametrize("streams", [17, 33, 49, 70])
@pytest.mark.parametrize("hidden", [16, 48, 64, 80])
def test_every_kernel_gives_the_same_bits_for_many_streams(hidden: int, streams: int) -> None:
    torch.manual_seed(hidden)
    network = CharLSTM(NetworkConfig(20, hidden, 2))
    inputs = [random_input(np.random.default_rng(streams), 20, 3, streams)]
    sampling = [SamplingParams()] * streams
    expected = results(make(network, streams, "plain"), sampling, inputs)
    for kernel in KERNELS:
        assert results(make(network, streams, kernel, 2), sampling, inputs) == expected


@needs_kernel
@pytest.mark.skipif(not int8_is_available(CPU), reason="torch has no int8 here to compare with")
@settings(max_examples=25, deadline=None)
@given(network=networks(), seed=st.integers(0, 1000))
def test_it_predicts_what_torch_predicts_in_int8(network: CharLSTM, seed: int) -> None:
    """Not bit for bit: float32 rounding may change the code of a hidden value by one."""
    config, streams, steps = network.config, 7, 8
    random = np.random.default_rng(seed)
    ids = random.integers(0, config.vocabulary_size, (steps + 1, streams))
    given_input = StepInput(
        0,
        ids[0],
        ids[1:],
        np.zeros((steps, streams), np.float32),
        np.zeros(streams, np.int64),
        [0] * streams,
    )

    def scores(backend: Backend) -> torch.Tensor:
        backend.sample_with([SamplingParams()] * streams)
        scores = backend.step(given_input).scores
        assert scores is not None
        return torch.from_numpy(scores)

    expected = scores(TorchBackend(config, network.weights(), streams, "int8"))
    actual = scores(make(network, streams, KERNELS[0]))
    logprobs, entropies = (actual - expected)[..., 0].abs(), (actual - expected)[..., 2].abs()
    assert logprobs.median() < 0.01
    assert logprobs.max() < 0.3
    assert entropies.median() < 0.01


@needs_kernel
@settings(max_examples=60, deadline=None)
@given(sampling=params, seed=st.integers(0, 1000), vocabulary=st.integers(2, 60))
def test_characters_are_drawn_by_the_rules(
    sampling: SamplingParams, seed: int, vocabulary: int
) -> None:
    """Compared with the rules of `choice.sampling_params`, in float64, on the distribution."""
    torch.manual_seed(seed)
    network = CharLSTM(NetworkConfig(vocabulary, 16, 1))
    with torch.no_grad():
        network.output.bias.normal_(0, 3)
    backend = make(network, 1, KERNELS[0])
    backend.sample_with([sampling])
    uniform = np.random.default_rng(seed).random((1, 1), dtype=np.float32)
    result = backend.step(
        StepInput(0, np.zeros(1, np.int64), np.full((1, 1), -1), uniform, np.zeros(1, np.int64),
             [vocabulary])
    )  # fmt: skip
    assert result.scores is not None
    _, rank, entropy, probability, *rest = result.scores[0, 0]
    ids, logprobs, probabilities = np.reshape(rest, (3, vocabulary))
    order = ids.astype(int)
    assert sorted(order) == list(range(vocabulary))
    assert np.exp(logprobs).sum() == pytest.approx(1)
    assert entropy == pytest.approx(-(np.exp(logprobs) * logprobs).sum())
    index = int(np.flatnonzero(order == result.ids[0, 0])[0])
    assert rank == 1 + (logprobs > logprobs[index]).sum()
    filtered = filtered_probabilities(logprobs, sampling)
    if filtered is None:
        return  # rounding decides whether a filter keeps a character
    assert probability == probabilities[index] == pytest.approx(filtered[index], rel=1e-4)
    assert probabilities == pytest.approx(filtered, rel=1e-4, abs=1e-30)
    cumulative = filtered.cumsum()
    assert (
        (cumulative[index - 1] if index else 0) - 1e-5 <= uniform[0, 0] <= cumulative[index] + 1e-5
    )


def filtered_probabilities(logprobs: Floats, sampling: SamplingParams) -> Floats | None:
    """Apply temperature and filters to sorted log-probabilities. None if rounding decides."""
    if sampling.temperature == 0:
        return np.array([1.0] + [0.0] * (len(logprobs) - 1))
    weights: Floats = np.exp((logprobs - logprobs[0]) / sampling.temperature)
    weights[sampling.top_k or len(weights) :] = 0
    weights /= weights.sum()
    before = weights.cumsum() - weights
    edges = [before - (sampling.top_p or 2), weights - (sampling.min_p or -1) * weights[0]]
    if min(np.abs(edge[1:]).min(initial=1) for edge in edges) < 1e-5:
        return None
    weights[1:] *= (before < (sampling.top_p or 2))[1:]
    weights[1:] *= (weights >= (sampling.min_p or 0) * weights[0])[1:]
    weights /= weights.sum()
    return weights


@needs_kernel
@settings(max_examples=50, deadline=None)
@given(
    gates=st.lists(st.tuples(*[st.floats(-100, 100, width=32)] * 4), min_size=16, max_size=16),
    cells=st.lists(st.floats(-20, 20, width=32), min_size=16, max_size=16),
)
def test_gates_and_cells_are_good_to_a_millionth(
    gates: list[tuple[float, ...]], cells: list[float]
) -> None:
    network = CharLSTM(NetworkConfig(2, 16, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.lstm.all_weights[0][2].copy_(torch.tensor(gates).T.flatten())
    input_gate, forget_gate, cell_gate, output_gate = torch.tensor(gates, dtype=torch.float64).T
    before = torch.tensor(cells)
    expected = before.double() * forget_gate.sigmoid()
    expected += input_gate.sigmoid() * cell_gate.tanh()
    for kernel in KERNELS:
        backend = make(network, 1, kernel)
        zero = backend.state(0)
        backend.put(0, DecoderState(zero.hidden, before.view(1, 16).numpy()))
        backend.step(one_stream(0, 1))
        state = backend.state(0)
        cell = torch.from_numpy(state.cell[0]).double()
        assert ((cell - expected).abs() <= 1e-6 * expected.abs().clamp_min(1)).all()
        hidden = 127 * output_gate.sigmoid() * cell.tanh()
        assert (
            (torch.from_numpy(state.hidden[0]).double() - 128 - hidden).abs() <= 0.5 + 127e-6
        ).all()


def one_stream(last_id: int, steps: int) -> StepInput:
    return StepInput(
        0,
        np.array([last_id]),
        np.full((steps, 1), -1),
        np.full((steps, 1), 0.5, np.float32),
        np.zeros(1, np.int64),
        [None],
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_shipped_model_writes_the_same_text_on_every_processor(kernel: str) -> None:
    """If this digest changes, texts of earlier versions can no longer be reproduced.

    One text is not enough: a change in the last bit of a float shows in one of eight.
    """
    shipped = load_checkpoint(ROOT / "checkpoints/anna.safetensors")
    decoder = Decoder(shipped, 1, precision="int8", kernel=kernel)
    prime = shipped.vocabulary.encode("And Levin said,")
    texts = [decoder.generate(prime, 300, SamplingParams(), seed=seed) for seed in range(8)]
    digest = hashlib.sha256("".join(map(shipped.vocabulary.decode, texts)).encode())
    assert digest.hexdigest()[:16] == "4855b9ec0fb1de91"


@needs_kernel
def test_extreme_weights_give_ids_of_the_vocabulary() -> None:
    """With infinite and NaN weights, the ids are still in the vocabulary."""
    for factor in (1e30, math.inf, math.nan):
        network = CharLSTM(NetworkConfig(50, 32, 2))
        weights = {name: tensor * factor for name, tensor in network.weights().items()}
        for kernel in KERNELS:
            backend = NativeBackend(network.config, weights, 1, kernel)
            backend.sample_with([SamplingParams(top_p=0.9)])
            steps: StepOutput = backend.step(one_stream(1, 40))
            assert steps.ids.min() >= 0
            assert steps.ids.max() < 50


# Without torch, as in a server, and because loading it takes seconds.
STEP_FOREVER = """
import threading
import numpy as np
from model.checkpoints.checkpoint import load_checkpoint
from model.decoding.backend import StepInput
from model.native import library as native_library
from model.native.backend import NativeBackend

shipped = load_checkpoint("checkpoints/anna.safetensors")
backend = NativeBackend(shipped.config, shipped.weights, 1, native_library.kernels()[0], 2)
forced, uniforms = np.full((64, 1), -1), np.full((64, 1), 0.5, np.float32)
steps = StepInput(0, np.array([0]), forced, uniforms, np.zeros(1, np.int64), [None])

def step_forever():
    while True:
        backend.step(steps)

threading.Thread(target=step_forever, daemon=True).start()
backend.state(0)
"""


@needs_kernel
def test_a_process_may_end_in_the_middle_of_a_step() -> None:
    """An engine's daemon thread may be inside a step when the process exits."""
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", STEP_FOREVER], cwd=ROOT).returncode == 0


@needs_kernel
def test_invalid_arguments_are_refused() -> None:
    network = CharLSTM(NetworkConfig(5, 16, 1))
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        make(network, 1, KERNELS[0], threads=0)
    with pytest.raises(ValueError, match="kernel 'abacus' does not run on this processor"):
        make(network, 1, "abacus")
    with pytest.raises(ValueError, match="at least one step"):
        make(network, 1, KERNELS[0]).step(one_stream(0, 0))
