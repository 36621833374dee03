"""docs/http.md shows what works: its commands and its Python are run against the service."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.config import ServeSettings
from tests.integration.test_http_embed import tiny_service
from tests.pictures import noise
from tests.serving import Running

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
SERVICE = "http://127.0.0.1:8000"
VECTORS = DOCUMENT.partition("## Vectors\n")[2].partition("\n## Errors\n")[0]
PHOTO = noise(0, kind="JPEG")


def blocks(language: str) -> list[str]:
    """The fenced blocks of the sections on vectors."""
    return re.findall(rf"^```{language}\n(.*?)^```", VECTORS, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]


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


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_works(command: str, running: Running, folder: Path) -> None:
    """Each curl line succeeds as it stands, but for the address."""
    line = command.replace(SERVICE, running.url).replace(
        "curl ", "curl --silent --show-error --fail-with-body --noproxy '*' "
    )
    done = subprocess.run(["bash", "-c", line], check=False, cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_python_works(running: Running, folder: Path) -> None:
    """The example of the official client runs as it stands, but for the address and the picture."""
    (code,) = blocks("python")
    code = code.replace(SERVICE, running.url).replace(";base64,...", f";base64,{base64.b64encode(PHOTO).decode()}")
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
