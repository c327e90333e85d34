from __future__ import annotations

import hashlib
import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model import native_library
from model.backend import Backend, DecoderState, StepInput, StepOutput
from model.checkpoint import load_checkpoint
from model.decoder import Decoder
from model.linear import int8_is_available
from model.native_backend import NativeBackend
from model.network import CharLSTM, NetworkConfig
from model.sampling import SamplingParams
from model.selection import choose_precision, kernels_for
from model.torch_backend import TorchBackend

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")

Floats = npt.NDArray[np.float64]
KERNELS = native_library.kernels()
needs_kernel = pytest.mark.skipif(not KERNELS, reason="the native kernel is not compiled here")


@st.composite
def networks(draw: st.DrawFn, most_hidden: int = 1024) -> CharLSTM:
    """Any sizes; the large ones seldom together, so that a test ends."""
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
    return NativeBackend(network.config, network.state_dict(), slots, kernel, threads)


def random_plan(
    random: np.random.Generator, vocabulary: int, steps: int, streams: int, first: int = 0
) -> StepInput:
    forced_ids_kS = random.integers(-1, vocabulary, (steps, streams))
    forced_ids_kS[random.random((steps, streams)) < 0.5] = -1
    prompt_steps_S = random.integers(0, steps + 1, streams)
    for stream, hidden in enumerate(prompt_steps_S):  # a prime's characters are all forced
        prime = forced_ids_kS[:hidden, stream]
        prime[prime < 0] = 0
    return StepInput(
        first=first,
        last_ids_S=random.integers(0, vocabulary, streams),
        forced_ids_kS=forced_ids_kS,
        uniforms_kS=random.random((steps, streams), dtype=np.float32),
        prompt_steps_S=prompt_steps_S,
        alternatives=[[None, 0, 3, 10][choice] for choice in random.integers(0, 4, streams)],
    )


def results(batch: Backend, sampling: list[SamplingParams], plans: list[StepInput]) -> list[object]:
    """All that a batch's steps leave, to compare."""
    for slot in range(len(sampling)):
        batch.put(slot, None)
    batch.sample_with(sampling)
    steps = [batch.step(plan) for plan in plans]
    states = [batch.state(slot) for slot in range(len(sampling))]
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
    plans = [random_plan(random, vocabulary, 3, slots)]
    for steps in (1, 2):
        first, end = sorted(random.choice(slots + 1, 2, replace=False))
        plans.append(random_plan(random, vocabulary, steps, int(end - first), int(first)))
    expected = results(make(network, slots, "plain"), sampling, plans)
    for kernel in KERNELS:
        assert results(make(network, slots, kernel, threads), sampling, plans) == expected


@needs_kernel
@pytest.mark.skipif(not int8_is_available(CPU), reason="torch has no int8 here to compare with")
@settings(max_examples=25, deadline=None)
@given(network=networks(), seed=st.integers(0, 1000))
def test_it_predicts_what_torch_predicts_in_int8(network: CharLSTM, seed: int) -> None:
    """Codes of hidden values differ by one where rounding in float32 falls another way."""
    config, streams, steps = network.config, 7, 8
    random = np.random.default_rng(seed)
    ids = random.integers(0, config.vocabulary_size, (steps + 1, streams))
    plan = StepInput(
        0,
        ids[0],
        ids[1:],
        np.zeros((steps, streams), np.float32),
        np.zeros(streams, np.int64),
        [0] * streams,
    )

    def scores(batch: Backend) -> torch.Tensor:
        batch.sample_with([SamplingParams()] * streams)
        made = batch.step(plan).scores
        assert made is not None
        return torch.from_numpy(made)

    expected = scores(TorchBackend(config, network.state_dict(), streams, "int8"))
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
    """Against the rules of `model.sampling`, in float64, on the distribution that it scores."""
    torch.manual_seed(seed)
    network = CharLSTM(NetworkConfig(vocabulary, 16, 1))
    with torch.no_grad():
        network.output.bias.normal_(0, 3)
    batch = make(network, 1, KERNELS[0])
    batch.sample_with([sampling])
    uniform = np.random.default_rng(seed).random((1, 1), dtype=np.float32)
    made = batch.step(
        StepInput(0, np.zeros(1, np.int64), np.full((1, 1), -1), uniform, np.zeros(1, np.int64),
             [vocabulary])
    )  # fmt: skip
    assert made.scores is not None
    _, rank, entropy, probability, *rest = made.scores[0, 0]
    order, logprobs = np.array(rest[:vocabulary], int), np.array(rest[vocabulary:])
    assert sorted(order) == list(range(vocabulary))
    assert np.exp(logprobs).sum() == pytest.approx(1)
    assert entropy == pytest.approx(-(np.exp(logprobs) * logprobs).sum())
    place = int(np.flatnonzero(order == made.ids[0, 0])[0])
    assert rank == 1 + (logprobs > logprobs[place]).sum()
    kept = kept_probabilities(logprobs, sampling)
    if kept is None:
        return  # a filter's edge lies within a rounding of a character
    assert probability == pytest.approx(kept[place], rel=1e-4)
    cumulative = kept.cumsum()
    assert (
        (cumulative[place - 1] if place else 0) - 1e-5 <= uniform[0, 0] <= cumulative[place] + 1e-5
    )


