"""Prompts: check a request of /v1/completions and turn its prompts into jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fastapi import Request

from app.api.checks import (
    check_biases,
    check_cells,
    check_generated_length,
    check_result,
    check_scores,
    compile_checked,
    encode_read,
)
from app.api.field_types import held_cells
from app.api.sizes import job_bytes, result_bytes, stream_bytes
from app.engine.generation import Generation
from app.engine.job import Job
from app.errors import InvalidFieldError, UnknownInFieldError
from app.middleware.request_log import RequestRecord
from app.openai.request import CompletionRequest
from app.service import Service
from model.choice.sampling_params import MAX_SEED, SamplingParams
from model.errors import UnknownCharacterError, VocabularyError
from model.text.vocabulary import Ids

_TEXT_BYTES = 8  # of a generated character


@dataclass
class Prompt:
    """A prompt and the generations that continue it.

    Attributes:
        job: the job of its first generation.
        text: the characters that the model reads, for `echo`. Empty without it.
        generations: one per choice, none if `max_tokens` is 0.
        scoring: generation that scores the prompt after its first character, if `echo` needs
            scores.
    """

    job: Job
    text: str
    generations: list[Generation] = field(default_factory=list)
    scoring: Generation | None = None

    @property
    def cached(self) -> int:
        """Number of characters that the first generation did not read, see `Generation.cached`."""
        return self.generations[0].cached if self.generations else 0


def scores_echo(request: CompletionRequest) -> bool:
    """Whether the prompt itself must be scored."""
    return request.echo and request.logprobs is not None


async def prompts_of(http: Request, service: Service, request: CompletionRequest) -> list[Prompt]:
    """Check a request and return its prompts, without generations.

    Waits until the pattern is compiled. The caller must not wait before it submits the jobs.

    Raises:
        InvalidFieldError: if a field is over this server's limit or contradicts another one, or the
            pattern cannot be used.
        UnknownInFieldError: if a prompt has characters that the vocabulary lacks.
    """
    _check(service, request)
    encoded = [_encoded(service, request, index) for index in range(len(request.prompt))]
    params = await _sampling(http, service, request)
    prompts = [Prompt(_job(service, request, each.ids, params), each.text) for each in encoded]
    characters = _characters(request, prompts)
    if not request.stream:
        check_result("max_tokens", request.n * len(prompts), characters)
    advice = "request less" if request.stream else "stream the text, or request less"
    check_scores("logprobs", characters, request.logprobs, advice)
    return prompts


def _check(service: Service, request: CompletionRequest) -> None:
    check_generated_length(service, "max_tokens", request.max_tokens)
    check_cells(service, "hold", held_cells(request.hold))
    if request.best_of not in (None, 1, request.n):
        raise InvalidFieldError("best_of", request.best_of, "must be 1 or n")
    _check_min_tokens(request)
    if request.guided_regex is not None and request.structured_outputs.regex is not None:
        message = "contradicts structured_outputs.regex: omit one of them"
        raise InvalidFieldError("guided_regex", request.guided_regex, message)
    if request.seed is not None and request.seed + request.n - 1 > MAX_SEED:
        message = f"seed + n - 1 must be at most {MAX_SEED}"
        raise InvalidFieldError("seed", request.seed, message)
    _check_generations(service, request)


def _check_min_tokens(request: CompletionRequest) -> None:
    if request.min_tokens > request.max_tokens:
        message = f"must be at most max_tokens, which is {request.max_tokens}"
        raise InvalidFieldError("min_tokens", request.min_tokens, message)
    field, expression = request.pattern
    if request.min_tokens and (request.stop or expression is not None):
        other = "stop" if request.stop else field
        message = f"is not supported together with {other}: omit one of them"
        raise InvalidFieldError("min_tokens", request.min_tokens, message)


def _check_generations(service: Service, request: CompletionRequest) -> None:
    scoring = scores_echo(request)
    most = most_generations(service)
    texts = request.n if request.max_tokens else 0
    # Each prompt has n choices, also if they have no characters.
    if max(request.n, texts + scoring) * len(request.prompt) > most:
        message = f"n times the number of prompts must be at most {most} on this server"
        if scoring and texts:
            message += "; scoring a prompt counts as one more text"
        raise InvalidFieldError("n", request.n, message)


def most_generations(service: Service) -> int:
    """Return how many generations the server holds at the same time."""
    return service.settings.max_streams + service.settings.max_queue


class Size(NamedTuple):
    """The most bytes that a request can make the server hold.

    Attributes:
        jobs: bytes of its jobs.
        result: bytes of its JSON, or of the buffers of its stream.
    """

    jobs: int
    result: int


def size_of(request: CompletionRequest, prompts: list[Prompt]) -> Size:
    """Return the size of a request. The texts of a prompt share its ids."""
    texts = request.n * len(prompts)
    generated = _TEXT_BYTES * texts * max(1, request.max_tokens)
    jobs = sum(job_bytes(prompt.job) for prompt in prompts) + generated
    if request.stream:
        length = request.max_tokens + max(len(prompt.text) for prompt in prompts)
        return Size(jobs, stream_bytes(length, request.logprobs, texts))
    return Size(jobs, result_bytes(_characters(request, prompts), request.logprobs))


def _characters(request: CompletionRequest, prompts: list[Prompt]) -> int:
    """Return the largest number of characters that are sent at once."""
    generated = 0 if request.stream else request.max_tokens
    echoed = sum(len(prompt.text) for prompt in prompts)
    return request.n * (echoed + generated * len(prompts))


def _text(service: Service, request: CompletionRequest, index: int) -> str:
    prompt = request.prompt[index]
    if isinstance(prompt, str):
        return prompt
    try:
        return service.vocabulary.decode(prompt)
    except (VocabularyError, OverflowError) as error:
        message = f"token ids must be from 0 to {len(service.vocabulary) - 1}"
        raise InvalidFieldError(_name(request, index), max(prompt), message) from error


def _name(request: CompletionRequest, index: int) -> str:
    return "prompt" if len(request.prompt) == 1 else f"prompt.{index}"


class _Encoded(NamedTuple):
    """The ids of a prompt, and the text for `echo`, see `Prompt`."""

    ids: Ids
    text: str


def _encoded(service: Service, request: CompletionRequest, index: int) -> _Encoded:
    name, text = _name(request, index), _text(service, request, index)
    ids = _encode(service, request, name, text)
    read = service.vocabulary.decode(ids) if len(ids) else ""
    replaces = (request.unknown or service.settings.unknown) != "reject"
    shown = read if replaces or not read else text
    if scores_echo(request) and (position := service.vocabulary.find_unscorable(read)) >= 0:
        raise UnknownInFieldError(name, UnknownCharacterError([shown[position]], [position]))
    return _Encoded(ids, shown if request.echo else "")


def _job(service: Service, request: CompletionRequest, ids: Ids, params: SamplingParams) -> Job:
    return service.generation_job(
        ids,
        max(1, request.max_tokens),
        params,
        request.seed,
        request.stop,
        request.logprobs,
    )


def _encode(service: Service, request: CompletionRequest, name: str, text: str) -> Ids:
    default = "prompt" not in request.model_fields_set
    if default and any(character not in service.vocabulary for character in text):
        return encode_read(service, name, text, "skip")
    return encode_read(service, name, text, request.unknown, has_choice=True)


async def _sampling(http: Request, service: Service, request: CompletionRequest) -> SamplingParams:
    biases = check_biases(service, "logit_bias", request.logit_bias)
    client = RequestRecord.of(http.scope).lease.client
    pattern = await compile_checked(service, *request.pattern, biases, client)
    return SamplingParams(
        request.temperature,
        request.top_k if request.top_k > 0 else None,
        request.top_p if request.top_p < 1 else None,
        request.min_p or None,
        held_cells(request.hold),
        biases,
        pattern,
    )
