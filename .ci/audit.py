"""Look up known vulnerabilities of the installed packages: python .ci/audit.py.

The exit status is 1 if there are any. If no vulnerability service can be reached, the program says
so and exits with 0, because a machine without internet access is not a fault of the packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_SERVICES = ("pypi", "osv")
_SECONDS = 300


def main() -> None:
    """Ask one service after the other, until one knows the packages."""
    for service in _SERVICES:
        packages = _ask(service)
        audited = [package for package in packages if "vulns" in package]
        if audited:
            sys.exit(_report(service, audited, len(packages)))
    print(
        "audit SKIPPED: no vulnerability service could be reached "
        f"({', '.join(_SERVICES)}), so the installed packages were not checked"
    )


def _ask(service: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--local", "--skip-editable", "--progress-spinner", "off", "--timeout", "15"]
        command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", service, *options]
        try:
            subprocess.run(  # noqa: S603 - the command is ours
                [*command, "--format", "json", "--output", str(report)],
                capture_output=True,
                timeout=_SECONDS,
            )
            packages: list[dict[str, Any]] = json.loads(report.read_text())["dependencies"]
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return []
    return packages


def _report(service: str, audited: list[dict[str, Any]], packages: int) -> int:
    bad = [package for package in audited if package["vulns"]]
    for package in bad:
        ids = ", ".join(vulnerability["id"] for vulnerability in package["vulns"])
        print(f"{package['name']} {package['version']}: {ids}")
    print(
        f"audit by {service}: {len(audited)} of {packages} packages known, "
        f"{len(bad)} with vulnerabilities"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    main()
