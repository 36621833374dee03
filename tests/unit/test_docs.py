"""The documents say what the program does: commands, options, settings, public names, and code that runs."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import lookalike
from lookalike import config
from lookalike.cli import main
from tests.pictures import picture, write

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVICE = "http://127.0.0.1:8000"
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True, **options)


@pytest.mark.parametrize(("name", "command"), [*commands(main)])
def test_every_command_and_option_is_documented(name: str, command: click.Command) -> None:
    """Each command has help; the row of its group in the reference names every option that is its own."""
    assert command.help
    rows = [line for line in REFERENCE.splitlines() if line.startswith(f"| `lookalike {name.split()[0]}")]
    assert len(rows) == 1
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help
            if " " not in name:
                assert f"`{max(option.opts, key=len)}" in rows[0]


@pytest.mark.parametrize("name", [name for name, _ in commands(main)])
def test_help_of_every_command_works(name: str) -> None:
    """`--help` needs no model, no index and no terminal."""
    result = CliRunner().invoke(main, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_every_setting_is_documented() -> None:
    """Each variable that the configuration reads is in the reference."""
    read = set(re.findall(r'env\.\w+\(\s*"(LOOKALIKE_\w+|HF_\w+|TRANSFORMERS_\w+)"', inspect.getsource(config)))
    assert len(read) >= 14
    assert {name for name in read if f"`{name}`" not in REFERENCE} == set()


def test_every_public_name_is_documented() -> None:
    """What `lookalike` exports is in the reference."""
    assert {name for name in lookalike.__all__ if f"`{name}" not in REFERENCE} == set()


def test_links_lead_somewhere() -> None:
    """Every relative link of a document names a file of the project."""
    for document in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("block", blocks("python"))
def test_python_of_the_readme_runs(block: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each block runs as it stands, in a folder with some pictures; what talks to a service finds one."""
    if SERVICE in block:
        block = block.replace(SERVICE, request.getfixturevalue("running").url)
    write(tmp_path, {"pictures/red.png": picture("red"), "pictures/blue.png": picture("blue")})
    done = run("-W", "error", "-c", block, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `lookalike` line is understood and ends well, in the order given, in a home with some pictures."""
    write(
        tmp_path,
        {"Pictures/red.png": picture("red"), "Pictures/again.png": picture("red"), "photo.jpg": picture("red")},
    )
    monkeypatch.chdir(tmp_path)
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "BROWSER": "true %s",
        "LOOKALIKE_INDEX": str(tmp_path / "photos.lookalike"),
    }
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    ours = [line for line in lines if line.startswith("lookalike ")]
    assert len(ours) >= 8
    for line in ours:
        words = [word.replace("~", str(tmp_path)) for word in shlex.split(line)]
        # Two need the network, one runs until it is stopped: tests/integration runs them.
        if words[1:3] == ["models", "pull"] or words[1] == "serve" or any(word.startswith("openai:") for word in words):
            continue
        done = run("-m", *words, env=environment)
        allowed = {0, 1} if words[1] == "doctor" else {0}
        assert done.returncode in allowed, f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr
