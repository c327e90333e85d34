"""Prompts: check a request of /v1/completions and turn its prompts into jobs."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from app.api.checks import (
    check_biases,
    check_cells,
    check_generated_length,
    check_memory,
    check_result,
    check_scores,
    constrained,
    encode_read,
)
from app.api.sizes import job_bytes, result_bytes, stream_bytes
from app.engine.generation import Generation
from app.engine.job import Job
from app.engine.sequence import MAX_KEPT
from app.errors import InvalidFieldError, UnknownInFieldError
from app.openai.request import CompletionRequest
from app.service import Service
from model.choice.sampling_params import MAX_SEED, SamplingParams
from model.errors import UnknownCharacterError, VocabularyError
from model.text.vocabulary import Ids

_TEXT_BYTES = 8  # of a generated character


@dataclass
class Prompt:
    """A prompt.

    Attributes:
        job: the job of the first text that continues it.
        text: the characters that the model reads, for `echo`. Empty without it.
        scoring: generation that scores the prompt after its first character, if `echo` needs
            scores.
    """

    job: Job
    text: str
    scoring: Generation | None = None


async def prompts_of(http: Request, service: Service, request: CompletionRequest) -> list[Prompt]:
    """Check a request and return its prompts, without generations. Raises what `checks` raises.

    Waits until the pattern is compiled. The caller must not wait before it submits the jobs.
    """
    _check(service, request)
    encoded = [_encode(service, request, index) for index in range(len(request.prompt))]
    biases = check_biases(service, "logit_bias", request.logit_bias)
    params = await constrained(http, service, request.sampling, biases, *request.pattern)
    prompts = [Prompt(_job(service, request, ids, params), text) for ids, text in encoded]
    characters = _characters(request, prompts)
    if not request.stream:
        check_result("max_tokens", request.n * len(prompts), characters)
    advice = "request less" if request.stream else "stream the text, or request less"
    check_scores("logprobs", characters, request.logprobs, advice)
    return prompts


def _check(service: Service, request: CompletionRequest) -> None:
    check_generated_length(service, "max_tokens", request.max_tokens)
    check_cells(service, "hold", request.hold)
    check_memory(service, request.memory)
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
    scoring, most = request.scores_echo, most_generations(service)
    texts = request.n if request.max_tokens else 0
    # Each prompt has n choices, also if they have no characters.
    if max(request.n, texts + scoring) * len(request.prompt) > most:
        message = f"n times the number of prompts must be at most {most} on this server"
        if scoring and texts:
            message += "; scoring a prompt counts as one more text"
        raise InvalidFieldError("n", f"{request.n} x {len(request.prompt)}", message)


def most_generations(service: Service) -> int:
    """Return how many generations a request may have: as many as a client has slots."""
    return service.settings.max_streams


def jobs_bytes(service: Service, request: CompletionRequest, prompts: list[Prompt]) -> int:
    """Return the largest size of what all jobs keep. The texts of a prompt share its ids."""
    text = _TEXT_BYTES * min(request.max_tokens, MAX_KEPT)
    text += service.decoder.memory_bytes if request.memory else 0
    read = sum(job_bytes(prompt.job, service.decoder) for prompt in prompts)
    return read + request.n * len(prompts) * text


def response_bytes(request: CompletionRequest, prompts: list[Prompt]) -> int:
    """Return the largest size of the JSON, or of the buffers of the stream."""
    if not request.stream:
        return result_bytes(_characters(request, prompts), request.logprobs)
    length = request.max_tokens + max(len(prompt.text) for prompt in prompts)
    return stream_bytes(length, request.logprobs, request.n * len(prompts))


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


def _encode(service: Service, request: CompletionRequest, index: int) -> tuple[Ids, str]:
    """Return the ids of a prompt, and the text for `echo`, see `Prompt`."""
    name, text = _name(request, index), _text(service, request, index)
    unknown = request.unknown
    if "prompt" not in request.model_fields_set and text not in service.vocabulary:
        unknown = "skip"  # the default prompt must not make a request fail
    ids = encode_read(service, name, text, unknown, has_choice=True)
    read = service.vocabulary.decode(ids) if len(ids) else ""
    replaces = (request.unknown or service.settings.unknown) != "reject"
    shown = read if replaces or not read else text
    if request.scores_echo and (position := service.vocabulary.find_unscorable(read)) >= 0:
        raise UnknownInFieldError(name, UnknownCharacterError(shown[position], [position]))
    return ids, shown if request.echo else ""


def _name(request: CompletionRequest, index: int) -> str:
    return "prompt" if len(request.prompt) == 1 else f"prompt.{index}"


def _job(service: Service, request: CompletionRequest, ids: Ids, params: SamplingParams) -> Job:
    length = max(1, request.max_tokens)
    return service.generation_job(ids, length, params, request.seed, request.stop, request.logprobs)
