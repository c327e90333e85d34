"""The service without torch: it imports torch only for a GPU, for fp32, or without its kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from model.native import library as native_library
from tests.app.several_models import OPERATOR, generated, make_folder, names, save_model
from tests.conftest import ROOT, make_checkpoint
from tests.events import parse_events
from tests.server import RunningServer, running_server
from training.command_line import run as training

needs_kernel = pytest.mark.skipif(
    native_library.kernels()[:1] in ((), (native_library.PLAIN,)),
    reason="no fast native kernel runs on this processor",
)

# Python imports a module of this name when it starts.
HIDE_TORCH = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that hides torch from a Python that has it on its path."""
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "sitecustomize.py").write_text(HIDE_TORCH)
    return folder


@pytest.fixture(scope="module")
def served(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkpoint, which tests may replace."""
    path = tmp_path_factory.mktemp("served") / "tiny.safetensors"
    path.write_bytes(tiny_path.read_bytes())
    return path


@pytest.fixture(scope="module")
def server(hidden: Path, served: Path) -> Iterator[RunningServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(hidden))
        with running_server(served, admin_keys="operator") as running:
            yield running


def run(hidden: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(hidden)} | settings
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


POSTED = ("/cells", "/generate", "/reload", "/score", "/suggest", "/v1/completions")


@needs_kernel
def test_every_endpoint_answers(server: RunningServer) -> None:
    with server.client() as client:
        for path in client.get("/openapi.json").json()["paths"]:
            if path not in POSTED:
                assert client.get(path.format(model="tiny")).is_success, path
        assert client.get("/").is_success
        assert client.get("/docs").is_success
        scored = client.post("/score", json={"text": "abc", "logprobs": 2})
        assert scored.json()["characters"][2]["top"]
        many = client.post("/score", json={"texts": ["abc", "a"]})
        assert many.json()["scores"][1]["characters"] == 1
        suggested = client.post("/suggest", json={"prime": "abc", "memory": True})
        assert suggested.json()["suggestions"]
        found = client.post("/cells", json={"text": "a (b)", "find": "brackets", "top": 2})
        assert len(found.json()["cells"][1]["values"]) == 5
        completion = client.post("/v1/completions", json={"model": "tiny", "prompt": "abc"})
        assert completion.json()["choices"][0]["text"]


@needs_kernel
def test_a_stream_resumes_after_a_reload(server: RunningServer, served: Path) -> None:
    request = {"prime": "abc", "length": 60, "seed": 3, "stream": True}
    operator = {"Authorization": "Bearer operator"}
    with server.client() as client:
        before = list(parse_events(client.post("/generate", json=request).text.split("\n")))
        another = make_checkpoint(seed=9)
        kept = load_checkpoint(served)
        for model, changed in ((another, True), (kept, True), (kept, False)):
            save_checkpoint(model, served)
            assert client.post("/reload", headers=operator).json()["changed"] is changed
        headers = {"Last-Event-ID": str(before[19].id)}
        rest = client.post("/generate", json=request, headers=headers).text
    after = list(parse_events(rest.split("\n")))
    assert [event.data for event in after[:-1]] == [event.data for event in before[20:-1]]


@needs_kernel
def test_several_models_serve_without_torch(hidden: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(hidden))
        with running_server(folder, admin_keys="operator") as running, running.client() as client:
            assert names(client) == ["ada", "bob"]
            before = [generated(client, length=50, seed=1, model=name) for name in ("ada", "bob")]
            save_model(folder, "carl", seed=3)
            assert client.post("/reload", headers=OPERATOR).json()["changed"] is True
            after = [generated(client, length=50, seed=1, model=name) for name in names(client)]
    assert after[:2] == before
    assert len(set(after)) == 3


@pytest.mark.parametrize(
    ("name", "value", "extra"),
    [("PRECISION", "fp32", "train"), ("DEVICE", "cuda", "gpu"), ("KERNEL", "torch", "train")],
)
def test_a_setting_that_needs_torch_names_the_extra(
    hidden: Path, name: str, value: str, extra: str
) -> None:
    result = run(hidden, "app", **{f"CHARSTREAM_{name}": value})
    assert result.returncode == 1
    message = f"CHARSTREAM_{name}: {name.lower()} '{value}' needs torch, which is not installed"
    (line,) = [line for line in result.stderr.splitlines() if "torch" in line]
    assert message in line
    assert f"run make setup, or in a clone of the repository: pip install '.[{extra}]'" in line


@pytest.mark.parametrize("value", ["CPU", "gpu", "cuda:first"])
def test_a_device_with_another_name_gets_the_names_without_advice_to_install_torch(
    hidden: Path, value: str
) -> None:
    line = run(hidden, "app", CHARSTREAM_DEVICE=value).stderr.splitlines()[-1]
    expected = "expected auto, cpu, cuda or a numbered GPU such as cuda:1"
    assert line == f"charstream: CHARSTREAM_DEVICE: device {value!r}: {expected}"


@needs_kernel
def test_lines_are_scored_without_torch(
    hidden: Path, tiny_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("abc\n\nde fg\n")
    result = run(hidden, "training", "score", str(tiny_path), str(lines))
    assert training(["score", str(tiny_path), str(lines)]) == 0
    assert result.stdout == capsys.readouterr().out


def test_training_names_the_extra(hidden: Path) -> None:
    result = run(hidden, "training", "evaluate", "model.safetensors", "--text", "text.txt")
    assert result.returncode == 1
    assert result.stderr == (
        "charstream: training needs torch, which is not installed: run make setup, or in a clone "
        "of the repository: pip install '.[train]'\n"
    )
