"""The client as a program, which prints text while the server generates it."""

from __future__ import annotations

import argparse
import logging
import math
import sys

from . import cells_program
from .client import Client
from .command_line import add_connection_options, add_model_option, exit_status, report
from .params import HeldCell
from .responses import understood
from .stream import Stream


def main() -> int:
    """Run the command that the arguments name. Return the exit status."""
    return cells_program.main(sys.argv[2:]) if sys.argv[1:2] == ["cells"] else _generate()


def _generate() -> int:
    options = vars(_parser().parse_args())
    url, api_key = options.pop("url"), options.pop("api_key")
    params = {name: value for name, value in options.items() if value is not None}
    if params.get("top_k") == 0:
        params["top_k"] = None
    if "logit_bias" in params:
        params["logit_bias"] = dict(params["logit_bias"])
    logging.basicConfig(format="\n%(message)s")

    def work(client: Client) -> None:
        with client.stream(**params) as stream:
            _print(stream, params.get("prime", ""))
        if (done := stream.done) is not None:
            with understood(f"{url}/generate"):
                note = f"seed {done['seed']}, model {done['model']['hash']}"
            report(note)

    return exit_status(url, api_key, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="charstream_client",
        description="Print text while a charstream server generates it. The command `cells` prints "
        "what cells of the model do while it reads a text: charstream_client cells --help",
    )
    add_connection_options(parser)
    parser.add_argument("--prime", help="text to continue; it is printed first")
    parser.add_argument("--length", type=int, help="characters to generate")
    k = "draw from the k most likely characters; 0 draws from all"
    parser.add_argument("--top-k", type=int, help=k)
    _add_numbers(parser)
    _add_restrictions(parser)
    parser.add_argument("--seed", type=int, help="the same seed gives the same text")
    stop = "end the text before this string; may be repeated"
    parser.add_argument("--stop", action="append", help=stop)
    memory = "learn names and phrases from the prime and the new text"
    parser.add_argument("--memory", action="store_const", const=True, help=memory)
    parser.add_argument("--unknown", help="reject, skip or fold unknown characters of the prime")
    add_model_option(parser)
    return parser


def _add_numbers(parser: argparse.ArgumentParser) -> None:
    top_p = "draw from the fewest characters whose probabilities sum to this"
    min_p = "leave out characters below this share of the highest probability"
    parser.add_argument("--top-p", type=_number, help=top_p)
    parser.add_argument("--min-p", type=_number, help=min_p)
    parser.add_argument("--temperature", type=_number, help="0 takes the most likely character")


def _add_restrictions(parser: argparse.ArgumentParser) -> None:
    hold = "keep a cell of the model at a value, such as 1:293:-2; may be repeated"
    form = "LAYER:CELL:VALUE"
    parser.add_argument("--hold", action="append", type=_held_cell, metavar=form, help=hold)
    parser.add_argument("--pattern", help="regular expression that the whole text must match")
    bias = "add a number to the logit of a character, -100 to ban it; may be repeated"
    form = "CHARACTER:BIAS"
    parser.add_argument("--logit-bias", action="append", type=_bias, metavar=form, help=bias)


def _number(text: str) -> float:
    try:
        return _finite(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number") from error


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"JSON has no {text!r}")
    return number


def _held_cell(text: str) -> HeldCell:
    try:
        layer, cell, value = text.split(":")
        return {"layer": int(layer), "cell": int(cell), "value": _finite(value)}
    except ValueError as error:
        message = f"{text!r} is not LAYER:CELL:VALUE, such as 1:293:-2"
        raise argparse.ArgumentTypeError(message) from error


def _bias(text: str) -> tuple[str, float]:
    """Read CHARACTER:BIAS. The character may be a colon."""
    character, _, bias = text.rpartition(":")
    try:
        if len(character) == 1:
            return character, _finite(bias)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not CHARACTER:BIAS, such as e:-100")


def _print(stream: Stream, prime: str) -> None:
    print(prime, end="", flush=True)
    for event in stream:
        print(event["token"], end="", flush=True)
    print()
