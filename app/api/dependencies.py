"""Dependencies: FastAPI dependencies of the endpoints, and the submission of jobs.

A reload may replace the current service while a request waits, and a replaced service is stopped
when it has no generations. So an endpoint must not wait between getting the service and submitting
its jobs.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.engine.generation import Generation
from app.engine.job import Job
from app.middleware.body_limit import Body
from app.middleware.request_log import RequestRecord
from app.model_manager import ModelManager
from app.service import Service


async def _manager(request: Request) -> ModelManager:
    manager: ModelManager = request.app.state.model_manager
    return manager


async def _service(request: Request) -> Service:
    return (await _manager(request)).service


async def _service_after_body(request: Request, _: Body) -> Service:
    """Return the service that is current when the body has arrived."""
    return await _service(request)


async def _record(request: Request) -> RequestRecord:
    return RequestRecord.of(request.scope)


CurrentManager = Annotated[ModelManager, Depends(_manager)]
CurrentService = Annotated[Service, Depends(_service)]
ServiceAfterBody = Annotated[Service, Depends(_service_after_body)]
CurrentRecord = Annotated[RequestRecord, Depends(_record)]


def logged_prime(service: Service, job: Job) -> str | None:
    """Return the prime of a job for the request log, or None if the setting log_primes is off."""
    if not service.settings.log_primes:
        return None
    return service.vocabulary.decode(job.prime[: job.prime_characters])


def submit(service: Service, record: RequestRecord, job: Job) -> Generation:
    """Queue a job and add its generation to the request log.

    Raises what `Service.submit` raises.
    """
    generation = service.submit(job)
    record.add(generation, logged_prime(service, job))
    return generation
