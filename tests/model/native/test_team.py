"""The team of threads: one caller at a time, its end, and processes that fork."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from model.checkpoints.network_config import NetworkConfig
from model.native.backend import NativeBackend
from model.native.library import CBatch
from model.pytorch.network import CharLSTM
from tests.kernels import KERNELS, needs_kernel

pytestmark = needs_kernel

_FORK_SECONDS = 20


def make_backend(threads: int = 2, hidden: int = 64) -> NativeBackend:
    torch.manual_seed(0)
    network = CharLSTM(NetworkConfig(20, hidden, 2))
    return NativeBackend(network.config, network.weights(), 1, KERNELS[0], threads)


def test_a_second_thread_is_refused_while_a_step_is_computed() -> None:
    """The test repeats a long call until a short one comes in the middle of it."""
    backend = make_backend(hidden=512)
    running = threading.Event()

    def multiply() -> None:
        running.set()
        with contextlib.suppress(RuntimeError):  # if the main thread's short call came first
            backend.multiply(streams=1, steps=200)

    message = ""
    while not message:
        running.clear()
        first = threading.Thread(target=multiply)
        first.start()
        running.wait()
        try:
            backend.multiply(streams=1, steps=1)
        except RuntimeError as error:
            message = str(error)
        first.join()
    assert "computing a step in another thread" in message
    backend.multiply(streams=1, steps=1)


def test_two_threads_that_call_at_random_times_never_meet_inside() -> None:
    """Each call either computes all of its steps or raises. A meeting would hang the barrier."""
    backend = make_backend()
    outcomes: list[str] = []

    def call_often() -> None:
        for _ in range(300):
            try:
                backend.multiply(streams=1, steps=2)
                outcomes.append("computed")
            except RuntimeError:
                outcomes.append("refused")

    with ThreadPoolExecutor(3) as callers:
        for _ in range(3):
            callers.submit(call_often)
    assert len(outcomes) == 900
    assert outcomes.count("computed") >= 300


def test_a_closed_team_refuses_to_compute() -> None:
    backend = make_backend()
    team = backend._team
    team.close()
    team.close()
    with pytest.raises(RuntimeError, match="threads have ended"):
        backend.multiply(streams=1, steps=1)


def test_a_team_cannot_be_closed_while_it_computes() -> None:
    backend = make_backend()
    team = backend._team
    refusals: list[str] = []

    def close_inside(*_: object) -> None:
        with pytest.raises(RuntimeError) as caught:
            team.close()
        refusals.append(str(caught.value))

    team._call(close_inside, CBatch())
    assert len(refusals) == 1
    assert "computing a step" in refusals[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_ends_although_it_collects_the_team() -> None:
    """The child has no helper threads, so it must neither wait for their end nor use them."""
    backend: NativeBackend | None = make_backend(threads=3)
    assert backend is not None
    backend.multiply(streams=1, steps=1)
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(_FORK_SECONDS)  # ends a child that hangs
            with pytest.raises(RuntimeError, match="forked"):
                backend.multiply(streams=1, steps=1)
            del backend  # closes the team
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    backend.multiply(streams=1, steps=1)
