"""The commands that docs/http.md shows, run as they stand, but for the address."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

DOCUMENT = (Path(__file__).resolve().parents[1] / "docs" / "http.md").read_text(encoding="utf-8")
SERVICE = "http://127.0.0.1:8000"
PATIENCE_S = 30.0

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def section(first: str, last: str) -> str:
    """What stands from one heading of docs/http.md up to another."""
    return DOCUMENT.partition(f"## {first}\n")[2].partition(f"\n## {last}\n")[0]


def commands(text: str) -> list[str]:
    """The lines that begin with curl."""
    return [line for line in text.splitlines() if line.startswith("curl ")]


def require_success(command: str, url: str, folder: Path) -> str:
    """Run a command in a folder, with the service at this address; what it printed. Fails if it does."""
    line = command.replace(SERVICE, url).replace(
        "curl ", "curl --silent --show-error --fail-with-body --noproxy '*' ", 1
    )
    done = subprocess.run(
        ["bash", "-c", line], check=False, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, command + done.stdout + done.stderr
    return done.stdout
