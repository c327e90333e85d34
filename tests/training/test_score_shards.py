"""python -m training score --out, --resume, --shard and --on-error: long lists of lines."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import CHARACTERS, ROOT
from training import score_file
from training.command_line import run as main

COMMAND = [sys.executable, "-m", "training", "score"]
KNOWN = [character for character in CHARACTERS if character not in "\n\r"]
CONTENTS = st.builds(
    lambda mark, lines, end: (mark + end.join(lines)).encode(),
    st.sampled_from(["", "\ufeff"]),
    st.lists(st.text(KNOWN, max_size=9), max_size=20),
    st.sampled_from(["\n", "\r\n"]),
)
FORMATS = st.sampled_from([[], ["--json"], ["--with-text"]])


@pytest.fixture(scope="module")
def output(
    tiny_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[bytes, Path]]:
    """Scores the lines of a content. Returns what the command has written, and to which file."""
    text = tmp_path_factory.mktemp("lines") / "lines.txt"
    numbers = iter(range(1_000_000))

    def scored(content: bytes, *options: str, out: Path | None = None) -> tuple[bytes, Path]:
        text.write_bytes(content)
        out = out or text.with_name(f"{next(numbers)}.csv")
        assert main(["score", str(tiny_path), str(text), "--out", str(out), *options]) == 0
        return out.read_bytes(), out

    return scored


@settings(max_examples=60)
@given(content=CONTENTS, count=st.integers(1, 7), options=FORMATS)
def test_the_outputs_of_all_shards_are_that_of_the_file(
    output: Callable[..., tuple[bytes, Path]], content: bytes, count: int, options: list[str]
) -> None:
    whole, _ = output(content, *options)
    shards = [output(content, *options, "--shard", f"{n + 1}/{count}")[0] for n in range(count)]
    assert b"".join(shards) == whole


@settings(max_examples=60)
@given(
    content=CONTENTS,
    at=st.floats(0, 1),
    compared=st.integers(0, 200),
    shard=st.sampled_from(["1/1", "2/2"]),
    options=FORMATS,
)
def test_a_file_that_was_cut_off_is_continued(
    output: Callable[..., tuple[bytes, Path]],
    content: bytes,
    at: float,
    compared: int,
    shard: str,
    options: list[str],
) -> None:
    whole, path = output(content, *options, "--shard", shard)
    path.write_bytes(whole[: round(at * len(whole))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_file, "_COMPARED_BYTES", compared)
        assert output(content, *options, "--shard", shard, "--resume", out=path)[0] == whole


def test_shards_that_are_killed_three_times_lose_nothing(tiny_path: Path, tmp_path: Path) -> None:
    """And double nothing. Two processes run at a time, as on two machines."""
    draw = random.Random(5)
    text = tmp_path / "lines.txt"
    text.write_text("\n".join("".join(draw.choices(KNOWN, k=100)) for _ in range(40_000)))
    command = [*COMMAND, str(tiny_path), str(text)]
    whole = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    outs = [tmp_path / "1.csv", tmp_path / "2.csv"]
    flags = [["--shard", f"{n}/2", "--out", str(out), "--resume"] for n, out in enumerate(outs, 1)]
    for out in outs:
        out.touch()
    for _ in range(3):
        targets = [out.stat().st_size + draw.randrange(len(whole) // 20) for out in outs]
        running = [subprocess.Popen([*command, *each], cwd=ROOT) for each in flags]
        while any(process.returncode is None for process in running):
            for process, out, target in zip(running, outs, targets, strict=True):
                if process.returncode is None and out.stat().st_size > target:
                    process.kill()
                    assert process.wait() < 0, "it ended before it was killed"
                assert process.poll() in (None, -signal.SIGKILL)
            time.sleep(0.001)
    for each in flags:
        subprocess.run([*command, *each], cwd=ROOT, check=True)
    assert b"".join(out.read_bytes() for out in outs) == whole


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"abc\n\ndef\n\nghi", ["--prime", "abc"]),
        (b"abd\n\ndef\n\nghi", []),
        (b"abc\n", []),
        (b"", []),
        (b"abc\n\ndef\n\nghi", ["--json"]),
        (b"abc\n\ndef\n\nghi", ["--with-text"]),
        (b"abc\n\ndef\n\nghi", ["--shard", "2/2"]),
    ],
)
def test_a_file_of_another_result_stays_as_it_is(
    output: Callable[..., tuple[bytes, Path]],
    tiny_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    options: list[str],
) -> None:
    whole, path = output(b"abc\n\ndef\n\nghi")
    cut = whole[: whole.index(b"\n4,") + 5]
    path.write_bytes(cut)
    text = tmp_path / "other.txt"
    text.write_bytes(content)
    command = ["score", str(tiny_path), str(text), "--out", str(path), "--resume", *options]
    assert main(command) == 1
    shown = capsys.readouterr().err
    assert "the rows after row 0 are not those of this model, text, shard and options" in shown
    assert path.read_bytes() == cut


@pytest.mark.parametrize("content", [b"not a result", b"not\na result", b"\0" * 100])
def test_a_file_that_is_not_a_result_stays_as_it_is(
    tiny_path: Path, tmp_path: Path, content: bytes
) -> None:
    text = tmp_path / "lines.txt"
    text.write_bytes(content)
    assert main(["score", str(tiny_path), str(text), "--out", str(text), "--resume"]) == 1
    assert text.read_bytes() == content


def test_a_full_disk_ends_the_command_and_the_rest_comes_later(
    output: Callable[..., tuple[bytes, Path]], tiny_path: Path, tmp_path: Path
) -> None:
    content = b"abc\n" * 3_000
    whole, path = output(content)
    text = tmp_path / "lines.txt"
    text.write_bytes(content)
    path.unlink()
    command = [*COMMAND, str(tiny_path), str(text), "--out", str(path)]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )
    assert (ended.returncode, path.stat().st_size) == (1, 10_000)
    assert ended.stderr == f"charstream: {path}: cannot be written: File too large\n"
    assert output(content, "--resume", out=path)[0] == whole


def test_lines_that_cannot_be_scored_get_empty_results(
    output: Callable[..., tuple[bytes, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    expected, _ = output(b"abc\n\ndef\n")
    assert capsys.readouterr().err == ""
    content = "abc\n\u2019b\ndef\n".encode() + b"a\xffb\n"
    found, _ = output(content, "--on-error", "empty")
    first, second, third, fourth = found.decode().splitlines()[1:]
    assert [first, third] == expected.decode().splitlines()[1::2]
    assert (second, fourth) == ("2,,,,2", "4,,,,3"), "\\xff is not UTF-8"
    assert "2 lines could not be scored" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "--resume needs --out, the file to continue"),
        (["--memory", "--shard", "1/2"], "--shard and --memory exclude each other"),
        (["--out", "results.csv"], "results.csv exists: continue it with --resume, or delete it"),
        (["--out", "."], ". is not a regular file"),
        (["--out", os.devnull, "--resume"], f"{os.devnull} is not a regular file"),
        (["--out", "absent/results.csv"], "absent/results.csv: cannot be written: No such file"),
    ],
)
def test_unusable_options_are_named(
    tiny_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results.csv").touch()
    Path("lines.txt").write_text("abc\n")
    assert main(["score", str(tiny_path), "lines.txt", *options]) == 1
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "1/0", "a/b", "1/2/3"])
def test_a_shard_that_does_not_exist_is_refused(
    shard: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["score", "model", "lines.txt", "--shard", shard])
    shown = capsys.readouterr().err
    assert f"expected K/N with 1 <= K <= N, such as 1/8, got '{shard}'" in shown


def test_a_missing_text_leaves_no_output(tiny_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert main(["score", str(tiny_path), "absent.txt", "--out", str(out)]) == 1
    assert not out.exists()


def test_two_processes_do_not_write_the_same_file(
    tiny_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe, out = tmp_path / "pipe", str(tmp_path / "out.csv")
    os.mkfifo(pipe)
    command = [*COMMAND, str(tiny_path), str(pipe), "--out", out]
    with subprocess.Popen(command, cwd=ROOT) as process:
        with pipe.open("wb", buffering=0) as lines:
            lines.write(b"abc\n")
            while not Path(out).exists() or not Path(out).stat().st_size:
                time.sleep(0.01)
            text = tmp_path / "lines.txt"
            text.touch()
            assert main(["score", str(tiny_path), str(text), "--out", out, "--resume"]) == 1
            assert f"{out}: another process is writing it" in capsys.readouterr().err
        assert process.wait(20) == 0