def kept_probabilities(logprobs: Floats, sampling: SamplingParams) -> Floats | None:
    """What falling log-probabilities become by temperature and filters; None: too close to say."""
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
    write, keep, candidate, show = torch.tensor(gates, dtype=torch.float64).T
    before = torch.tensor(cells)
    expected = before.double() * keep.sigmoid() + write.sigmoid() * candidate.tanh()
    for kernel in KERNELS:
        batch = make(network, 1, kernel)
        zero = batch.state(0)
        batch.put(0, DecoderState(zero.hidden, before.view(1, 16)))
        batch.step(plan_of(0, 1))
        state = batch.state(0)
        cell = state.cell[0].double()
        assert ((cell - expected).abs() <= 1e-6 * expected.abs().clamp_min(1)).all()
        hidden = 127 * show.sigmoid() * cell.tanh()
        assert ((state.hidden[0].double() - 128 - hidden).abs() <= 0.5 + 127e-6).all()


def plan_of(last_id: int, steps: int) -> StepInput:
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
    """What a change of this digest means: that no text of before can be had again.

    It takes eight texts to see a change of one float's last bit.
    """
    shipped = load_checkpoint(ROOT / "checkpoints/anna.safetensors")
    decoder = Decoder(shipped, 1, precision="int8", kernel=kernel)
    prime = shipped.vocabulary.encode("And Levin said,")
    texts = [decoder.generate(prime, 1000, SamplingParams(), seed=seed) for seed in range(8)]
    digest = hashlib.sha256("".join(map(shipped.vocabulary.decode, texts)).encode())
    assert digest.hexdigest()[:16] == "ada11516b3dc54c7"


@needs_kernel
def test_absurd_weights_are_survived() -> None:
    """Infinities and what is no number give some text, of the vocabulary's characters."""
    for factor in (1e30, math.inf, math.nan):
        network = CharLSTM(NetworkConfig(50, 32, 2))
        weights = {name: tensor * factor for name, tensor in network.state_dict().items()}
        for kernel in KERNELS:
            batch = NativeBackend(network.config, weights, 1, kernel)
            batch.sample_with([SamplingParams(top_p=0.9)])
            steps: StepOutput = batch.step(plan_of(1, 40))
            assert steps.ids.min() >= 0
            assert steps.ids.max() < 50


@needs_kernel
def test_a_batch_that_is_gone_leaves_no_threads() -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    if not Path("/proc/self/task").exists():
        pytest.skip("the system does not list threads")
    before = threads()
    batch = make(CharLSTM(NetworkConfig(5, 16, 1)), 1, KERNELS[0], threads=4)
    batch.step(plan_of(0, 2))
    assert threads() == before + 3
    del batch
    assert threads() == before


STEPS_ON = """
import threading
import numpy as np
from model import native_library
from model.native_backend import NativeBackend
from model.network import CharLSTM, NetworkConfig
from tests.model.test_native_backend import plan_of

network = CharLSTM(NetworkConfig(50, 256, 2))
batch = NativeBackend(network.config, network.state_dict(), 1, native_library.kernels()[0], 2)

def step_on():
    while True:
        batch.step(plan_of(0, 64))

threading.Thread(target=step_on, daemon=True).start()
batch.state(0)
"""


@needs_kernel
def test_a_process_may_end_in_the_middle_of_a_step() -> None:
    """As an engine's does when its thread is not waited for."""
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", STEPS_ON], cwd=ROOT).returncode == 0


@needs_kernel
def test_a_forked_process_is_told_that_the_threads_are_not_its_own() -> None:
    batch = make(CharLSTM(NetworkConfig(5, 16, 1)), 1, KERNELS[0], threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="forked"):
            batch.step(plan_of(0, 1))
    batch.step(plan_of(0, 1))


@needs_kernel
def test_what_cannot_be_stepped_is_refused() -> None:
    network = CharLSTM(NetworkConfig(5, 16, 1))
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        make(network, 1, KERNELS[0], threads=0)
    with pytest.raises(ValueError, match="kernel 'abacus' does not run here"):
        make(network, 1, "abacus")
    with pytest.raises(ValueError, match="at least one step"):
        make(network, 1, KERNELS[0]).step(plan_of(0, 0))


def forget() -> None:
    native_library.library.cache_clear()
    native_library.kernels.cache_clear()


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (None, "the native kernel has not been compiled here: torch steps the streams"),
        ("damaged", "the native kernel does not load, so torch steps the streams: "),
    ],
)
def test_without_a_kernel_torch_steps_the_streams(
    origin: str | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = None
    if origin is not None:
        (tmp_path / origin).write_bytes(b"no library")
        spec = importlib_spec(tmp_path / origin)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    caplog.set_level(logging.INFO)
    forget()
    try:
        assert kernels_for("int8", CPU) == ("torch",)
        assert choose_precision("auto", CPU) == ("int8" if int8_is_available(CPU) else "fp32")
    finally:
        forget()
    (message,) = caplog.messages
    assert message.startswith(said)


def importlib_spec(path: Path) -> object:
    class Spec:
        origin = str(path)

    return Spec()


@needs_kernel
def test_a_kernel_of_another_version_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native_library, "sizeof", lambda kind: 1)
    forget()
    try:
        assert native_library.kernels() == ()
    finally:
        forget()
    assert "of another version" in caplog.text


def test_where_there_is_no_compiler_the_installation_goes_on_without(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "build_ext"]
    built = subprocess.run(
        [*command, "--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")],
        cwd=ROOT,
        env={"PATH": "", "CC": "no-compiler", "CXX": "no-compiler"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert 'building extension "model._native" failed' in built.stderr
    assert not list((tmp_path / "lib").rglob("*.so"))
