"""Dependencies: FastAPI dependencies of the endpoints, and the submission of jobs.

A reload may replace the models while a request waits, and a replaced service is stopped when it has
no generations. So an endpoint must not wait between getting the models and submitting its jobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from app.api.json_response import json_response
from app.api.parsing import check_names
from app.api.sizes import job_bytes
from app.engine.chunk import Chunk
from app.engine.generation import Generation
from app.engine.job import Job
from app.loaded_models import LoadedModels
from app.middleware.request_log import RequestRecord
from app.service import Service


def current_models(request: Request) -> LoadedModels:
    """Return the models that are loaded now."""
    models: LoadedModels = request.app.state.model_manager.models
    return models


_Model = Query(max_length=200, description="Name or hash of a model. By default, the default one.")


async def _named_service(request: Request, model: Annotated[str | None, _Model] = None) -> Service:
    check_names(("model",), request.query_params)
    return current_models(request).find(model or None)


NamedService = Annotated[Service, Depends(_named_service)]  # of the query parameter `model`


def lease(request: Request, size: int) -> None:
    """Lease memory for what a request makes the server hold, until its response has been sent."""
    RequestRecord.of(request.scope).lease.add(size)


def submit(
    request: Request, service: Service, job: Job, ready: asyncio.Event | None = None
) -> Generation:
    """Queue a job and add its generation to the request log. See `Engine.submit`."""
    record = RequestRecord.of(request.scope)
    generation = service.engine.submit(replace(job, client=record.lease.client), ready)
    prime = None
    if service.settings.log_primes:
        prime = service.vocabulary.decode(job.prime[: job.prime_characters])
    record.model = "{}@{}".format(*service.model)
    record.add(generation, prime)
    return generation


async def respond(
    request: Request,
    service: Service,
    job: Job,
    size: int,
    content: Callable[[Service, Generation, Chunk], dict[str, Any]],
) -> Response:
    """Run a job to its end, and return the JSON response with what `content` makes of it.

    If this is cancelled, so is the generation. `size` is the largest size of the result in bytes.

    Raises:
        OverloadedError: if the memory budget has no room for the job and its result.
        EngineError: if the text could not be finished.
    """
    lease(request, job_bytes(job, service.decoder) + size)
    generation = submit(request, service, job)
    try:
        text = await generation.read()
    finally:
        generation.cancel()
    return await json_response(request, size, partial(content, service, generation, text))
