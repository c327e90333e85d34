"""Evaluation: the loss of a whole text, its estimate, and the loss that a decoder measures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.decoding.backend import Precision
from model.errors import TrainingError
from model.pytorch.network import CharLSTM
from tests.model.streams import PRECISIONS
from training import evaluation
from training.evaluation import Evaluation, estimate, evaluate, evaluate_as_served, evaluate_windows

torch.manual_seed(0)
network = CharLSTM(NetworkConfig(9, hidden_size=16, dropout=0.9))
ids = np.random.default_rng(0).integers(0, 9, 301).astype(np.int32)


def test_it_is_the_mean_over_every_character_but_the_first() -> None:
    with torch.no_grad():
        logits, _ = network.eval()(torch.from_numpy(ids[:-1]).long().unsqueeze(1))
    chosen = logits[:, 0].log_softmax(-1)[torch.arange(300), torch.from_numpy(ids[1:]).long()]
    result = evaluate(network, ids)
    assert result.characters == 300
    assert result.nats_per_character == pytest.approx(-chosen.mean().item(), rel=1e-5)
    assert result.bits_per_character == pytest.approx(result.nats_per_character / math.log(2))
    assert result.perplexity == pytest.approx(math.exp(result.nats_per_character))


def test_a_perplexity_beyond_the_range_of_a_float_is_infinite() -> None:
    assert Evaluation(709.0, 1).perplexity < math.inf
    assert Evaluation(710.0, 1).perplexity == math.inf


def test_reading_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate(network, ids).nats_per_character
    monkeypatch.setattr(evaluation, "_LOGITS_PER_CALL", 70)
    assert evaluate(network, ids).nats_per_character == pytest.approx(whole, rel=1e-6)


def test_dropout_is_off_and_the_network_left_as_it_was() -> None:
    network.train()
    assert evaluate(network, ids) == evaluate(network, ids)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_an_estimate_is_close_and_reads_at_most_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    text = np.random.default_rng(2).integers(0, 9, 6001).astype(np.uint8)
    by_one_sequence = evaluate(network, text).nats_per_character
    monkeypatch.setattr(evaluation, "_WARMUP", 50)
    close = estimate(network, text)
    assert close.characters > 5900
    assert close.nats_per_character == pytest.approx(by_one_sequence, abs=1e-3)
    assert 2900 < estimate(network, text, most=3000).characters <= 3000


def test_of_a_short_text_the_estimate_is_exact() -> None:
    assert estimate(network, ids) == evaluate(network, ids)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_decoders_steps_predict_alike(
    precision: Precision, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_STEPS_PER_CALL", 70)
    text = np.random.default_rng(1).integers(0, len(tiny.vocabulary), 200).astype(np.int32)
    served = evaluate_as_served(tiny, text, precision)
    expected = evaluate(CharLSTM.of(tiny), text)
    assert served.characters == expected.characters
    tolerance = 1e-5 if precision == "fp32" else 0.05
    assert served.nats_per_character == pytest.approx(expected.nats_per_character, abs=tolerance)


def test_a_memory_learns_a_text_that_repeats_itself(tiny: Checkpoint) -> None:
    text = np.tile(np.arange(10, dtype=np.int32), 30)
    losses = [
        evaluate_as_served(tiny, text, "fp32", with_memory=with_memory).nats_per_character
        for with_memory in (False, True)
    ]
    assert losses[1] < 0.5 < 2 < losses[0]


def test_the_shortest_text_can_be_evaluated() -> None:
    assert estimate(network, ids[:2]).characters == 1


def test_reading_reports_its_progress(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_STEPS_PER_CALL", 70)
    text = np.zeros(201, dtype=np.int32)
    reports: list[int] = []
    evaluate_as_served(tiny, text, "fp32", reports.append)
    assert reports == [70, 140, 200]


def test_windows_are_read_alone_and_cover_the_text_once() -> None:
    alone = [evaluate(network, ids[start : start + 101]) for start in (0, 100, 200)]
    windows = evaluate_windows(network, ids, 100)
    assert windows.characters == 300
    mean = np.mean([each.nats_per_character for each in alone])
    assert windows.nats_per_character == pytest.approx(mean)
    with pytest.raises(TrainingError, match="--window must be from 1 to 300, the"):
        evaluate_windows(network, ids, 301)
