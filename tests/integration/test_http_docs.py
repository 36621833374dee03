"""docs/http.md shows what works: its commands and its Python are run against the service."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.config import ServeSettings
from tests.documented import SERVICE, commands, needs_curl, require_success, section
from tests.integration.test_http_embed import tiny_service
from tests.pictures import noise
from tests.serving import Running

VECTORS = section("Vectors", "Errors")
PHOTO = noise(0, kind="JPEG")


def blocks(language: str) -> list[str]:
    """The fenced blocks of the sections on vectors."""
    return re.findall(rf"^```{language}\n(.*?)^```", VECTORS, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """The service."""
    with tiny_service(ServeSettings()) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the commands are run."""
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    (tmp_path / "broken.jpg").write_bytes(PHOTO[:500])
    return tmp_path


@needs_curl
@pytest.mark.parametrize("command", commands(VECTORS))
def test_every_command_works(command: str, running: Running, folder: Path) -> None:
    """Each curl line succeeds as it stands, but for the address."""
    require_success(command, running.url, folder)


def test_the_python_works(running: Running, folder: Path) -> None:
    """The example of the official client runs as it stands, but for the address and the picture."""
    (code,) = blocks("python")
    code = code.replace(SERVICE, running.url).replace(";base64,...", f";base64,{base64.b64encode(PHOTO).decode()}")
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
