"""The cores that a process may keep busy, as Linux tells them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model.cores import available_cores

OWN = available_cores(Path("/nowhere"))  # without any control group


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A tree that looks like a system's."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_limit_all_of_them() -> None:
    assert OWN >= 1
    if hasattr(os, "sched_getaffinity"):
        assert len(os.sched_getaffinity(0)) == OWN


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"cpu.max": "100000 100000\n"}),
        ("0::/\n", {"cpu.max": "170000 100000\n"}),  # two threads would be stopped
        ("0::/\n", {"cpu.max": "20000 100000\n"}),
        ("0::/a/b\n", {"cpu.max": "max 100000\n", "a/cpu.max": "100000 100000\n"}),
        (
            "3:memory:/x\n1:cpu,cpuacct:/docker/1\n0::/\n",  # of another view than the container's
            {"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        ),
    ],
)
def test_a_limit_of_time_is_one_of_cores(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    assert available_cores(system(tmp_path, groups, files)) == 1


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}),
        ("0::/\n", {"cpu.max": ""}),
        ("0::/\n", {"cpu.max": "99999999 100000\n"}),
        ("0::/gone\n", {}),
        (
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        ),
    ],
)
def test_no_limit_and_what_is_none_change_nothing(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    assert available_cores(system(tmp_path, groups, files)) == OWN
