"""Fixtures for the tests of /v1."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.app.openai.completion_requests import openai_client
from tests.server import RunningServer


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai_client(server) as client:
        yield client
