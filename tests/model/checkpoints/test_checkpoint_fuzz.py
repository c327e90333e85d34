"""A short run of the fuzzer. CHARSTREAM_FUZZ_EXAMPLES sets the number of files."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.checkpoints import Case, CheckpointFuzzer

EXAMPLES = int(os.environ.get("CHARSTREAM_FUZZ_EXAMPLES", "500"))


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFuzzer:
    return CheckpointFuzzer(tmp_path_factory.mktemp("fuzz"))


def test_a_bad_file_is_refused_or_loads_as_the_original(fuzzer: CheckpointFuzzer) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(fuzzer.cases())
    def check(case: Case) -> None:
        fuzzer.check(case)

    check()
    assert fuzzer.counts.results["refused"] > EXAMPLES / 2
