"""The measures of the effect of held cells."""

from __future__ import annotations

import pytest

from benchmarks.steering import line_length, quoted_share


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('"Yes," he said.', 6),
        ('"Yes," he said. "No."', 11),
        ('a, "b\nc."\n', 6),
        ('he said," and left. "Go', 0),  # a mark that closes, and one that only opens
        ('"One "two" three', 5),  # only the quotation whose next mark closes it
        ("none", 0),
    ],
)
def test_only_complete_quotations_count(text: str, quoted: int) -> None:
    assert quoted_share(text) == quoted / len(text)


def test_empty_lines_do_not_count() -> None:
    assert line_length("abcd\n\nef\n") == 3
