"""Every example of README.md, CONTRIBUTING.md and docs/ does what the text says."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, ConsoleMessage

from tests.conftest import ROOT, SHIPPED
from tests.event_source import MODULES
from tests.server import RunningServer, running_server
from training.command_line import run as training

ADDRESS = "http://127.0.0.1:8000"  # of the server in the examples
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
}
BLOCKS = [
    (language, code)
    for text in PAGES.values()
    for language, code in re.findall(r"```(\w+)\n(.*?)```", text, re.S)
]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_modules = pytest.mark.skipif(
    not MODULES.exists(), reason="needs npm install --prefix tests/javascript"
)


def blocks(language: str, containing: str = "") -> list[str]:
    """The examples in a language that address the server."""
    found = [code for kind, code in BLOCKS if kind == language and ADDRESS in code]
    found = [code for code in found if containing in code]
    assert found, f"the docs have no {language} example with {containing}"
    return found


def command_lines() -> list[str]:
    """The lines of all shell examples, without comments and indentation."""
    whole = "\n".join(code for language, code in BLOCKS if language == "sh")
    lines = whole.replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines]


def commands(*programs: str) -> list[str]:
    return [line for line in command_lines() if line.startswith(programs)]


REQUESTS = [*commands("curl "), *commands(".venv/bin/python clients/")]
OPEN = [line for line in REQUESTS if "KEY" not in line]
WITH_KEY = [line for line in REQUESTS if "KEY" in line]


@pytest.fixture(scope="module")
def text(shipped: RunningServer) -> str:
    """The text that all examples request: 300 characters of seed 7 after this prime."""
    request = {"prime": "And Levin said,", "length": 300, "seed": 7}
    with shipped.client() as client:
        generated: str = client.post("/generate", json=request).json()["text"]
    return generated


@pytest.fixture(scope="module")
def locked(tiny_path: Path) -> Iterator[RunningServer]:
    """A server whose only key is the word KEY, as the examples write it."""
    with running_server(tiny_path, api_keys="KEY") as running:
        yield running


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


def run_line(line: str, server: RunningServer, directory: Path) -> str:
    """Runs a shell example against a server, with the Python that runs the tests."""
    (directory / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    line = line.replace(ADDRESS, server.url).replace(".venv/bin/python", sys.executable)
    return run(
        "bash", "-c", f"exec 2>&1\n{line}", CURL_HOME=str(directory), CHARSTREAM_URL=server.url
    )


@needs_curl
@pytest.mark.parametrize("line", OPEN)
def test_a_shell_example_is_answered(line: str, shipped: RunningServer, tmp_path: Path) -> None:
    assert len(OPEN) >= 5
    assert len(run_line(line, shipped, tmp_path)) > 100


@needs_curl
@pytest.mark.parametrize("line", WITH_KEY)
def test_a_shell_example_with_a_key_is_answered(
    line: str, locked: RunningServer, tmp_path: Path
) -> None:
    assert json.loads(run_line(line, locked, tmp_path))["model"]["name"] == "tiny"


def test_the_events_shown_are_those_that_come(text: str) -> None:
    shown = [
        found
        for page in PAGES.values()
        for found in re.findall(r'id: 7-(\d+)\ndata: ({"token": .*})', page)
    ]
    assert len(shown) >= 4
    for number, data in shown:
        assert json.loads(data)["token"] == text[int(number) - 1]


def test_the_text_shown_is_the_one_that_comes(text: str) -> None:
    assert text.startswith("\ntelling her, at that moment, as a money and saw him in")


@needs_curl
def test_the_texts_shown_match_their_patterns(shipped: RunningServer, tmp_path: Path) -> None:
    lines = [line for line in OPEN if '"pattern"' in line]
    texts = [json.loads(run_line(line, shipped, tmp_path))["text"] for line in lines[:2]]
    shown = f'The texts of the first two are "{texts[0]}" and "{texts[1]}".'
    assert shown in PAGES["docs/api.md"]


@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_example_prints_the_text(code: str, shipped: RunningServer, text: str) -> None:
    script = code.replace(ADDRESS, shipped.url)
    output = run(sys.executable, "-c", script, PYTHONPATH=str(ROOT / "clients"))
    if "openai" in code:
        text = openai_text(shipped, temperature=0.8, top_k=5)
    assert output.startswith(text)


def test_the_memory_example_prints_what_is_shown(shipped: RunningServer) -> None:
    (code,) = [code for _, code in BLOCKS if "memory=memory" in code]
    script = code.replace("Client()", f"Client({shipped.url!r})")
    output = run(sys.executable, "-c", script, PYTHONPATH=str(ROOT / "clients"))
    assert f"```\n{output}```" in PAGES["docs/clients.md"]


def test_the_web_page_shows_suggestions(browser: Browser, shipped: RunningServer) -> None:
    (code,) = blocks("html")
    page = browser.new_page(bypass_csp=True)
    page.goto(shipped.url)
    page.set_content(code.replace(ADDRESS, shipped.url))
    page.get_by_label("Your text").press_sequentially("And Lev")
    page.locator("option", has_text="And Levin").first.wait_for(state="attached")


def test_the_terminal_completes_words(shipped: RunningServer) -> None:
    (code,) = [code for _, code in BLOCKS if "import readline" in code]
    script = code.replace("Client()", f"Client({shipped.url!r})")
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "dumb", "PYTHONPATH": str(ROOT / "clients")}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as program:
        os.close(theirs)
        shown = b""
        for expected, typed in ((b"> ", b"And Lev\t"), (b"Levin", b"\n"), (b"Levin\r\n> ", b"\n")):
            while expected not in shown:
                shown += os.read(ours, 1000)
            os.write(ours, typed)
    os.close(ours)
    assert program.returncode == 0


class SymbolModel(Protocol):
    """What a BciPy adapter expects of the language model that it wraps."""

    symbol_set: list[str]

    def predict(self, evidence: list[str]) -> list[tuple[str, float]]: ...


def test_the_speller_gets_the_probabilities_of_its_symbols(shipped: RunningServer) -> None:
    (code,) = [code for _, code in BLOCKS if "class CharstreamLanguageModel" in code]
    script = code.replace("Client()", f"Client({shipped.url!r})")
    output = run(sys.executable, "-c", script, PYTHONPATH=str(ROOT / "clients"))
    assert f"```\n{output}```" in PAGES["docs/clients.md"]
    names: dict[str, Any] = {}
    exec(script.replace("from charstream_client", "from clients.charstream_client"), names)
    model: SymbolModel = names["model"]
    predicted = model.predict(list("ALL HAPPY FA"))
    assert {symbol for symbol, _ in predicted} == set(model.symbol_set)
    assert [each for _, each in predicted] == sorted((e for _, e in predicted), reverse=True)
    assert math.fsum(each for _, each in predicted) == pytest.approx(1)
    with shipped.client() as client:
        body = {"prime": "all happy fa", "texts": ["m", "M", "c", "C"]}
        nats = [each["nats"] for each in client.post("/score", json=body).json()["scores"]]
    names["model"].client.close()
    m, c = (math.exp(-nats[at]) + math.exp(-nats[at + 1]) for at in (0, 2))
    assert dict(predicted)["M"] / dict(predicted)["C"] == pytest.approx(m / c, rel=1e-4)


def openai_text(shipped: RunningServer, **fields: float) -> str:
    request = {"prompt": "And Levin said,", "max_tokens": 300, "seed": 7, **fields}
    with shipped.client() as client:
        response = client.post("/v1/completions", json=request)
    generated: str = response.json()["choices"][0]["text"]
    return generated


@pytest.mark.parametrize("api", ["EventSource(", "fetch("])
def test_a_javascript_example_runs_in_a_browser(
    browser: Browser, shipped: RunningServer, text: str, api: str
) -> None:
    assert logged_in(browser, shipped, api).text.startswith(text)


def logged_in(browser: Browser, server: RunningServer, api: str) -> ConsoleMessage:
    """Run the example with this API in a page of the server, and return what it logs."""
    (code,) = blocks("javascript", api)
    page = browser.new_page()
    page.goto(server.url)
    with page.expect_console_message() as message:
        page.evaluate(f"async () => {{ {code.replace(ADDRESS, server.url)} }}")
    return message.value


@needs_node
def test_the_fetch_example_runs_in_node(shipped: RunningServer, text: str, tmp_path: Path) -> None:
    (code,) = blocks("javascript", "fetch(")
    assert node(code, shipped.url, tmp_path) == f"{text}\n"


@needs_node
@needs_modules
def test_openais_javascript_client_gets_the_text(shipped: RunningServer, tmp_path: Path) -> None:
    (code,) = blocks("javascript", "OpenAI(")
    assert node(code, shipped.url, tmp_path) == openai_text(shipped)


@needs_node
@needs_modules
def test_the_event_source_of_node_gets_the_text(
    shipped: RunningServer, text: str, tmp_path: Path
) -> None:
    (code,) = blocks("javascript", "EventSource(")
    output = node(f'import {{ EventSource }} from "eventsource";\n{code}', shipped.url, tmp_path)
    assert output.startswith(text)


def node(code: str, url: str, directory: Path) -> str:
    (directory / "node_modules").symlink_to(MODULES)
    (directory / "example.mjs").write_text(code.replace(ADDRESS, url))
    return run("node", "example.mjs", directory=directory)


@pytest.fixture(scope="module")
def hurried() -> Iterator[RunningServer]:
    """A server that ends every stream with an `error` event: no text is done within its time."""
    with running_server(SHIPPED, deadline_seconds="0.001") as running:
        yield running


class _CutOff(BaseHTTPRequestHandler):
    """Ends every stream after one character, without an error and without `done`."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        data: object = {"token": " "}
        if self.path.startswith("/v1/"):
            choice = {"index": 0, "text": " ", "finish_reason": None, "logprobs": None}
            data = {"id": "c", "object": "text_completion", "created": 0, "model": "anna"}
            data |= {"choices": [choice]}
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f"id: 7-1\ndata: {json.dumps(data)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        """Stays silent."""


@pytest.fixture(scope="module")
def cut_off() -> Iterator[str]:
    """Address of a server whose streams are cut off."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _CutOff) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_example_fails_at_an_error_event(code: str, hurried: RunningServer) -> None:
    assert "limit of 0.001 s" in failure_of_python(code, hurried.url)


@pytest.mark.parametrize("code", [code for code in blocks("python") if "charstream_" not in code])
def test_a_python_example_fails_where_a_stream_is_cut_off(code: str, cut_off: str) -> None:
    assert "the stream ended" in failure_of_python(code, cut_off)


def failure_of_python(code: str, url: str) -> str:
    with pytest.raises(AssertionError) as caught:
        run(sys.executable, "-c", code.replace(ADDRESS, url), PYTHONPATH=str(ROOT / "clients"))
    return str(caught.value)


def test_the_client_as_a_program_fails_at_an_error_event(
    hurried: RunningServer, tmp_path: Path
) -> None:
    for line in commands(".venv/bin/python clients/"):
        with pytest.raises(AssertionError, match=r"limit of 0\.001 s"):
            run_line(line, hurried, tmp_path)


@needs_node
def test_the_fetch_example_fails_at_an_error_event(hurried: RunningServer, tmp_path: Path) -> None:
    (code,) = blocks("javascript", "fetch(")
    with pytest.raises(AssertionError, match=r"limit of 0\.001 s"):
        node(code, hurried.url, tmp_path)


@needs_node
@pytest.mark.parametrize("api", ["fetch(", pytest.param("OpenAI(", marks=needs_modules)])
def test_a_javascript_example_fails_where_a_stream_is_cut_off(
    cut_off: str, tmp_path: Path, api: str
) -> None:
    (code,) = blocks("javascript", api)
    with pytest.raises(AssertionError, match="the stream ended"):
        node(code, cut_off, tmp_path)


