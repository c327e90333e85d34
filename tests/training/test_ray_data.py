"""The adapter for Ray Data. Needs Ray: pip install '.[ray]'."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import CHARACTERS
from tests.ray_cluster import in_ray_namespace
from training.command_line import run

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own

WORKERS = 2


def workers() -> list[int]:
    """The process ids of the workers that have a model."""
    return [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker")
    ]


@in_ray_namespace
def test_the_rows_are_those_of_the_command(tiny_path: Path, tmp_path: Path) -> None:
    """Even if a worker is killed in the middle."""
    import ray

    from training.ray_data import ScoreRows

    known = "".join(CHARACTERS).replace("\n", "").replace("\r", "")
    digits = str.maketrans("0123456789", known[:10])
    lines = [str(n).translate(digits) * 20 for n in range(20_000)]
    lines[5], lines[7] = "", "\u2019"
    text, out = tmp_path / "lines.txt", tmp_path / "scores.csv"
    text.write_text("\n".join(lines))
    command = ["score", str(tiny_path), str(text), "--on-error", "empty", "--out", str(out)]
    assert run(command) == 0
    with out.open() as file:
        expected = {row["line"]: row for row in csv.DictReader(file)}

    ray.init(num_cpus=WORKERS, include_dashboard=False, object_store_memory=200_000_000)
    rows = [{"line": n, "text": line} for n, line in enumerate(lines, 1)]
    scored = ray.data.from_items(rows, override_num_blocks=20).map_batches(
        ScoreRows,
        fn_constructor_kwargs={"checkpoint": str(tiny_path)},
        batch_size=500,
        compute=ray.data.ActorPoolStrategy(size=WORKERS),
        num_cpus=1,
    )
    batches = iter(scored.iter_batches(batch_size=500))
    found = [next(batches)]
    os.kill(workers()[0], signal.SIGKILL)
    found.extend(batches)
    numbers = [str(n) for batch in found for n in batch["line"].tolist()]
    assert sorted(numbers) == sorted(expected), "nothing is lost or doubled"
    for name in ("nats", "bits", "bits_per_character", "characters"):
        values = [value for batch in found for value in batch[name].tolist()]
        shown = ["" if value != value else str(value) for value in values]
        assert shown == [expected[n][name] for n in numbers]
