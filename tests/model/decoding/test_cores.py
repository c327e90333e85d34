"""The number of usable cores, from the files that Linux provides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model.decoding.cores import available_cores

CORES = 16


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(CORES), raising=False)


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A folder with the files of a Linux system."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_bytes(groups.encode("latin-1"))
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_limit_all_of_them() -> None:
    assert available_cores(Path("/nowhere")) == CORES


def test_a_core_is_a_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert available_cores(system(tmp_path, "0::/\n", {"cpu.max": "400000 100000\n"})) == 1


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "210000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 2),
        ("0::/a/b\n", {"cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a\n", {"cpu.max": "500000 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        (
            "3:memory:/x\n1:cpu,cpuacct:/docker/1\n0::/\n",  # a path outside the container's view
            {"cpu/cpu.cfs_quota_us": "350000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            "1:cpu,cpuacct:/\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "350000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
    ],
)
def test_a_quota_limits_the_cores(
    tmp_path: Path, groups: str, files: dict[str, str], cores: int
) -> None:
    assert available_cores(system(tmp_path, groups, files)) == cores


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}),
        ("0::/\n", {"cpu.max": ""}),
        ("0::/\n", {"cpu.max": "99999999 100000\n"}),
        ("0::/gone\n", {}),
        ("0::/\xff:x\n", {}),  # a name of any bytes
        (
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        ),
    ],
)
def test_without_a_valid_limit_all_cores_count(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    assert available_cores(system(tmp_path, groups, files)) == CORES


def siblings(root: Path, lists: dict[int, str]) -> Path:
    """A folder with the topology of some CPUs."""
    topology = {f"cpu{cpu}/topology/thread_siblings_list": text for cpu, text in lists.items()}
    for name, text in topology.items():
        path = root / "sys/devices/system/cpu" / name
        path.parent.mkdir(parents=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("usable", "cores"),
    [(range(8), 4), (range(4), 4), ({0, 4}, 1), ({0, 4, 1}, 2), ({2}, 1)],
)
def test_hardware_threads_of_a_core_count_once(
    usable: set[int], cores: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four cores with two threads each: CPUs 0 and 4 are the first core."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: usable, raising=False)
    root = siblings(tmp_path, {cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)})
    assert available_cores(root) == cores


def test_a_quota_also_limits_cores_with_two_threads(tmp_path: Path) -> None:
    system(tmp_path, "0::/\n", {"cpu.max": "300000 100000\n"})
    root = siblings(tmp_path, {cpu: f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" for cpu in range(CORES)})
    assert available_cores(root) == 3


def test_without_the_topology_every_cpu_is_a_core(tmp_path: Path) -> None:
    root = siblings(tmp_path, {cpu: f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" for cpu in range(3)})
    assert available_cores(root) == CORES
