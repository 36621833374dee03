"""The TypeScript client builds, and its own tests pass against the real service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Catalogue

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "typescript"


@pytest.fixture(scope="module")
def npm() -> str:
    """Where npm is, with the client's packages installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    version = node and subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if not version or not npm or int(re.findall(r"\d+", version)[0]) < 20:
        pytest.skip(f"Node.js 20 or newer with npm is needed, and here is {version or 'none'}")
    lock, stamp = CLIENT / "package-lock.json", CLIENT / "node_modules" / ".package-lock.json"
    if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run([npm, "ci"], cwd=CLIENT, check=False, capture_output=True, text=True, timeout=300)
        if done.returncode and "CI" not in os.environ:
            pytest.skip(f"npm cannot fetch the compiler: {done.stderr[-200:]}")
        assert done.returncode == 0, done.stderr
        stamp.touch()
    return npm


def test_the_typescript_client_passes_its_tests_against_the_real_service(npm: str, catalogue: Catalogue) -> None:
    """`npm test` builds the package in strict mode and runs every test, none skipped, against a service with keys."""
    environment = {**os.environ, "LOOKALIKE_URL": catalogue.running.url, "LOOKALIKE_API_KEY": catalogue.key}
    done = subprocess.run(
        [npm, "test"], cwd=CLIENT, env=environment, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\S+ skipped 0$", done.stdout, re.MULTILINE), done.stdout
    assert int(re.findall(r"^\S+ pass (\d+)$", done.stdout, re.MULTILINE)[-1]) > 40


def test_the_lock_names_no_registry() -> None:
    """Whoever installs the client gets the packages from the registry that they have chosen."""
    assert "://" not in (CLIENT / "package-lock.json").read_text(encoding="utf-8")
