"""EventSource clients that run the example of docs/clients.md: in a browser and in Node."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage

from tests.conftest import ROOT

MODULES = ROOT / "tests" / "javascript" / "node_modules"  # npm install --prefix tests/javascript

_REPORT = """
source.addEventListener("open", () => console.warn(JSON.stringify({ opened: text.length })));
source.addEventListener("message", () => {
  if (text.length % 100 === 0) console.warn(JSON.stringify({ received: text.length }));
});
"""


@dataclass
class Progress:
    """What an EventSource has done so far."""

    opened: list[int] = field(default_factory=list)  # characters it had when it connected
    received: int = 0  # characters, in steps of 100
    logged: str = ""  # by the example, at the end: the text and the usage
    failure: str = ""  # logged by the example

    @property
    def ended(self) -> bool:
        return bool(self.logged or self.failure)

    @property
    def text(self) -> str:
        """The text that the example logged, without the usage behind it."""
        return self.logged.rpartition(" {")[0]

    def add(self, line: str) -> None:
        """Take note of a line of `_REPORT`, or of an error that the example logs."""
        if not line.startswith("{"):
            self.failure += line
            return
        report = json.loads(line)
        self.received = report.get("received", self.received)
        if "opened" in report:
            self.opened.append(report["opened"])


def example(url: str, length: int, seed: int) -> str:
    """The example of the docs, which requests another text here, with scores, and reports.

    Scores make the events so large that only a part of the text fits into the buffers of the
    connection.
    """
    page = (ROOT / "docs" / "clients.md").read_text()
    blocks = re.findall(r"```javascript\n(.*?)```", page, re.S)
    (code,) = (block for block in blocks if "new EventSource(" in block)
    for old, new in (
        ("http://127.0.0.1:8000", url),
        ("length=300&seed=7", f"length={length}&seed={seed}&logprobs=10"),
    ):
        assert code.count(old) == 1, f"the example has changed: {old}"
        code = code.replace(old, new)
    return f"{code}{_REPORT}"


class BrowserClient:
    """Runs the example in a page of the service."""

    def __init__(self, browser: Browser, url: str, length: int, seed: int) -> None:
        self.progress = Progress()
        self._page = browser.new_page()
        self._page.goto(url)
        self._page.on("console", self._on_console)
        self._page.evaluate(f"async () => {{ {example(url, length, seed)} }}")

    def wait(self, condition: Callable[[Progress], object], seconds: float = 120) -> None:
        """Wait for a condition of the progress. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not condition(self.progress):
            _check_time(deadline, self.progress)
            self._page.wait_for_timeout(10)

    def close(self) -> None:
        self._page.close()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "log":
            self.progress.logged = message.text
        elif message.type == "warning":
            self.progress.add(message.text)
        elif message.text.startswith("incomplete"):  # other errors: the browser's, at each break
            self.progress.failure += message.text


class NodeClient:
    """Runs the example in Node with npm's package eventsource."""

    def __init__(self, directory: Path, url: str, length: int, seed: int) -> None:
        self.progress = Progress()
        if not (directory / "node_modules").exists():
            (directory / "node_modules").symlink_to(MODULES)
        code = f'import {{ EventSource }} from "eventsource";\n{example(url, length, seed)}'
        (directory / "example.mjs").write_text(code)
        self._process = subprocess.Popen(
            ["node", "example.mjs"],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._threads = [threading.Thread(target=f) for f in (self._read_log, self._read_report)]
        for thread in self._threads:
            thread.start()

    def wait(self, condition: Callable[[Progress], object], seconds: float = 120) -> None:
        """Wait for a condition of the progress. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not condition(self.progress):
            _check_time(deadline, self.progress)
            time.sleep(0.01)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()

    def _read_log(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            self.progress.logged = stdout.read()

    def _read_report(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                self.progress.add(line)


EventSourceClient = BrowserClient | NodeClient


def _check_time(deadline: float, progress: Progress) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"an EventSource did not get on: {progress}")
