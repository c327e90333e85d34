"""Training trials: compare settings of training at equal time, with several seeds.

    python -m benchmarks.training_trials --text data/anna.txt --minutes 5 --seeds 3

Each trial is a run of `python -m training train` with a time limit, and `evaluate` of its result.
The seeds are in the outer loop, so that slow changes of the machine affect all settings alike. A
trial that has a result is not repeated, so an interrupted comparison continues. An interrupted
training begins again. A settings file has a line `name: flags` for each trial. Without one, the
settings of `TRIALS` are compared.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.training_result import TrainingResult, folder_name, result_of

TRIALS: dict[str, str] = {
    "default": "",
    "adamw": "--optimizer adamw",
    "muon, rate 0.02": "--muon-lr 0.02",
    "muon, rate 0.06": "--muon-lr 0.06",
    "muon, momentum 0.9": "--muon-momentum 0.9",
    "muon, 3 iterations": "--muon-iterations 3",
    "muon, decay 0.03": "--muon-weight-decay 0.03",
    "muon, decay 0.3": "--muon-weight-decay 0.3",
    "adamw rate 0.006": "--learning-rate 0.006",
    "batch size 64": "--batch-size 64",
    "sequence length 256": "--seq-len 256",
    "averaging 0.99": "--averaging 0.99",
}


def main() -> None:
    """Run all trials and print one table after each of them."""
    options = _parser().parse_args()
    trials = _read_trials(options.trials) if options.trials else TRIALS
    results: dict[str, list[TrainingResult]] = {name: [] for name in trials}
    console = Console(width=110)
    for seed in range(options.seeds):
        for name, flags in trials.items():
            try:
                results[name].append(_result(options, name, flags, seed))
            except subprocess.CalledProcessError as error:
                print(f"{name}, seed {seed}: failed with exit status {error.returncode}")
            console.print(_table(results, options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_trials")
    parser.add_argument("--text", type=Path, required=True, help="text to train on")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="time of each trial (default %(default)s)"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="number of seeds of each trial (default %(default)s)"
    )
    parser.add_argument("--trials", type=Path, help="file with a line `name: flags` for each trial")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/trials"),
        help="folder for the runs (default %(default)s)",
    )
    return parser


def _read_trials(path: Path) -> dict[str, str]:
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
        pairs = [line.partition(":") for line in lines if not line.startswith("#")]
        for _, _, flags in pairs:
            shlex.split(flags)  # before hours of trials
    except (OSError, ValueError) as error:
        raise SystemExit(f"--trials {path}: {error}") from error
    return {name.strip(): flags.strip() for name, _, flags in pairs}


def _result(options: argparse.Namespace, name: str, flags: str, seed: int) -> TrainingResult:
    minutes = f"{options.minutes:g}"
    folder: Path = options.out / f"{options.text.stem}-{minutes}" / folder_name(name, flags)
    seeded = [*shlex.split(flags), "--seed", str(seed)]
    return result_of(options.text, folder / f"seed-{seed}", minutes, seeded)


def _table(results: Mapping[str, Sequence[TrainingResult]], options: argparse.Namespace) -> Table:
    table = Table(title=f"{options.text.name}, {options.minutes:g} minutes", title_justify="left")
    for column in ("settings", "loss", "lowest", "highest", "seeds", "epochs", "updates"):
        table.add_column(column, justify="left" if column == "settings" else "right")
    ended = {name: row for name, row in results.items() if row}
    for name, row in sorted(ended.items(), key=lambda pair: _mean_loss(pair[1])):
        losses = [result.loss for result in row]
        figures = [f"{x:.4f}" for x in (_mean_loss(row), min(losses), max(losses))]
        epochs = statistics.mean(result.epochs for result in row)
        updates = statistics.mean(result.updates for result in row)
        table.add_row(name, *figures, str(len(row)), f"{epochs:.2f}", f"{updates:,.0f}")
    return table


def _mean_loss(row: Sequence[TrainingResult]) -> float:
    return statistics.mean(result.loss for result in row)


if __name__ == "__main__":
    main()
