"""TensorBoard's files on a disk that becomes full."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("begun", [False, True])
def test_a_full_disk_stops_the_run_which_can_be_resumed(
    begun: bool,
    train: Callable[..., int],
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The disk is full from the start, or once the run has begun and saved its state.

    TensorBoard writes in a thread of its own, which also prints the error.
    """
    real = io.open

    def open_on_full_disk(file: Any, *arguments: Any, **options: Any) -> Any:
        if "tfevents" in str(file) and (out / "state.pt").exists() == begun:
            file = "/dev/full"
        return real(file, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(io, "open", open_on_full_disk)
        assert train("--tensorboard") == 1
    advice = ". The files saved before are intact: make room, then use --resume" if begun else ""
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"charstream: {out}: cannot be written: No space left on device{advice}"
    )
    resume = ["--resume"] if begun else []
    assert train("--tensorboard", *resume) == 0
    assert (out / "best.safetensors").exists()
