"""CHARSTREAM_KERNEL and CHARSTREAM_THREADS: what computes the steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.errors import SettingsError
from app.main import create_app
from app.settings import Settings
from model.decoding import thread_count
from model.decoding.selection import kernels_for
from model.native import library as native_library
from tests.kernels import needs_kernel

KERNELS = kernels_for("int8", "cpu")


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_can_be_forced_by_its_name(kernel: str, tiny_path: Path) -> None:
    settings = Settings(checkpoint=tiny_path, kernel=kernel, threads=1, device="cpu")
    with TestClient(create_app(settings)) as client:
        info = client.get("/info").json()
        assert (info["kernel"], info["precision"]) == (kernel, "int8")
        assert f'kernel="{kernel}"' in client.get("/metrics").text
        assert client.post("/generate", json={"length": 3}).status_code == 200


def test_torch_can_be_forced_in_fp32(tiny_path: Path) -> None:
    settings = Settings(
        checkpoint=tiny_path, kernel="torch", precision="fp32", threads=1, device="cpu"
    )
    with TestClient(create_app(settings)) as client:
        info = client.get("/info").json()
    assert (info["kernel"], info["precision"]) == ("torch", "fp32")


def test_an_unknown_kernel_stops_the_start_and_names_the_available_ones(tiny_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        create_app(Settings(checkpoint=tiny_path, kernel="abacus", device="cpu"))
    assert str(caught.value).startswith(
        "CHARSTREAM_KERNEL: kernel 'abacus' is not available on cpu; expected "
    )
    assert all(kernel in str(caught.value) for kernel in (*KERNELS, "torch"))


@needs_kernel
def test_a_native_kernel_does_not_compute_in_fp32(tiny_path: Path) -> None:
    settings = Settings(
        checkpoint=tiny_path, kernel=native_library.PLAIN, precision="fp32", device="cpu"
    )
    message = "^CHARSTREAM_KERNEL, CHARSTREAM_PRECISION: kernel 'plain' is not available in fp32 on"
    with pytest.raises(SettingsError, match=message):
        create_app(settings)


@needs_kernel
@pytest.mark.parametrize(("setting", "used"), [(None, 3), (2, 2)])
def test_threads_are_measured_unless_they_are_set(
    setting: int | None, used: int, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[list[int]] = []

    def measure(counts: list[int], _: object) -> dict[int, float]:
        measured.append(counts)
        return {3: 1.0}

    monkeypatch.setattr("model.decoding.selection.available_cores", lambda: 4)
    monkeypatch.setattr(thread_count, "measure", measure)
    settings = Settings(
        checkpoint=tiny_path, kernel=native_library.PLAIN, threads=setting, device="cpu"
    )
    with TestClient(create_app(settings)) as client:
        service = client.app.state.model_manager.models.default  # type: ignore[attr-defined]
        assert service.decoder.threads == used
        assert f"with {used} threads" in str(service)
        assert client.post("/generate", json={"length": 3}).status_code == 200
    assert measured == ([[2, 3, 4]] if setting is None else [])
