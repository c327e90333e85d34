"""Compare the rate of several models in one server with the rate of one model, over HTTP.

    python -m benchmarks.several_models

The models are copies of one checkpoint, so that they compute equally much. All servers have the
same number of streams in total.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from benchmarks.http_rate import http_rate, running_service


def main() -> None:
    """Measure one model and several models alternately, and print the rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/anna.safetensors"))
    parser.add_argument("--models", type=int, default=2, help="number to compare with one model")
    parser.add_argument("--streams", type=int, default=64, help="of all models together")
    parser.add_argument("--characters", type=int, default=10_000, help="of each stream")
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = [f"model-{number}" for number in range(options.models)]
        for name in names:
            shutil.copy(options.checkpoint, Path(folder) / f"{name}.safetensors")
        ratios = [measured(Path(folder), names, options) for _ in range(options.rounds)]
    print(f"median ratio: {statistics.median(ratios):.1%}")


def measured(folder: Path, names: list[str], options: argparse.Namespace) -> float:
    """Return the rate of several models divided by the rate of one, measured in one server."""
    with running_service(folder, max_streams=options.streams) as service:
        http_rate(service.port, options.streams, options.characters // 10, names)
        one, several = (
            http_rate(service.port, options.streams, options.characters, models)
            for models in (names[:1], names)
        )
    print(f"1 model: {one:,.0f} char/s, {len(names)} models: {several:,.0f} char/s", flush=True)
    return several / one


if __name__ == "__main__":
    main()
