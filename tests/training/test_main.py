"""The entry point: what it does before and around a command, in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.training.commands import SMALL, TEXT, read_until, start_python
from training.command_line import run as main

# Runs `python -m training` and executes the statement $AT_TORCH when torch is about to be loaded.
SPY = """
import os, runpy, signal, sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.meta_path.remove(self)
            exec(os.environ["AT_TORCH"])
sys.meta_path.insert(0, Spy())
runpy.run_module("training", run_name="__main__", alter_sys=True)
"""
SHOW_POLICY = 'print([os.environ.get(n) for n in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")]); exit()'
PREVIOUS = {name: value for name, value in os.environ.items() if "OMP_" not in name}


def run_with(at_torch: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SPY, "train", "--text", "absent.txt"],
        capture_output=True,
        text=True,
        env=PREVIOUS | {"AT_TORCH": at_torch} | environment,
    )


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "['PASSIVE', '1000']\n"),
        ({"OMP_WAIT_POLICY": "active"}, "['active', None]\n"),
        ({"GOMP_SPINCOUNT": "1000"}, "[None, '1000']\n"),
    ],
)
def test_threads_spin_only_shortly_unless_the_environment_says_otherwise(
    environment: dict[str, str], expected: str
) -> None:
    """Spinning threads slow training to a tenth beside another busy process."""
    assert run_with(SHOW_POLICY, **environment).stdout == expected


def test_ctrl_c_while_loading_ends_with_one_line() -> None:
    result = run_with("os.kill(os.getpid(), signal.SIGINT)")
    assert result.returncode == 130
    assert result.stderr == "charstream: interrupted\n"
    assert result.stdout == ""


def test_an_interrupt_that_gets_lost_is_raised_again() -> None:
    program = """
import signal, sys, time
import training.command_line as command_line
from training.__main__ import start
def run(**_):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        time.sleep(60)
command_line.run = run
sys.exit(start())
"""
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 130
    assert result.stderr == "charstream: interrupted\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(TEXT.replace("'", "\u2019").replace("happy", "h\u00e4ppy"))
    return path


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return start_python("-m", "training", *arguments, PYTHONUNBUFFERED="1", **environment)


def shown_by(*arguments: str, **environment: str) -> str:
    """What a command shows that succeeds."""
    process = start(*arguments, **environment)
    shown = process.communicate(timeout=120)[0]
    assert process.returncode == 0, shown
    return shown


def test_ctrl_c_while_planning_ends_with_one_line(text: Path, out: Path) -> None:
    flags = ["--text", str(text), "--out", str(out), *SMALL]
    process = start("train", *flags, "--minutes", "100")
    read_until(process, "Planning")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "charstream: interrupted\n"
    assert process.returncode == 130
    assert not out.exists()


def test_any_text_can_be_printed_to_any_terminal(tiny_path: Path) -> None:
    shown = shown_by("sample", str(tiny_path), "--prime", "\u00e9", PYTHONIOENCODING="ascii")
    assert shown.startswith("\\xe9")
    assert shown.isascii()


def test_any_text_can_be_printed_in_a_locale_without_utf8(text: Path, tmp_path: Path) -> None:
    """The bytes of a name are printed as they are, so that the name can be pasted."""
    out = tmp_path / "l\u00e4uf"
    variables = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    train = ["train", "--text", str(text), "--out", str(out), *SMALL, "--epochs", "1"]
    shown = shown_by(*train, **variables)
    assert f"{out}/best.safetensors" in shown.splitlines()[-1]
    assert shown.replace(out.name, "").isascii()
    sample = ["sample", str(out / "best.safetensors"), "--temperature", "3", "--top-k", "0"]
    shown = shown_by(*sample, **variables)
    assert "\\xe4" in shown
    assert shown.isascii()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("text", "downloaded"), [("absent.txt", False), ("folder", False), ("data/anna.txt", True)]
)
def test_make_train_downloads_only_the_default_text(
    tmp_path: Path, text: str, downloaded: bool
) -> None:
    """`train` names a missing file. A folder is a text, too."""
    (tmp_path / "folder").mkdir()
    command = ["make", "--no-print-directory", "--file", str(ROOT / "Makefile")]
    command += ["--old-file", ".venv/ready", "train"]
    variables = [f"TEXT={text}", "PY=echo", "SOURCES=", "PYTHON=none"]
    result = subprocess.run(
        [*command, *variables], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (f"-m training corpus anna --out {text}\n" in result.stdout) == downloaded
    assert result.stdout.endswith(f"-m training train --text {text} --out runs/anna\n")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses such a name of a file")
def test_a_folder_that_tensorboard_cannot_use_is_named(text: Path, tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"l\xe4uf")
    train = ["train", "--text", str(text), "--out", str(out), *SMALL, "--tensorboard"]
    shown = start(*train).communicate(timeout=120)[0].splitlines()[-1]
    assert shown.startswith(f"charstream: {tmp_path}/l\\udce4uf/tensorboard: TensorBoard cannot")


def test_a_terminal_sees_the_progress_of_an_evaluation(
    text: Path, tiny_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, and only there, so that the output of --json stays as it is."""
    master, terminal = pty.openpty()
    evaluate = ["evaluate", str(tiny_path), "--text", str(text), "--json"]
    result = subprocess.run(
        [sys.executable, "-m", "training", *evaluate],
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        check=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(terminal)
    shown = b""
    while b"100%" not in shown:  # a terminal returns at most 4,095 bytes at once
        shown += os.read(master, 1 << 16)
    os.close(master)
    assert b"Evaluating" in shown
    assert json.loads(result.stdout)["characters"] > 0
    assert main(evaluate) == 0
    quiet = capsys.readouterr()
    assert "Evaluating" not in quiet.err
    assert quiet.out == result.stdout
