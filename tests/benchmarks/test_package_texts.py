"""Texts from packages: which files are read, in which order, and what is removed."""

# ruff: noqa: RUF001  # Chinese, Greek and Hebrew letters

from __future__ import annotations

import gzip
from pathlib import Path

from benchmarks.package_texts import TEXTS, read_package


def written(root: Path, name: str, content: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = content.encode()
    path.write_bytes(gzip.compress(encoded) if path.suffix == ".gz" else encoded)


def test_files_are_joined_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("sphinx/b.py", "sphinx/a.py", "sphinx/a/c.py", "sphinx/a.txt"):
        written(tmp_path, name, f"{name}\n")
    text = read_package(TEXTS["source-python"], tmp_path)
    assert text.splitlines() == ["sphinx/a/c.py", "sphinx/a.py", "sphinx/b.py"]


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    manual = TEXTS["manual-ja"]
    written(tmp_path, manual.files[0], "日本語\n")
    assert read_package(manual, tmp_path) == "日本語\n"


def test_chinese_verses_are_chosen_from_other_fortunes(tmp_path: Path) -> None:
    chinese = TEXTS["verses-zh"]
    verse = "红颜未老恩先断。\n    -- 白居易《后宫词》"
    colored = verse.replace("《", "\x1b[32;1m《").replace("》", "》\x1b[m")
    written(tmp_path, chinese.files[0], f"题目:《塞上》\n%\n{colored}\n%\nmanual\n%\n{verse}")
    assert read_package(chinese, tmp_path) == f"{verse}\n%\n" * 2


def test_greek_verses_are_lines(tmp_path: Path) -> None:
    greek = TEXTS["testament-el"]
    xml = """<p>
      <verse-number id="Matthew 1:1">1:1</verse-number>
      <prefix>⸀</prefix><w>Βίβλος</w>
      <suffix> </suffix>
      <w>γενέσεως</w>
      <suffix>.  </suffix>
    </p>
    <p><verse-number id="Matthew 1:2">2</verse-number><w>Ἀβραὰμ</w></p>"""
    written(tmp_path, greek.files[0], xml)
    assert read_package(greek, tmp_path) == "⸀Βίβλος γενέσεως.\nἈβραὰμ\n"


def test_hebrew_verses_are_lines_without_markup(tmp_path: Path) -> None:
    hebrew = TEXTS["bible-he"]
    xml = """<verse osisID="Gen.1.1">
          <w lemma="b/7225">בְּ/רֵאשִׁ֖ית</w>
          <note><catchWord>x</catchWord><rdg>y</rdg></note>
          <w>עַל</w><seg type="x-maqqef">־</seg><w>פְּנֵ֣י</w>
        </verse>"""
    written(tmp_path, hebrew.files[0].replace("*", "Gen"), xml)
    assert read_package(hebrew, tmp_path) == "בְּרֵאשִׁ֖ית עַל־פְּנֵ֣י\n"
