"""Invalid requests: every response names the problem, and none has the status 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events import parse_events, text_of
from tests.server import RunningServer


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def strict_json(response: httpx.Response) -> Any:
    """The body, which must be JSON that every parser accepts: no NaN, no lone surrogate."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    body = json.loads(response.content.decode("utf-8"), parse_constant=refuse)
    json.dumps(body, ensure_ascii=False).encode()
    return body


def check_error(response: httpx.Response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = strict_json(response)
    assert body["code"] == code
    detail: str = body["detail"]
    return detail


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("length", 0, "greater than or equal to 1"),
        ("length", -5, "greater than or equal to 1"),
        ("length", 5001, "at most 5000"),
        ("length", 10**30, "at most 5000"),
        ("length", 1.5, "integer"),
        ("length", "10", "integer"),
        ("length", True, "integer"),
        ("length", None, "integer"),
        ("top_k", 0, "greater than or equal to 1"),
        ("top_k", "many", "integer"),
        ("temperature", -0.1, "greater than or equal to 0"),
        ("temperature", 100.5, "less than or equal to 100"),
        ("temperature", "hot", "number"),
        ("top_p", 0, "greater than 0"),
        ("top_p", 1.1, "less than or equal to 1"),
        ("min_p", -1, "greater than or equal to 0"),
        ("min_p", 2, "less than or equal to 1"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**63, "less than or equal to 9223372036854775807"),
        ("stop", 7, "must be a string or a list of strings"),
        ("stop", ["a"] * 5, "at most 4 items, not 5"),
        ("stop", [""], "at least 1 character"),
        ("stop", [7], "string"),
        ("stream", "yes", "boolean"),
        ("unknown", "ignore", "'reject', 'skip' or 'fold'"),
        ("prime", 5, "string"),
        ("prime", None, "string"),
        ("prime", "a" * 2001, "at most 2000 characters"),
    ],
)
def test_a_field_out_of_range_is_named_with_value_and_limit(
    client: httpx.Client, field: str, value: Any, bound: str
) -> None:
    response = client.post("/generate", json={field: value})
    detail = check_error(response, 422, "invalid_field")
    assert detail.startswith(field)
    assert bound in detail
    if field != "prime":
        shown = value[0] if isinstance(value, list) and len(value) == 1 else value
        is_word = shown is None or isinstance(shown, bool)
        assert (json.dumps(shown) if is_word else ascii(shown)[:70]) in detail
    (error,) = response.json()["errors"]
    assert error["field"].startswith(field)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("length=0", "length"),
        ("length=ten", "length"),
        ("length=1_0", "length"),
        ("length=%EF%BC%91", "length"),  # a digit of full width
        ("seed=1.0", "seed"),
        ("temperature=1_0.5", "temperature"),
        ("top_k=0", "top_k"),
        ("temperature=nan", "temperature"),
        ("temperature=inf", "temperature"),
        ("top_p=-1", "top_p"),
        ("seed=-1", "seed"),
        ("lenght=5", "lenght"),
        ("unknown=maybe", "unknown"),
        ("length=5&length=6", "length"),
        ("prime=a&seed=1&prime=a", "prime"),
    ],
)
def test_query_parameters_are_checked_too(client: httpx.Client, query: str, field: str) -> None:
    detail = check_error(client.get(f"/generate?{query}"), 422, "invalid_field")
    assert detail.startswith(f"{field}: ")


@pytest.mark.parametrize(
    "query",
    ["length=010&seed=5", "length=%2B10&seed=5&temperature=1e0&top_p=1.", "length=10&seed=5"],
)
def test_numbers_in_a_query_have_decimal_digits(client: httpx.Client, query: str) -> None:
    expected = client.post("/generate", json={"length": 10, "seed": 5}).json()["text"]
    assert text_of(parse_events(client.get(f"/generate?{query}").text.split("\n"))) == expected


@pytest.mark.parametrize("path", ["/", "/static/css/page.css"])
def test_a_malformed_range_is_ignored(client: httpx.Client, path: str) -> None:
    response = client.get(path, headers={"Range": "bytes=9-1"})
    assert response.status_code == 200
    assert response.content == client.get(path).content


