"""Parsing: what a body may hold, and what it costs to refuse one."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.errors import InvalidFieldsError
from app.api.parsing import Counts, parse_body
from app.api.schemas import GenerateRequest
from app.openai.request import CompletionRequest

LARGE = {
    "unknown keys": {f"k{n}": 1 for n in range(100_000)},
    "prompts": {"prompt": [[1]] * 250_000},
    "stop strings": {"stop": ["a"] * 250_000},
    "biases": {"logit_bias": {str(n): 1 for n in range(100_000)}},
    "a nested list": {"metadata": {"x": [[1]] * 250_000}},
    "a nested object": {"length": [{"a": 1}] * 200_000},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_body_with_very_many_parts_is_refused_quickly(name: str) -> None:
    body = json.dumps(LARGE[name]).encode()
    began = time.process_time()
    with pytest.raises(InvalidFieldsError):
        parse_body(CompletionRequest, body, Counts(items=100_000))
    assert time.process_time() - began < 1, "about 0.03 s on an idle machine"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_brackets_commas_and_colons_in_a_prime_are_not_counted(prime: str) -> None:
    prime = prime + '[{",:\\"]' * 5000
    body = json.dumps({"prime": prime}).encode()
    assert parse_body(GenerateRequest, body).prime == prime


def test_brackets_that_do_not_match_are_malformed() -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        parse_body(GenerateRequest, b"[" * 80_000)
    assert caught.value.errors()[0]["type"] == "json_invalid"


@pytest.mark.parametrize("start", [b'{"prime":"', b'"', b'[["'])
def test_a_string_without_an_end_is_refused_in_linear_time(start: bytes) -> None:
    began = time.process_time()
    with pytest.raises(InvalidFieldsError):
        parse_body(GenerateRequest, start + b'\\"' * 500_000)
    assert time.process_time() - began < 2, "about 0.02 s on an idle machine, hours if quadratic"


def test_of_many_unknown_fields_the_rest_is_counted() -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        parse_body(GenerateRequest, json.dumps({f"x{n}": 1 for n in range(5000)}).encode())
    assert len(caught.value.errors()) + caught.value.left_out == 5000


@pytest.mark.parametrize(
    ("body", "location"),
    [
        (b'{"length": 1, "seed": 2, "length": 1}', ("length",)),
        (b'{"length": 1, "l\\u0065ngth": 2}', ("length",)),
        (b'{"prompt": "a", "logit_bias": {"5": 1, "6": 1, "5": 2}}', ("logit_bias", "5")),
        (b'{"metadata": [1, [{"a": 1, "b": [], "a": 1}]]}', ("metadata", 1, 0, "a")),
        (b'{"hold": [{}, {"cell": 1, "value": 1, "value": 2}]}', ("hold", 1, "value")),
        (b'{"user": {"a": 1, "a": 1}, "user": 5}', ("user",)),
        (b'{"user": 5, "user": [{"a": 1, "a": 1}]}', ("user", 0, "a")),
    ],
)
def test_the_error_of_a_repeated_key_says_where_it_is(
    body: bytes, location: tuple[str | int, ...]
) -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        parse_body(CompletionRequest if b"prompt" in body else GenerateRequest, body)
    (error,) = caught.value.errors()
    assert error["type"] == "repeated"
    assert error["loc"] == location


def test_the_same_key_in_different_objects_is_not_repeated() -> None:
    number = b"1" * 4000
    body = (
        b'{"seed": 5, "metadata": [{"seed": %b}, {"seed": 1.5, "x": {"seed": "seed:"}}]}' % number
    )
    assert parse_body(CompletionRequest, body, ignore_nulls=True).seed == 5


def test_a_large_body_with_a_repeated_key_is_refused_quickly() -> None:
    body = json.dumps({"prompt": list(range(100_000)), "user": "x" * 500_000}).encode()
    began = time.process_time()
    with pytest.raises(InvalidFieldsError) as caught:
        parse_body(CompletionRequest, body[:-1] + b', "user": ""}', Counts(items=100_001))
    assert caught.value.errors()[0]["type"] == "repeated"
    assert time.process_time() - began < 1, "about 0.02 s on an idle machine"
