"""The Kubernetes manifests: valid, and in agreement with the service and with each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app import __version__
from app.settings import PREFIX, Settings
from tests.conftest import ROOT
from tests.deploy.test_compose import GIVE_UP_SECONDS
from tests.deploy.test_compose import SERVICES as COMPOSE_SERVICES
from tests.deploy.test_image import STAGES

MANIFESTS = ROOT / "deploy" / "kubernetes"


def load(name: str) -> Any:
    return yaml.safe_load((MANIFESTS / f"{name}.yaml").read_text())


RESOURCES = [Path(name).stem for name in load("kustomization")["resources"]]
DEPLOYMENT = load("deployment")
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
(GENERATOR,) = load("kustomization")["configMapGenerator"]
VARIABLES = dict(line.split("=", 1) for line in GENERATOR["literals"])


@pytest.mark.parametrize("name", RESOURCES)
def test_a_manifest_is_valid(name: str) -> None:
    kubernetes_validate.validate(load(name), kubernetes_validate.latest_version(), strict=True)


def test_every_resource_is_about_the_same_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert load("service")["spec"]["selector"] == labels
    assert load("disruption-budget")["spec"]["selector"]["matchLabels"] == labels
    assert load("autoscaler")["spec"]["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]


def test_every_variable_is_a_setting_with_a_good_value() -> None:
    settings = {name.removeprefix(PREFIX).lower(): value for name, value in VARIABLES.items()}
    assert set(settings) <= set(Settings.model_fields)
    Settings.model_validate(settings)


def test_no_variable_of_the_service_passes_for_a_setting() -> None:
    assert load("service")["metadata"]["name"].upper() + "_" == PREFIX
    assert POD["enableServiceLinks"] is False


def test_a_pod_is_not_killed_before_its_texts_had_their_time() -> None:
    before = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = float(VARIABLES[f"{PREFIX}DRAIN_SECONDS"])
    assert before + drain + GIVE_UP_SECONDS < POD["terminationGracePeriodSeconds"]
    readiness = CONTAINER["readinessProbe"]
    assert before > readiness["periodSeconds"] + readiness["timeoutSeconds"]


def test_probes_and_service_go_to_the_port_that_the_image_listens_on() -> None:
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == Settings.model_fields["port"].default
    assert load("service")["spec"]["ports"][0]["targetPort"] == port["name"]
    probes = {name: CONTAINER[name]["httpGet"] for name in CONTAINER if name.endswith("Probe")}
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/health/ready",
        "readinessProbe": "/health/ready",
        "livenessProbe": "/health/live",
    }


def test_the_container_has_no_more_rights_than_it_needs() -> None:
    user = STAGES["serve"].partition("\nUSER ")[2].partition("\n")[0]
    pod, container = POD["securityContext"], CONTAINER["securityContext"]
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == user
    assert pod["runAsNonRoot"] is True
    assert container["readOnlyRootFilesystem"] is True
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}


def test_the_autoscaler_asks_for_a_share_of_the_slots() -> None:
    slots = int(VARIABLES[f"{PREFIX}MAX_STREAMS"])
    targets = {
        metric["pods"]["metric"]["name"]: int(metric["pods"]["target"]["averageValue"])
        for metric in load("autoscaler")["spec"]["metrics"]
    }
    assert targets == {
        "charstream_streams_waiting": slots // 2,
        "charstream_streams_active": slots * 3 // 4,
    }


def test_the_image_has_the_version_of_the_service() -> None:
    kustomization = load("kustomization")
    assert kustomization["images"] == [{"name": "charstream", "newTag": __version__}]
    assert kustomization["labels"][0]["pairs"]["app.kubernetes.io/version"] == __version__


def test_only_the_port_of_the_service_can_be_reached() -> None:
    policy = load("network-policy")["spec"]
    assert policy["podSelector"] == DEPLOYMENT["spec"]["selector"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": "http"}]}]
    assert policy["egress"] == []


def test_a_pod_gets_the_memory_of_a_compose_service() -> None:
    memory = {kind: CONTAINER["resources"][kind]["memory"] for kind in ("requests", "limits")}
    assert memory == {"requests": "256Mi", "limits": "512Mi"}
    assert COMPOSE_SERVICES["charstream"]["mem_limit"] == "512m"