def test_a_response_about_thousands_of_invalid_fields_is_short(client: httpx.Client) -> None:
    response = client.post("/generate", json={f"x{n}": 1 for n in range(5000)})
    assert "and 4990 more" in check_error(response, 422, "invalid_field")
    assert len(response.content) < 5000


def test_all_invalid_fields_are_named(client: httpx.Client) -> None:
    response = client.post("/generate", json={"length": 0, "top_k": 0})
    detail = check_error(response, 422, "invalid_field")
    assert "length: " in detail
    assert "top_k: " in detail


@pytest.mark.parametrize("path", ["/generate", "/score", "/cells"])
def test_fields_of_a_body_in_the_url_are_refused(client: httpx.Client, path: str) -> None:
    response = client.post(f"{path}?length=5&x=%EF%BC%91", json={"text": "abc"})
    detail = check_error(response, 422, "invalid_field")
    expected = "must be in the JSON body, not in the URL, got"
    assert detail == f"length: {expected} '5'; x: {expected} '\uff11'"


@pytest.mark.parametrize("path", ["/info", "/tokenizer.json"])
def test_unknown_parameters_are_named_with_the_known_ones(client: httpx.Client, path: str) -> None:
    detail = check_error(client.get(f"{path}?modle=bob"), 422, "invalid_field")
    assert detail == "modle: unknown field; expected one of model, got 'bob'"


@pytest.mark.parametrize("name", ["lenght", "query", "body"])  # the framework has some of them
def test_an_unknown_field_is_named_with_the_known_ones(client: httpx.Client, name: str) -> None:
    for response in (
        client.post("/generate", json={name: 1}),
        client.get("/generate", params={name: 1}),
    ):
        detail = check_error(response, 422, "invalid_field")
        assert detail.startswith(f"{name}: unknown field; expected one of prime, length, top_k")


def test_many_unknown_parameters_are_refused_in_a_short_response(
    client: httpx.Client,
) -> None:
    query = "&".join(f"x{n}" for n in range(1000))
    response = client.get(f"/generate?{query}&length=0")
    assert "and 990 more" in check_error(response, 422, "invalid_field")  # nothing is validated
    assert len(response.content) < 5000


def test_a_prime_may_be_as_long_after_folding_as_before(client: httpx.Client) -> None:
    fields = {"prime": "\ufb01" * 1500, "unknown": "fold", "length": 1}  # a ligature of two letters
    detail = check_error(client.post("/generate", json=fields), 422, "invalid_field")
    assert detail.startswith("prime: must have at most 2000 characters on this server, got ")
    assert "3000 characters after folding" in detail


def test_unknown_characters_are_named_with_their_positions(client: httpx.Client) -> None:
    response = client.post("/generate", json={"prime": "abЖaЖ\U0001f600☃"})
    detail = check_error(response, 422, "unknown_character")
    assert "U+0416) at position 2" in detail
    assert "U+2603) at position 6" in detail
    assert "1F600" not in detail
    assert response.json()["errors"][0]["message"] + '; set "unknown" to "skip" or "fold"' in detail
    fields = {"prime": "abЖ", "unknown": "fold"}
    detail = check_error(client.post("/generate", json=fields), 422, "unknown_character")
    assert detail.endswith('; set "unknown" to "skip"')
    response = client.post("/v1/completions", json={"prompt": "abЖ"})
    assert '; set "unknown" to "skip" or "fold"' in response.json()["error"]["message"]
    for path, fields in (("/score", {"text": "a"}), ("/cells", {"text": "a", "find": "quotes"})):
        response = client.post(path, json={"prime": "abЖ", **fields})
        detail = check_error(response, 422, "unknown_character")
        assert detail.endswith('; set "unknown" to "skip" or "fold"')


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'length': 3}",
        b"\xff\xfe",
        b'{"prime": "\\ud800"}',
        b"[" * 80_000,
        b"nonsense",
        b'{"length": 3} 4',
    ],
)
def test_a_body_that_is_not_json_is_malformed(client: httpx.Client, body: bytes) -> None:
    detail = check_error(client.post("/generate", content=body), 400, "malformed")
    assert detail.endswith('; send an object such as {"prime": "And Levin said,"}')


