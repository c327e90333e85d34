"""Ray Serve: runs the application on as many replicas and machines as its streams need.

    serve deploy deploy/ray/serve.yaml

Each replica creates the application with its own engine, from the settings in that file.
"""

import logging
import math
import os
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from app.main import create_app
from app.model_manager import ModelManager
from app.server import log_format
from app.settings import PREFIX, Settings

_AFTER_DRAIN_SECONDS = 2  # for the last frames to be sent
_THREADS = 2  # of an engine, as in the Kubernetes manifests

logger = logging.getLogger("charstream")


class Replicas(BaseModel):
    """Arguments of the application: `args` in deploy/ray/serve.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(4, ge=1)
    upscale_seconds: float = Field(5, ge=0)  # how long more replicas must be needed
    downscale_seconds: float = Field(300, ge=0)  # how long fewer must be needed


class StreamsPolicy:
    """Scales so that running and waiting streams fill three quarters of all slots."""

    def __init__(self, slots: int) -> None:
        self._target = 0.75 * slots  # streams per replica

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """Return the number of replicas, and no state. Ray applies the bounds and delays."""
        recorded = context.aggregated_metrics or {}
        streams = sum(sum(recorded.get(name, {}).values()) for name in ("active", "waiting"))
        return math.ceil((streams + context.total_queued_requests) / self._target), {}


def _create_app() -> FastAPI:
    """Create the application in a replica. Ray keeps its standard error in a file."""
    settings = Settings.from_environment()
    log_format.set_up(settings.log_format)
    app = create_app(settings)
    manager: ModelManager = app.state.model_manager
    for service in manager.models.services:
        logger.info("loaded %s", service)
    return app


@serve.ingress(_create_app)
class _Replica:
    """Methods that Ray calls in addition to forwarding requests."""

    app: Any  # the result of _create_app, set by the ingress

    async def record_autoscaling_stats(self) -> dict[str, int]:
        """Return the numbers that `StreamsPolicy` uses."""
        engines = self._manager.engines
        return {
            "active": sum(engine.scheduler.running for engine in engines),
            "waiting": sum(engine.scheduler.waiting for engine in engines),
        }

    async def check_health(self) -> None:
        """Raise EngineError if an engine has failed. Ray then restarts the replica."""
        self._manager.check_alive()

    @property
    def _manager(self) -> ModelManager:
        manager: ModelManager = self.app.state.model_manager
        return manager


def application(replicas: Replicas) -> serve.Application:
    """Return the application for `serve deploy` and `serve run`.

    Raises:
        SettingsError: if an environment variable has an unusable value.
    """
    settings = Settings.from_environment()
    variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    # Ray starts replicas in a directory of its own.
    variables[f"{PREFIX}CHECKPOINT"] = ",".join(str(p.resolve()) for p in settings.checkpoint)
    if settings.api_keys_file is not None:
        variables[f"{PREFIX}API_KEYS_FILE"] = str(settings.api_keys_file.resolve())
    threads = settings.threads or _THREADS
    variables[f"{PREFIX}THREADS"] = str(threads)
    # Without this, replicas trust X-Forwarded-For from 127.0.0.1, and Ray's HAProxy passes on there
    # what a client has written.
    variables["FORWARDED_ALLOW_IPS"] = os.environ.get("FORWARDED_ALLOW_IPS", "")
    deployment = serve.deployment(
        name="charstream",
        ray_actor_options={
            "num_cpus": threads,
            "num_gpus": 1 if settings.device.startswith("cuda") else 0,
            "runtime_env": {"env_vars": variables},
        },
        # More than a replica accepts, so that the replica itself refuses the rest with Retry-After.
        max_ongoing_requests=2 * (settings.max_streams + settings.max_queue),
        graceful_shutdown_timeout_s=settings.drain_seconds + _AFTER_DRAIN_SECONDS,
        autoscaling_config=AutoscalingConfig(
            min_replicas=replicas.min_replicas,
            max_replicas=replicas.max_replicas,
            upscale_delay_s=replicas.upscale_seconds,
            downscale_delay_s=replicas.downscale_seconds,
            metrics_interval_s=1,
            look_back_period_s=2,
            policy=AutoscalingPolicy(
                policy_function=StreamsPolicy, policy_kwargs={"slots": settings.max_streams}
            ),
        ),
    )(_Replica)
    return deployment.bind()
