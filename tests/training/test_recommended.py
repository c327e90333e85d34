"""The settings that are recommended for a text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.network_config import NetworkConfig
from model.text.vocabulary import Vocabulary
from training.config import TrainingConfig
from training.corpus import Corpus
from training.recommended import recommended


@given(st.integers(180, 10**6), st.sampled_from([30, 20_000]), st.integers(1, 4))
def test_what_is_recommended_is_a_run_for_any_text(
    characters: int, distinct: int, processes: int
) -> None:
    ids = Vocabulary.from_text("ab").encode("ab" * (characters // 2))
    vocabulary = Vocabulary([chr(0x4E00 + n) for n in range(distinct)])
    corpus = Corpus(vocabulary, ids, ids, "")
    network, run = recommended(corpus, None, None, processes)
    config = NetworkConfig(vocabulary_size=distinct, **network)
    assert (config.embedding_size is None) == (distinct < 512)  # one-hot only where it is small
    assert TrainingConfig(**run).batch_size % processes == 0


def test_a_text_read_more_often_gets_more_dropout() -> None:
    vocabulary = Vocabulary.from_text("ab")
    corpus = Corpus(vocabulary, vocabulary.encode("ab" * 500_000), vocabulary.encode("ab"), "")
    rates = []
    for epochs in (1, 5, 30):
        network, _ = recommended(corpus, epochs, None, 1)
        rates.append(network["dropout"] + network["weight_dropout"])
    assert rates == sorted(set(rates))
    for epochs in (1, 5, 30):
        network, _ = recommended(corpus, epochs, None, 1, distilled=True)
        assert network == {"dropout": 0.1, "weight_dropout": 0}
