"""Ray Serve: the same application on as many replicas, and machines, as its streams need.

    pip install '.[ray]'
    serve run app.ray_serve:application min_replicas=2 max_replicas=8

The settings are those of the process that deploys. Each replica makes the application from them,
with an engine of its own; HOST and PORT are Ray's matter (`serve start --http-host --http-port`).
"""

import math
import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from app.main import create_app
from app.reloader import Reloader
from app.settings import PREFIX, Settings

_AFTER_DRAIN_SECONDS = 2  # for the last frames to leave


class Replicas(BaseModel):
    """The arguments of `serve run`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(4, ge=1)
    upscale_seconds: float = Field(5, ge=0)  # that more replicas must be wanted for
    downscale_seconds: float = Field(300, ge=0)  # that fewer must be


class StreamsPolicy:
    """As many replicas as fill three quarters of their slots with all streams, waiting ones too."""

    def __init__(self, slots: int) -> None:
        self._wanted = 0.75 * slots  # streams of a replica

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """The number, and no state; Ray sees to its bounds and delays."""
        recorded = context.aggregated_metrics or {}
        streams = sum(sum(recorded.get(name, {}).values()) for name in ("active", "waiting"))
        return math.ceil((streams + context.total_queued_requests) / self._wanted), {}


@serve.ingress(create_app)
class _Replica:
    """What Ray asks of a replica beside its requests."""

    app: Any  # what create_app made; set by the ingress

    async def record_autoscaling_stats(self) -> dict[str, int]:
        """What `StreamsPolicy` scales on."""
        engines = self._reloader.engines
        return {
            "active": sum(engine.active for engine in engines),
            "waiting": sum(engine.waiting for engine in engines),
        }

    async def check_health(self) -> None:
        """Raises EngineError when only a restart helps."""
        self._reloader.service.engine.check_alive()

    @property
    def _reloader(self) -> Reloader:
        reloader: Reloader = self.app.state.reloader
        return reloader


def application(replicas: Replicas) -> serve.Application:
    """What `serve run` and `serve deploy` deploy.

    Raises:
        SettingsError: if an environment variable has a value that cannot be used.
    """
    settings = Settings.from_environment()
    variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    # Replicas start in a folder of Ray's.
    variables[f"{PREFIX}CHECKPOINT"] = str(settings.checkpoint.resolve())
    threads = settings.threads or 1  # more than that is more replicas' matter
    variables[f"{PREFIX}THREADS"] = str(threads)
    deployment = serve.deployment(
        name="charstream",
        ray_actor_options={
            "num_cpus": threads,
            "num_gpus": 1 if settings.device.startswith("cuda") else 0,
            "runtime_env": {"env_vars": variables},
        },
        # More than a replica takes: it refuses by itself, and says when to come back.
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
