"""The command line: python -m training train|evaluate|sample|corpus|import."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import torch
from rich.console import Console

from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.decoder import Decoder, choose_device, choose_precision
from model.errors import CharstreamError, TrainingError
from model.network import NetworkConfig
from model.sampling import SamplingParams, check_seed
from model.tutorial import import_tutorial_checkpoint
from model.vocabulary import Ids, Vocabulary
from training.corpus import PUBLISHED, Corpus, fetch, read_text, split
from training.evaluation import evaluate_as_served, yardstick
from training.interrupt import Interrupt
from training.progress import ProgressDisplay
from training.streams import default_count
from training.trainer import Trainer, TrainingConfig, Update, saved_settings

_SAMPLE_CHARACTERS = 240
_SAMPLING = SamplingParams(temperature=0.8, top_k=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status. Errors end in one line on stderr."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except CharstreamError as error:
        print(f"charstream: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training", description="From a text to a checkpoint."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands.add_parser("train", help="train a network on a text"))
    _add_evaluate(commands.add_parser("evaluate", help="how well a checkpoint predicts a text"))
    _add_sample(commands.add_parser("sample", help="write some text with a checkpoint"))
    _add_corpus(commands.add_parser("corpus", help="bring a published text here"))
    _add_import(commands.add_parser("import", help="turn the tutorial's checkpoint into ours"))
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_train)
    parser.add_argument("--text", type=Path, required=True, help="a UTF-8 file, or a folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that comes of it")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default auto)")
    network = parser.add_argument_group("network")
    for name, kind, text in (
        ("hidden-size", int, "width of a layer"),
        ("layers", int, "LSTM layers"),
        ("embedding-size", int, "width of a learned embedding; none: one-hot"),
        ("dropout", float, "share of values dropped while training"),
    ):
        network.add_argument(f"--{name}", type=kind, help=text + _default(NetworkConfig, name))
    run = parser.add_argument_group("run")
    for name, kind, text in (
        ("epochs", float, "passes over the text"),
        ("streams", int, "stretches of text read side by side"),
        ("steps", int, "characters per update and stream"),
        ("learning-rate", float, "at its peak"),
        ("warmup", int, "updates until the peak"),
        ("weight-decay", float, "of AdamW"),
        ("clip", float, "largest norm of the gradient"),
        ("averaging", float, "of the weights; 0 switches it off"),
        ("validations", int, "over the whole run"),
        ("seed", int, "of weights, dropout and batches"),
    ):
        run.add_argument(f"--{name}", type=kind, help=text + _default(TrainingConfig, name))


def _default(config: type, option: str) -> str:
    value = next(
        f.default for f in dataclasses.fields(config) if f.name == option.replace("-", "_")
    )
    if option == "streams":
        return f" (default up to {value}, by the text's length)"
    return "" if value is None else f" (default {value})"


def _train(options: argparse.Namespace) -> int:
    console = Console()
    corpus = Corpus.from_text(read_text(options.text))
    network_config, config = _configs(options, corpus)
    device = choose_device(options.device)
    torch.set_flush_denormal(True)
    trainer = Trainer(corpus, network_config, config, options.out, device, options.resume)
    _introduce(console, trainer)
    _show_run(console, trainer)
    if trainer.step < trainer.total_steps:
        console.print(
            f"Stopped at step {trainer.step:,}; the state is saved. "
            "The same command with --resume goes on from here.",
            highlight=False,
        )
        return 130
    console.print(
        f"Validation loss {trainer.final_loss:.4f} nats per character: {trainer.best_path}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _configs(options: argparse.Namespace, corpus: Corpus) -> tuple[NetworkConfig, TrainingConfig]:
    """Settings from the flags; a resumed run keeps its own where no flag says otherwise."""
    network: dict[str, object] = {}
    run: dict[str, object] = {}
    if options.resume:
        network, run = saved_settings(options.out)
    network["vocabulary_size"] = len(corpus.vocabulary)
    for values, kind in ((network, NetworkConfig), (run, TrainingConfig)):
        given = {f.name: getattr(options, f.name, None) for f in dataclasses.fields(kind)}
        values.update({name: value for name, value in given.items() if value is not None})
    if "streams" not in run:
        steps = options.steps or TrainingConfig.steps
        run["streams"] = default_count(len(corpus.training), steps)
    try:
        return NetworkConfig(**network), TrainingConfig(**run)  # type: ignore[arg-type]
    except ValueError as error:
        raise TrainingError(str(error)) from error


def _introduce(console: Console, trainer: Trainer) -> None:
    corpus, network = trainer.corpus, trainer.network
    parameters = sum(parameter.numel() for parameter in network.parameters())
    console.print(
        f"{len(corpus.training):,} characters to train on, {len(corpus.validation):,} to validate, "
        f"{len(corpus.vocabulary)} distinct\n"
        f"{network.config.layers} x {network.config.hidden_size} LSTM, {parameters:,} parameters, "
        f"on {trainer.device}; {trainer.total_steps:,} steps"
        + (f", resumed at {trainer.step:,}" if trainer.step else ""),
        highlight=False,
    )


def _show_run(console: Console, trainer: Trainer) -> None:
    """Shows a run to its end, or until Ctrl-C or SIGTERM; either way its state is saved."""
    display = ProgressDisplay(console, trainer.step, trainer.total_steps)
    with Interrupt() as interrupt, display, closing(trainer.run()) as run:
        for event in run:
            if isinstance(event, Update):
                display.update(event)
            else:
                sample = _sample_text(trainer)
                display.validated(event, sample)
                _keep_sample(trainer, sample)
            if interrupt.requested:
                break


def _sample_text(trainer: Trainer) -> str:
    corpus = trainer.corpus
    checkpoint = Checkpoint(
        trainer.network.config, corpus.vocabulary, trainer.averaged_network().state_dict()
    )
    return _write(checkpoint, "", _SAMPLE_CHARACTERS, _SAMPLING, trainer.step, trainer.device)


def _keep_sample(trainer: Trainer, sample: str) -> None:
    folder = trainer.folder / "samples"
    folder.mkdir(exist_ok=True)
    (folder / f"step-{trainer.step:07}.txt").write_text(sample, encoding="utf-8")


def _write(
    checkpoint: Checkpoint,
    prime: str,
    length: int,
    params: SamplingParams,
    seed: int,
    device: torch.device,
) -> str:
    vocabulary = checkpoint.vocabulary
    ids = vocabulary.encode(prime or vocabulary.characters[vocabulary.start_id])
    decoder = Decoder(checkpoint, slots=1, device=device)
    return vocabulary.decode(decoder.generate(ids, length, params, seed))


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_evaluate)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="its last tenth is evaluated")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--precision",
        choices=("fp32", "int8"),
        help="as the service computes at this precision on a CPU (default fp32, or the GPU)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _evaluate(options: argparse.Namespace) -> int:
    checkpoint = load_checkpoint(options.checkpoint)
    ids = _validation_ids(checkpoint.vocabulary, read_text(options.text))
    if options.precision is None:
        result = yardstick(checkpoint, ids, choose_device(options.device))
    else:
        precision = choose_precision(options.precision, torch.device("cpu"))
        result = evaluate_as_served(checkpoint, ids, precision)
    if options.json:
        figures = dataclasses.asdict(result) | {
            "bits_per_character": result.bits_per_character,
            "perplexity": result.perplexity,
        }
        print(json.dumps(figures))
    else:
        print(
            f"{result.nats_per_character:.4f} nats per character, "
            f"{result.bits_per_character:.4f} bits, perplexity {result.perplexity:.3f}, "
            f"over {result.characters:,} characters"
        )
    return 0


def _validation_ids(vocabulary: Vocabulary, text: str) -> Ids:
    _, validation = split(vocabulary.encode(text))
    if len(validation) < 2:
        raise TrainingError(
            f"the text has {len(text)} characters: its last tenth is too short to evaluate"
        )
    return validation


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_sample)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--prime", default="", help="text to go on from")
    parser.add_argument("--length", type=int, default=500)
    parser.add_argument("--top-k", type=int, default=5, help="0: all (default 5)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")


def _sample(options: argparse.Namespace) -> int:
    if options.length < 1:
        raise TrainingError(f"--length must be at least 1, got {options.length}")
    params = SamplingParams(options.temperature, options.top_k or None)
    seed = check_seed(options.seed)
    checkpoint = load_checkpoint(options.checkpoint)
    device = choose_device(options.device)
    text = _write(checkpoint, options.prime, options.length, params, seed, device)
    print(options.prime + text)
    return 0


def _add_corpus(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_corpus)
    parser.add_argument("name", choices=sorted(PUBLISHED))
    parser.add_argument("--out", type=Path, help="default data/NAME.txt")
    parser.add_argument("--from", dest="source", type=Path, help="a local copy, for want of a net")


def _corpus(options: argparse.Namespace) -> int:
    out = options.out or Path("data") / f"{options.name}.txt"
    path = fetch(options.name, out, options.source)
    text = read_text(path)
    print(f"{path}: {len(text):,} characters, {len(set(text))} distinct")
    return 0


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_import)
    parser.add_argument("file", type=Path, help="what the tutorial's torch.save wrote")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")


def _import(options: argparse.Namespace) -> int:
    checkpoint = import_tutorial_checkpoint(options.file)
    save_checkpoint(checkpoint, options.out)
    config = checkpoint.config
    print(
        f"{options.out}: {config.layers} x {config.hidden_size}, "
        f"{config.vocabulary_size} characters"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
