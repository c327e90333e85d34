"""Settings: defaults, lists, and what an invalid variable reports. The docs name all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.engine.metrics import Metrics
from app.errors import SettingsError
from app.settings import Settings
from tests.conftest import ROOT

CONTRACT: dict[str, object] = {
    "checkpoint": (Path("checkpoints/anna.safetensors"),),
    "default_model": None,
    "host": "127.0.0.1",
    "port": 8000,
    "device": "auto",
    "precision": "auto",
    "max_streams": 64,
    "max_queue": 256,
    "max_length": 100_000,
    "max_prime": 100_000,
    "drain_seconds": 10,
    "api_keys": frozenset(),
}


def test_the_defaults_are_the_documented_ones() -> None:
    settings = Settings.from_environment()
    assert {name: getattr(settings, name) for name in CONTRACT} == CONTRACT


def test_an_unknown_variable_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARSTREAM_PROT", "80")
    monkeypatch.setenv("CHARSTREAM_PORT", "80")
    assert Settings.unknown_variables() == ["CHARSTREAM_PROT"]


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARSTREAM_API_KEYS", "one, two,,")
    monkeypatch.setenv("CHARSTREAM_CORS_ORIGINS", "https://a.example,https://b.example")
    settings = Settings.from_environment()
    assert settings.api_keys == {"one", "two"}
    assert settings.cors_origins == ("https://a.example", "https://b.example")


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"CHARSTREAM_{name.upper()}", "")
    with pytest.raises(SettingsError, match=r"API_KEYS_FILE is empty"):  # it would open the service
        Settings.from_environment()
    monkeypatch.delenv("CHARSTREAM_API_KEYS_FILE")
    assert Settings.from_environment() == Settings()


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "http://localhost:3000", "http://[::1]:8000", "chrome-extension://abcdef"],
)
def test_every_kind_of_origin_is_accepted(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARSTREAM_CORS_ORIGINS", origin)
    assert Settings.from_environment().cors_origins == (origin,)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "eighty", "valid integer"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("PRECISION", "int3", "'auto', 'fp32' or 'int8'"),
        ("MAX_STREAMS", "0", "greater than or equal to 1"),
        ("DRAIN_SECONDS", "-1", "greater than or equal to 0"),
        ("THREADS", "none", "valid integer"),
        ("THREADS", "0", "greater than or equal to 1"),
        ("THREADS", "65", "less than or equal to 64"),
        ("CORS_ORIGINS", "a.example", "such as https://example.org"),
        ("CORS_ORIGINS", "https://a.example/", "such as https://example.org"),
        ("CORS_ORIGINS", "https://A.example", "such as https://example.org"),
        ("API_KEYS", ",", "values separated by commas"),
        ("ADMIN_KEYS", " , ", "values separated by commas"),
        ("UNKNOWN", "ignore", "'reject', 'skip' or 'fold'"),
    ],
)
def test_an_invalid_value_is_named_with_its_variable(
    name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CHARSTREAM_{name}", value)
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment()
    assert f"CHARSTREAM_{name}: " in str(caught.value)
    assert expected in str(caught.value)
    assert f"got '{value}'" in str(caught.value)


def test_every_setting_is_documented() -> None:
    """In the tables of docs/configuration.md, where a row may name several: `A_HOST`, `_PORT`."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    documented: set[str] = set()
    for line in page.splitlines():
        names = re.findall(r"`(?:CHARSTREAM)?_([A-Z_]+)`", line.partition(" | ")[0])
        documented |= {name.lower() for name in names}
    assert documented == set(Settings.model_fields)


def test_every_metric_is_documented() -> None:
    """In the table of docs/operations.md, where a cell may name several: `a_b`, `_c`."""
    text = (ROOT / "docs" / "operations.md").read_text().partition("## Metrics")[2]
    for family in Metrics().registry.collect():
        if family.name.startswith("charstream_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            endings = [f"`{name[cut:]}`" for cut, letter in enumerate(name) if letter == "_"]
            assert any(ending in text for ending in (f"`{name}`", *endings)), name
