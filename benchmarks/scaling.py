"""Scaling: time per step by number of streams and by number of parameters, as a plot.

    python -m benchmarks.scaling --out docs/scaling.png

If the time grows in proportion to the number of streams, all cores are busy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.decoder_rate import decoder_rate
from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.decoding.selection import default_kernel, default_threads
from model.pytorch.network import CharLSTM
from model.text.vocabulary import Vocabulary

_STREAMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SIZES = ((1, 128), (1, 256), (2, 256), (1, 512), (2, 512), (3, 512), (2, 1024), (3, 1024))
_SECONDS = 0.5


def main() -> None:
    """Measure, print the results, and plot them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("docs/scaling.png"),
        help="picture to write (default %(default)s)",
    )
    out = parser.parse_args().out
    kernel = default_kernel("int8", "cpu") or ""
    by_streams = {streams: _step_seconds(kernel, 2, 512, streams) for streams in _STREAMS}
    by_size = {
        _config(layers, hidden).parameters: _step_seconds(kernel, layers, hidden, 64)
        for layers, hidden in _SIZES
    }
    for title, points in (("streams", by_streams), ("parameters", by_size)):
        print(title, *(f"{x:,}: {y * 1e6:,.0f} us a step" for x, y in points.items()), sep="\n  ")
    _draw(by_streams, by_size, kernel, out)


def _config(layers: int, hidden: int) -> NetworkConfig:
    return NetworkConfig(len(_VOCABULARY), hidden, layers)


_VOCABULARY = Vocabulary.from_text("".join(map(chr, range(32, 115))))


def _step_seconds(kernel: str, layers: int, hidden: int, streams: int) -> float:
    network = CharLSTM(_config(layers, hidden))
    checkpoint = Checkpoint(network.config, _VOCABULARY, network.weights())
    threads = default_threads("int8", "cpu")
    return streams / decoder_rate(checkpoint, "int8", kernel, threads, streams, _SECONDS)


def _draw(by_streams: dict[int, float], by_size: dict[int, float], kernel: str, out: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for panel, points, label in (
        (panels[0], by_streams, "streams (2 x 512)"),
        (panels[1], by_size, "parameters (64 streams)"),
    ):
        x, y = list(points), [seconds * 1e6 for seconds in points.values()]
        panel.loglog(x, y, "o-", label=kernel)
        panel.loglog(x, [y[-1] * value / x[-1] for value in x], "--", color="gray", label="linear")
        panel.set_xlabel(label)
        panel.set_ylabel("µs per step of all streams")
        panel.grid(alpha=0.3)
        panel.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main()
