"""Cores: the number of threads that this process can keep busy."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """Return the number of usable cores: those of the affinity mask, capped by the CPU quota.

    The operating system lists a core with simultaneous multithreading ("hyper-threading") as two
    CPUs. It counts once, because its two CPUs share the units that multiply and the cache.

    A container's limit (`docker run --cpus 3`) is a quota. The container sees all cores, but if
    more threads run than the quota allows, the operating system stops all of them for the rest of
    each period. A fractional quota is rounded up. A quota below two counts as two, because even
    then two threads are faster than one: each keeps half of the weights in its core's cache.

    Args:
        root: root of the file system. Tests pass another one.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = _physical_cores(os.sched_getaffinity(0), root)
    else:
        cores = os.cpu_count() or 1
    return min([cores, *(max(2, math.ceil(quota)) for quota in _quotas(root))])


def _physical_cores(cpus: Collection[int], root: Path) -> int:
    """Return the number of cores that some CPUs belong to, or of CPUs if Linux does not tell."""
    folder = root / "sys/devices/system/cpu"
    siblings = set()  # each core's list of CPUs, for example "0,4" or "0-1"
    for cpu in cpus:
        try:
            siblings.add((folder / f"cpu{cpu}/topology/thread_siblings_list").read_text())
        except OSError:
            return len(cpus)
    return len(siblings)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of the process's cgroups and their parents (man 7 cgroups)."""
    for folder in _cgroup_folders(root):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):  # versions 2, 1
            try:
                words = " ".join((folder / name).read_text() for name in names).split()
                quota, period = map(int, words)
            except (OSError, ValueError):  # no such file, or "max", which means no limit
                continue
            if quota > 0 and period > 0:  # a quota of -1 means no limit
                yield quota / period


def _cgroup_folders(root: Path) -> Iterator[Path]:
    try:
        lines = (root / "proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Inside a container, the base folder may be the container's own group, and the listed
        # path may not exist.
        names = [name for name in path.split("/") if name]
        for base in {"cpu", controllers} if controllers else {""}:
            folder = root / "sys/fs/cgroup" / base
            yield from (folder.joinpath(*names[:depth]) for depth in range(len(names) + 1))
