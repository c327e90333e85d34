"""Every example of the README that asks a server does what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import browser_path, running_browser
from tests.conftest import ROOT
from tests.server import RunningServer

ADDRESS = "http://127.0.0.1:8000"  # of the server in the examples
MODULES = ROOT / "tests" / "javascript" / "node_modules"  # npm install --prefix tests/javascript
README = (ROOT / "README.md").read_text()
BLOCKS = [
    (kind, code)
    for kind, code in re.findall(r"```(\w+)\n(.*?)```", README, re.S)
    if ADDRESS in code
]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_modules = pytest.mark.skipif(
    not MODULES.exists(), reason="needs npm install --prefix tests/javascript"
)


def blocks(kind: str, containing: str = "") -> list[str]:
    found = [code for language, code in BLOCKS if language == kind and containing in code]
    assert found, f"the README has no {kind} example with {containing}"
    return found


def commands() -> list[str]:
    """The lines of the shell examples that ask a server."""
    programs = ("curl ", "python clients/")
    lines = re.findall(r"```sh\n(.*?)```", README, re.S)
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    found = [line for line in whole if line.startswith(programs)]
    assert len(found) >= 5
    return found


@pytest.fixture(scope="module")
def text(shipped: RunningServer) -> str:
    """What all examples ask for: 300 characters of seed 7 after this prime."""
    ask = {"prime": "And Levin said,", "length": 300, "seed": 7}
    with shipped.client() as client:
        made: str = client.post("/generate", json=ask).json()["text"]
    return made


def run(*command: str, directory: Path = ROOT, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "PATH": path, "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", commands())
def test_a_shell_example_is_answered(command: str, shipped: RunningServer, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    command = command.replace(ADDRESS, shipped.url)
    output = run("bash", "-c", command, CURL_HOME=str(tmp_path), CHARSTREAM_URL=shipped.url)
    assert len(output) > 100


def test_the_events_shown_are_those_that_come(text: str) -> None:
    shown = re.findall(r'id: 7-(\d+)\ndata: ({"token": .*})', README)
    assert len(shown) >= 2
    for place, data in shown:
        assert json.loads(data)["token"] == text[int(place) - 1]


@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_example_prints_the_text(code: str, shipped: RunningServer, text: str) -> None:
    script = code.replace(ADDRESS, shipped.url)
    output = run(sys.executable, "-c", script, PYTHONPATH=str(ROOT / "clients"))
    if "openai" in code:
        text = openai_text(shipped, temperature=0.8, top_k=5)
    assert output.startswith(text)


def openai_text(shipped: RunningServer, **fields: float) -> str:
    ask = {"prompt": "And Levin said,", "max_tokens": 300, "seed": 7, **fields}
    with shipped.client() as client:
        made: str = client.post("/v1/completions", json=ask).json()["choices"][0]["text"]
    return made


@pytest.mark.browser
@pytest.mark.skipif(browser_path() is None, reason="neither Chromium nor Chrome is installed")
def test_the_javascript_examples_run_in_a_browser(shipped: RunningServer, text: str) -> None:
    with running_browser() as browser:
        for api in ("EventSource(", "fetch("):
            (code,) = blocks("javascript", api)
            page = browser.new_page()
            page.goto(shipped.url)
            with page.expect_console_message() as message:
                page.evaluate(f"async () => {{ {code.replace(ADDRESS, shipped.url)} }}")
            assert message.value.text.startswith(text)


@needs_node
def test_the_fetch_example_runs_in_node(shipped: RunningServer, text: str, tmp_path: Path) -> None:
    (code,) = blocks("javascript", "fetch(")
    assert node(code, shipped, tmp_path) == f"{text}\n"


@needs_node
@needs_modules
def test_openais_javascript_client_gets_the_text(shipped: RunningServer, tmp_path: Path) -> None:
    (code,) = blocks("javascript", "OpenAI(")
    assert node(code, shipped, tmp_path) == openai_text(shipped)


@needs_node
@needs_modules
def test_the_event_source_of_node_gets_the_text(
    shipped: RunningServer, text: str, tmp_path: Path
) -> None:
    (code,) = blocks("javascript", "EventSource(")
    output = node(f'import {{ EventSource }} from "eventsource";\n{code}', shipped, tmp_path)
    assert output.startswith(text)


def node(code: str, shipped: RunningServer, directory: Path) -> str:
    (directory / "node_modules").symlink_to(MODULES)
    (directory / "example.mjs").write_text(code.replace(ADDRESS, shipped.url))
    return run("node", "example.mjs", directory=directory)
