"""JSON pieces: joined, they are the JSON of the whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.api.json_pieces import SLICE, list_of, list_of_slices, pieces_of

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    leaves | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=30,
)


def decoded(content: dict[str, Any]) -> object:
    return json.loads("".join(pieces_of(content)))


@given(st.dictionaries(texts, values))
def test_any_content_is_encoded_as_json_encodes_it(content: dict[str, Any]) -> None:
    assert decoded(content) == content


@given(st.integers(0, 3 * SLICE + 1), values)
def test_a_list_of_any_length_is_encoded_whole(length: int, item: object) -> None:
    content = {"items": [item] * length, "last": [{"inner": list(range(length))}] * 2}
    assert decoded(content) == content


@given(st.lists(st.lists(values, min_size=1), max_size=5), values)
def test_a_list_encoded_in_slices_is_one_list(slices: list[list[Any]], other: object) -> None:
    items = [item for part in slices for item in part]
    parts = ({"part": list_of_slices(iter(slices)), "number": number} for number in range(2))
    content = {"items": list_of_slices(iter(slices)), "other": other, "parts": list_of(parts)}
    assert decoded(content) == {
        "items": items,
        "other": other,
        "parts": [{"part": items, "number": number} for number in range(2)],
    }
