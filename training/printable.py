"""Printable text: what a terminal or a page can show without being controlled by it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with U+FFFD for each character that controls a terminal or is not in HTML.

    These are all control characters but newline and tab, noncharacters and halves of surrogates.
    """
    return "".join(c if c in "\n\t" or _is_printable(ord(c)) else "\ufffd" for c in text)


def _is_printable(code: int) -> bool:
    is_control = code < 0x20 or 0x7F <= code < 0xA0
    return not (is_control or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE)
