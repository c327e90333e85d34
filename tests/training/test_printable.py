"""Samples on a terminal: which characters are replaced."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from training.printable import printable


@given(st.text(alphabet=st.characters(codec=None)))
def test_only_characters_without_a_glyph_are_replaced(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    shown.encode()  # no halves of surrogates
    for before, after in zip(text, shown, strict=True):
        assert after == before or after == "\ufffd"
        assert after == before or not (before.isprintable() or before in "\n\t")
    assert not any(c < " " and c not in "\n\t" for c in shown)
    assert "\x1b" not in shown
    assert "\x9b" not in shown
