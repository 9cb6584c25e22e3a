"""The lock file and the constraints are those of pyproject.toml, and name public places only."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rotdis

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
LOCKED = {package["name"]: package for package in LOCK["package"]}


def _constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(item.name): str(item.specifier) for item in requirements}


def _requirements():
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        if requirement.name != "rotdis":
            yield requirement


def test_every_dependency_is_locked_at_a_version_that_its_bound_allows():
    for requirement in _requirements():
        version = LOCKED[canonicalize_name(requirement.name)]["version"]
        assert requirement.specifier.contains(version), requirement


def test_the_lock_was_made_from_this_pyproject():
    stated = LOCKED["rotdis"]["metadata"]["requires-dist"]
    locked = {(canonicalize_name(item["name"]), item.get("specifier", "")) for item in stated}
    ours = {(canonicalize_name(r.name), str(r.specifier)) for r in _requirements()}
    assert locked == ours


def test_pip_gets_the_same_versions_as_uv():
    locked = {n: f"=={package['version']}" for n, package in LOCKED.items() if n != "rotdis"}
    assert _constraints().items() <= locked.items()
    assert {canonicalize_name(r.name) for r in _requirements()} <= _constraints().keys()


def test_both_name_public_places_only():
    for name in ("uv.lock", "constraints.txt"):
        text = (ROOT / name).read_text()
        hosts = set(re.findall(r"\w+://([^/\"\s]+)", text))
        assert hosts <= {"pypi.org", "files.pythonhosted.org"}, hosts
        assert "@ " not in text and "-e " not in text.replace("-e '.[mesh]'", "")


def test_the_version_is_the_one_that_is_cited():
    cited = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {rotdis.__version__}\n" in cited
