"""The metrics, and the dashboard that shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from app.engine.metrics import Metrics
from tests.conftest import ROOT
from tests.server import RunningServer, running_server

DASHBOARD = ROOT / "docs" / "grafana.json"


def test_generations_requests_and_steps_are_counted(server: RunningServer) -> None:
    requests = {"endpoint": "/generate", "method": "POST", "status": "200"}
    counters: dict[str, tuple[dict[str, str], float]] = {
        "charstream_requests_total": (requests, 2),
        "charstream_texts_total": ({"reason": "length"}, 2),
        "charstream_generated_characters_total": ({}, 100),
        "charstream_first_character_seconds_count": ({}, 2),
        "charstream_text_seconds_count": ({}, 2),
        "charstream_queue_seconds_count": ({}, 2),
        "charstream_cache_hits_total": ({}, 2),
        "charstream_cache_characters_total": ({}, 40),
    }

    def values() -> list[float]:
        return [server.gauge(name, **labels) for name, (labels, _) in counters.items()]

    params = {"prime": "metrics are counted !", "length": 50, "top_k": 5, "unknown": "skip"}
    with server.client() as client:
        client.post("/generate", json=params)  # the next ones find its prime in the cache
        before = values()
        for seed in range(2):
            assert client.post("/generate", json={**params, "seed": seed}).status_code == 200
    increases = [after - once for after, once in zip(values(), before, strict=True)]
    assert increases == [increase for _, increase in counters.values()]
    assert server.gauge("charstream_step_seconds_count") > 0
    assert server.gauge("charstream_cache_bytes") > 0


def test_counters_exist_before_their_first_event(tiny_path: Path) -> None:
    with running_server(tiny_path) as server, server.client() as client:
        text = client.get("/metrics").text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    for name, label, count in (
        ("charstream_reloads_total", "result", 3),
        ("charstream_texts_total", "reason", 5),
        ("charstream_connections_ended_total", "reason", 5),
    ):
        values = {s.labels[label]: s.value for s in samples if s.name == name}
        assert list(values.values()) == [0] * count
    assert not any(s.name.endswith("_created") for s in samples)


def test_unknown_paths_and_methods_share_few_label_values(server: RunningServer) -> None:
    with server.client() as client:
        for number in range(5):
            client.request("BREW" if number else "GET", f"/never/heard/of/{number}")
            client.request("PROPFIND", f"/never/heard/of/{number}")
        text = client.get("/metrics").text
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "charstream_requests_total"
    ]
    assert not any("never" in sample.labels["endpoint"] for sample in samples)
    assert {s.labels["method"] for s in samples} <= {"GET", "HEAD", "POST", "OPTIONS", "other"}


def test_the_model_metric_names_the_model_and_the_backend(server: RunningServer) -> None:
    with server.client() as client:
        info = client.get("/info").json()
        text = client.get("/metrics").text
    (line,) = [x for x in text.splitlines() if x.startswith("charstream_model_info{")]
    for name in ("name", "hash", "device", "precision"):
        assert f'{name}="{info[name]}"' in line
    assert re.search(r'kernel="\w+"', line)
    assert line.endswith(" 1.0")


def test_every_metric_of_the_dashboard_exists() -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    displayed = set(re.findall(r"\b(?:charstream|process)_\w+", " ".join(queries)))
    known = set()
    for family in Metrics().registry.collect():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        known |= {family.name + ending for ending in endings.get(family.type, ("",))}
    assert displayed <= known
    ours = {name for name in known if name.startswith("charstream_")}
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours}
    assert bases == {re.sub(r"_(bucket|sum|count)$", "", n) for n in displayed if n in ours}, (
        "the dashboard shows every metric of ours"
    )
