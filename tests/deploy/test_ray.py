"""The files for Ray Serve and KubeRay: valid, and in agreement with the service and each other."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from app.settings import PREFIX, Settings
from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "ray"
SERVE = yaml.safe_load((FOLDER / "serve.yaml").read_text())
SERVICE = yaml.safe_load((FOLDER / "rayservice.yaml").read_text())["spec"]
IN_PODS = yaml.safe_load(SERVICE["serveConfigV2"])
CLUSTER = SERVICE["rayClusterConfig"]
(WORKERS,) = CLUSTER["workerGroupSpecs"]
PODS = [group["template"]["spec"] for group in (CLUSTER["headGroupSpec"], WORKERS)]
CONTAINERS = [pod["containers"][0] for pod in PODS]


def variables(config: Any) -> dict[str, str]:
    found: dict[str, str] = config["applications"][0]["runtime_env"]["env_vars"]
    return found


@pytest.mark.parametrize("config", [SERVE, IN_PODS])
def test_a_configuration_is_valid(config: Any) -> None:
    schema = pytest.importorskip("ray.serve.schema", reason="needs Ray")
    schema.ServeDeploySchema.model_validate(config)
    serve = pytest.importorskip("app.ray_serve")
    serve.Replicas.model_validate(config["applications"][0]["args"])
    settings = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in variables(config).items()
        if name.startswith(PREFIX)
    }
    assert set(settings) <= set(Settings.model_fields)
    Settings.model_validate(settings)


def test_pods_differ_from_a_machine_in_the_address_and_the_path_only() -> None:
    assert IN_PODS["http_options"].pop("host") == "0.0.0.0"
    assert SERVE["http_options"].pop("host") == "127.0.0.1"
    paths = [variables(config).pop(f"{PREFIX}CHECKPOINT") for config in (SERVE, IN_PODS)]
    assert paths[1] == f"/charstream/{paths[0]}"
    assert IN_PODS == SERVE


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_is_valid(pod: Any) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}
    validator.validate(manifest, validator.latest_version(), strict=True)


def test_a_worker_has_the_cpus_of_a_replica() -> None:
    threads = variables(IN_PODS)[f"{PREFIX}THREADS"]
    assert WORKERS["rayStartParams"]["num-cpus"] == threads
    assert CONTAINERS[1]["resources"]["requests"]["cpu"] == threads
    arguments = IN_PODS["applications"][0]["args"]
    assert WORKERS["minReplicas"] == arguments["min_replicas"]
    assert WORKERS["maxReplicas"] == arguments["max_replicas"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_pod_uses_haproxy_and_probes_ports_that_it_names(container: Any) -> None:
    assert {"name": "RAY_SERVE_ENABLE_HA_PROXY", "value": "1"} in container["env"]
    ports = {port["name"] for port in container["ports"]}
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