@pytest.mark.parametrize(
    ("path", "field"), [("/score", "text"), ("/cells", "text"), ("/v1/completions", "prompt")]
)
def test_the_example_for_a_malformed_body_has_a_field_of_the_endpoint(
    client: httpx.Client, path: str, field: str
) -> None:
    response = client.post(path, content=b"text=hello")
    assert response.status_code == 400
    body = response.json()
    message = body["error"]["message"] if path.startswith("/v1") else body["detail"]
    assert message.endswith(f'; send an object such as {{"{field}": "And Levin said,"}}')


@pytest.mark.parametrize("body", [b"[]", b"3", b'"text"', b"null", b"NaN", b"true"])
def test_json_that_is_not_an_object_is_refused(client: httpx.Client, body: bytes) -> None:
    detail = check_error(client.post("/generate", content=body), 422, "invalid_field")
    assert "a JSON object was expected" in detail


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_nan_and_infinity_are_refused(client: httpx.Client, number: bytes) -> None:
    response = client.post("/generate", content=b'{"temperature": ' + number + b"}")
    assert response.status_code in (400, 422)
    strict_json(response)


def test_a_body_over_the_limit_is_refused_announced_or_not(client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(1000):
            yield b" " * 1000

    for content in (b" " * 1_000_000, pieces()):
        response = client.post("/generate", content=content)
        detail = check_error(response, 413, "body_too_large")
        assert "limit of 89536 bytes" in detail


def test_the_errors_of_the_framework_have_the_same_shape(client: httpx.Client) -> None:
    assert "/absent" in check_error(client.get("/absent"), 404, "not_found")
    assert "DELETE" in check_error(client.delete("/generate"), 405, "method_not_allowed")
    assert "/info" in check_error(client.post("/info"), 405, "method_not_allowed")
    assert "/absent" in check_error(client.post("/absent"), 404, "not_found")
    assert "/generate/" in check_error(client.post("/generate/"), 404, "not_found")
    assert client.get("/v1/models/").status_code == client.get("/docs/").status_code == 404
    assert client.get("/docs").status_code == 200
    assert client.head("/health/ready").status_code == client.head("/").status_code == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
fields = st.sampled_from(
    [
        "prime",
        "length",
        "top_k",
        "temperature",
        "top_p",
        "min_p",
        "hold",
        "seed",
        "stop",
        "stream",
        "unknown",
        "x",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(fields, json_values, max_size=4) | json_values)
def test_no_json_body_causes_a_server_error(client: httpx.Client, body: Any) -> None:
    content = json.dumps(body).encode()
    response = client.post("/generate", content=content)
    assert response.status_code in (200, 400, 422), response.text
    if response.status_code != 200:
        assert strict_json(response)["detail"]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_no_random_bytes_cause_a_server_error(client: httpx.Client, noise: bytes) -> None:
    assert client.post("/generate", content=noise).status_code in (200, 400, 422)
    response = client.get("/generate", params={"prime": noise, "length": 1})
    assert response.status_code in (200, 422)


def test_the_service_still_works_afterwards(client: httpx.Client) -> None:
    assert client.get("/health/ready").json() == {"status": "ready"}
    assert client.get("/health/live").json() == {"status": "live"}
    assert len(client.post("/generate", json={"length": 7}).json()["text"]) == 7


def test_a_wrong_method_gets_all_methods_of_the_path(shipped: RunningServer) -> None:
    with shipped.client() as client:
        for path, methods in (
            ("/generate", "GET, POST"),
            ("/v1/completions", "POST"),
            ("/health/ready", "GET, HEAD"),
        ):
            response = client.delete(path)
            assert response.status_code == 405
            assert response.headers["Allow"] == methods
