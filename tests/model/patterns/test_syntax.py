"""Patterns mean what they mean in Python, and what cannot be compiled is refused."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
import warnings

import pytest

from model.errors import PatternError
from model.patterns.pattern import FINAL, NOWHERE, Pattern, compile_pattern
from model.patterns.syntax import MAX_CHARACTERS, MAX_ITEMS
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
        (r"[[a]", r"is ambiguous: the set at position 0"),
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


def test_python_still_has_the_parser_and_the_compiler_that_patterns_need() -> None:
    try:
        compile_pattern(r"(?i)[\wa]{2,}", VOCABULARY)
    except (AttributeError, TypeError) as error:
        pytest.fail(
            f"this Python has another re._parser or re._compiler than _cpython and _matcher in "
            f"model/patterns/syntax.py expect: {error}"
        )


def test_ambiguous_sets_are_refused_without_a_warning() -> None:
    """Filters of warnings belong to the whole process, so compiling must not need them."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for expression in ("[[a]", "[a--b]", "[a&&b]", "[a||b]", "[a~~b]", "[a-b--1]", r"\\[[a]"):
            with pytest.raises(PatternError, match="is ambiguous: the set at position"):
                compile_pattern(expression, VOCABULARY)
        for expression in (
            "(?x) a # [[a]", "(?#[)a", "(?#[[)a", r"\[?a", r"[\[a]", r"[\\a]", "a|(|)|a",
            "[^[a]", "[--a]", "[^--a]", "[]a]", r"[^\]a]", "[|a]||b"
        ):  # fmt: skip
            assert matches(compile_pattern(expression, VOCABULARY), "a") == (
                re.fullmatch(expression, "a") is not None
            )
    assert not warned


HOSTILE = {
    "exponentially many states": r"(a|b)*a(a|b){40}",
    "a long repetition": r"a{1,100000}",
    "a long text": "a" * MAX_CHARACTERS,
    "a repetition as long as is allowed": f".{{0,{MAX_ITEMS - 1}}}",
    "repetitions in repetitions": r"(?:a{1,1000}){1,1000}",
    "repetitions of nothing": r"(?:(?:){0,60000}){0,60000}",
    "a repetition beyond Python's limit": r"a{1,9999999999}",
    "optional repetitions": r"(.{0,70}){0,70}",
    "stars side by side": "(?:" + "a*b*1*k*" * 200 + "){2}",
    "stars in a loop": "(?:" + "a*b*1*k*" * 200 + ")*" + "a(?:a|b){20}",
    "nested quantifiers": "(?:" * 150 + "a" + "b*)*" * 150,
    "nested groups": "(" * 900 + "a" + ")" * 900,
    "thousands of alternatives": "|".join(f"a{'b' * (n % 50)}{'ab1k'[n % 4]}" for n in range(150)),
    "long": "a" * (MAX_CHARACTERS + 1),
    "many sets": "".join(f"[^a{chr(200 + n)}]" for n in range(390)),
    "empty branches": "(?:" + "|" * 1900 + "){500}",
    "empty groups": "(?:" + "()" * 900 + "){2}",
    "a large set": "[" + "ab" * 900 + "]{1900}",
    "a number with 1,900 digits": "a{" + "1" * 1900 + "}",
    "characters beyond 16 bits": "[" + "".join(chr(0x10000 + 2 * n) for n in range(1900)) + "]",
    "wide ranges": "(?i)[" + "".join(f"{chr(n)}-{chr(0xFFFF - n)}" for n in range(256, 750)) + "]",
    "a wide range in many sets": "".join(f"[a\u0100-{chr(0xF000 + n)}]" for n in range(330)),
    "many sets beyond Latin-1": "".join(
        f"[a\u0400\u0402\u0404\u0406{chr(0x500 + 2 * n)}]" for n in range(240)
    ),
    "many sets that ignore case": "(?i)" + "".join(f"[ak{chr(200 + n)}]" for n in range(390)),
    "a number with 400 digits": "(?:" * 40 + "a" + "){4000000000}" * 40,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_expression_takes_little_time(name: str) -> None:
    began = time.thread_time()
    with contextlib.suppress(PatternError):
        assert compile_pattern(HOSTILE[name], VOCABULARY).bytes < 2 << 20
    assert time.thread_time() - began < 0.1  # 0.02 where nothing else runs


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exponentially many states", "states have more than the 15000 transitions"),
        ("a long repetition", "is too large: written out, its repetitions have 100001 characters"),
        ("a number with 400 digits", "have 1e[+]09 characters, sets and groups, and at most 2200"),
        ("nested groups", "has too many groups inside each other"),
        ("long", "must have at most 2500 characters, got 2501"),
        ("wide ranges", "ignores the case of too many different characters, or of too wide"),
    ],
)
def test_the_error_of_a_large_expression_names_the_limit(name: str, message: str) -> None:
    with pytest.raises(PatternError, match=message):
        compile_pattern(HOSTILE[name], VOCABULARY)


LETTERS = Vocabulary(
    "".join(map(chr, range(32, 127))) + "\n" + "".join(chr(0x4E00 + n) for n in range(9900))
)
WORDS = "|".join(f"{'abcdefgh'[n % 8]}rdin{'aeiou'[n % 5]}r{n % 25 + 10}" for n in range(200))


@pytest.mark.parametrize(
    "expression",
    [
        r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,}",
        r"(?:18|19)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
        r'\{"name": "[^"\\]{1,40}", "age": \d{1,3}, "tags": \[("\w+"(, "\w+")*)?\]\}',
        r"\+?\d{1,3}[ -]?\(?\d{3}\)?[ -]?\d{3}[ -]?\d{4}",
        f"(?i:{WORDS})( and (?i:{WORDS[:80]}))*",
        "[a-z]{1000}",
        "[a\u4e00-\u9fff]" * 250,
    ],
)
def test_a_realistic_expression_is_within_the_limits_for_any_vocabulary(expression: str) -> None:
    began = time.thread_time()
    assert compile_pattern(expression, LETTERS).bytes
    assert time.thread_time() - began < 0.2  # 0.05 where nothing else runs
