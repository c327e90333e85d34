"""Requests as a curl command and as a Python program, which are run as they were copied."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from tests.app.page import playground as ui
from tests.conftest import ROOT
from tests.server import RunningServer

pytestmark = [
    ui.with_clipboard,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]

HISTORY = "set -o history -o histexpand\n"  # as in a terminal, where ! can have a meaning
PRINT = 'curl() { printf \'%s\' "${@: -1}"; [ "${@: -1}" != @- ] || cat; }\n'
PRIME = 'a\'b "c" \\ \\n (!d) \n<&>é漢😀\u2028\x85\x1b!!'


def run(arguments: list[str], program: str, **variables: str) -> str:
    proxies = {name for name in os.environ if name.lower().endswith("_proxy")}
    environment = {key: value for key, value in os.environ.items() if key not in proxies}
    environment |= {"PYTHONPATH": str(ROOT / "clients"), "PYTHONIOENCODING": "utf-8"} | variables
    return subprocess.run(
        arguments, input=program.encode(), env=environment, capture_output=True, check=True
    ).stdout.decode()


def curl(program: str, **variables: str) -> dict[str, Any]:
    response: dict[str, Any] = json.loads(run(["bash"], HISTORY + program, **variables))
    return response


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"top_k": "", "min_p": 0.1, "stop": "xy\n\\n\\n'\"\n\\\\"},
        {"pattern": r"""(?s)[a-z'"\\]{30,}.*"""},
    ],
)
def test_copied_code_generates_the_same_text(page: Page, values: dict[str, Any]) -> None:
    ui.fill(page, prime=PRIME, length=60, seed=2**63 - 1, **values)
    ui.press(page, "Generate")
    page.locator("#status").get_by_text("seed").wait_for()
    text = ui.text_of(page)
    command, program = ui.copied(page, "Copy as curl"), ui.copied(page, "Copy as Python")
    assert curl(command)["text"] == text
    assert run([sys.executable, "-"], program) == text
    ui.press(page, "Continue")
    page.locator("#status").get_by_text("in total").wait_for()
    assert text + curl(ui.copied(page, "Copy as curl"))["text"] == ui.text_of(page)


def test_without_a_text_the_code_has_the_settings_of_the_form(page: Page) -> None:
    ui.fill(page, prime="abc", length=20, seed="")
    response = curl(ui.copied(page, "Copy as curl"))
    ui.fill(page, seed=response["seed"])
    assert response["text"] == run([sys.executable, "-"], ui.copied(page, "Copy as Python"))
    ui.fill(page, length="")
    page.locator("#export summary").click()
    ui.press(page, "Copy as curl")
    page.locator("#length-error").get_by_text("Enter a number.").wait_for()


def test_each_compared_text_has_a_command(page: Page) -> None:
    ui.press(page, "Compare")
    ui.fill(page, prime="abc", length=20)
    ui.generate_texts(page, 2)
    commands = ui.copied(page, "Copy as curl")
    texts = ui.texts_of(page)
    assert [curl(command)["text"] for command in commands.splitlines() if command] == texts


def test_copied_code_reads_the_key_from_the_environment(
    browser: Browser, locked: RunningServer
) -> None:
    options: dict[str, Any] = {"expect_failures": True, "permissions": ui.CLIPBOARD}
    with ui.opened(browser, locked.url, **options) as page:
        page.get_by_role("textbox", name="API key").fill("secret")
        ui.press(page, "Use this key")
        page.locator("#card dl").wait_for()
        text = ui.generate(page, prime="abc", length=20)
        command, program = ui.copied(page, "Copy as curl"), ui.copied(page, "Copy as Python")
        assert "secret" not in command + program
        assert curl(command, CHARSTREAM_API_KEY="secret")["text"] == text
        assert run([sys.executable, "-"], program, CHARSTREAM_API_KEY="secret") == text


def test_any_text_can_be_copied_as_code(page: Page) -> None:
    @settings(max_examples=40, deadline=None)
    @given(prime=st.text(max_size=40), stop=st.lists(st.text(max_size=5), min_size=1, max_size=4))
    @example(prime="x" * 200_000 + "'\\\"\n$HOME `id` !1 EOF\nEND", stop=["'"])
    @example(prime="😀\ud800\\'\\\\'\\u0027\\n$(id)\x7f\x9b\u200be\u0301", stop=["END", "\\"])
    def check(prime: str, stop: list[str]) -> None:
        body = {"prime": prime, "top_k": None, "memory": True, "stop": stop, "seed": "7"}
        command, program = page.evaluate(
            """async (json) => {
                const code = await import("/static/share/code_snippets.js");
                return [code.curlCommand(JSON.parse(json)), code.pythonProgram(JSON.parse(json))];
            }""",
            json.dumps(body),
        )
        expected = {**body, "seed": 7}
        assert "<<'END'" in command or not re.search(r"[\x00-\x1f\x7f-\x9f]", command)
        assert json.loads(run(["bash"], HISTORY + PRINT + command).removeprefix("@-")) == expected
        calls = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Call)]
        (call,) = (each for each in calls if ast.unparse(each.func) == "client.stream")
        assert {each.arg: ast.literal_eval(each.value) for each in call.keywords} == expected

    check()
