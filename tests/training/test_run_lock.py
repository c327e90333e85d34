"""The lock of a run's folder: one process at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import TrainingError
from tests.training.commands import read_until, run_training
from training.run_lock import locked


def test_a_folder_is_locked_once(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "book"
    with locked(folder):
        with pytest.raises(TrainingError, match="book is in use by another training run: wait"):
            locked(folder).__enter__()
        (folder / "state.pt").touch()
    with locked(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["state.pt"]


def test_a_folder_in_which_nothing_was_written_is_removed(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_any_more_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    with locked(tmp_path / "run"):
        monkeypatch.setattr(Path, "unlink", refuse)
    assert (tmp_path / "run" / "run.lock").exists()
    monkeypatch.undo()
    with locked(tmp_path / "run"):
        pass


def unsupported(*_: object) -> None:
    raise OSError(95, "Operation not supported")


@pytest.mark.parametrize(("name", "value"), [("fcntl", None), ("fcntl.flock", unsupported)])
def test_a_system_without_locks_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    monkeypatch.setattr(f"training.run_lock.{name}", value)
    with locked(tmp_path), locked(tmp_path):
        assert value or not list(tmp_path.iterdir())


def test_a_second_run_in_a_folder_is_refused_until_the_first_one_is_killed(
    train: Callable[..., int], flags: list[str], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_training(*flags, "--epochs", "100000")
    read_until(first, "updates of")
    assert train() == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is in use by another training run" in error
    assert train("--resume") == 1
    first.kill()
    first.communicate()
    with locked(out):
        pass


def test_the_processes_of_a_second_run_end_with_one_line(flags: list[str], out: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    with locked(out):
        second = run_training(*flags, launcher=torchrun)
        shown = second.communicate(timeout=120)[0]
    assert second.returncode != 0
    assert shown.count("is in use by another training run") == 1
    assert "Connection closed" not in shown
