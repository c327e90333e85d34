"""The train command: runs training, and lets the user watch, stop and resume it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.decoding.selection import choose_device
from model.errors import CheckpointError, DeviceError, OutputError, TrainingError
from model.text.vocabulary import Vocabulary
from training.cell_catalogue import add_catalogue
from training.console import counted, printable
from training.corpus import Corpus, describe_missing, explaining_large_text, read_text
from training.describe_command import described
from training.distillation import check_vocabulary
from training.evaluation import Stopped
from training.events import Update
from training.interrupt import INTERRUPTED, Interrupt
from training.memory import explaining_lack_of_memory
from training.overfitting import best_of, describe_overfitting
from training.process_group import ProcessGroup
from training.progress import ProgressDisplay
from training.results import serve_line, write_results
from training.run_folder import RunFolder
from training.run_lock import locked
from training.run_setup import RunSetup, describe_sizes
from training.tensorboard import TensorBoard, require_tensorboard
from training.train_arguments import check_arguments
from training.trainer import Trainer


def train(options: argparse.Namespace) -> int:
    """Run the train command and return its exit status."""
    check_arguments(options)
    if options.tensorboard:
        require_tensorboard()
    device = _device(options.device)
    process_group = ProcessGroup.from_environment(device)
    folder = RunFolder(options.out or Path("runs") / _named(options.text).stem)
    with (
        closing(process_group),
        _locked(folder, process_group, device),
        explaining_lack_of_memory(),
    ):
        console = Console(quiet=not process_group.is_main)
        trainer = _make_trainer(options, folder, device, process_group, console)
        _introduce(console, trainer)
        with Interrupt(process_group.size == 1, process_group.is_main) as interrupt:
            with _explaining_saved_state(folder):
                _show_run(console, trainer, options, interrupt)
            complete = trainer.done
            if complete and process_group.is_main:
                _check_result(folder)
                complete = _find_cells(console, trainer, interrupt)
        _conclude(console, trainer, complete)
        return 0 if complete else INTERRUPTED


def _device(name: str) -> torch.device:
    device = torch.device(choose_device(name))
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        rank, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if rank >= count:
            raise DeviceError(
                f"process {rank} has no GPU, because this machine has {counted(count, 'GPU')}: "
                "start fewer processes"
            )
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    return device


@contextmanager
def _locked(folder: RunFolder, process_group: ProcessGroup, device: torch.device) -> Iterator[None]:
    """Lock the folder in the main process. If that fails, every process ends."""
    with ExitStack() as stack:
        failure: TrainingError | None = None
        if process_group.is_main:
            try:
                stack.enter_context(locked(folder.path))
            except TrainingError as error:
                failure = error
        failed = process_group.mean(float(failure is not None), device) > 0
        if failure:
            raise failure
        if failed:
            sys.exit(1)  # the main process says why
        yield


def _make_trainer(
    options: argparse.Namespace,
    folder: RunFolder,
    device: torch.device,
    process_group: ProcessGroup,
    console: Console,
) -> Trainer:
    if not options.resume:
        folder.check_free()
    initial = load_checkpoint(options.init_from) if options.init_from else None
    corpus = _read_corpus(options, initial, console)
    teachers = _load_teachers(options.distill_from, corpus.vocabulary)
    setup = RunSetup(options, folder, corpus, initial, teachers, device, process_group)
    network_config, config = setup.configs()
    plan = None
    if config.minutes and not options.resume:
        length = counted(config.minutes, "minute", "g")
        console.print(f"Planning a run of {length} ...", highlight=False)
        network_config, config, plan = setup.planned(network_config, config, _spent(options))
    return Trainer(
        corpus, network_config, config, folder, device,
        options.resume, process_group, initial, plan, teachers,
    )  # fmt: skip


def _load_teachers(paths: Sequence[Path], vocabulary: Vocabulary) -> list[Checkpoint]:
    teachers = [load_checkpoint(path) for path in paths]
    for teacher, path in zip(teachers, paths, strict=True):
        check_vocabulary(teacher, path, vocabulary)
    return teachers


def _spent(options: argparse.Namespace) -> float:
    return time.monotonic() - float(options.began)


def _read_corpus(
    options: argparse.Namespace, initial: Checkpoint | None, console: Console
) -> Corpus:
    vocabulary = initial.vocabulary if initial else None
    with explaining_large_text(options.text):
        corpus = Corpus.from_text(read_text(options.text), options.min_count, vocabulary)
    about = replace(corpus.about, title=_title(options.text))
    corpus = replace(corpus, about=described(options, about, corpus.vocabulary))
    if corpus.missing:
        message = describe_missing(corpus.vocabulary, corpus.missing)
        console.print(message, highlight=False, markup=False, soft_wrap=True)
    return corpus


def _introduce(console: Console, trainer: Trainer) -> None:
    corpus, network, config = trainer.corpus, trainer.network, trainer.config
    epochs = trainer.total_steps / trainer.batches.per_epoch
    size = trainer.process_group.size
    lines = [
        f"{counted(len(corpus.training), 'character')} for training and "
        f"{len(corpus.validation):,} for validation, with a vocabulary of "
        f"{counted(len(corpus.vocabulary), 'character')}",
        f"{describe_sizes(network.config)} LSTM with {network.config.parameters:,} parameters, on "
        f"{trainer.device} in {config.precision}" + (f", in {size} processes" if size > 1 else ""),
        f"{counted(epochs, 'epoch', '.3g')}: {counted(trainer.total_steps, 'update')} of "
        f"{config.batch_size} x {config.sequence_length} characters, with dropout of "
        f"{network.config.dropout} for values and {network.config.weight_dropout} for recurrent "
        "weights",
    ]
    if config.minutes:
        lines.append(
            f"ends after {counted(config.minutes, 'minute', 'g')}: the number of updates follows "
            f"the speed, with {counted(trainer.plan.validations, 'validation')} of "
            f"{counted(trainer.validated_characters, 'character')} each"
        )
    if trainer.step:
        lines.append(f"resumed at update {trainer.step:,}")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _show_run(
    console: Console, trainer: Trainer, options: argparse.Namespace, interrupt: Interrupt
) -> None:
    with ExitStack() as stack:
        torch.set_flush_denormal(True)
        stack.callback(torch.set_flush_denormal, False)
        source, records = _source_name(options.text), trainer.folder.records()
        if trainer.process_group.is_main and records and records[-1]["step"] == trainer.step:
            with suppress(CheckpointError):  # it is checked at the end
                write_results(trainer, source)  # the run may have ended before these
        events = trainer.run(lambda: interrupt.requested, _spent(options))
        run = stack.enter_context(closing(events))
        if not trainer.process_group.is_main:
            for _ in run:
                pass
            return
        board = stack.enter_context(closing(TensorBoard(trainer))) if options.tensorboard else None
        display = ProgressDisplay(console, trainer.step, trainer.total_steps, records)
        stack.enter_context(display)
        for event in run:
            if board:
                board.add(event)
            if isinstance(event, Update):
                display.update(event)
            else:
                display.validated(event, write_results(trainer, source))


@contextmanager
def _explaining_saved_state(folder: RunFolder) -> Iterator[None]:
    """Say that the state is saved if the output can no longer be written."""
    try:
        yield
    except OutputError as error:
        if not folder.state_path.exists():
            raise
        advice = "the state is saved, and --resume continues the run"
        raise OutputError(f"{error}; {advice}") from error


def _source_name(text: Path) -> str:
    """Return the name of a text in UTF-8: a file name may hold other bytes."""
    return os.fsencode(_named(text).name).decode(errors="replace")


def _title(text: Path) -> str:
    """Return the title of a text that has none: the name of its file."""
    name = _source_name(_named(text).with_suffix(""))
    return "".join(character for character in name if character.isprintable())[:200]


def _named(text: Path) -> Path:
    """Return a path that ends with a name, unlike `.` and `..`."""
    return text.resolve() if text.name in ("", "..") else text


def _check_result(folder: RunFolder) -> None:
    """Check that a run that has ended has a checkpoint, so that none is announced in vain.

    Raises:
        TrainingError: if the checkpoint does not exist.
        CheckpointError: if it cannot be read.
    """
    if not folder.best_path.exists():
        raise TrainingError(
            f"the run in {folder.path} has ended, but {folder.best_path} does not exist: start a "
            "new run with another --out"
        )
    load_checkpoint(folder.best_path)


def _find_cells(console: Console, trainer: Trainer, interrupt: Interrupt) -> bool:
    """Add the catalogue of cells to the best checkpoint, unless it has one.

    Return False if an interrupt has ended the search.
    """

    def check(read: int) -> None:
        if interrupt.requested:
            raise Stopped
        if read == 0:
            console.print(
                "Finding the cells that track properties of the text ...", highlight=False
            )

    config, best = trainer.config, trainer.folder.best_path
    trained = trainer.step * config.batch_size * config.sequence_length
    with trainer.folder.explaining_failure(), suppress(Stopped):
        add_catalogue(best, trainer.corpus.validation, trainer.device, trained, check)
        return True
    return False


def _conclude(console: Console, trainer: Trainer, complete: bool) -> None:
    best, lines = trainer.folder.best_path, []
    if not trainer.done:
        lines.append(f"Stopped at update {trainer.step:,}; the state is saved.")
    elif not complete:
        lines.append("The training has ended, but not the search for cells.")
    if not complete:
        lines.append("To continue, run the same command with --resume.")
    if trainer.done:
        _show_served_sample(console, trainer)
        lines += [
            f"Lowest validation loss: {trainer.best_loss:.4f} nats per character, on "
            f"{trainer.validated_characters:,} of "
            f"{counted(len(trainer.corpus.validation), 'character')}",
            *filter(None, [describe_overfitting(trainer.folder.records())]),
            f"Model: {best}",
            f"Report with losses and samples: {trainer.folder.report_path}",
            "To serve the model, run:",
            serve_line(best),
        ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _show_served_sample(console: Console, trainer: Trainer) -> None:
    served = best_of(trainer.folder.records())
    if served and (sample := trainer.folder.samples().get(served["step"])):
        title = "sample of the model that you serve"
        console.print(Panel(Text(printable(sample)), title=title, title_align="left"))
