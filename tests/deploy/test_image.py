"""The Dockerfile and its lock files: they agree with pyproject.toml and with each other."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app import __version__
from tests.conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = {
    name: body
    for _, name, body in re.findall(
        r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S
    )
}
TARGETS = ("train", "cuda", "serve")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
NEEDED = {
    "serve": PYPROJECT["project"]["dependencies"],
    "train": [*PYPROJECT["project"]["dependencies"], *EXTRAS["train"], *EXTRAS["gpu"]],
    "build": PYPROJECT["dependency-groups"]["image"],
}
LOCKS = {name: (ROOT / f"deploy/requirements-{name}.lock").read_text() for name in NEEDED}


def argument(name: str) -> str:
    """The default of a build argument."""
    (value,) = re.findall(rf"^ARG {name}=(.*)$", DOCKERFILE, re.M)
    return str(value)


def pins(lock: str) -> dict[str, set[str]]:
    """The versions of each package in a lock: several if they depend on Python's version."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^ ]+)", LOCKS[lock], re.M):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_within_the_ranges_of_the_project(lock: str) -> None:
    pinned = {**pins(lock), "torch": {argument("TORCH_VERSION")}}
    for requirement in map(Requirement, NEEDED[lock]):
        versions = pinned[canonicalize_name(requirement.name)]
        assert list(requirement.specifier.filter(versions)) == list(versions), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_each_package_and_names_no_registry(lock: str) -> None:
    assert "://" not in LOCKS[lock]
    comment, *entries = LOCKS[lock].replace(" \\\n    ", " ").splitlines()
    assert comment.startswith("# Written by `make lock`")
    for entry in entries:
        assert re.fullmatch(r"[\w.-]+==\S+( ; [^#]+?)?( --hash=sha256:[0-9a-f]{64})+", entry), entry


def test_training_uses_the_versions_of_the_service() -> None:
    assert pins("serve").items() <= pins("train").items()
    assert not {"torch", "triton"} & set(pins("train"))


def test_the_default_target_serves_without_pytorch() -> None:
    assert list(STAGES)[-1] == "serve"
    assert "--from=serve-packages" in STAGES["serve"]
    assert "torch" not in STAGES["serve-packages"]


def test_all_stages_begin_with_one_pinned_image() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert set(bases) - set(STAGES) == {"${PYTHON_IMAGE}"}
    assert re.fullmatch(r"python:\$\{PYTHON_VERSION\}-slim", argument("PYTHON_IMAGE"))
    assert re.fullmatch(r"3\.\d+", argument("PYTHON_VERSION"))


@pytest.mark.parametrize("target", TARGETS)
def test_no_target_runs_as_root(target: str) -> None:
    assert STAGES[target].rstrip().endswith("USER 10001:10001")
    assert "CMD [" in STAGES["runtime"]


def test_every_copied_file_exists() -> None:
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M):
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        for source in sources:
            assert list(ROOT.glob(source)), source


def test_the_image_leaves_time_to_drain() -> None:
    (seconds,) = re.findall(r"CHARSTREAM_DRAIN_SECONDS=(\d+)", DOCKERFILE)
    assert int(seconds) + 2 < 10  # `docker stop` waits 10 seconds, and the server gives up after 2


def test_the_image_and_its_bill_of_materials_name_their_version() -> None:
    assert argument("VERSION") == __version__
    replaced = re.findall(r"s/(.*?)/version = ", (ROOT / "deploy/write-sbom").read_text())[0]
    stated = re.sub(replaced, 'version = "1.0"', (ROOT / "pyproject.toml").read_text(), flags=re.M)
    assert tomllib.loads(stated)["project"]["version"] == "1.0"
