"""EventStream: a generation as server-sent events, one per character."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.engine import Generation
from app.schemas import Done
from model.errors import EngineError
from model.vocabulary import Vocabulary

PING_SECONDS = 15.0  # a silent stream says that it is alive, for proxies' sake

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventFrames:
    """The bytes of events. A character's frame is encoded once per vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._data = [
            f"\ndata: {json.dumps({'token': character})}\n\n" for character in vocabulary.characters
        ]

    def tokens(self, seed: int, first: int, ids: Sequence[int]) -> bytes:
        """Frames of consecutive characters, the first of them the text's character `first`.

        An event's id is the seed in hex and the number of characters up to this one.
        """
        data, head = self._data, f"id: {seed:x}-"
        return "".join([f"{head}{number}{data[i]}" for number, i in enumerate(ids, first)]).encode(
            "ascii"
        )

    @staticmethod
    def done(done: Done) -> bytes:
        return _event("done", done.model_dump())

    @staticmethod
    def error(detail: str, code: str) -> bytes:
        return _event("error", {"detail": detail, "code": code})


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode("ascii")


@dataclass(frozen=True)
class Position:
    """Where a text's reader has come to: what an event's id says."""

    seed: int
    characters: int

    @classmethod
    def parse(cls, event_id: str) -> Position:
        """Raises ValueError if it is not an event's id."""
        seed, _, characters = event_id.partition("-")
        if not (_is_hex(seed) and characters.isascii() and characters.isdigit()):
            raise ValueError(event_id)
        return cls(int(seed, 16), int(characters[:18]))


def _is_hex(text: str) -> bool:
    return 0 < len(text) <= 16 and all(character in "0123456789abcdef" for character in text)


class EventStreamResponse(StreamingResponse):
    """Sends a generation as it is made; cancels it when the client goes away."""

    media_type = "text/event-stream"

    def __init__(self, generation: Generation, frames: AsyncIterator[bytes]) -> None:
        super().__init__(frames, headers=_HEADERS)
        self._generation = generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._generation.cancel()


async def event_stream(
    generation: Generation,
    frames: EventFrames,
    ids: Sequence[int],
    sent: int,
    describe: Callable[[Generation], Done],
) -> AsyncIterator[bytes]:
    """Frames of a generation to its end.

    Args:
        generation: what to send; its characters may have been taken in part.
        frames: of the model's vocabulary.
        ids: characters taken already that are to be sent first.
        sent: characters that the client has.
        describe: the `done` event of a finished generation.
    """
    seed = generation.job.seed
    try:
        while ids or generation.finished is None:
            if ids:
                yield frames.tokens(seed, sent + 1, ids)
                sent += len(ids)
            try:
                async with asyncio.timeout(PING_SECONDS):
                    ids = await generation.take()
            except TimeoutError:
                yield b": ping\n\n"
                ids = []
    except EngineError as error:
        yield frames.error(str(error), "engine_failed")
        return
    yield frames.done(describe(generation))
