"""The train command: from flags to a run that a person can watch, stop and resume."""

from __future__ import annotations

import argparse
import dataclasses
import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from model.checkpoint import Checkpoint, load_checkpoint
from model.errors import DeviceError, TrainingError
from model.network import NetworkConfig
from model.sampling import SamplingParams
from model.selection import choose_device
from training.config import TrainingConfig
from training.corpus import Corpus, read_text
from training.curve import can_draw, draw_curve
from training.group import Group
from training.interrupt import Interrupt
from training.model_card import model_card
from training.plan import epochs_within, recommended
from training.precision import TrainingPrecision, choose_training_precision
from training.progress import ProgressDisplay
from training.run_folder import RunFolder
from training.tensorboard import TensorBoard, require_tensorboard
from training.trainer import Trainer, Update, Validation
from training.write import write

INTERRUPTED = 130  # exit status

_MOST_MINUTES = 366 * 24 * 60

_SAMPLE_CHARACTERS = 240
_SAMPLING = SamplingParams(temperature=0.8, top_k=None)
_BY_SIZE = ("embedding_size", "dropout", "weight_dropout", "epochs", "streams")

_NETWORK_FLAGS = (
    ("hidden-size", int, "width of a layer"),
    ("layers", int, "LSTM layers"),
    ("embedding-size", int, "width of a learned embedding; without one, characters are one-hot"),
    ("dropout", float, "share of a layer's output values dropped"),
    ("weight-dropout", float, "share of a layer's recurrent weights dropped per update"),
)
_RUN_FLAGS = (
    ("streams", int, "stretches of text read side by side"),
    ("steps", int, "characters per update and stream"),
    ("learning-rate", float, "at its peak"),
    ("warmup", int, "updates until the peak"),
    ("weight-decay", float, "of AdamW"),
    ("clip", float, "largest norm of the gradient"),
    ("confidence-penalty", float, "weight of the predictions' entropy, which is rewarded"),
    ("averaging", float, "of the weights; 0 switches it off"),
    ("validations", int, "over the whole run"),
    ("seed", int, "of weights, dropout and batches"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's flags."""
    parser.set_defaults(command=train)
    parser.add_argument("--text", type=Path, required=True, help="a UTF-8 file, or a folder")
    parser.add_argument("--out", type=Path, help="folder for all that comes of it (runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--init-from", type=Path, metavar="CKPT", help="fine-tune a checkpoint")
    parser.add_argument(
        "--min-count", type=int, default=1, help="fold characters rarer than that into one"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default auto)")
    parser.add_argument("--precision", help="auto, fp32 or bf16 (default auto: the faster)")
    parser.add_argument("--tensorboard", action="store_true", help="write its files too")
    duration = parser.add_mutually_exclusive_group()
    duration.add_argument("--epochs", type=float, help="passes over the text (by its length)")
    duration.add_argument("--minutes", type=float, help="plan the run to end in that time")
    network = parser.add_argument_group("network")
    for name, kind, text in _NETWORK_FLAGS:
        network.add_argument(f"--{name}", type=kind, help=text + _default(NetworkConfig, name))
    run = parser.add_argument_group("run")
    for name, kind, text in _RUN_FLAGS:
        run.add_argument(f"--{name}", type=kind, help=text + _default(TrainingConfig, name))


def _default(config: type, flag: str) -> str:
    name = flag.replace("-", "_")
    if name in _BY_SIZE:
        return " (default by the text)"
    return f" (default {next(f.default for f in dataclasses.fields(config) if f.name == name)})"


def train(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    if options.tensorboard:
        require_tensorboard()
    if options.minutes is not None and not 0 < options.minutes <= _MOST_MINUTES:
        raise TrainingError(f"--minutes must be above 0 and at most a year, got {options.minutes}")
    device = _device(options.device)
    group = Group.from_environment(device)
    with closing(group):
        return _train(options, device, group)


def _device(name: str) -> torch.device:
    """The device of a name; of several processes each takes a GPU of its own."""
    device = choose_device(name)
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        number = int(os.environ["LOCAL_RANK"])
        if number >= torch.cuda.device_count():
            raise DeviceError(f"process {number} has no GPU: there are {torch.cuda.device_count()}")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
    return device


def _train(options: argparse.Namespace, device: torch.device, group: Group) -> int:
    console = Console(quiet=not group.leads)
    folder = RunFolder(options.out or Path("runs") / options.text.stem)
    if not options.resume:
        folder.check_free()
    initial = load_checkpoint(options.init_from) if options.init_from else None
    corpus = _corpus(options, initial, console)
    network_config, config = _configs(options, corpus, initial, folder, device, group)
    if options.minutes and not options.resume:
        console.print(f"Planning for {options.minutes:g} minutes ...", highlight=False)
        options.epochs = epochs_within(
            options.minutes, corpus, network_config, config, device, group, initial
        )
        network_config, config = _configs(options, corpus, initial, folder, device, group)
    if options.minutes and options.resume:
        console.print("--minutes is left as it was: a resumed run keeps its schedule.")
    trainer = Trainer(
        corpus, network_config, config, folder, device, options.resume, group, initial
    )
    _introduce(console, trainer)
    _show_run(console, trainer, options)
    if not group.leads:
        return 0 if trainer.done else INTERRUPTED
    if not trainer.done:
        console.print(
            f"Stopped at step {trainer.step:,}; the state is saved. "
            "The same command with --resume goes on from here.",
            highlight=False,
        )
        return INTERRUPTED
    console.print(
        f"Validation loss {trainer.best_loss:.4f} nats per character: {folder.best_path}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _corpus(options: argparse.Namespace, initial: Checkpoint | None, console: Console) -> Corpus:
    if options.min_count < 1:
        raise TrainingError(f"--min-count must be at least 1, got {options.min_count}")
    vocabulary = initial.vocabulary if initial else None
    corpus = Corpus.from_text(read_text(options.text), options.min_count, vocabulary)
    if corpus.lacking:
        console.print(corpus.describe_lacking(), highlight=False, markup=False, soft_wrap=True)
    return corpus


def _configs(
    options: argparse.Namespace,
    corpus: Corpus,
    initial: Checkpoint | None,
    folder: RunFolder,
    device: torch.device,
    group: Group,
) -> tuple[NetworkConfig, TrainingConfig]:
    """Settings: what flags say, else what a resumed run had, else what suits the text."""
    if options.resume:
        saved = folder.load_state(torch.device("cpu"))["fingerprint"]
        network, run = saved["network"], saved["settings"]
    else:
        network, run = recommended(corpus, options.epochs, options.steps, group.size)
        if initial is not None:
            network = initial.config.as_dict()
            run["learning_rate"] = TrainingConfig.learning_rate / 3
    network["vocabulary_size"] = len(corpus.vocabulary)
    network |= _given(options, NetworkConfig)
    run |= _given(options, TrainingConfig)
    run["precision"] = _precision(options.precision, run.get("precision"), device, group)
    try:
        network_config, config = NetworkConfig(**network), TrainingConfig(**run)
    except ValueError as error:
        raise TrainingError(str(error)) from error
    if initial is not None and network_config.shapes() != initial.config.shapes():
        raise TrainingError(
            f"--init-from {options.init_from} is {_sizes(initial.config)}, "
            f"the flags ask for {_sizes(network_config)}"
        )
    return network_config, config


def _given(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    values = {field.name: getattr(options, field.name, None) for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def _precision(
    asked: str | None, saved: str | None, device: torch.device, group: Group
) -> TrainingPrecision:
    """The same in every process."""
    chosen = choose_training_precision(asked or saved or "auto", device)
    share = group.mean(float(chosen == "bf16"), device)
    if 0 < share < 1 and asked == "bf16":
        raise DeviceError("precision 'bf16' does not run on the device of every process")
    return "bf16" if share == 1 else "fp32"


def _sizes(config: NetworkConfig) -> str:
    embedding = f", embedding {config.embedding_size}" if config.embedding_size else ""
    return f"{config.layers} x {config.hidden_size}{embedding}"


def _introduce(console: Console, trainer: Trainer) -> None:
    corpus, network, config = trainer.corpus, trainer.network, trainer.config
    parameters = sum(parameter.numel() for parameter in network.parameters())
    processes = f", {trainer.group.size} processes" if trainer.group.size > 1 else ""
    console.print(
        f"{len(corpus.training):,} characters to train on, {len(corpus.validation):,} to validate, "
        f"{len(corpus.vocabulary)} distinct\n"
        f"{_sizes(network.config)} LSTM, {parameters:,} parameters, on {trainer.device} in "
        f"{config.precision}{processes}\n"
        f"{config.epochs:.3g} epochs, {trainer.total_steps:,} updates of {config.streams} x "
        f"{config.steps} characters, dropout {network.config.dropout} of values and "
        f"{network.config.weight_dropout} of recurrent weights"
        + (f"\nresumed at update {trainer.step:,}" if trainer.step else "")
        + ("" if can_draw() else "\nno curve.png without matplotlib: pip install matplotlib"),
        highlight=False,
    )


def _show_run(console: Console, trainer: Trainer, options: argparse.Namespace) -> None:
    """Shows a run to its end, or until Ctrl-C or SIGTERM; either way its state is saved."""
    with ExitStack() as stack:
        torch.set_flush_denormal(True)
        stack.callback(torch.set_flush_denormal, False)
        interrupt = stack.enter_context(Interrupt(once=trainer.group.size == 1))
        run = stack.enter_context(closing(trainer.run(lambda: interrupt.requested)))
        if not trainer.group.leads:
            for _ in run:
                pass
            return
        board = TensorBoard(trainer) if options.tensorboard else None
        display = stack.enter_context(ProgressDisplay(console, trainer.step, trainer.total_steps))
        for event in run:
            if board:
                board.add(event)
            if isinstance(event, Update):
                display.update(event)
            else:
                display.validated(event, _keep(trainer, event, options.text.name))
        if board:
            board.close()


def _keep(trainer: Trainer, validation: Validation, source: str) -> str:
    """Writes what a person looks at after a validation; returns a sample of text."""
    folder = trainer.folder
    sample = write(trainer.averaged(), "", _SAMPLE_CHARACTERS, _SAMPLING, validation.step)
    folder.keep_sample(validation.step, sample)
    if can_draw():
        folder.write_curve(draw_curve(folder.records()))
    if validation.best:
        folder.write_card(model_card(load_checkpoint(folder.best_path), source, sample))
    return sample
