"""Service: a loaded model at work; from a validated request to a generation and its account."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app import __version__, exchange
from app.engine import Engine, Generation, Job
from app.errors import InvalidFieldError, OtherModelError, UnknownInFieldError
from app.event_stream import EventFrames, Position
from app.schemas import (
    DEFAULT_PRIME,
    CharacterScore,
    Done,
    DrawnScore,
    GenerateRequest,
    Info,
    Limits,
    ModelName,
    ScoreRequest,
    Timings,
    Usage,
)
from app.settings import Settings
from model.checkpoint import Checkpoint
from model.decoder import Decoder
from model.errors import UnknownCharacterError
from model.sampling import SamplingParams
from model.vocabulary import UNKNOWN, Ids, Vocabulary

_DECIMALS = 6  # of scores
_MOST_SCORES = 220_000  # characters and alternatives that an answer tells of


@dataclass(frozen=True)
class Service:
    """What the routes work with; made once, by `create_app`."""

    settings: Settings
    checkpoint: Checkpoint
    decoder: Decoder
    engine: Engine
    frames: EventFrames
    model: ModelName = field(init=False)
    loaded: float = field(default_factory=time.time)  # seconds since 1970

    def __post_init__(self) -> None:
        name = ModelName(name=self.checkpoint.name, hash=self.checkpoint.hash)
        object.__setattr__(self, "model", name)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.checkpoint.vocabulary

    def __str__(self) -> str:
        config = self.checkpoint.config
        return (
            f"{self.settings.checkpoint} ({self.model.hash}): "
            f"{config.layers} x {config.hidden_size}, {len(self.vocabulary)} characters, "
            f"on {self.decoder.device} in {self.decoder.precision} by {self.decoder.kernel}"
        )

    def submit(self, job: Job) -> Generation:
        """Queues a job, and tells the request's log line of it; raises as `Engine.submit` does."""
        generation = self.engine.submit(job)
        prime = None
        if self.settings.log_primes:
            prime = self.vocabulary.decode(job.prime[: job.prime_characters])
        exchange.note(generation, prime)
        return generation

    def job(self, request: GenerateRequest, resumed: Position | None = None) -> Job:
        """What the engine is to do for a request.

        Raises:
            InvalidFieldError: if a field is over this server's limit, or the seed contradicts
                the position that the client resumes from.
            UnknownInFieldError: if the prime has characters that the model does not know.
            OtherModelError: if the request wants another model.
        """
        self.check_model(request.model)
        self.check_length("length", request.length)
        self.check_characters("prime", request.prime)
        seed = self._seed(request, resumed)
        prime = self._prime_ids(request)
        return Job(
            prime=prime if len(prime) else self._empty_prime(),
            length=request.length,
            params=request.sampling,
            seed=seed,
            stops=self._stops(request),
            prime_characters=len(prime),
            alternatives=request.logprobs,
        )

    def score_job(self, request: ScoreRequest) -> Job:
        """What the engine is to do for a text to be scored; raises as `job` does."""
        self.check_model(request.model)
        self.check_characters("prime", request.prime)
        self.check_characters("text", request.text)
        self.check_scores(len(request.text), request.logprobs)
        left_out = "prime" not in request.model_fields_set
        prime = self._encode_prime("" if left_out else request.prime)
        before = prime if len(prime) else self._empty_prime()
        return Job(
            prime=np.concatenate([before, self._encode_scored(request.text)]),
            length=0,
            params=SamplingParams(),
            seed=0,
            prime_characters=len(prime),
            alternatives=request.logprobs,
            prompt_length=len(before),
        )

    def scored(self, generation: Generation, ids: Sequence[int]) -> list[DrawnScore]:
        """Scores of the next characters taken of a generation; none if it makes none."""
        names = self.vocabulary.characters
        return [
            DrawnScore(
                token=names[character],
                logprob=round(score.logprob, _DECIMALS),
                rank=score.rank,
                entropy=round(score.entropy, _DECIMALS),
                top=[(names[other], round(logprob, _DECIMALS)) for other, logprob in score.top],
                probability=round(score.probability, _DECIMALS),
            )
            for character, score in zip(ids, generation.take_scores(len(ids)), strict=False)
        ]

    def score(self, scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The account of a text that was scored: a `ScoreResponse`."""
        nats = -sum(score["logprob"] for score in scores)
        bits = nats / math.log(2)
        return {
            "characters": [{k: score[k] for k in CharacterScore.model_fields} for score in scores],
            "nats": nats,
            "bits": bits,
            "bits_per_character": bits / len(scores),
            "model": self.model.model_dump(),
        }

    def check_scores(self, characters: int, alternatives: int | None) -> None:
        """Raises InvalidFieldError if an answer that comes at once would be too large."""
        if alternatives is not None and characters * (1 + alternatives) > _MOST_SCORES:
            message = (
                f"characters times (1 + logprobs) must be at most {_MOST_SCORES} in one answer: "
                "stream them, or ask for fewer"
            )
            raise InvalidFieldError("logprobs", alternatives, message)

    def describe(self, generation: Generation) -> Done:
        """The account of a finished generation."""
        assert generation.finish_reason is not None
        return Done(
            finish_reason=generation.finish_reason,
            seed=generation.job.seed,
            usage=Usage(
                prime_characters=generation.job.prime_characters,
                cached_characters=generation.cached,
                generated_characters=generation.generated,
            ),
            timings=_timings(generation),
            model=self.model,
        )

    def info(self) -> Info:
        """The model card."""
        settings, config = self.settings, self.checkpoint.config
        return Info(
            name=self.model.name,
            hash=self.model.hash,
            vocabulary=list(self.vocabulary.characters),
            layers=config.layers,
            hidden_size=config.hidden_size,
            parameters=sum(tensor.numel() for tensor in self.checkpoint.weights.values()),
            validation_loss=self.checkpoint.training.get("validation_loss"),
            training=dict(self.checkpoint.training),
            device=str(self.decoder.device),
            precision=self.decoder.precision,
            kernel=self.decoder.kernel,
            limits=Limits(
                length=settings.max_length,
                prime=settings.max_prime,
                streams=settings.max_streams,
                queue=settings.max_queue,
            ),
            version=__version__,
        )

    def check_length(self, field: str, length: int) -> None:
        """Raises InvalidFieldError if a text would be longer than this server makes them."""
        most = self.settings.max_length
        if length > most:
            raise InvalidFieldError(field, length, f"must be at most {most} on this server")

    def check_characters(self, field: str, text: str) -> None:
        """Raises InvalidFieldError if a text has more characters than this server reads."""
        most = self.settings.max_prime
        if len(text) > most:
            message = f"must have at most {most} characters on this server"
            raise InvalidFieldError(field, f"{len(text)} characters", message)

    def check_model(self, wanted: str | None) -> None:
        """Raises OtherModelError unless the loaded model is wanted, or none in particular."""
        if wanted not in (None, self.model.hash, self.model.name):
            raise OtherModelError(
                f"model: the loaded one is {self.model.name} with hash {self.model.hash}, "
                f"not {wanted!a}"
            )

    def _seed(self, request: GenerateRequest, resumed: Position | None) -> int:
        if resumed is None:
            return secrets.randbits(32) if request.seed is None else request.seed
        if request.seed not in (None, resumed.seed):
            message = f"contradicts the Last-Event-ID, whose seed is {resumed.seed}"
            raise InvalidFieldError("seed", request.seed, message)
        return resumed.seed

    def _prime_ids(self, request: GenerateRequest) -> Ids:
        left_out = "prime" not in request.model_fields_set
        if request.unknown == "skip" or (left_out and DEFAULT_PRIME not in self.vocabulary):
            return self.vocabulary.encode_known(request.prime)
        return self._encode_prime(request.prime)

    def _encode_prime(self, text: str) -> Ids:
        try:
            return self.vocabulary.encode_read(text)
        except UnknownCharacterError as error:
            raise UnknownInFieldError("prime", error) from error

    def _encode_scored(self, text: str) -> Ids:
        """Without the character that stands for all unknown ones: it has no one probability."""
        try:
            if UNKNOWN in text:
                raise UnknownCharacterError([UNKNOWN], [text.index(UNKNOWN)])
            return self.vocabulary.encode(text)
        except UnknownCharacterError as error:
            raise UnknownInFieldError("text", error) from error

    def _empty_prime(self) -> Ids:
        """What the network reads first when there is no prime: it has to read something."""
        return self.vocabulary.encode(self.vocabulary.characters[self.vocabulary.start_id])

    def _stops(self, request: GenerateRequest) -> tuple[tuple[int, ...], ...]:
        """Ids of the stop strings; one with a character that the model lacks cannot occur."""
        stops = []
        for text in request.stop:
            try:
                stops.append(tuple(self.vocabulary.encode(text).tolist()))
            except UnknownCharacterError:
                continue
        return tuple(stops)


def _timings(generation: Generation) -> Timings:
    def milliseconds(moment: float | None) -> float | None:
        return None if moment is None else round((moment - generation.submitted) * 1000, 3)

    return Timings(
        queue_ms=milliseconds(generation.admitted) or 0.0,
        first_character_ms=milliseconds(generation.first_character),
        total_ms=milliseconds(generation.finished) or 0.0,
        characters_per_second=round(generation.rate, 1),
    )
