"""The client as a program, started by its path and as a module."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clients import charstream_client
from clients.charstream_client import Client, HeldCell, Stream
from clients.charstream_client.__main__ import main
from tests.server import RunningServer

FOLDER = Path(charstream_client.__file__).parent
BY_PATH = [sys.executable, str(FOLDER)]
AS_MODULE = [sys.executable, "-m", "charstream_client"]
MISSING = "charstream_client needs httpx: pip install httpx"


def run(
    *arguments: str | bytes, program: list[str] = BY_PATH, **options: Any
) -> subprocess.CompletedProcess[str]:
    command = [*program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("program", [BY_PATH, AS_MODULE])
def test_it_prints_the_text(program: list[str], server: RunningServer) -> None:
    with Client(server.url, trust_env=False) as client:
        hold = [HeldCell(layer=1, cell=3, value=-2), HeldCell(layer=0, cell=1, value=0.5)]
        text = client.generate(prime="abc", length=400, seed=7, top_k=None, hold=hold)["text"]
        assert text != client.generate(prime="abc", length=400, seed=7, top_k=None)["text"]
    options = ["--url", server.url, "--prime", "abc", "--length", "400", "--seed", "7"]
    options += ["--top-k", "0", "--hold", "1:3:-2", "--hold", "0:1:.5"]
    result = run(*options, program=program, cwd=FOLDER.parent)
    assert result.stdout == f"abc{text}\n"
    assert "seed 7, model" in result.stderr


def test_it_ends_quietly_if_its_reader_has_enough(server: RunningServer) -> None:
    command = [*BY_PATH, "--url", server.url, "--prime", "abc", "--length", "5000"]
    with subprocess.Popen(command, stdout=-1, stderr=-1) as left:
        assert left.stdout is not None
        assert left.stderr is not None
        assert left.stdout.read(10).startswith(b"abc")
        left.stdout.close()
        assert left.wait(30) == 0
        assert left.stderr.read() == b""


def test_a_refusal_is_its_last_line_and_its_status(server: RunningServer) -> None:
    refused = run("--url", server.url, "--prime", "abc", "--length", "0")
    assert refused.returncode == 1
    assert "invalid_field: length" in refused.stderr.splitlines()[-1]


def test_it_passes_a_pattern_and_biases_on(server: RunningServer) -> None:
    with Client(server.url, trust_env=False) as client:
        pattern, biases = r"[a-z]{20}\n", {"e": -100.0, "b": 1.5}
        text = client.generate(pattern=pattern, logit_bias=biases, seed=3)["text"]
        with client.stream(pattern=pattern, logit_bias=biases, seed=3) as stream:
            assert "".join(event["token"] for event in stream) == text
            assert stream.done is not None
            assert stream.done["finish_reason"] == "pattern"
    options = ["--pattern", pattern, "--logit-bias", "e:-100", "--logit-bias", "b:1.5"]
    assert run("--url", server.url, "--seed", "3", *options).stdout == f"{text}\n"


def test_cells_are_printed_as_a_table(server: RunningServer) -> None:
    def printed(*arguments: str, text: str | None = None) -> list[list[str]]:
        result = run("cells", "--url", server.url, *arguments, input=text)
        return [line.split("\t") for line in result.stdout.splitlines()]

    text = "a (b\n)"
    with Client(server.url, trust_env=False) as client:
        found = client.cells(text, find="brackets", top=2)["cells"]
        expected = [[one["layer"], one["cell"], one["correlation"]] for one in found]
    rows = [["layer", "cell", "correlation"], *([str(value) for value in row] for row in expected)]
    assert printed("--text", text, "--find", "brackets", "--top", "2") == rows
    assert printed("--file", "-", "--span", "2:5", "--top", "2", text=text) == rows
    names = [f"{one['layer']}:{one['cell']}" for one in found]
    options = [option for name in names for option in ("--cell", name)]
    header, *values = printed("--text", text, *options)
    assert header == ["character", *names]
    assert [row[0] for row in values] == [ascii(character) for character in text]
    for column, one in enumerate(found, 1):
        assert [float(row[column]) for row in values] == one["values"]


@pytest.mark.parametrize("name", ["missing.txt", "latin-1.txt", ".", "-"])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "latin-1.txt").write_bytes(b"caf\xe9")
    not_utf_8 = "not UTF-8: byte 0xe9 at offset 3"
    lines = {
        "missing.txt": "missing.txt: cannot be read: No such file or directory",
        "latin-1.txt": f"latin-1.txt: {not_utf_8}",
        ".": ".: cannot be read: Is a directory",
        "-": f"standard input: {not_utf_8}",
    }
    with (tmp_path / "latin-1.txt").open("rb") as latin_1:
        refused = run("cells", "--file", name, "--find", "quotes", cwd=tmp_path, stdin=latin_1)
    assert refused.returncode == 1
    assert refused.stderr == f"{lines[name]}\n"


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """The address of a server that answers every request with this body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["cells", "--text", "ab", "--find", "quotes"], b'{"cells": []}'),
        (["cells", "--text", "ab", "--find", "quotes"], b'{"cells": [{"correlation": 1}]}'),
        (
            ["cells", "--text", "ab", "--cell", "1:3"],
            b'{"cells": [{"layer": 1, "cell": 3, "values": [1]}]}',
        ),
        (["--length", "1"], b"event: done\ndata: {}\n\n"),
    ],
)
def test_a_malformed_response_is_one_line(arguments: list[str], body: bytes) -> None:
    with answering(body) as url:
        failed = run(*arguments, "--url", url)
    assert failed.returncode == 1
    (line,) = failed.stderr.strip().splitlines()
    assert "does not follow charstream's protocol" in line


