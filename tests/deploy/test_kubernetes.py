"""The Kubernetes manifests: valid, and in agreement with the service and with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
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


def variables(kustomization: str) -> dict[str, str]:
    """The settings that a kustomization or a component adds."""
    generators = load(kustomization).get("configMapGenerator", [{"literals": []}])
    return dict(line.split("=", 1) for line in generators[0]["literals"])


def patched_pod(component: str) -> Any:
    patch = yaml.safe_load(load(component)["patches"][0]["patch"])
    return patch["spec"]["template"]["spec"]


RESOURCES = [Path(name).stem for name in load("kustomization")["resources"]]
DEPLOYMENT = load("deployment")
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
VARIABLES = variables("kustomization")
COMPONENTS = [
    str(path.relative_to(MANIFESTS).with_suffix(""))
    for path in sorted(MANIFESTS.glob("components/*/kustomization.yaml"))
]
CUSTOM = {"HTTPRoute", "PodMonitor"}  # custom resources, which Kubernetes has no schemas of
RENDER = next(
    (f for f in (["kustomize", "build"], ["kubectl", "kustomize"]) if shutil.which(f[0])), None
)
needs_kustomize = pytest.mark.skipif(RENDER is None, reason="needs kustomize or kubectl")


def validate(resource: Any) -> None:
    kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


def rendered(kustomization: str, folder: Path) -> dict[str, Any]:
    """The resources of a kustomization, by kind. It may name files below ../charstream."""
    assert RENDER is not None
    path = os.path.relpath(ROOT, folder)
    (folder / "kustomization.yaml").write_text(kustomization.replace("../charstream", path))
    result = subprocess.run([*RENDER, str(folder)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return {each["kind"]: each for each in yaml.safe_load_all(result.stdout)}


@pytest.mark.parametrize("name", RESOURCES)
def test_a_manifest_is_valid(name: str) -> None:
    validate(load(name))


@needs_kustomize
@pytest.mark.parametrize("components", [*([each] for each in COMPONENTS), COMPONENTS], ids=" ".join)
def test_the_resources_are_valid_with_components(components: list[str], tmp_path: Path) -> None:
    base = "../charstream/deploy/kubernetes"
    parts = [f"{base}/{Path(each).parent}" for each in components]
    resources = rendered(yaml.safe_dump({"resources": [base], "components": parts}), tmp_path)
    for kind in resources.keys() - CUSTOM:
        validate(resources[kind])
    deployment = resources["Deployment"]["spec"]
    assert deployment["selector"] == DEPLOYMENT["spec"]["selector"]
    sources = deployment["template"]["spec"]["containers"][0]["envFrom"]
    named = [each["configMapRef"]["name"] for each in sources if "configMapRef" in each]
    assert named == [resources["ConfigMap"]["metadata"]["name"]]


@needs_kustomize
def test_the_example_of_the_documentation_adds_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    (example,) = re.findall(r"```yaml\n(resources:.*?)```", page, re.S)
    resources = rendered(example, tmp_path)
    assert resources.keys() >= CUSTOM
    assert resources["HTTPRoute"]["spec"]["hostnames"] == ["text.example.org"]
    assert resources["ConfigMap"]["data"] == {**VARIABLES, "CHARSTREAM_LOG_FORMAT": "json"}
    (container,) = resources["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example/charstream:{__version__}"


def test_every_resource_is_about_the_same_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert load("service")["spec"]["selector"] == labels
    assert load("disruption-budget")["spec"]["selector"]["matchLabels"] == labels
    assert load("autoscaler")["spec"]["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]
    monitor = load("components/pod-monitor/pod-monitor")["spec"]
    assert monitor["selector"]["matchLabels"] == labels
    assert monitor["podMetricsEndpoints"][0]["port"] == CONTAINER["ports"][0]["name"]
    service = load("service")
    (backend,) = load("components/http-route/http-route")["spec"]["rules"][0]["backendRefs"]
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"] == service["spec"]["ports"][0]["port"]


@pytest.mark.parametrize("kustomization", ["kustomization", *COMPONENTS])
def test_every_variable_is_a_setting_with_a_good_value(kustomization: str) -> None:
    both = {**VARIABLES, **variables(kustomization)}
    settings = {name.removeprefix(PREFIX).lower(): value for name, value in both.items()}
    assert set(settings) <= set(Settings.model_fields)
    Settings.model_validate(settings)


@pytest.mark.parametrize(
    ("component", "name"), [("keys", "API_KEYS_FILE"), ("models", "CHECKPOINT")]
)
def test_a_volume_is_mounted_where_the_setting_says(component: str, name: str) -> None:
    component = f"components/{component}/kustomization"
    pod = patched_pod(component)
    (mount,), (volume,) = pod["containers"][0]["volumeMounts"], pod["volumes"]
    assert mount["name"] == volume["name"]
    assert Path(variables(component)[PREFIX + name]).is_relative_to(mount["mountPath"])


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
    base, gpu = load("kustomization"), load("components/gpu/kustomization")
    assert base["images"] == [{"name": "charstream", "newTag": __version__}]
    assert base["labels"][0]["pairs"]["app.kubernetes.io/version"] == __version__
    assert gpu["images"] == [{"name": "charstream", "newTag": f"{__version__}-cuda"}]


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
    gpu = patched_pod("components/gpu/kustomization")["containers"][0]["resources"]
    assert gpu["limits"]["memory"] == "8Gi"
    assert COMPOSE_SERVICES["charstream-gpu"]["mem_limit"] == "8g"
