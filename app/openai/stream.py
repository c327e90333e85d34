"""CompletionFrames: a completion as OpenAI's server-sent events, one chunk per character."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

from app.api.scores import quoted_characters, score_fields
from app.api.sse import MAX_SCORED, MAX_TAKEN
from app.engine.chunk import Chunk
from app.errors import EngineError, problem_of
from app.openai.completion import Choice, Completion
from app.openai.errors import error_content
from app.openai.logprobs import LogprobLists, logprobs_of, usage_of
from app.openai.prompts import Prompt
from app.openai.schemas import OpenAIReason

_MAX_ECHOED = 1 << 14  # characters of a chunk that repeats a prompt
_MAX_FRAMES = 1 << 15  # bytes of chunks after which the other texts must wait


class _Source(Protocol):
    """Frames of one part of a completion. `take` returns the next ones, possibly none."""

    @property
    def readable(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    def take(self) -> bytes: ...


class CompletionFrames:
    """The frames of all texts, in the order in which their characters are generated.

    The echo of a prompt comes first. The texts take turns, so that `take` never makes many frames
    at once. Implements `app.api.sse.FrameSource`.
    """

    resumable: ClassVar[bool] = False

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        texts = [_Text(completion, choice) for choice in completion.choices]
        self._texts: list[_Source] = [*texts]
        self._echoes: list[_Source] = []
        if completion.request.scores_echo:
            self._echoes = [_ScoredEcho(completion, prompt, texts) for prompt in completion.prompts]
        self._finished = False

    async def wait(self) -> None:
        ready = self._completion.ready
        while (sources := self._sources()) and not any(source.readable for source in sources):
            ready.clear()
            await ready.wait()

    def take(self) -> bytes | None:
        if self._finished:
            return None
        if sources := self._sources():
            return _take_in_turn(sources)
        self._finished = True
        return self._end()

    def failed(self, error: EngineError) -> bytes:
        return _event(error_content(problem_of(error)))

    def _sources(self) -> list[_Source]:
        """Return what has not ended: echoes with scores, and then texts."""
        for sources in (self._echoes, self._texts):
            sources[:] = [source for source in sources if not source.ended]
        return self._echoes or self._texts

    def _end(self) -> bytes:
        completion = self._completion
        usage = b""
        if completion.request.stream_options.include_usage:
            usage = _event({**completion.head(), "choices": [], "usage": completion.usage()})
        return usage + b"data: [DONE]\n\n"


class _ScoredEcho:
    """The prompt as the first chunks of each of its texts, as it is scored."""

    def __init__(self, completion: Completion, prompt: Prompt, texts: Iterable[_Text]) -> None:
        self._completion, self._prompt = completion, prompt
        self._texts = [text for text in texts if text.choice.prompt is prompt]
        self.ended = False
        self._sent = 0  # characters of the prompt

    @property
    def readable(self) -> bool:
        return self._prompt.scoring is None or self._prompt.scoring.readable

    def take(self) -> bytes:
        scoring = self._prompt.scoring
        most = max(1, MAX_SCORED // len(self._texts))  # each of them gets all of the frames
        chunk = scoring.take(most) if scoring else Chunk()
        scores = score_fields(self._completion.service.vocabulary, chunk)
        unscored = "" if self._sent else self._prompt.text[:1]
        logprobs = logprobs_of(scores, self._sent, unscored)
        part = self._prompt.text[self._sent : self._sent + len(unscored) + len(chunk)]
        self._sent += len(part)
        self.ended = scoring is None or scoring.ended
        return b"".join([text.echo(part, logprobs) for text in self._texts]) if part else b""


class _Text:
    """The chunks of one text."""

    def __init__(self, completion: Completion, choice: Choice) -> None:
        options = completion.request.stream_options
        self.choice = choice
        self.ended = False
        self._vocabulary = completion.service.vocabulary
        self._quoted = quoted_characters(self._vocabulary)
        self._counts_each = options.continuous_usage_stats
        self._has_usage = self._counts_each or options.include_usage
        self._scored = completion.request.logprobs is not None
        self._offset = len(choice.prompt.text)
        self._generated = 0
        self._unsent = "" if completion.request.scores_echo else choice.prompt.text
        self._head = f'data: {json.dumps(completion.head())[:-1]}, "choices": [{{"text": '
        self._plain = self._tail(None, None)

    @property
    def readable(self) -> bool:
        generation = self.choice.generation
        return bool(self._unsent) or generation is None or generation.readable

    def take(self) -> bytes:
        if self._unsent:
            part, self._unsent = self._unsent[:_MAX_ECHOED], self._unsent[_MAX_ECHOED:]
            return self.echo(part, None)
        generation = self.choice.generation
        most = MAX_SCORED if self._scored else MAX_TAKEN
        chunk = generation.take(most) if generation else Chunk()
        self.ended = generation is None or generation.ended
        reason = self.choice.finish_reason if self.ended else None
        return self._chunks(chunk, reason)

    def echo(self, text: str, logprobs: LogprobLists | None) -> bytes:
        """Return a chunk that repeats the prompt, or a part of it."""
        return f"{self._head}{json.dumps(text)}{self._tail(logprobs, None)}".encode("ascii")

    def _chunks(self, chunk: Chunk, reason: OpenAIReason | None) -> bytes:
        """Return a chunk per character. The last one of the text has the finish reason.

        If no character is left, the finish reason is sent in a chunk with an empty text.
        """
        scores = score_fields(self._vocabulary, chunk)
        if self._scored or self._counts_each:
            tails = [self._next_tail(scores[n : n + 1]) for n in range(len(chunk))]
        else:
            tails = [self._plain] * len(chunk)
        texts = [self._quoted[i] for i in chunk.ids]
        if reason is not None:
            texts = texts or ['""']
            tails = [*tails[:-1], self._tail(self._logprobs(scores[-1:]), reason)]
        return "".join(
            [f"{self._head}{text}{tail}" for text, tail in zip(texts, tails, strict=True)]
        ).encode("ascii")

    def _next_tail(self, score: Sequence[dict[str, Any]]) -> str:
        self._generated += 1
        return self._tail(self._logprobs(score), None)

    def _logprobs(self, score: Sequence[dict[str, Any]]) -> LogprobLists | None:
        """Return the logprobs of the newest character, given its score if there is one."""
        return logprobs_of(score, self._offset + self._generated - 1) if score else None

    def _tail(self, logprobs: LogprobLists | None, reason: OpenAIReason | None) -> str:
        """Return the part of a frame that follows the text."""
        choice = {
            "index": self.choice.index,
            "logprobs": logprobs,
            "finish_reason": reason,
            "seed": self.choice.seed,
        }
        usage = ""
        if self._has_usage:
            read = self.choice.prompt.job.prime_characters
            counted = usage_of(read, self._generated) if self._counts_each else None
            usage = f', "usage": {json.dumps(counted)}'
        return f", {json.dumps(choice)[1:]}]{usage}}}\n\n"


def _take_in_turn(sources: list[_Source]) -> bytes:
    """Return frames of the first sources that have some, and move these to the end."""
    parts: list[bytes] = []
    visited = size = 0
    while visited < len(sources) and size < _MAX_FRAMES:
        if sources[visited].readable:
            parts.append(sources[visited].take())
            size += len(parts[-1])
        visited += 1
    sources[:] = sources[visited:] + sources[:visited]
    return b"".join(parts)


def _event(data: object) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode("ascii")
