"""Dependencies: FastAPI dependencies of the endpoints, and the submission of jobs.

A reload may replace the models while a request waits, and a replaced service is stopped when it has
no generations. So an endpoint must not wait between getting the models and submitting its jobs.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field

from app.api.parsing import check_names
from app.engine.generation import Generation
from app.engine.job import Job
from app.loaded_models import LoadedModels
from app.middleware.body_limit import Body
from app.middleware.request_log import RequestRecord
from app.model_manager import ModelManager
from app.service import Service


async def _manager(request: Request) -> ModelManager:
    manager: ModelManager = request.app.state.model_manager
    return manager


async def _models(request: Request) -> LoadedModels:
    return (await _manager(request)).models


async def _models_after_body(request: Request, _: Body) -> LoadedModels:
    """Return the models that are loaded when the body has arrived."""
    return await _models(request)


class _ModelQuery(BaseModel):
    """The parameters of an endpoint that describes a model."""

    model: str | None = Field(
        None, max_length=200, description="Name or hash of a model. By default, the default one."
    )


async def _named_service(request: Request, params: Annotated[_ModelQuery, Query()]) -> Service:
    check_names(_ModelQuery, request.query_params)
    return (await _models(request)).find(params.model or None)


async def _record(request: Request) -> RequestRecord:
    return RequestRecord.of(request.scope)


CurrentManager = Annotated[ModelManager, Depends(_manager)]
CurrentModels = Annotated[LoadedModels, Depends(_models)]
ModelsAfterBody = Annotated[LoadedModels, Depends(_models_after_body)]
NamedService = Annotated[Service, Depends(_named_service)]  # of the query parameter `model`
CurrentRecord = Annotated[RequestRecord, Depends(_record)]


def _logged_prime(service: Service, job: Job) -> str | None:
    """Return the prime of a job for the request log, or None if the setting log_primes is off."""
    if not service.settings.log_primes:
        return None
    return service.vocabulary.decode(job.prime[: job.prime_characters])


def submit(
    service: Service, record: RequestRecord, job: Job, ready: asyncio.Event | None = None
) -> Generation:
    """Queue a job and add its generation to the request log.

    `ready` is set whenever the generation has something to take.

    Raises what `Engine.submit` raises.
    """
    generation = service.engine.submit(job, ready)
    record.add(generation, _logged_prime(service, job))
    return generation
