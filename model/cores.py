"""Cores: how many threads this process can keep busy."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """Those that it may run on, or what the time is worth that its control groups grant.

    A container's limit (`docker run --cpus 3`) is such a grant: all cores are seen, but threads on
    more of them than that use up a period's time early, and stop until the next. A part of a core
    counts as one, and two are always better than one: each holds half of the weights in its cache.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min([cores, *(max(2, math.ceil(grant)) for grant in _grants(root))])


def _grants(root: Path) -> Iterator[float]:
    """In cores, of the process's control groups and those around them (Linux, man 7 cgroups)."""
    for folder in _groups(root):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):  # versions 2, 1
            try:
                words = " ".join((folder / name).read_text() for name in names).split()
                quota, period = map(int, words)
            except (OSError, ValueError):  # no such file, or no limit: the word "max"
                continue
            if quota > 0 and period > 0:  # -1: no limit
                yield quota / period


def _groups(root: Path) -> Iterator[Path]:
    try:
        lines = (root / "proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # A container may see its own group as the base, and a path that is not there.
        names = [name for name in path.split("/") if name]
        for base in {"cpu", controllers} if controllers else {""}:
            folder = root / "sys/fs/cgroup" / base
            yield from (folder.joinpath(*names[:depth]) for depth in range(len(names) + 1))
