"""Patterns mean what they mean in Python, and what cannot be compiled is refused."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
import warnings
from typing import Literal

import pytest

from model.errors import PatternError
from model.patterns.pattern import FINAL, NOWHERE, Pattern, compile_pattern
from model.patterns.work_limit import WorkLimit
from model.text.vocabulary import UNKNOWN, Vocabulary

VOCABULARY = Vocabulary("abA\u00e9\u0663\n\x1c1-] kK\u212a" + UNKNOWN)
TEXTS = [
    "".join(characters)
    for length in range(4)
    for characters in itertools.product(VOCABULARY.characters[:-1], repeat=length)
]


def matches(pattern: Pattern, text: str) -> bool:
    """Whether a pattern allows a text and its end."""
    state = 0
    for number, character in enumerate(text):
        state = pattern.next_NC[state, pattern.class_of_V[VOCABULARY.characters.index(character)]]
        if state == NOWHERE:
            return False
        if state == FINAL:
            return number == len(text) - 1
    return bool(pattern.may_end_N[state])


@pytest.mark.parametrize(
    "expression",
    [
        r"\w+",
        r"\W\d\s",
        r".",
        r"(?s).*",
        r"[^a]",
        r"[\w-]",
        r"[]a]",
        r"[^]a-k]",
        r"\x41\u00e9?",
        r"\N{DIGIT ONE}",
        r"(?i)k",
        r"(?a:\w)+",
        r"(?a:[\W\d])(?ai:k)",
        r"(?i:ab)",
        r"(?i)(?-i:k)K",
        r"(?a)\w+",
        r"(?x) a b # a comment",
        r"(?#a comment)a",
        r"(?P<name>a)b",
        r"^a$|^b$",
        r"(^a|b\Z)",
        r"\Aab",
        r"a{,2}b{2,}",
        r"a{0}",
        r"(?:a{2}){1}",
        r"(a|ab)(b|)",
        r"((a*)*b)*",
        r"((a+)+)+b",
        r"(?:|a)+b",
        r"(a|b|)*?1",
        r"(?:(?:a?)*1?)*",
        r"(?:a|(?:b|)*){2,3}",
        r"(a{0,2}b){0,1}",
        r"(){5}a",
        r"",
    ],
)
def test_an_expression_matches_what_it_matches_in_python(expression: str) -> None:
    pattern, reference = compile_pattern(expression, VOCABULARY), re.compile(expression)
    for text in TEXTS:
        assert matches(pattern, text) == (reference.fullmatch(text) is not None), text


def test_every_state_leads_to_a_match() -> None:
    """Also if a part of the pattern needs a character that the vocabulary lacks."""
    pattern = compile_pattern("a(bbx|b1|1*x)|kx", VOCABULARY)
    assert matches(pattern, "ab1")
    assert len(pattern.next_NC) == 3
    pattern = compile_pattern("[a-b]+|k", VOCABULARY, banned={VOCABULARY.characters.index("a")})
    assert matches(pattern, "bb")
    assert not matches(pattern, "ba")
    assert not matches(compile_pattern(".", VOCABULARY), UNKNOWN)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (r"(a", r"is not a regular expression: missing \)"),
        (r"a**", r"is not a regular expression: multiple repeat at position 2"),
        (r"[[a]", r"is ambiguous: Possible nested set at position 1"),
        (r"(?=a)b", r"has lookaround, which is not supported"),
        (r"a(?<!b)", r"has lookaround"),
        (r"(a)\1", r"has a backreference"),
        (r"(?P<n>a)(?P=n)", r"has a backreference"),
        (r"(a)?(?(1)b|1)", r"has a conditional group"),
        (r"(?>a)", r"has an atomic group"),
        (r"a++", r"has a possessive quantifier"),
        (r"\ba", r"has the word boundary \\b"),
        (r"a^b", r"has \^ that is not at the beginning"),
        (r"(a$)+", r"has \$ that is not at the end"),
        (r"xyz", r"needs characters that the model cannot write: 'x' \(U\+0078\), 'y' "),
        (r"a[x-z]", r"cannot write: 'x' \(U\+0078\)$"),
        (UNKNOWN, r"cannot write: '\ufffd' \(U\+FFFD\)"),
        (r"[^\s\S]", r"matches no text"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused(expression: str, message: str) -> None:
    with pytest.raises(PatternError, match=message):
        compile_pattern(expression, VOCABULARY)


@pytest.mark.parametrize("action", ["ignore", "always", "once"])
def test_ambiguous_sets_are_refused_whatever_filters_of_warnings_other_code_sets(
    action: Literal["ignore", "always", "once"],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        filters = list(warnings.filters)
        for expression in ("[[a]", "[a--b]", "[a&&b]", "[a||b]", "[a~~b]", "[a-b--1]"):
            for _ in range(2):
                with pytest.raises(PatternError, match="is ambiguous: Possible "):
                    compile_pattern(expression, VOCABULARY)
            assert warnings.filters == filters
        assert matches(compile_pattern("(?x) a # [[a]", VOCABULARY), "a")


def test_compiling_a_pattern_turns_no_warning_of_another_thread_into_an_error() -> None:
    ended = threading.Event()

    def compile_all() -> None:
        for _ in range(10):  # long enough to change threads meanwhile
            with contextlib.suppress(PatternError):
                compile_pattern("[ab]" * 2400 + "(", VOCABULARY)
        ended.set()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread = threading.Thread(target=compile_all)
        thread.start()
        try:
            while not ended.is_set():
                warnings.warn("something else", FutureWarning, stacklevel=1)
        finally:
            thread.join()


HOSTILE = {
    "exponentially many states": r"(a|b)*a(a|b){40}",
    "a long repetition": r"a{1,100000}",
    "repetitions in repetitions": r"(?:a{1,1000}){1,1000}",
    "repetitions of nothing": r"(?:(?:){0,60000}){0,60000}",
    "a repetition beyond Python's limit": r"a{1,9999999999}",
    "optional repetitions": r"(.{0,70}){0,70}",
    "stars side by side": "(?:" + "a*b*1*k*" * 600 + "){2}",
    "stars in a loop": "(?:" + "a*b*1*k*" * 600 + ")*" + "a(?:a|b){20}",
    "nested quantifiers": "(?:" * 150 + "a" + "b*)*" * 150,
    "nested groups": "(" * 4000 + "a" + ")" * 4000,
    "thousands of alternatives": "|".join(f"a{'b' * (n % 50)}{'ab1k'[n % 4]}" for n in range(3000)),
    "long": "a" * 10_001,
    "many sets": "".join(f"[^a{chr(200 + n)}]" for n in range(1600)),
    "empty branches": "(?:" + "|" * 9900 + "){5000}",
    "empty groups": "(?:" + "()" * 4900 + "){5000}",
    "a large set": "[" + "ab" * 4900 + "]{5000}",
    "a number with 5,000 digits": "a{" + "1" * 5000 + "}",
    "characters beyond 16 bits": "[" + "".join(chr(0x10000 + 2 * n) for n in range(9900)) + "]",
    "wide ranges": "(?i)[" + "".join(f"{chr(n)}-{chr(0xFFFF - n)}" for n in range(256, 3500)) + "]",
    "a wide range in many sets": "".join(f"[a\u0100-{chr(0xF000 + n)}]" for n in range(1400)),
    "many sets beyond Latin-1": "".join(
        f"[a\u0400\u0402\u0404\u0406{chr(0x500 + 2 * n)}]" for n in range(1200)
    ),
    "many sets that ignore case": "(?i)" + "".join(f"[ak{chr(200 + n)}]" for n in range(1900)),
    "a number with 400 digits": "(?:" * 40 + "a" + "){4000000000}" * 40,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_expression_takes_little_time(name: str) -> None:
    began = time.thread_time()
    with contextlib.suppress(PatternError):
        assert compile_pattern(HOSTILE[name], VOCABULARY).bytes < 2 << 20
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exponentially many states", "takes more than the 30000 operations"),
        ("a long repetition", "is too large: written out, its repetitions have 100000 characters"),
        ("repetitions of nothing", "have 1e[+]09 characters and sets, and at most 5000"),
        ("nested groups", "has too many groups inside each other"),
        ("long", "must have at most 10000 characters, got 10001"),
    ],
)
def test_the_error_of_a_large_expression_names_the_limit(name: str, message: str) -> None:
    with pytest.raises(PatternError, match=message):
        compile_pattern(HOSTILE[name], VOCABULARY)


def test_a_wide_set_costs_once_however_often_it_occurs() -> None:
    assert compile_pattern("[a\u4e00-\u9fff]" * 1000, VOCABULARY).bytes


def test_reading_a_long_expression_counts_until_a_pause() -> None:
    pauses: list[None] = []
    compile_pattern(
        "[" + "ab" * 4900 + "]", VOCABULARY, work=WorkLimit(lambda: pauses.append(None))
    )
    assert pauses


def test_pauses_divide_the_work() -> None:
    pauses: list[None] = []
    compile_pattern("(a|b)*a(a|b){8}", VOCABULARY, work=WorkLimit(lambda: pauses.append(None)))
    assert 2 < len(pauses) < 30
