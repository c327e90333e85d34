"""All that a stream keeps counts: this decides which clients that do not read are cut off."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from app.api.sse import FrameSource, GenerateFrames
from app.engine.engine import Engine
from app.engine.job import Job
from app.middleware.request_log import RequestRecord
from app.openai.completion import Completion
from app.openai.prompts import prompts_of
from app.openai.request import CompletionRequest
from app.openai.stream import CompletionFrames
from app.service import Service
from app.settings import Settings
from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.patterns.pattern import compile_pattern
from tests.app.engine.tiny_engine import LONG, job, running, until


def bytes_of(frames: FrameSource) -> int:
    """The size of all that a stream keeps."""
    return frames.memory + (0 if frames.pattern is None else frames.pattern.bytes)


def memory(tiny: Checkpoint, engine: Engine, job: Job) -> int:
    """The memory of a stream that has not begun."""
    service = Service(Settings(), tiny, engine._decoder, engine, Path("tiny.safetensors"))
    generation = engine.submit(job)
    try:
        return bytes_of(GenerateFrames(service, generation))
    finally:
        generation.cancel()


@pytest.mark.parametrize("field", ["pattern", "logit_bias", "stops"])
def test_what_a_request_restricts_its_text_with_counts(tiny: Checkpoint, field: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGH"
    expression = "".join(letters[n * n % 97 % 34] for n in range(2100))
    pattern = compile_pattern(expression, tiny.vocabulary)
    assert pattern.bytes > 125_000
    plain = job(length=LONG)
    sizes = {
        "pattern": (SamplingParams(pattern=pattern), (), pattern.bytes),
        "logit_bias": (SamplingParams(logit_bias=tuple((n, 1.5) for n in range(50))), (), 5000),
        "stops": (plain.params, ((1,) * 1000,) * 4, 32_000),
    }
    params, stops, size = sizes[field]
    other = dataclasses.replace(plain, params=params, stops=stops)

    async def scenario() -> None:
        async with running(tiny, slots=1) as engine:
            blocking = engine.submit(plain)
            assert memory(tiny, engine, other) >= memory(tiny, engine, plain) + size
            blocking.cancel()

    asyncio.run(scenario())


async def completion(tiny: Checkpoint, engine: Engine, **fields: Any) -> Completion:
    """A completion that has not begun."""
    service = Service(Settings(), tiny, engine._decoder, engine, Path("tiny.safetensors"))
    request = CompletionRequest.model_validate({"prompt": "abc" * 1000, **fields})
    record = RequestRecord("id", "POST", "/v1/completions", "127.0.0.1")
    return Completion(service, request, await prompts_of(service, request), record)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"logit_bias": {str(n): 1.5 for n in range(50)}}, 5000),
        ({"guided_regex": "[a-z]{100}"}, 1000),
        ({"prompt": ["abc" * 1000] * 4}, 3 * 3000 * 4),
        ({"echo": True}, 0),
    ],
    ids=["logit_bias", "pattern", "prompts", "echo"],
)
def test_what_a_completion_keeps_counts(
    tiny: Checkpoint, fields: dict[str, Any], size: int
) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=1) as engine:
            blocking = engine.submit(job(length=LONG))
            plain, other = await completion(tiny, engine), await completion(tiny, engine, **fields)
            before, after = bytes_of(CompletionFrames(plain)), bytes_of(CompletionFrames(other))
            assert after >= before + size
            for each in (plain, other):
                each.cancel()
                kept = {prompt.text for prompt in each.prompts}
                assert kept == {"abc" * 1000 if each.request.echo else ""}
                assert not each.request.prompt
            blocking.cancel()

    asyncio.run(scenario())


def test_characters_count_that_may_begin_a_stop_string(tiny: Checkpoint) -> None:
    a, b = tiny.vocabulary.encode("ab").tolist()
    params = SamplingParams(pattern=compile_pattern("a{1900}", tiny.vocabulary))
    stops = ((a,) * 900 + (b,),)  # 900 characters are always held back
    held = dataclasses.replace(job(length=LONG, stops=stops, alternatives=10), params=params)

    async def scenario() -> None:
        async with running(tiny) as engine:
            generation = engine.submit(held)
            await until(lambda: generation.paused)
            assert 0 < generation.unread < 900
            assert generation.memory >= (900 + generation.unread) * 34 * 8
            generation.cancel()

    asyncio.run(scenario())
