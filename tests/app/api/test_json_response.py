"""JSON responses: encoded in pieces, they equal the JSON of the whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.api.json_response import SLICE, encode_list, json_response

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    leaves | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=30,
)


def encoded(content: dict[str, Any]) -> bytes:
    return bytes(asyncio.run(json_response(content)).body)


@given(st.dictionaries(texts, values))
def test_any_content_is_encoded_as_json_encodes_it(content: dict[str, Any]) -> None:
    assert json.loads(encoded(content)) == content


@given(st.integers(0, 3 * SLICE + 1), values)
def test_a_list_of_any_length_is_encoded_whole(length: int, item: object) -> None:
    content = {"items": [item] * length, "last": [{"inner": list(range(length))}] * 2}
    assert json.loads(encoded(content)) == content


@given(st.lists(st.lists(values, min_size=1), max_size=5), values)
def test_a_list_encoded_in_slices_is_one_list(slices: list[list[Any]], other: object) -> None:
    items = asyncio.run(encode_list(iter(slices)))
    content = json.loads(encoded({"items": items, "other": other}))
    assert content == {"items": [item for part in slices for item in part], "other": other}
