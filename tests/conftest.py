"""Fixtures: a tiny checkpoint with random weights, and servers that run on ports."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from playwright.sync_api import Browser

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.native import library as native_library
from model.pytorch.network import CharLSTM
from model.text.vocabulary import Vocabulary
from tests.browser import needs_browser, running_browser
from tests.server import RunningServer, running_server

# On a busy machine, any example may take longer than hypothesis' deadline of 0.2 s.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

torch.set_num_threads(1)  # the networks here are small, and other processes need the cores too

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "checkpoints" / "anna.safetensors"
CHARACTERS = sorted("\n !'()abcdefghijklmnopqrstuvwxyzABCDEFGH\u2028é漢😀\x85\x1b<>&\"\\")


def make_checkpoint(seed: int = 0, **sizes: int) -> Checkpoint:
    """Make a checkpoint whose random weights give clearly uneven distributions."""
    return make_checkpoint_of(CHARACTERS, seed, **sizes)


def make_checkpoint_of(characters: Sequence[str], seed: int = 0, **sizes: int) -> Checkpoint:
    """Make a checkpoint, as `make_checkpoint` does, with another vocabulary."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary(characters)
    config = NetworkConfig(len(vocabulary), **{"hidden_size": 32, "layers": 2, **sizes})
    weights = {name: tensor * 3 for name, tensor in CharLSTM(config).weights().items()}
    return Checkpoint(config, vocabulary, weights, {"validation_loss": 3.5})


def pytest_sessionstart() -> None:
    # Taken out, because servers under test would report it as an unknown setting.
    required = os.environ.pop("CHARSTREAM_REQUIRE_NATIVE", "") == "1"
    if required and not native_library.kernels():
        raise pytest.UsageError(
            "CHARSTREAM_REQUIRE_NATIVE is 1, but the native kernel is not compiled or does not "
            "load, so its tests would be skipped. Install a C++ compiler, then the package again."
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    elsewhere = [
        item.nodeid
        for item in items
        if item.get_closest_marker("gpu") and item.path.parent != ROOT / "tests" / "devices"
    ]
    if elsewhere:
        raise pytest.UsageError(
            f"make gpu-check runs the tests of tests/devices only: move {', '.join(elsewhere)}"
        )
    for item in items:
        if isinstance(item, pytest.Function) and "browser" in item.fixturenames:
            for mark in needs_browser:
                item.add_marker(mark)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU; on a machine with one, make gpu-check runs this test")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and an NVIDIA GPU if there is one."""
    return torch.device(request.param)


@pytest.fixture(scope="session", autouse=True)
def heeded_interrupt() -> None:
    """SIGINT ends this process and those that it starts, also if a shell runs it with `&`."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def heeded_hangup() -> Iterator[None]:
    """SIGHUP ends this process and those that it starts, also if `nohup` started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Only reference counting frees objects during the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. Tests that use it are skipped where there is none."""
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(make_checkpoint(), path)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Checkpoint:
    return load_checkpoint(tiny_path)


@pytest.fixture(scope="session")
def server(tiny_path: Path) -> Iterator[RunningServer]:
    """A server with the tiny checkpoint and low limits."""
    settings = {"max_length": "5000", "max_prime": "2000", "max_streams": "16", "max_queue": "8"}
    with running_server(tiny_path, **settings) as running:
        yield running


@pytest.fixture(scope="session")
def shipped() -> Iterator[RunningServer]:
    """A server with the shipped model and the default settings."""
    with running_server(SHIPPED) as running:
        yield running
