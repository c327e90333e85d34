"""CompletionStream: a completion as OpenAI's server-sent events, one chunk per character."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from app.completion import Choice, Completion, Prompt, logprobs_of, usage_of
from app.engine import FinishReason
from app.errors import code_of
from app.event_stream import PING_SECONDS
from app.openai_errors import openai_error
from app.schemas import CharacterScore
from model.errors import EngineError

_PING = b": ping\n\n"


async def completion_stream(completion: Completion) -> AsyncIterator[bytes]:
    """Frames of all of a completion's texts, in the order in which their characters are made."""
    choices = [_ChoiceFrames(completion, choice) for choice in completion.choices]
    try:
        if completion.request.echo:
            echoes = [_echoes(completion, prompt, choices) for prompt in completion.prompts]
            async for frames in interleaved(echoes):
                yield frames
        async for frames in interleaved([_text(completion, choice) for choice in choices]):
            yield frames
    except EngineError as error:
        yield _event(openai_error(503, code_of(error), str(error)))
        return
    if completion.request.stream_options.include_usage:
        yield _event({**completion.head(), "choices": [], "usage": completion.usage()})
    yield b"data: [DONE]\n\n"


async def interleaved(sources: Sequence[AsyncIterator[bytes]]) -> AsyncIterator[bytes]:
    """What several sources give, as it comes; what comes at the same time in one piece.

    Comments keep the connection open while nothing comes.
    """
    waiting = {_next(source): source for source in sources}
    failure: BaseException | None = None
    try:
        while waiting and failure is None:
            done, _ = await asyncio.wait(
                waiting, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            given = b"" if done else _PING
            for task in done:
                source = waiting.pop(task)
                error = task.exception()
                if error is None:
                    given += task.result()
                    waiting[_next(source)] = source
                elif not isinstance(error, StopAsyncIteration):
                    failure = error
            if given:
                yield given
        if failure is not None:
            raise failure
    finally:
        for task in waiting:
            task.cancel()


def _next(source: AsyncIterator[bytes]) -> asyncio.Task[bytes]:
    async def take() -> bytes:
        return await anext(source)

    return asyncio.ensure_future(take())


async def _echoes(
    completion: Completion, prompt: Prompt, choices: Sequence[_ChoiceFrames]
) -> AsyncIterator[bytes]:
    """The first chunks of a prompt's texts: the prompt."""
    text, logprobs = await completion.read_echo(prompt)
    frames = [frames.echo(text, logprobs) for frames in choices if frames.choice.prompt is prompt]
    yield b"".join(frames)


async def _text(completion: Completion, frames: _ChoiceFrames) -> AsyncIterator[bytes]:
    generation = frames.choice.generation
    if generation is None:
        yield frames.characters([], [], "length")
        return
    reason: FinishReason | None = None
    while reason is None:
        ids = await generation.take()
        reason = generation.finish_reason  # of the characters just taken, which were all there are
        yield frames.characters(ids, completion.service.scored(generation, ids), reason)


class _ChoiceFrames:
    """The bytes of one text's chunks."""

    def __init__(self, completion: Completion, choice: Choice) -> None:
        options = completion.request.stream_options
        self.choice = choice
        self._quoted = completion.service.frames.quoted
        self._counts_on = options.continuous_usage_stats
        self._counts = self._counts_on or options.include_usage
        self._scored = completion.request.logprobs is not None
        self._offset = completion.text_offset(choice)
        self._made = 0
        self._head = f'data: {json.dumps(completion.head())[:-1]}, "choices": [{{"text": '
        self._plain = self._tail(None, None)

    def echo(self, text: str, logprobs: dict[str, Any] | None) -> bytes:
        return f"{self._head}{json.dumps(text)}{self._tail(logprobs, None)}".encode("ascii")

    def characters(
        self, ids: Sequence[int], scores: Sequence[CharacterScore], reason: FinishReason | None
    ) -> bytes:
        """A chunk for each character; the last one of the text tells why it ends there.

        Where there is no character left to tell it, one without text does.
        """
        if self._scored or self._counts_on:
            tails = [self._tail_of(scores[n : n + 1]) for n in range(len(ids))]
        else:
            tails = [self._plain] * len(ids)
        texts = [self._quoted[i] for i in ids]
        if reason is not None:
            texts = texts or ['""']
            tails = [*tails[:-1], self._tail(self._logprobs(scores[-1:]), reason)]
        return "".join(
            [f"{self._head}{text}{tail}" for text, tail in zip(texts, tails, strict=True)]
        ).encode("ascii")

    def _tail_of(self, score: Sequence[CharacterScore]) -> str:
        self._made += 1
        return self._tail(self._logprobs(score), None)

    def _logprobs(self, score: Sequence[CharacterScore]) -> dict[str, Any] | None:
        """Of the character that was made last."""
        return logprobs_of(score, self._offset + self._made - 1) if score else None

    def _tail(self, logprobs: dict[str, Any] | None, reason: FinishReason | None) -> str:
        """What follows the text of a chunk."""
        choice = {
            "index": self.choice.index,
            "logprobs": logprobs,
            "finish_reason": reason,
            "seed": self.choice.seed,
        }
        usage = ""
        if self._counts:
            read = self.choice.prompt.job.prime_characters
            counted = usage_of(read, self._made) if self._counts_on else None
            usage = f', "usage": {json.dumps(counted)}'
        return f", {json.dumps(choice)[1:]}]{usage}}}\n\n"


def _event(data: object) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode("ascii")
