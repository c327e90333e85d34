"""The flags of the train command, and the settings that they set."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from training import describe_command
from training.arguments import add_device, add_path
from training.config import TrainingConfig

# Flag, type, help. A flag sets the field of the same name, or the one in `_FIELDS`.
_NETWORK_FLAGS = (
    ("--hidden-size", int, "number of units of a layer"),
    ("--layers", int, "number of LSTM layers"),
    ("--embedding-size", int, "size of a learned embedding; without one, inputs are one-hot"),
    ("--dropout", float, "share of a layer's output values to drop"),
    ("--weight-dropout", float, "share of a layer's recurrent weights to drop per update"),
)
_RUN_FLAGS = (
    ("--batch-size", int, "sequences per batch"),
    ("--seq-len", int, "characters per sequence and update"),
    ("--learning-rate", float, "peak learning rate"),
    ("--optimizer", str, "adamw, or muon for the weight matrices of the LSTM"),
    ("--muon-lr", float, "peak learning rate of Muon"),
    ("--muon-momentum", float, "momentum of Muon"),
    ("--muon-iterations", int, "Newton-Schulz iterations per update of Muon"),
    ("--muon-weight-decay", float, "weight decay of Muon"),
    ("--warmup", int, "updates until the learning rate reaches its peak"),
    ("--weight-decay", float, "weight decay of AdamW"),
    ("--clip", float, "maximum norm of the gradient; inf: no clipping"),
    ("--confidence-penalty", float, "weight of the bonus for uncertain predictions"),
    ("--distill-weight", float, "weight of the distillation loss, 0 to 1"),
    ("--distill-temperature", float, "temperature of the teachers' predictions"),
    ("--averaging", float, "decay of the averaged weights; 0 switches averaging off"),
    ("--validations", int, "number of validations in the whole run"),
    ("--validation-characters", int, "characters that a validation reads at most"),
    ("--seed", int, "seed of weights, dropout and batches"),
)
_ALIASES = {"--batch-size": "--streams", "--seq-len": "--steps"}  # names of the first release
_FIELDS = {"--seq-len": "sequence_length", "--muon-lr": "muon_learning_rate"}
_METAVARS: dict[type, str] = {int: "N", float: "X", str: "NAME"}
_FINE_TUNING_DIVISOR = 3  # of the default learning rates
_OTHER_DEFAULTS = {
    "learning_rate": "; a third of it with --init-from",
    "muon_learning_rate": "; a third of it with --init-from",
    "validations": "; with --minutes, it depends on the time",
    "validation_characters": "; with --minutes, it depends on the time",
}
_CHOSEN_BY_TEXT = ("embedding_size", "dropout", "weight_dropout", "epochs", "batch_size")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    _add_files(parser)
    _add_ways_to_compute(parser)
    _add_durations(parser.add_mutually_exclusive_group())
    _add_flags(parser.add_argument_group("network"), NetworkConfig, _NETWORK_FLAGS)
    _add_flags(parser.add_argument_group("run"), TrainingConfig, _RUN_FLAGS)
    describe_command.add_texts(parser.add_argument_group("description"))


def _add_files(parser: argparse.ArgumentParser) -> None:
    text = "UTF-8 text file, or folder of text files"
    add_path(parser, "--text", text, required=True, metavar="PATH")
    out = "folder for the results (default runs/ and the name of the text)"
    add_path(parser, "--out", out, metavar="FOLDER")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    add_path(parser, "--init-from", "checkpoint to fine-tune on the text", metavar="CKPT")
    teachers = "checkpoints with the same vocabulary to learn from, in addition to the text"
    add_path(parser, "--distill-from", teachers, nargs="+", default=[], metavar="CKPT")
    parser.add_argument(
        "--min-count",
        type=int,
        default=1,
        metavar="N",
        help="replace characters that occur fewer than N times with U+FFFD (default 1: none)",
    )


def _add_ways_to_compute(parser: argparse.ArgumentParser) -> None:
    add_device(parser)
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="auto, fp32 or bf16 (default auto: bf16 if it is at least 20%% faster)",
    )
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard files")


def _add_durations(group: argparse._MutuallyExclusiveGroup) -> None:
    group.add_argument(
        "--epochs", type=float, metavar="X", help="passes over the text (default: by its length)"
    )
    group.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="end after M minutes; the number of updates follows the speed of the machine",
    )


def _add_flags(
    group: argparse._ArgumentGroup, config: type, flags: tuple[tuple[str, type, str], ...]
) -> None:
    for flag, kind, text in flags:
        names = [flag, _ALIASES[flag]] if flag in _ALIASES else [flag]
        field = _field(flag)
        group.add_argument(
            *names,
            dest=field,
            type=kind,
            metavar=_METAVARS[kind],
            help=f"{text} ({_default(config, field)})",
        )


def named_as_flags(settings: Mapping[str, Any], distilled: bool) -> dict[str, str]:
    """Return settings under the names of their flags, with values that the flags accept.

    Settings without effect are left out: those without a value, those of Muon and of distillation
    if they are not used, and the epochs of a run with a time limit, which are only its first plan.

    Args:
        settings: fields of NetworkConfig and TrainingConfig. Other names are ignored.
        distilled: whether the run has learned from other checkpoints.
    """
    effects = {
        "muon_": settings.get("optimizer") == "muon",
        "distill_": distilled,
        "epochs": settings.get("minutes") is None,
    }
    unused = tuple(prefix for prefix, has_effect in effects.items() if not has_effect)
    return {
        flag: str(value).removesuffix(".0")  # str() of a float keeps all of its digits
        for flag, field in _fields_by_flag().items()
        if not field.startswith(unused) and (value := settings.get(field)) is not None
    }


def flag_of(field: str) -> str:
    """Return the flag that sets a field of NetworkConfig or TrainingConfig."""
    return {field: flag for flag, field in _fields_by_flag().items()}.get(field, field)


def _fields_by_flag() -> dict[str, str]:
    flags = ["--minutes", "--epochs", "--precision"]
    flags += [flag for flag, *_ in (*_NETWORK_FLAGS, *_RUN_FLAGS)]
    return {flag: _field(flag) for flag in flags}


def _field(flag: str) -> str:
    return _FIELDS.get(flag, flag.removeprefix("--").replace("-", "_"))


def _default(config: type, field: str) -> str:
    if field in _CHOSEN_BY_TEXT:
        return "default: depends on the text"
    defaults = {f.name: f.default for f in dataclasses.fields(config)}
    return f"default {defaults[field]}{_OTHER_DEFAULTS.get(field, '')}"


def check_arguments(options: argparse.Namespace) -> None:
    """Raise TrainingError if a flag has a value out of its range, or two do not go together.

    Settings that depend on the text and on the flags can then be derived from any flags.
    """
    if options.min_count < 1:
        raise TrainingError(f"--min-count must be at least 1, got {options.min_count}")
    if options.min_count > 1 and options.init_from is not None:
        raise TrainingError(
            f"--min-count {options.min_count} has no effect with --init-from, because the "
            "vocabulary is that of the checkpoint: omit --min-count"
        )
    for flag, field in _fields_by_flag().items():
        if (value := getattr(options, field)) is not None:
            _check_value(flag, field, value)
    if not options.resume:  # the settings of a run that has begun do not change
        rates = default_rates(fine_tuned=options.init_from is not None)
        _check_decay(TrainingConfig(**rates | given(options, TrainingConfig)))


def _check_value(flag: str, field: str, value: Any) -> None:
    try:
        if field in NetworkConfig.__dataclass_fields__:
            NetworkConfig(**{"vocabulary_size": 2, field: value})
        else:
            TrainingConfig(**{field: value})
    except (ValueError, TrainingError) as error:  # their messages begin with the field
        raise TrainingError(flag + str(error).removeprefix(field)) from error


def _check_decay(config: TrainingConfig) -> None:
    """Raise TrainingError if weight decay reverses the signs of weights.

    An update multiplies the weights with 1 - rate * decay. Below -1, they grow without limit.
    """
    flags = [("--learning-rate", "--weight-decay")]
    flags += [("--muon-lr", "--muon-weight-decay")] * (config.optimizer == "muon")
    for rate_flag, decay_flag in flags:
        rate, decay = getattr(config, _field(rate_flag)), getattr(config, _field(decay_flag))
        if rate * decay > 1:
            raise TrainingError(
                f"{rate_flag} times {decay_flag} must be at most 1, got {rate} times {decay}: "
                "lower one of them"
            )


def default_rates(fine_tuned: bool) -> dict[str, float]:
    """Return the default learning rates. They are lower for a run that fine-tunes a checkpoint."""
    divisor = _FINE_TUNING_DIVISOR if fine_tuned else 1
    names = ("learning_rate", "muon_learning_rate")
    return {name: getattr(TrainingConfig, name) / divisor for name in names}


def given(options: argparse.Namespace, config: type) -> dict[str, Any]:
    """Return the fields of a config that the user has set."""
    values = {
        field.name: getattr(options, field.name, None) for field in dataclasses.fields(config)
    }
    return {name: value for name, value in values.items() if value is not None}
