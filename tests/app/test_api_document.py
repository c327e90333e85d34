"""What /openapi.json says is what the service does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.server import RunningServer, running_server


@pytest.fixture(scope="module")
def short_server(tiny_path: Path) -> Iterator[RunningServer]:
    """A server whose texts are short, since many are asked for."""
    limits = {"max_length": "60", "max_prime": "200", "max_streams": "8", "max_queue": "8"}
    with running_server(tiny_path, **limits) as running:
        yield running


@pytest.fixture(scope="module")
def schema(short_server: RunningServer) -> Any:
    return schemathesis.openapi.from_url(f"{short_server.url}/openapi.json")


documented = schemathesis.pytest.from_fixture("schema")


@documented.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True)
def test_every_answer_is_documented_and_none_is_a_failure(case: schemathesis.Case) -> None:
    """What fits the schema may be refused all the same: not every character is in a vocabulary."""
    case.call_and_validate(excluded_checks=[positive_data_acceptance])
