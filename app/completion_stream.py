"""CompletionStream: a completion as OpenAI's server-sent events, one chunk per character."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from app.completion import Choice, Completion, Prompt, logprobs_of, usage_of
from app.engine import FinishReason
from app.errors import code_of
from app.event_stream import PING_SECONDS
from app.openai_errors import openai_error
from app.schemas import CharacterScore, DrawnScore
from model.errors import EngineError

_PING = b": ping\n\n"


class _Source(Protocol):
    """Where frames come from."""

    async def take(self) -> bytes:
        """Waits for frames and takes them; empty at the end. May be cancelled and called anew."""


async def completion_stream(completion: Completion) -> AsyncIterator[bytes]:
    """Frames of all of a completion's texts, in the order in which their characters are made."""
    texts = [_Text(completion, choice) for choice in completion.choices]
    try:
        if completion.request.echo:
            echoes = [_Echo(completion, prompt, texts) for prompt in completion.prompts]
            async for frames in _merged(echoes):
                yield frames
        async for frames in _merged(texts):
            yield frames
    except EngineError as error:
        yield _event(openai_error(503, code_of(error), str(error)))
        return
    if completion.request.stream_options.include_usage:
        yield _event({**completion.head(), "choices": [], "usage": completion.usage()})
    yield b"data: [DONE]\n\n"


def _merged(sources: Sequence[_Source]) -> AsyncIterator[bytes]:
    """What sources give, as it comes, and comments that keep the connection open meanwhile."""
    return _alone(sources[0]) if len(sources) == 1 else _interleaved(sources)


async def _alone(source: _Source) -> AsyncIterator[bytes]:
    """Of one source: without the tasks that it takes to wait for several."""
    while True:
        try:
            async with asyncio.timeout(PING_SECONDS):
                frames = await source.take()
        except TimeoutError:
            frames = _PING
        if not frames:
            return
        yield frames


async def _interleaved(sources: Sequence[_Source]) -> AsyncIterator[bytes]:
    """Of several; what comes at the same time in one piece."""
    waiting = {asyncio.ensure_future(source.take()): source for source in sources}
    try:
        while waiting:
            done, _ = await asyncio.wait(
                waiting, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            failures = [error for task in done if (error := task.exception()) is not None]
            if failures:
                raise failures[0]
            for task in done:
                source = waiting.pop(task)
                if task.result():
                    waiting[asyncio.ensure_future(source.take())] = source
            if frames := b"".join([task.result() for task in done]) if done else _PING:
                yield frames
    finally:
        for task in waiting:
            task.cancel()


class _Echo:
    """The first chunks of a prompt's texts: the prompt."""

    def __init__(self, completion: Completion, prompt: Prompt, texts: Sequence[_Text]) -> None:
        self._completion, self._prompt = completion, prompt
        self._texts = [text for text in texts if text.choice.prompt is prompt]

    async def take(self) -> bytes:
        text, logprobs = await self._completion.read_echo(self._prompt)
        texts, self._texts = self._texts, []
        return b"".join([choice.echo(text, logprobs) for choice in texts])


class _Text:
    """The chunks of one text."""

    def __init__(self, completion: Completion, choice: Choice) -> None:
        options = completion.request.stream_options
        self.choice = choice
        self._quoted = completion.service.frames.quoted
        self._counts_on = options.continuous_usage_stats
        self._counts = self._counts_on or options.include_usage
        self._scored = completion.request.logprobs is not None
        self._offset = completion.text_offset(choice)
        self._made = 0
        self._scores_of = completion.service.scored
        self._ended = False
        self._head = f'data: {json.dumps(completion.head())[:-1]}, "choices": [{{"text": '
        self._plain = self._tail(None, None)

    async def take(self) -> bytes:
        if self._ended:
            return b""
        ids, scores = list[int](), list[DrawnScore]()
        if (generation := self.choice.generation) is not None:
            ids = await generation.take()
            scores = self._scores_of(generation, ids)
        reason = self.choice.finish_reason  # of the characters just taken, which were all there are
        self._ended = reason is not None
        return self._chunks(ids, scores, reason)

    def echo(self, text: str, logprobs: dict[str, Any] | None) -> bytes:
        return f"{self._head}{json.dumps(text)}{self._tail(logprobs, None)}".encode("ascii")

    def _chunks(
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
