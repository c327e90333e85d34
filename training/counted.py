"""Counted: a number with its noun in the singular or the plural, for messages."""

from __future__ import annotations


def counted(number: float, noun: str, form: str = ",") -> str:
    """Return a number and a noun, such as "1 update" or "1,000 updates".

    Args:
        number: the number.
        noun: the noun in the singular. Its plural ends in "s".
        form: format of the number. Only a number that is shown as 1 has the singular.
    """
    shown = f"{number:{form}}"
    return f"{shown} {noun}" if shown == "1" else f"{shown} {noun}s"
