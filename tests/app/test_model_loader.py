"""Which files the setting CHARSTREAM_CHECKPOINT names, and what stops a server from starting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.main import create_app
from app.model_loader import checkpoint_files
from app.settings import Settings
from model.errors import CharstreamError
from tests.app.several_models import make_folder


def touched(folder: Path, *names: str) -> Path:
    """Create empty files in a folder; return the folder."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_a_folder_stands_for_its_visible_checkpoints_sorted_by_name(tmp_path: Path) -> None:
    folder = touched(
        *(tmp_path, "b.safetensors", "a-old.safetensors", "a.safetensors"),
        *(".c.safetensors", "d.safetensors.new", "e.txt"),
    )
    assert list(checkpoint_files([folder]).items()) == [
        ("a", folder / "a.safetensors"),
        ("a-old", folder / "a-old.safetensors"),
        ("b", folder / "b.safetensors"),
    ]


def test_files_and_folders_keep_their_order(tmp_path: Path) -> None:
    folder = touched(tmp_path / "folder", "b.safetensors", "a.safetensors")
    files = checkpoint_files([tmp_path / "z.safetensors", folder, tmp_path / "c.safetensors"])
    assert list(files) == ["z", "a", "b", "c"], "a file may be missing until it is read"


def test_two_files_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    one, two = (touched(tmp_path / name, "a.safetensors") for name in ("one", "two"))
    with pytest.raises(SettingsError, match=r"CHARSTREAM_CHECKPOINT: .*the model 'a'") as caught:
        checkpoint_files([one, two])
    assert f"{one / 'a.safetensors'} and {two / 'a.safetensors'}" in str(caught.value)


def test_the_best_checkpoint_of_a_run_has_the_name_of_its_folder(tmp_path: Path) -> None:
    one, two = (touched(tmp_path / name, "best.safetensors") for name in ("one", "two"))
    assert list(checkpoint_files([one, two])) == ["one", "two"]


@pytest.mark.parametrize("name", [b"bad\xff", b"two\nlines"])
def test_a_name_that_cannot_be_shown_is_an_error(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".safetensors"))
    path.touch()
    with pytest.raises(SettingsError, match="must be printable characters in UTF-8") as caught:
        checkpoint_files([tmp_path])
    assert str(caught.value).isprintable()


def test_a_folder_without_checkpoints_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"folder {tmp_path} has no .safetensors files"):
        checkpoint_files([touched(tmp_path, "a.txt")])


def test_a_path_that_cannot_be_searched_is_taken_for_a_file() -> None:
    """Loading it then says what is wrong."""
    path = Path("x" * 300)  # too long for the file system
    assert checkpoint_files([path]) == {path.stem: path}


def test_a_server_with_one_bad_file_does_not_start_and_says_which_and_why(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(CharstreamError, match=r"bad\.safetensors: not a readable .safetensors"):
        create_app(Settings(checkpoint=(tmp_path,), threads=1))


def test_the_default_model_must_be_there(tmp_path: Path) -> None:
    make_folder(tmp_path)
    with pytest.raises(SettingsError, match=r"DEFAULT_MODEL: .*'eve'; expected one of ada, bob"):
        create_app(Settings(checkpoint=(tmp_path,), default_model="eve", threads=1))


def test_the_setting_is_a_list_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARSTREAM_CHECKPOINT", "a.safetensors, models")
    assert Settings.from_environment().checkpoint == (Path("a.safetensors"), Path("models"))
    monkeypatch.setenv("CHARSTREAM_CHECKPOINT", " , ")
    with pytest.raises(SettingsError, match="CHARSTREAM_CHECKPOINT: expected values separated"):
        Settings.from_environment()
