"""What the pages may load."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
from playwright.sync_api import Browser

from app.api.page import STATIC
from tests.app.page import playground as ui
from tests.server import RunningServer


def test_the_content_policy_allows_only_what_the_page_needs(server: RunningServer) -> None:
    responses = [httpx.get(server.url + path, trust_env=False) for path in ("/", "/static/main.js")]
    for each in responses:
        policy = each.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert each.headers["x-content-type-options"] == "nosniff"
    for inline in ("<style", " style=", " onclick=", "<script>"):
        assert inline not in responses[0].text


def test_the_api_reference_contacts_no_other_host(browser: Browser, server: RunningServer) -> None:
    with ui.opened(browser, f"{server.url}/docs") as page:
        page.get_by_text("Generate text", exact=True).wait_for()
        page.get_by_text("/v1/completions", exact=True).wait_for()


def test_the_page_loads_all_modules_at_once(server: RunningServer) -> None:
    html = httpx.get(server.url, trust_env=False).text
    preloaded = re.findall(r'rel="modulepreload" href="static/(.*)"', html)
    assert preloaded == sorted(preloaded)
    modules = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*.js")}
    assert {"main.js", *preloaded} == set(modules)
    imported = {
        os.path.normpath(Path(name).parent / other)
        for name, path in modules.items()
        for other in re.findall(r'from "(.*)"', path.read_text())
    }
    assert imported == set(preloaded), "none is unused"
