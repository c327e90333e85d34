"""The table of errors: every error has its status, and a copy is the same error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.errors import (
    BodyTooLargeError,
    CrossSiteError,
    DeadlineError,
    DrainingError,
    EngineError,
    ForbiddenError,
    InvalidFieldError,
    OtherModelError,
    OverloadedError,
    QueueFullError,
    RateLimitError,
    ReloadError,
    SettingsError,
    UnauthorizedError,
    UnknownInFieldError,
    UnknownModelError,
    problem_of,
    show,
)
from model.errors import CharstreamError, CheckpointError, UnknownCharacterError

UNKNOWN = UnknownCharacterError("Ж", [2])
EXPECTED: list[tuple[CharstreamError, int, str, dict[str, str]]] = [
    (InvalidFieldError("length", 0, "must be at least 1"), 422, "invalid_field", {}),
    (UnknownInFieldError("prime", UNKNOWN), 422, "unknown_character", {}),
    (OtherModelError("model: another one is loaded"), 409, "other_model", {}),
    (UnknownModelError("model: there is none"), 404, "unknown_model", {}),
    (UnauthorizedError(), 401, "unauthorized", {"WWW-Authenticate": "Bearer"}),
    (ForbiddenError(), 403, "forbidden", {}),
    (CrossSiteError(), 403, "cross_site", {}),
    (RateLimitError(1.2), 429, "rate_limited", {"Retry-After": "2"}),
    (BodyTooLargeError(10), 413, "body_too_large", {"Connection": "close"}),
    (
        OverloadedError(1 << 20, "other requests"),
        503,
        "overloaded",
        {"Connection": "close", "Retry-After": "2"},
    ),
    (ReloadError("reload failed"), 409, "not_reloaded", {}),
    (QueueFullError(3, 7.0), 503, "queue_full", {"Retry-After": "7"}),
    (DeadlineError(5), 504, "deadline_exceeded", {}),
    (DrainingError(), 503, "draining", {"Retry-After": "5"}),
    (EngineError("the engine failed"), 503, "engine_failed", {"Retry-After": "5"}),
    (SettingsError("CHARSTREAM_PORT: bad"), 500, "internal", {}),
    (CheckpointError("damaged"), 500, "internal", {}),
]


def subclasses(kind: type[CharstreamError]) -> Iterator[type[CharstreamError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    EXPECTED,
    ids=[type(error).__name__ for error, *_ in EXPECTED],
)
def test_an_error_has_its_status_code_and_headers(
    error: CharstreamError, status: int, code: str, headers: dict[str, str]
) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.headers) == (status, code, headers)
    assert str(error) in problem.detail


def test_every_error_of_the_service_is_checked_above() -> None:
    ours = {kind for kind in subclasses(CharstreamError) if kind.__module__ == "app.errors"}
    assert ours <= {type(error) for error, *_ in EXPECTED}


def test_an_error_about_a_field_names_it() -> None:
    (field,) = problem_of(InvalidFieldError("length", 0, "must be at least 1")).fields
    assert (field.field, field.value, field.message) == ("length", "0", "must be at least 1")
    problem = problem_of(UnknownInFieldError("prime", UNKNOWN))
    assert problem.fields[0].field == "prime"
    assert problem.detail.startswith("prime: ")


def test_a_long_value_is_shortened() -> None:
    assert show("a" * 200) == "'" + "a" * 76 + "..."
    assert show([1, 2]) == "[1, 2]"
    assert show([1] * 21) == "a list of 21 items"
    assert show({n: n for n in range(21)}) == "an object of 21 items"


def test_a_value_is_shown_as_json_has_it() -> None:
    assert [show(value) for value in (None, True, False, 1)] == ["null", "true", "false", "1"]
