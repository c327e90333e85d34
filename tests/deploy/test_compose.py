"""docker-compose.yml: targets, limits, and whose addresses the replicas trust."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.deploy.test_image import STAGES
from training.results import serve_line

GIVE_UP_SECONDS = 2  # that the server takes at most after the drain time


class ComposeLoader(yaml.SafeLoader):
    """Reads Compose's tags !override and !reset as their value."""


ComposeLoader.add_multi_constructor(
    "!",
    lambda loader, suffix, node: (
        loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else None
    ),
)


def with_defaults(text: str) -> str:
    """Replace ${NAME:-default} as Compose does if no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE: dict[str, Any] = yaml.load(
    with_defaults((ROOT / "docker-compose.yml").read_text()), ComposeLoader
)
SERVICES = COMPOSE["services"]


def test_each_service_uses_the_image_of_its_target() -> None:
    built = {
        name: (service["build"]["target"], service["image"])
        for name, service in SERVICES.items()
        if "build" in service
    }
    assert built == {
        "charstream": ("serve", "charstream"),
        "charstream-gpu": ("cuda", "charstream:cuda"),
        "train": ("train", "charstream:train"),
    }
    assert {target for target, _ in built.values()} <= set(STAGES)
    assert SERVICES["replica"]["extends"] == "charstream"


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_limits_and_few_rights(name: str) -> None:
    service = {**SERVICES.get(SERVICES[name].get("extends"), {}), **SERVICES[name]}
    assert service["pids_limit"] > 0
    assert name == "train" or service["mem_limit"]  # training takes what its settings need
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True


def test_the_replicas_trust_the_balancer_only() -> None:
    (config,) = COMPOSE["networks"]["balanced"]["ipam"]["config"]
    balancer = SERVICES["balancer"]["networks"]["balanced"]["ipv4_address"]
    assert SERVICES["replica"]["environment"]["FORWARDED_ALLOW_IPS"] == balancer
    assert SERVICES["replica"]["networks"] == ["balanced"]
    assert IPv4Address(balancer) in IPv4Network(config["subnet"])
    assert IPv4Network(config["ip_range"]).subnet_of(IPv4Network(config["subnet"]))
    assert IPv4Address(balancer) not in IPv4Network(config["ip_range"])  # no replica can have it


def test_the_image_of_nginx_is_pinned() -> None:
    name, _, version = SERVICES["balancer"]["image"].partition(":")
    assert name == "nginx"
    assert tuple(map(int, version.split("."))) >= (1, 27, 3)[: version.count(".") + 1]


def test_the_health_check_of_the_balancer_asks_nginx() -> None:
    (port,) = re.findall(r"^ *listen (\d+)", (ROOT / "deploy/nginx.conf").read_text(), re.M)
    address = SERVICES["balancer"]["healthcheck"]["test"][-1]
    assert address == f"http://127.0.0.1:{port}/health/ready"


def test_training_ends_with_a_command_that_serves_outside_of_its_container(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = SERVICES["train"]["environment"]["RUNS_OUTSIDE"]
    assert f"{runs}:/runs" in SERVICES["train"]["volumes"]
    monkeypatch.setenv("RUNS_OUTSIDE", runs)
    line = serve_line(Path("/runs/book/best.safetensors"))
    assert line == "CHECKPOINTS=./runs/book CHECKPOINT=best.safetensors docker compose up"
    assert f"`{line}`" in (ROOT / "docs/deployment.md").read_text()


def test_the_service_has_time_to_drain() -> None:
    service = SERVICES["charstream"]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert service["environment"]["CHARSTREAM_DRAIN_SECONDS"] + GIVE_UP_SECONDS < grace
