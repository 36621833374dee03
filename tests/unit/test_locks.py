"""The locks pin what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def pins(name: str) -> dict[str, str]:
    """Version by project of one lock."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))


def asked_for(*headings: str) -> list[Requirement]:
    """The requirements of pyproject.toml under these headings: "project", an extra or a dependency group."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    table = {"project": pyproject["project"]["dependencies"], **pyproject["dependency-groups"]}
    table |= pyproject["project"]["optional-dependencies"]
    return [Requirement(line) for heading in headings for line in table[heading]]


@pytest.mark.parametrize(
    ("lock", "headings"),
    [("runtime", ("build", "project", "local")), ("dev", ("build", "project", "local", "heic", "dev"))],
)
def test_a_lock_has_what_is_asked_for(lock: str, headings: tuple[str, ...]) -> None:
    """Every requirement is pinned, to a version that its bounds allow; otherwise run `make lock`."""
    pinned = pins(lock)
    wrong = [
        str(requirement)
        for requirement in asked_for(*headings)
        if pinned.get(canonicalize_name(requirement.name), "") not in requirement.specifier
    ]
    assert wrong == []


def test_the_build_backend_comes_from_the_lock() -> None:
    """The group `build`, which is locked, covers [build-system], which pip would otherwise fetch unlocked."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(pyproject["build-system"]["requires"]) <= set(pyproject["dependency-groups"]["build"])


def test_the_locks_agree() -> None:
    """What runs in the demo is what is tested: the runtime's pins are among the development's."""
    assert pins("runtime").items() <= pins("dev").items()


@pytest.mark.parametrize("lock", ["runtime", "dev"])
def test_a_lock_names_hashes_and_no_place(lock: str) -> None:
    """Each pin has a hash, and nothing says where the files come from: that is the machine's to decide."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) == len(pins(lock)) > 0
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.search(r"://|--index-url|--find-links|--extra-index-url|--trusted-host", text) is None
