"""Texts: how files, folders and downloads are read, split and refused."""

from __future__ import annotations

import gzip
import resource
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from model.errors import CorpusError
from model.text import vocabulary as vocabulary_module
from model.text.vocabulary import UNKNOWN, Vocabulary
from training import corpus as corpus_module
from training.corpus import (
    PUBLISHED,
    Corpus,
    describe_missing,
    fetch,
    is_published,
    read_text,
    split,
)

TEXT = "The quick brown fox jumps over the lazy dog.\n" * 10


def test_the_last_tenth_validates() -> None:
    training, validation = split(np.arange(1000))
    assert training.tolist() == list(range(900))
    assert validation.tolist() == list(range(900, 1000))


def test_the_vocabulary_covers_both_parts() -> None:
    corpus = Corpus.from_text(TEXT + "!")
    assert "!" in corpus.vocabulary
    whole = corpus.vocabulary.decode(np.concatenate([corpus.training, corpus.validation]))
    assert whole == TEXT + "!"


def test_a_folder_is_its_text_files_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text(name)
    assert read_text(tmp_path) == "a.txt\nb.txt"


def test_gzip_is_read_in_a_folder_too(tmp_path: Path) -> None:
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("\ufeffzwei\r\n漢".encode(), mtime=0))
    (tmp_path / "a.txt").write_text("eins")
    assert read_text(tmp_path) == "eins\nzwei\n漢"
    assert read_text(tmp_path / "b.txt.gz") == "zwei\n漢"


def test_rare_characters_become_one() -> None:
    corpus = Corpus.from_text(TEXT + "éü漢", min_count=2)
    assert corpus.vocabulary == Vocabulary.from_text(TEXT + UNKNOWN)
    assert corpus.validation[-3:].tolist() == [corpus.vocabulary.unknown_id] * 3
    assert corpus.missing == {"é": 1, "ü": 1, "漢": 1}
    message = describe_missing(corpus.vocabulary, corpus.missing)
    assert "3 characters of the text" in message
    assert "read as unknown" in message
    with pytest.raises(CorpusError, match="no character occurs 1000 times"):
        Corpus.from_text(TEXT, min_count=1000)


def test_a_given_vocabulary_is_used_and_what_it_lacks_is_named() -> None:
    vocabulary = Vocabulary.from_text(TEXT)
    corpus = Corpus.from_text(TEXT + "é" * 5, vocabulary=vocabulary)
    assert corpus.vocabulary is vocabulary
    assert len(corpus.training) + len(corpus.validation) == len(TEXT)
    message = describe_missing(vocabulary, corpus.missing)
    assert message.endswith("left out, 5 times in total: 'é' (5)")
    with pytest.raises(CorpusError, match="another kind of text: 1 character of the text is not"):
        Corpus.from_text(TEXT + "é" * 500, vocabulary=vocabulary)


@given(st.text(min_size=2, max_size=300), st.integers(1, 4), st.integers(1, 50))
def test_a_corpus_is_encoded_like_any_text(text: str, min_count: int, piece: int) -> None:
    assume(len(set(text)) > 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary_module, "_ENCODED_AT_ONCE", piece)
        whole = Vocabulary.from_text(text)
        ids, lacking = whole.encode_corpus(text)
        assert whole.decode(ids.astype(np.int32)) == text
        assert not lacking
        some = Vocabulary.from_text(text + "ab" * min_count, min_count)
        ids, lacking = some.encode_corpus(text)
    written = "".join(c if text.count(c) >= min_count or c in some else UNKNOWN for c in text)
    assert some.decode(ids.astype(np.int32)) == written
    assert lacking.total() == written.count(UNKNOWN) - text.count(UNKNOWN)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b damaged", "damaged gzip file"),
        (gzip.compress(b"whole " * 99, mtime=0)[:-9], "damaged gzip file"),
        (gzip.compress(b"caf\xe9", mtime=0), "not UTF-8: byte 0xe9 at offset 3"),
        (b"good \xff bad", "not UTF-8: byte 0xff at offset 5"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_text(path)


def test_a_path_that_cannot_be_searched_is_named() -> None:
    with pytest.raises(CorpusError, match="xxx: cannot be read: File name too long"):
        read_text(Path("x" * 300))


def test_a_text_is_read_up_to_a_limit_over_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size after decompression counts."""
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"a" * 597)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"b" * 400, mtime=0))
    monkeypatch.setattr(corpus_module, "MAX_BYTES", 1000)
    assert read_text(tmp_path) == "a" * 597 + "\n" + "b" * 400
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"b" * 401, mtime=0))
    with pytest.raises(CorpusError, match=r"b.txt.gz: the text is larger than 1,000 bytes"):
        read_text(tmp_path)
    assert read_text(tmp_path / "b.txt.gz") == "b" * 401


def test_a_text_that_does_not_fit_into_memory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bomb.txt.gz"
    path.write_bytes(gzip.compress(b"a" * 1_000_000, 1, mtime=0) * 1000)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, limits[1]))
    try:
        with pytest.raises(CorpusError, match=r"bomb.txt.gz: the text does not fit into memory"):
            read_text(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@given(st.text(st.sampled_from("ab\r\n\ufeffé漢")), st.integers(1, 9))
def test_a_text_is_read_as_by_a_text_stream(
    tmp_path_factory: pytest.TempPathFactory, text: str, piece: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus_module, "_READ_AT_ONCE", piece)
        assert read_text(path) == path.read_text(encoding="utf-8-sig")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no \.txt"):
        read_text(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "0 characters"), ("short", "5 characters"), ("a" * 500, "only one distinct character")],
)
def test_what_cannot_be_learnt_from_is_refused(text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        Corpus.from_text(text)


def test_a_local_copy_stands_in_for_the_net(tmp_path: Path) -> None:
    source = tmp_path / "mine.txt"
    source.write_text(TEXT)
    stored = fetch("anna", tmp_path / "data" / "anna.txt", source)
    assert stored.read_text() == TEXT
    assert not is_published("anna", TEXT)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="'hamlet' is unknown; known are anna, tinyshakespeare"):
        fetch("hamlet", tmp_path / "hamlet.txt")


def test_without_a_network_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, **_: object) -> httpx.Response:
        raise httpx.ConnectError("no route to host")

    monkeypatch.setattr(httpx, "get", refuse)
    with pytest.raises(CorpusError, match=r"no route to host.*corpus anna --from FILE"):
        fetch("anna", tmp_path / "anna.txt")


def test_a_download_that_is_another_text_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(url: str, **_: object) -> httpx.Response:
        assert url == PUBLISHED["anna"].url
        return httpx.Response(200, content=b"a login page", request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", answer)
    with pytest.raises(CorpusError, match="not the published text"):
        fetch("anna", tmp_path / "anna.txt")
    assert not list(tmp_path.iterdir())
