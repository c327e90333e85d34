"""Fuzzer of the checkpoint reader: damaged and forged files, made from one good checkpoint.

A damaged file must be refused with a CheckpointError, or load as exactly the original checkpoint.
A forged file is one whose author left the digest out. It must be refused, or load as a valid model.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from model.cells.catalogue import TrackedCell
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import CheckpointError
from model.pytorch.network import CharLSTM
from model.text.vocabulary import Vocabulary
from tests.fuzz.counts import Counts

_MAX_SECONDS = 5.0  # of processor time for one file of a few kilobytes
_MAX_MEMORY = 50_000  # kB, to load one file of a few kilobytes
_MAX_MEMORY_GROWTH = 100_000  # kB, from the first file to the last
_SIZES = [-1, 0, 1, 2, 3, 7, 2**16, 2**31, 2**32, 2**53, 2**63, 2**64 + 1, 10**400]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=8,
)
_nested = st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)
_long = st.sampled_from(["[" * 100_000, "[" + "1," * 50_000 + "1]", "1" * 10_000])
_sizes = st.sampled_from(_SIZES) | st.integers(0, 200)


@dataclass(frozen=True)
class Case:
    """A file to load.

    Attributes:
        content: the bytes of the file.
        forged: whether its digest was left out on purpose.
    """

    content: bytes
    forged: bool = False


class _GoodFile:
    """A good checkpoint file, from which bad ones are made."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.header_end = 8 + int.from_bytes(content[:8], "little")

    def header(self) -> dict[str, Any]:
        header: dict[str, Any] = json.loads(self.content[8 : self.header_end])
        return header

    def with_header(self, text: str, length: int | None = None) -> bytes:
        """Return the file with another header, whose stated length is `length` if given."""
        header = text.encode()
        prefix = (len(header) if length is None else length).to_bytes(8, "little")
        return prefix + header + self.content[self.header_end :]


class CheckpointFuzzer:
    """Makes bad files from a small checkpoint, and checks that each is refused or loads correctly.

    Args:
        folder: a folder for the files.

    Attributes:
        counts: the results are "refused", "equal" (the damage changed nothing) and "valid" (forged,
            but a correct checkpoint).
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "fuzzed.safetensors"
        save_checkpoint(_small_checkpoint(), self._path)
        self._good = _GoodFile(self._path.read_bytes())
        self._original = load_checkpoint(self._path)
        self.counts = Counts()
        self._memory: int | None = None  # before the first file

    def check(self, case: Case) -> None:
        """Load a file and check the result.

        Raises:
            AssertionError: if it loads but must not, takes too much time or memory, or memory has
                grown since the first file.
        """
        self.counts.tries["forged files" if case.forged else "damaged files"] += 1
        self._path.write_bytes(case.content)
        memory = _reset_peak_memory()
        self._memory = self._memory or memory
        assert memory - self._memory < _MAX_MEMORY_GROWTH, "memory grows"
        began = time.process_time()
        try:
            loaded = load_checkpoint(self._path)
        except CheckpointError as error:
            self.counts.results["refused"] += 1
            message = str(error).encode()
            assert len(message) < 5000, "the message is too long"
        else:
            self.counts.results["valid" if case.forged else "equal"] += 1
            self._check_loaded(loaded, case.forged)
        assert time.process_time() - began < _MAX_SECONDS, "loading took too long"
        assert _peak_memory() - memory < _MAX_MEMORY, "loading took too much memory"

    def _check_loaded(self, loaded: Checkpoint, forged: bool) -> None:
        CharLSTM.of(loaded)
        cells = [asdict(tracked) for tracked in loaded.cells]
        record = [loaded.training, loaded.vocabulary.characters, cells]
        json.dumps(record, allow_nan=False).encode()
        for tracked in loaded.cells:
            assert tracked.layer < loaded.config.layers, "a cell of no layer"
            assert tracked.cell < loaded.config.hidden_size, "a cell outside its layer"
        if not forged:
            assert _content(loaded) == _content(self._original), "another content"
            for name, array in self._original.weights.items():
                assert np.array_equal(loaded.weights[name], array), f"another {name}"

    def cases(self) -> st.SearchStrategy[Case]:
        """Return a strategy of bad files."""
        damaged = _damaged(self._good) | st.binary(max_size=300)
        return damaged.map(Case) | _forged(self._good) | _rewritten(self._good)


def _content(checkpoint: Checkpoint) -> tuple[object, ...]:
    """Return everything except the weights."""
    content = (checkpoint.hash, checkpoint.config, checkpoint.vocabulary)
    return (*content, checkpoint.training, checkpoint.cells)


@st.composite
def _damaged(draw: st.DrawFn, good: _GoodFile) -> bytes:
    """Draw the file with flipped bits, or with a part replaced, removed, inserted or repeated."""
    damaged = bytearray(good.content)
    position = st.integers(0, good.header_end - 1) | st.integers(0, len(damaged) - 1)
    if draw(st.booleans()):
        for place in draw(st.lists(position, min_size=1, max_size=4)):
            damaged[place] ^= 1 << draw(st.integers(0, 7))
        return bytes(damaged)
    begin, end = sorted((draw(position), draw(position)))
    repeated = bytes(damaged[begin:end]) * 2
    new = draw(st.sampled_from([b"", repeated]) | st.binary(min_size=1, max_size=64))
    end = draw(st.sampled_from([begin, begin + len(new), end, len(damaged)]))
    damaged[begin:end] = new
    return bytes(damaged)


@st.composite
def _rewritten(draw: st.DrawFn, good: _GoodFile) -> Case:
    """Draw the file with wrong entries of tensors in its header, or a repeated key."""
    header = good.header()
    names = [name for name in header if name != "__metadata__"]
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)):
        header[name] = header[name] | draw(_claims())
    text = json.dumps(header)
    if draw(st.booleans()):  # a key twice
        name = draw(st.sampled_from([*names, "__metadata__"]))
        text = f"{text[:-1]}, {json.dumps(name)}: {json.dumps(header[name])}}}"
    length = draw(st.none() | st.sampled_from([0, 1, 2**31, 2**63, 2**64 - 1]))
    return Case(good.with_header(text, length))


def _claims() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of wrong values for a tensor's entry in the header, possibly none."""
    return st.fixed_dictionaries(
        {},
        optional={
            "dtype": st.sampled_from(["F32", "F16", "BF16", "U8", "F64", "X9", ""]) | json_values,
            "shape": st.lists(_sizes, max_size=4) | json_values,
            "data_offsets": st.lists(_sizes, min_size=2, max_size=2) | json_values,
            "extra": json_values,
        },
    )


