"""Completion: the generations of one request to /v1/completions, and its JSON response."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from fastapi import Request

from app.api.dependencies import submit
from app.api.scores import score_slices
from app.engine.chunk import Chunk
from app.engine.generation import Generation
from app.engine.job import Job
from app.middleware.request_log import RequestRecord
from app.openai.logprobs import encode_logprobs, usage_of
from app.openai.prompts import Prompt
from app.openai.request import CompletionRequest
from app.openai.schemas import OpenAIReason
from app.service import Service


@dataclass(frozen=True)
class Choice:
    """One text that continues a prompt. Without a generation, the text is empty."""

    index: int
    seed: int
    prompt: Prompt
    generation: Generation | None

    @property
    def finish_reason(self) -> OpenAIReason | None:
        """Why the text ended, in OpenAI's words; None if it has not."""
        if self.generation is None or self.generation.finish_reason == "length":
            return "length"
        return "stop" if self.generation.finish_reason else None


class Completion:
    """The running generations of one request. Call `cancel` when you are done.

    Text j of a prompt, counted from 0, has the seed of the prompt's first text plus j. It equals
    the text of a separate request with that seed. The caller must not wait between `prompts_of` and
    this. The event `ready` is set when any of the generations has something to take.

    Raises:
        EngineError: if there is no room for all of the texts.
    """

    def __init__(
        self, http: Request, service: Service, request: CompletionRequest, prompts: list[Prompt]
    ) -> None:
        self.service, self._http = service, http
        self.request = request.model_copy(update={"prompt": []})  # `prompts` has them
        self.created = int(time.time())
        self.id = f"cmpl-{secrets.token_hex(16)}"
        self.ready = asyncio.Event()
        self.generations: list[Generation] = []
        self.choices: list[Choice] = []
        self.prompts = prompts
        scored = [prompt for prompt in prompts if self._scores(prompt)]
        texts = self.request.n * len(prompts) if self.request.max_tokens else 0
        if texts or scored:
            client = RequestRecord.of(http.scope).lease.client
            service.engine.scheduler.check_room(client, texts + len(scored))
        try:
            for prompt in prompts:
                self._start(prompt)
        except BaseException:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Cancel every generation that still runs."""
        for generation in self.generations:
            generation.cancel()

    async def read(self) -> Callable[[], dict[str, Any]]:
        """Read every text to its end. Return what makes the fields of a `CompletionResponse`."""
        scorings = [prompt.scoring for prompt in self.prompts]
        generations = [*scorings, *(choice.generation for choice in self.choices)]
        try:
            read = await asyncio.gather(*map(_read, generations))
        finally:
            self.cancel()
        return partial(self._content, read[: len(scorings)], read[len(scorings) :])

    def _content(self, scorings: Sequence[Chunk], texts: Sequence[Chunk]) -> dict[str, Any]:
        choices = [
            self._choice(choice, scorings[choice.index // self.request.n], text)
            for choice, text in zip(self.choices, texts, strict=True)
        ]
        return {**self.head(), "choices": choices, "usage": self.usage()}

    def head(self) -> dict[str, Any]:
        """Return the fields that the response and each chunk of a stream begin with."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.service.model.name,
            "system_fingerprint": self.service.model.hash,
        }

    def usage(self) -> dict[str, Any]:
        """Return the fields of a `CompletionUsage` for the characters generated so far."""
        read = sum(prompt.job.prime_characters for prompt in self.prompts)
        generated = sum(c.generation.generated for c in self.choices if c.generation)
        first = self.choices[:: self.request.n]  # of each prompt
        cached = sum(choice.generation.cached for choice in first if choice.generation)
        return {**usage_of(read, generated), "prompt_tokens_details": {"cached_tokens": cached}}

    def _choice(self, choice: Choice, scoring: Chunk, text: Chunk) -> dict[str, Any]:
        """Return the fields of a `schemas.Choice`, given the scores of its prompt and its text."""
        echo = choice.prompt.text
        logprobs = None
        if self.request.logprobs is not None:
            vocabulary = self.service.vocabulary
            slices = chain(*(score_slices(vocabulary, part) for part in (scoring, text) if part))
            logprobs = encode_logprobs(slices, unscored=echo[:1])
        return {
            "index": choice.index,
            "text": echo + self.service.vocabulary.decode(text.ids),
            "logprobs": logprobs,
            "finish_reason": choice.finish_reason,
            "seed": choice.seed,
        }

    def _scores(self, prompt: Prompt) -> bool:
        """Return whether a prompt itself is scored. Its first character has no score."""
        return self.request.scores_echo and len(prompt.text) > 1

    def _start(self, prompt: Prompt) -> None:
        job, request = prompt.job, self.request
        if self._scores(prompt):
            # These apply to the generated text, not to the prompt.
            params = dataclasses.replace(job.params, hold=(), logit_bias=(), pattern=None)
            scoring = dataclasses.replace(job, length=0, prompt_length=1, stops=(), params=params)
            prompt.scoring = self._submit(scoring)
        for seed in range(job.seed, job.seed + request.n):
            generation = None
            if request.max_tokens:
                generation = self._submit(dataclasses.replace(job, seed=seed))
            self.choices.append(Choice(len(self.choices), seed, prompt, generation))

    def _submit(self, job: Job) -> Generation:
        generation = submit(self._http, self.service, job, self.ready)
        self.generations.append(generation)
        return generation


async def _read(generation: Generation | None) -> Chunk:
    return await generation.read() if generation else Chunk()
