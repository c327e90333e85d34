"""Server-sent events: one event per character, pings, and the event that ends a stream."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.disconnect import closer_of
from app.api.schemas import done_fields
from app.api.scores import quoted_characters, score_fields
from app.engine.chunk import Chunk
from app.engine.generation import Generation
from app.errors import DrainingError, EngineError, problem_of
from app.service import Service
from model.text.vocabulary import Vocabulary

PING_SECONDS = 15.0  # an idle stream sends a comment this often, so that proxies keep it open
PING = b": ping\n\n"

MODEL_HEADER = "Charstream-Model"  # the model's hash, for a client that resumes the stream
QUEUE_HEADER = "Charstream-Queue"  # number of requests that waited for a slot before this one

MAX_TAKEN = 128  # characters of one text that are encoded at once; the engine makes no more either
MAX_SCORED = 16  # the same if each character has scores, which take 50 times as long

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class FrameSource(Protocol):
    """Produces the frames of a stream."""

    resumable: ClassVar[bool]  # whether a client can reconnect and get the rest

    async def wait(self) -> None:
        """Wait until `take` has frames. Can be cancelled and called again without a loss.

        Raises:
            EngineError: if the text could not be finished.
        """

    def take(self) -> bytes | None:
        """Return the next frames, possibly none, or None at the end. Raises what `wait` raises."""

    def failed(self, error: EngineError) -> bytes:
        """Return the frame that ends the stream after an error."""


class EventStreamResponse(Response):
    """Sends the frames of generations, and cancels the generations when the response ends.

    It ends early when its task is cancelled, as `app/server` does when the client disconnects.

    After 15 seconds without a frame, it sends a ping comment.

    If the server shuts down before the end of a resumable stream, the connection is closed without
    `done` or `error`. The client then reconnects with Last-Event-ID and gets the rest from another
    replica, or from the next process. All other errors end the stream with an `error` event.
    """

    media_type = "text/event-stream"

    def __init__(
        self, source: FrameSource, generations: Sequence[Generation], model_hash: str
    ) -> None:
        super().__init__(headers={**_HEADERS, MODEL_HEADER: model_hash})
        del self.headers["content-length"]
        self._source, self._generations = source, generations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        close = closer_of(scope)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_frames(send, close)
        finally:
            for generation in self._generations:
                generation.cancel()

    async def _send_frames(self, send: Send, close: Callable[[], None] | None) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(last + PING_SECONDS):
                    await self._source.wait()
                frames = self._source.take()
            except TimeoutError:
                frames = PING
            except EngineError as error:
                if isinstance(error, DrainingError) and self._source.resumable and close:
                    return close()
                return await send(_body(self._source.failed(error), more=False))
            if frames is None:
                return await send(_body(b"", more=False))
            if frames:
                await send(_body(frames))
                last = loop.time()


def _body(frames: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": frames, "more_body": more}


@functools.lru_cache(maxsize=64)
def _token_data(vocabulary: Vocabulary) -> list[str]:
    return [f'\ndata: {{"token": {quoted}}}\n\n' for quoted in quoted_characters(vocabulary)]


class GenerateFrames:
    """A stream of /generate: one event per character, then `done`, or `error` after a failure.

    The client has `sent` characters already, and does not get them again.
    """

    resumable: ClassVar[bool] = True

    def __init__(self, service: Service, generation: Generation, sent: int = 0) -> None:
        self._model, self._generation = service.model, generation
        self._sent = self._skip = sent  # `_skip` characters have not been generated again yet
        self._vocabulary, self._data = service.vocabulary, _token_data(service.vocabulary)
        has_scores = generation.job.alternatives is not None
        self._most = MAX_SCORED if has_scores else MAX_TAKEN
        self._done = False

    async def wait(self) -> None:
        await self._generation.wait()
        while self._skip and not self._generation.ended:
            self._skip -= len(self._generation.take(self._skip))
            await self._generation.wait()

    def take(self) -> bytes | None:
        if self._done:
            return None
        if chunk := self._generation.take(self._most):
            first, self._sent = self._sent + 1, self._sent + len(chunk)
            return self._tokens(first, chunk)
        self._done = True
        return _event("done", done_fields(self._model, self._generation))

    def failed(self, error: EngineError) -> bytes:
        return _event("error", {"detail": str(error), "code": problem_of(error).code})

    def _tokens(self, first: int, chunk: Chunk) -> bytes:
        """Return the frames of a chunk whose first character is number `first`, from 1.

        The id of an event is the seed in hex, a hyphen, and the number of the character.
        """
        head = f"id: {self._generation.job.seed:x}-"
        if chunk.scores is None:
            data = self._data
            frames = [f"{head}{number}{data[i]}" for number, i in enumerate(chunk.ids, first)]
        else:
            scores = enumerate(score_fields(self._vocabulary, chunk), first)
            frames = [f"{head}{number}\ndata: {json.dumps(score)}\n\n" for number, score in scores]
        return "".join(frames).encode("ascii")


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode("ascii")