@st.composite
def _forged(draw: st.DrawFn, good: _GoodFile) -> Case:
    """Draw the file with different metadata and without a digest."""
    header = good.header()
    metadata = header["__metadata__"]
    del metadata["digest"]
    for key in draw(st.lists(st.sampled_from([*metadata, "other"]), max_size=2, unique=True)):
        metadata[key] = draw(_values(metadata.get(key, "null")))
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.just(metadata) | json_values)
    return Case(good.with_header(json.dumps(header)), forged=True)


def _values(text: str) -> st.SearchStrategy[Any]:
    """Return a strategy of values for a metadata key: any JSON, deep nesting, and invalid JSON."""
    names = ["vocabulary_size", "hidden_size", "layers", "embedding_size", "dropout"]
    names += ["validation_loss"]
    change = st.dictionaries(st.sampled_from(names), _sizes | json_values, max_size=3)
    value = json.loads(text)
    changed = change.map(lambda new: json.dumps(value | new if isinstance(value, dict) else new))
    if text.startswith("[{"):  # the catalogue of cells
        changed |= _catalogues().map(json.dumps)
    changed |= _nested | _long | st.text(max_size=30)
    return changed | json_values.map(json.dumps) | json_values


def _catalogues() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return a strategy of catalogues of cells, most of them not valid."""
    item = st.fixed_dictionaries(
        {
            "property": st.text(max_size=70) | json_values,
            "layer": st.integers(0, 2) | _sizes | json_values,
            "cell": st.integers(0, 4) | _sizes | json_values,
            "correlation": st.floats(-1.1, 1.1) | json_values,
        },
        optional={"extra": json_values},
    )
    return st.lists(item, max_size=3)


def _small_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    vocabulary = Vocabulary('\n aé漢😀\x85"\\')
    config = NetworkConfig(len(vocabulary), hidden_size=4, layers=2, embedding_size=3)
    record = {"validation_loss": 3.5, "corpus": {"name": "a", "split": [0.9, 0.1]}}
    cells = (TrackedCell("quotes", 1, 3, -0.9926), TrackedCell("a later one", 0, 0, 0.5))
    return Checkpoint(config, vocabulary, CharLSTM(config).weights(), record, cells=cells)


def _reset_peak_memory() -> int:
    """Forget the peak so far, on Linux. Return the new peak, which is the memory in use, in kB.

    Hypothesis uses much memory once, to collect the constants of the sources that it tests.
    """
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_memory()


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