def test_the_event_source_example_logs_an_error_event(
    browser: Browser, hurried: RunningServer
) -> None:
    message = logged_in(browser, hurried, "EventSource(")
    assert message.type == "error"
    assert message.text.startswith("incomplete after")


def test_the_training_commands_name_flags_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in command_lines() if "-m training " in line]
    assert len(lines) >= 10
    for line in lines:
        command, *arguments = shlex.split(line.partition("-m training ")[2])
        with pytest.raises(SystemExit):
            training([command, "--help"])
        known = re.findall(r"--[a-z-]+", capsys.readouterr().out)
        assert {word for word in arguments if word.startswith("--")} <= set(known), line


def test_the_texts_of_the_examples_lie_where_git_ignores_them() -> None:
    lines = [line for line in commands(".venv/bin/", "tail ", "printf ") if ".txt" in line]
    files = [name for line in lines for name in re.findall(r"(?:>|--text) (\S+)", line)]
    assert len(files) >= 20
    assert {name.partition("/")[0] for name in files} == {"data"}


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in command_lines():
        for target in re.findall(r"(?:^| )make ([a-z-]+)", line):
            assert re.search(rf"^{target}:", makefile, re.M), line


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Links to files of the project, and to their headings."""
    for link in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", PAGES[page]):
        name, _, anchor = link.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), link
        if anchor:
            assert anchor in anchors(path.read_text()), link


def anchors(text: str) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
