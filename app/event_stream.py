"""EventStream: a generation as server-sent events, one per character."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from app.engine import Generation
from app.errors import code_of
from app.schemas import CharacterScore, Done
from model.errors import EngineError
from model.sampling import MAX_SEED
from model.vocabulary import Vocabulary

logger = logging.getLogger("charstream")

PING_SECONDS = 15.0  # a silent stream says that it is alive, for proxies' sake

MODEL_HEADER = "Charstream-Model"  # the hash, for a client to name when it goes on
QUEUE_HEADER = "Charstream-Queue"  # how many were waiting for a slot when this one came

_EVENT_ID = re.compile(r"(0|[1-9a-f][0-9a-f]{0,15})-([1-9][0-9]{0,17})")
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventFrames:
    """The bytes of events. A character's frame is encoded once per vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.quoted = [json.dumps(character) for character in vocabulary.characters]
        self._data = [f'\ndata: {{"token": {quoted}}}\n\n' for quoted in self.quoted]

    def tokens(
        self, seed: int, first: int, ids: Sequence[int], scores: Sequence[CharacterScore] = ()
    ) -> bytes:
        """Frames of consecutive characters, the first of them the text's character `first`.

        An event's id is the seed in hex and the number of characters up to this one.
        """
        if scores:
            return b"".join(
                f"id: {seed:x}-{number}\ndata: {json.dumps(score.model_dump())}\n\n".encode("ascii")
                for number, score in enumerate(scores, first)
            )
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
        """Raises ValueError if it is not an id that an event can have."""
        match = _EVENT_ID.fullmatch(event_id)
        if match is None:
            raise ValueError(event_id)
        position = cls(int(match[1], 16), int(match[2]))
        if position.seed > MAX_SEED:
            raise ValueError(event_id)
        return position


class EventStreamResponse(StreamingResponse):
    """Sends generations as they are made; cancels them when the client goes away."""

    media_type = "text/event-stream"

    def __init__(
        self, generations: Sequence[Generation], frames: AsyncIterator[bytes], model_hash: str
    ) -> None:
        super().__init__(frames, headers={**_HEADERS, MODEL_HEADER: model_hash})
        self._generations = generations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_disconnect(message: Message) -> None:
            try:
                await send(message)
            except RuntimeError as error:  # what uvloop raises of a connection that is closed
                raise ClientDisconnect from error

        try:
            await super().__call__(scope, receive, send_or_disconnect)
        except (OSError, ClientDisconnect):
            logger.debug("a client went away", exc_info=True)  # which is its right
        finally:
            for generation in self._generations:
                generation.cancel()


async def event_stream(
    generation: Generation,
    frames: EventFrames,
    ids: Sequence[int],
    sent: int,
    skip: int,
    describe: Callable[[Generation], Done],
    scored: Callable[[Generation, Sequence[int]], Sequence[CharacterScore]],
) -> AsyncIterator[bytes]:
    """Frames of a generation to its end.

    Args:
        generation: what to send; its characters may have been taken in part.
        frames: of the model's vocabulary.
        ids: characters taken already that are to be sent first.
        sent: characters that the client has.
        skip: of those, the ones that are still to be taken and not sent again.
        describe: the `done` event of a finished generation.
        scored: scores of characters, in the order in which they were taken.
    """
    seed = generation.job.seed
    pending, last = list(ids), time.monotonic()
    try:
        while True:
            if pending:
                yield frames.tokens(seed, sent + 1, pending, scored(generation, pending))
                sent += len(pending)
                last = time.monotonic()
            elif time.monotonic() - last >= PING_SECONDS:
                yield b": ping\n\n"
                last = time.monotonic()
            try:
                async with asyncio.timeout(PING_SECONDS):
                    pending = await generation.take()
            except TimeoutError:
                pending = []
                continue
            if not pending:
                break
            if skip:
                dropped = min(skip, len(pending))
                generation.take_scores(dropped)
                pending, skip = pending[dropped:], skip - dropped
    except EngineError as error:
        yield frames.error(str(error), code_of(error))
        return
    yield frames.done(describe(generation))