def named(failed: subprocess.CompletedProcess[str], message: str) -> bool:
    return message in failed.stderr.splitlines()[-1] and "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "nan"], "--temperature: 'nan' is not a finite number"),
        (["--top-p", "1e999"], "--top-p: '1e999' is not a finite number"),
        (["--min-p", "x"], "--min-p: 'x' is not a finite number"),
        (["--logit-bias", "e"], "'e' is not CHARACTER:BIAS, such as e:-100"),
        (["--logit-bias", "ee:1"], "'ee:1' is not CHARACTER:BIAS, such as e:-100"),
        (["--logit-bias", "e:x"], "'e:x' is not CHARACTER:BIAS, such as e:-100"),
        (["--logit-bias", ":1"], "':1' is not CHARACTER:BIAS, such as e:-100"),
        (["--logit-bias", "a:nan"], "'a:nan' is not CHARACTER:BIAS, such as e:-100"),
        (["--hold", "1:3"], "'1:3' is not LAYER:CELL:VALUE, such as 1:293:-2"),
        (["--hold", "0:1:inf"], "'0:1:inf' is not LAYER:CELL:VALUE, such as 1:293:-2"),
        (["cells", "--text", "a", "--cell", "1"], "'1' is not LAYER:CELL, such as 1:293"),
        (["cells", "--text", "a", "--span", "x:2"], "'x:2' is not FROM:TO, such as 0:5"),
        (["cells", "--text", "a"], "one of the arguments --cell --find --span is required"),
        (["cells", "--find", "quotes"], "one of the arguments --text --file is required"),
    ],
)
def test_an_unusable_option_is_named(arguments: list[str], message: str) -> None:
    refused = run(*arguments)
    assert refused.returncode == 2
    assert named(refused, message)


