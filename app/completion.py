"""Completion: the texts of a request of /v1/completions, from the request to its answer."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.engine import FinishReason, Generation, Job
from app.errors import InvalidFieldError, UnknownInFieldError
from app.openai_schemas import CompletionRequest
from app.schemas import CharacterScore, GenerateRequest
from app.service import Service
from model.errors import UnknownCharacterError, VocabularyError
from model.sampling import MAX_SEED
from model.vocabulary import UNKNOWN


@dataclass
class Prompt:
    """What texts go on from.

    Attributes:
        job: of its first text.
        text: its characters as they are read.
        scoring: reads the characters after the first for their scores, where an echo wants them.
        scores: of those that it has read.
        cached: of its first text, characters that needed no reading.
    """

    job: Job
    text: str
    scoring: Generation | None = None
    scores: list[CharacterScore] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)

    @property
    def cached(self) -> int:
        return self.generations[0].cached if self.generations else 0


@dataclass(frozen=True)
class Choice:
    """One of a prompt's texts; without a generation, it has no characters."""

    index: int
    seed: int
    prompt: Prompt
    generation: Generation | None

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it ended; None while it has not."""
        return self.generation.finish_reason if self.generation else "length"


class Completion:
    """A request's texts in the making. Whoever has one must `cancel` it in the end.

    The j-th text of every prompt has the seed of the first plus j, so that it is the text that a
    request for it alone would get.

    Raises:
        InvalidFieldError: if a field is over this server's limit or does not go with another.
        UnknownInFieldError: if a prompt has characters that the model does not know.
        OtherModelError: if the request wants another model.
        EngineError: if there is no room for all the texts.
    """

    def __init__(self, service: Service, request: CompletionRequest) -> None:
        self.service, self.request = service, request
        self.created = int(time.time())
        self.id = f"cmpl-{uuid.uuid4().hex}"
        self.choices: list[Choice] = []
        self._check()
        texts = [self._prompt_text(place) for place in range(len(request.prompt))]
        self.prompts = [self._prompt(place, text) for place, text in enumerate(texts)]
        self._check_scores()
        try:
            for prompt in self.prompts:
                self._submit(prompt)
        except BaseException:
            self.cancel()
            raise

    @property
    def generations(self) -> list[Generation]:
        scoring = [prompt.scoring for prompt in self.prompts if prompt.scoring]
        return scoring + [made for prompt in self.prompts for made in prompt.generations]

    def cancel(self) -> None:
        for generation in self.generations:
            generation.cancel()

    async def read(self) -> dict[str, Any]:
        """All texts, as a `CompletionResponse`."""
        echoes, texts = await asyncio.gather(
            asyncio.gather(*map(self.read_echo, self.prompts)),
            asyncio.gather(*map(self._read_text, self.choices)),
        )
        choices = []
        for choice, (text, logprobs) in zip(self.choices, texts, strict=True):
            echo, echo_logprobs = echoes[choice.index // self.request.n]
            choices.append(
                {
                    "index": choice.index,
                    "text": echo + text,
                    "logprobs": _joined(echo_logprobs, logprobs),
                    "finish_reason": choice.finish_reason,
                    "seed": choice.seed,
                }
            )
        return {**self.head(), "choices": choices, "usage": self.usage()}

    async def read_echo(self, prompt: Prompt) -> tuple[str, dict[str, Any] | None]:
        """What a prompt's texts begin with, and its logprobs if they are wanted.

        May be cancelled and called anew.
        """
        if not self.request.echo:
            return "", None
        if self.request.logprobs is None:
            return prompt.text, None
        if prompt.scoring is not None:
            async for ids in prompt.scoring:
                prompt.scores += self.service.scored(prompt.scoring, ids)
        return prompt.text, logprobs_of(prompt.scores, 0, before=prompt.text[:1])

    def head(self) -> dict[str, Any]:
        """What the whole answer and each chunk of a stream begin with."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.service.model.name,
            "system_fingerprint": self.service.model.hash,
        }

    def usage(self) -> dict[str, Any]:
        """A `CompletionUsage` of what has been made so far."""
        read = sum(prompt.job.prime_characters for prompt in self.prompts)
        made = sum(made.generated for prompt in self.prompts for made in prompt.generations)
        cached = sum(prompt.cached for prompt in self.prompts)
        return {**usage_of(read, made), "prompt_tokens_details": {"cached_tokens": cached}}

    async def _read_text(self, choice: Choice) -> tuple[str, dict[str, Any] | None]:
        text: list[int] = []
        scores: list[CharacterScore] = []
        if choice.generation is not None:
            async for ids in choice.generation:
                text += ids
                scores += self.service.scored(choice.generation, ids)
        logprobs = None
        if self.request.logprobs is not None:
            logprobs = logprobs_of(scores, self.text_offset(choice))
        return self.service.vocabulary.decode(text), logprobs

    def text_offset(self, choice: Choice) -> int:
        """Where in a choice's text the first character stands that is not the prompt's."""
        return len(choice.prompt.text) if self.request.echo else 0

    def _check(self) -> None:
        request, settings = self.request, self.service.settings
        self.service.check_model(request.model)
        self.service.check_length("max_tokens", request.max_tokens)
        if request.best_of not in (None, 1, request.n):
            raise InvalidFieldError("best_of", request.best_of, "must be 1 or n")
        if request.min_tokens and request.stop:
            message = "is not supported together with stop: leave one of them out"
            raise InvalidFieldError("min_tokens", request.min_tokens, message)
        if request.seed is not None and request.seed + request.n - 1 > MAX_SEED:
            message = f"must be at most {MAX_SEED} for the last of the n texts too"
            raise InvalidFieldError("seed", request.seed, message)
        most = settings.max_streams + settings.max_queue
        if (request.n + self._scores_echo) * len(request.prompt) > most:
            message = f"times the number of prompts must be at most {most} on this server"
            if self._scores_echo:
                message += ", where scoring a prompt counts as one text more"
            raise InvalidFieldError("n", request.n, message)

    def _check_scores(self) -> None:
        """Bounds the scores that have to be in one piece: an echo's, and a whole answer's."""
        request = self.request
        made = 0 if request.stream else request.max_tokens
        echoed = sum(len(prompt.text) for prompt in self.prompts) if request.echo else 0
        characters = request.n * (echoed + made * len(self.prompts))
        self.service.check_scores(characters, request.logprobs)

    def _prompt_text(self, place: int) -> str:
        prompt = self.request.prompt[place]
        if isinstance(prompt, str):
            return prompt
        try:
            return self.service.vocabulary.decode(prompt)
        except (VocabularyError, OverflowError) as error:
            message = f"token ids must lie in 0..{len(self.service.vocabulary) - 1}"
            raise InvalidFieldError(self._name(place), max(prompt), message) from error

    def _name(self, place: int) -> str:
        return "prompt" if len(self.request.prompt) == 1 else f"prompt.{place}"

    def _prompt(self, place: int, text: str) -> Prompt:
        name, request, service = self._name(place), self.request, self.service
        service.check_characters(name, text)
        fields: dict[str, Any] = {} if "prompt" not in request.model_fields_set else {"prime": text}
        wanted = GenerateRequest(
            length=max(1, request.max_tokens),
            top_k=request.top_k if request.top_k > 0 else None,
            temperature=request.temperature,
            top_p=request.top_p if request.top_p < 1 else None,
            min_p=request.min_p or None,
            seed=request.seed,
            stop=request.stop,
            unknown=request.unknown,
            logprobs=request.logprobs,
            **fields,
        )
        try:
            job = service.job(wanted)
        except UnknownInFieldError as error:
            raise UnknownInFieldError(name, error) from error
        read = service.vocabulary.decode(job.prime) if job.prime_characters else ""
        if self._scores_echo and UNKNOWN in read:  # it stands for many, and has no one score
            place = read.index(UNKNOWN)
            character = UNKNOWN if request.unknown == "skip" else text[place]
            raise UnknownInFieldError(name, UnknownCharacterError([character], [place]))
        return Prompt(job, read if request.unknown == "skip" else text if read else "")

    @property
    def _scores_echo(self) -> bool:
        return self.request.echo and self.request.logprobs is not None

    def _submit(self, prompt: Prompt) -> None:
        service, job, request = self.service, prompt.job, self.request
        if self._scores_echo and len(prompt.text) > 1:
            prompt.scoring = service.submit(
                dataclasses.replace(job, length=0, prompt_length=1, stops=())
            )
        for seed in range(job.seed, job.seed + request.n):
            generation = None
            if request.max_tokens:
                generation = service.submit(dataclasses.replace(job, seed=seed))
                prompt.generations.append(generation)
            self.choices.append(Choice(len(self.choices), seed, prompt, generation))


def usage_of(read: int, made: int) -> dict[str, Any]:
    """Characters read and made, in OpenAI's words."""
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def logprobs_of(
    scores: Sequence[CharacterScore], offset: int, before: str = ""
) -> dict[str, list[Any]]:
    """A `Logprobs` of characters.

    Args:
        scores: one of each character.
        offset: where in the text the first one stands.
        before: characters ahead of them that have no score: nothing was read before these.
    """
    return {
        "tokens": [*before, *(score.token for score in scores)],
        "token_logprobs": [*[None] * len(before), *(score.logprob for score in scores)],
        "top_logprobs": [
            *[None] * len(before),
            *({**dict(score.top), score.token: score.logprob} for score in scores),
        ],
        "text_offset": list(range(offset, offset + len(before) + len(scores))),
    }


def _joined(
    first: dict[str, list[Any]] | None, second: dict[str, list[Any]] | None
) -> dict[str, list[Any]] | None:
    if first is None or second is None:
        return first or second
    return {name: first[name] + second[name] for name in first}
