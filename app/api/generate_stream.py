"""GenerateFrames: a generation as the server-sent events of /generate."""

from __future__ import annotations

from typing import ClassVar

from app.api.resume import ResumedGeneration
from app.api.schemas import done_of
from app.api.sse import event, event_frames
from app.errors import EngineError, problem_of
from app.service import Service


class GenerateFrames:
    """One event per character, then `done`, or `error` if the text could not be finished.

    See `sse.FrameSource`.
    """

    resumable: ClassVar[bool] = True

    def __init__(self, service: Service, rest: ResumedGeneration) -> None:
        self._model, self._rest = service.model, rest
        self._frames = event_frames(service.vocabulary)
        self._done = False

    async def wait(self) -> None:
        await self._rest.wait()

    def take(self) -> bytes | None:
        if self._done:
            return None
        first = self._rest.sent + 1
        generation = self._rest.generation
        if chunk := self._rest.take():
            return self._frames.tokens(generation.job.seed, first, chunk)
        self._done = True
        return event("done", done_of(self._model, generation).model_dump())

    def failed(self, error: EngineError) -> bytes:
        return event("error", {"detail": str(error), "code": problem_of(error).code})