@pytest.mark.parametrize(
    ("shell", "arguments", "message"),
    [
        ('"$@"', ["--prime", b"\xff"], r"prime: cannot be sent as JSON, got '\udcff'"),
        ('"$@"', ["cells", "--text", b"\xff", "--find", "quotes"], "text: cannot be sent"),
        ('"$@"', ["--api-key", b"\xff"], "api_key has a character that UTF-8 cannot encode"),
        ('"$@"', ["--url", "http://xn--/"], "'http://xn--/' is not a URL"),
        ('"$@"', ["--url", b"http://a/\xff"], "is not a URL"),
        ('SSL_CERT_FILE=missing "$@"', [], "a variable of httpx, such as HTTP_PROXY or"),
        ('HTTP_PROXY=ftp://there "$@"', [], "a variable of httpx, such as HTTP_PROXY or"),
        ('"$@" >/dev/full', ["--prime", "a"], "standard output: cannot be written: No space"),
        ('"$@" >&-', [], "standard output is closed, expected a terminal, a file or a pipe"),
        ('"$@" <&-', ["cells", "--file", "-", "--find", "a"], "standard input: cannot be read"),
    ],
)
def test_what_it_cannot_use_is_named(
    shell: str, arguments: list[str | bytes], message: str
) -> None:
    failed = run(*arguments, program=["sh", "-c", shell, "sh", *BY_PATH])
    assert failed.returncode == 1
    assert named(failed, message)


class Interrupted(io.RawIOBase):
    """Standard input while the user presses Ctrl-C."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: object) -> int:
        raise KeyboardInterrupt


def status_after_ctrl_c() -> int:
    """Run the program in this process, which must not raise KeyboardInterrupt: it ends pytest."""
    try:
        return main()
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C shows a traceback")


def test_ctrl_c_while_it_waits_for_standard_input_is_one_empty_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["charstream_client", "cells", "--file", "-", "--find", "a"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Interrupted())))
    assert status_after_ctrl_c() == 130
    assert capsys.readouterr().err == "\n"


def test_ctrl_c_while_text_arrives_is_one_empty_line(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["charstream_client", "--url", server.url, "--prime", "abc"])
    monkeypatch.setattr(Stream, "__iter__", interrupt)
    assert status_after_ctrl_c() == 130
    assert capsys.readouterr() == ("abc", "\n")


def test_ctrl_c_while_it_loads_is_one_empty_line(tmp_path: Path) -> None:
    (tmp_path / "httpx.py").write_text("raise KeyboardInterrupt")
    result = run(env={"PYTHONPATH": str(tmp_path)})
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "\n")


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "utf-8"},
    ],
)
def test_characters_that_the_output_lacks_are_escaped(variables: dict[str, str]) -> None:
    body = b'id: 7-1\ndata: {"token": "\\ud800"}\n\nid: 7-2\ndata: {"token": "\\u00e9"}\n\n'
    done = b'event: done\ndata: {"seed": 7, "model": {"hash": "0"}}\n\n'
    with answering(body + done) as url:
        result = run("--url", url, env={**os.environ, **variables})
    assert result.stdout in ("\\ud800\\xe9\n", "\\ud800é\n")
    assert result.stderr == "seed 7, model 0\n"


def test_a_closed_standard_error_adds_nothing_to_the_text(server: RunningServer) -> None:
    program = ["sh", "-c", '"$@" 2>&-', "sh", *BY_PATH]
    result = run("--url", server.url, "--prime", "abc", "--length", "5", program=program)
    assert result.returncode == 0
    assert len(result.stdout) == len("abc12345\n")


def test_a_copy_runs_under_another_name(server: RunningServer, tmp_path: Path) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "reader")
    result = run("--url", server.url, "--length", "5", program=[sys.executable, str(copy)])
    assert len(result.stdout) >= 6


def run_without_httpx(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "httpx.py").write_text("raise ModuleNotFoundError(name='httpx')")
    path = f"{folder}:{FOLDER.parent}"
    result = run(*arguments, program=[sys.executable], env={"PYTHONPATH": path})
    assert result.returncode == 1
    assert "No module" not in result.stderr
    return result


def test_without_httpx_an_import_says_what_to_install(tmp_path: Path) -> None:
    result = run_without_httpx(tmp_path, "-c", "import charstream_client")
    assert result.stderr.splitlines()[-1] == f"ImportError: {MISSING}"


def test_without_httpx_the_program_says_what_to_install(tmp_path: Path) -> None:
    assert run_without_httpx(tmp_path, str(FOLDER)).stderr == f"{MISSING}\n"
    (line,) = run_without_httpx(tmp_path, "-m", "charstream_client").stderr.splitlines()
    assert MISSING in line
