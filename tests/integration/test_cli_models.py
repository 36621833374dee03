"""The commands `lookalike models ...`, against a hub on loopback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lookalike.app import Embedder, create_store
from lookalike.cli import main
from lookalike.cli.models import ensure_here, models
from lookalike.config import Config
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import ModelNotFound, SpaceMismatch
from lookalike.index import Index
from lookalike.known import KNOWN_MODELS
from lookalike.weights.local import HubSettings
from tests.integration.hub_server import COMMIT, Fault, Hub

NAME = "acme/clip"
FILES = {"config.json": b"{}", "tokenizer.json": b"{ }", "model.safetensors": bytes(range(256)) * 100}


@dataclass(frozen=True)
class Settings:
    """What the commands read of the configuration."""

    hub: HubSettings


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one model."""
    with Hub({NAME: FILES}) as hub:
        yield hub


@pytest.fixture
def settings(hub: Hub, tmp_path: Path) -> Settings:
    """Settings that point to it, with an empty cache."""
    return Settings(HubSettings(endpoint=hub.endpoint, hub_cache=tmp_path, digest_cache=tmp_path / "digests.json"))


def run(settings: Settings, *arguments: str) -> Result:
    """One command, as the shell would run it."""
    return CliRunner().invoke(models, arguments, obj=settings)


def test_list_shows_every_known_model_and_whether_it_is_here(settings: Settings) -> None:
    """One line a model in a pipe: name, aliases, modalities, dim, size, licence, state, note."""
    lines = [line.split("\t") for line in run(settings, "list").stdout.splitlines()]
    assert [line[0] for line in lines] == [model.name for model in KNOWN_MODELS]
    clip = next(line for line in lines if line[0] == "openai/clip-vit-base-patch32")
    assert clip[2:7] == ["image + text", "512", "607.4 MB", "MIT", "not here"]


def test_pull_prints_where_the_model_is(settings: Settings) -> None:
    """The path is on stdout, a line per file on stderr; the second time nothing is fetched."""
    first = run(settings, "pull", NAME)
    assert first.exit_code == 0
    assert first.stdout == f"{NAME}\t{settings.hub.hub_cache}/models--acme--clip/snapshots/{COMMIT}\n"
    assert "model.safetensors\t25.6 KB" in first.stderr
    second = run(settings, "pull", NAME)
    assert (second.stdout, second.stderr) == (first.stdout, "")


def test_pull_draws_bars_on_a_terminal_and_says_why_it_waits(
    hub: Hub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file has its bar, and a pause its reason."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    hub.faults["model.safetensors"] = [Fault(kind="status", status=429, headers={"Retry-After": "0"})]
    result = run(settings, "pull", NAME)
    assert result.exit_code == 0
    assert "asks for a pause: trying again in" in result.stderr
    assert all(name in result.stderr for name in FILES)
    assert result.stdout.startswith(f"{NAME}\t")


def test_verify_hashes_and_tells_damage_by_exit_code(settings: Settings) -> None:
    """Sound files exit with 0; a changed one is named with both digests, and the exit code is 1."""
    path = Path(run(settings, "pull", NAME).stdout.split("\t")[1].strip())
    sound = run(settings, "verify", NAME)
    assert sound.exit_code == 0
    assert sound.stdout.count("ok  ") == 3
    (path / "model.safetensors").write_bytes(b"damage")
    damaged = run(settings, "verify", NAME)
    assert damaged.exit_code == 1
    assert hashlib.sha256(b"damage").hexdigest() in damaged.stdout
    assert hashlib.sha256(FILES["model.safetensors"]).hexdigest() in damaged.stdout
    assert "lookalike models pull acme/clip" in damaged.stdout


@pytest.mark.parametrize("name", sorted(FILES))
def test_pull_repairs_what_verify_finds(settings: Settings, name: str) -> None:
    """The remedy that `verify` names works, for weights and small files alike; offline it changes nothing."""
    path = Path(run(settings, "pull", NAME).stdout.split("\t")[1].strip())
    (path / name).write_bytes(b"damage")
    run(Settings(replace(settings.hub, offline=True)), "pull", NAME)
    assert run(settings, "verify", NAME).exit_code == 1
    assert run(settings, "pull", NAME).exit_code == 0
    assert run(settings, "verify", NAME).exit_code == 0
    assert (path / name).read_bytes() == FILES[name]


def test_verify_goes_on_after_a_damaged_model(settings: Settings, tmp_path: Path) -> None:
    """Every model named is looked at before the verdict."""
    path = Path(run(settings, "pull", NAME).stdout.split("\t")[1].strip())
    (path / "config.json").write_bytes(b"damage")
    mine = tmp_path / "mine"
    mine.mkdir()
    for name, content in FILES.items():
        (mine / name).write_bytes(content)
    result = run(settings, "verify", NAME, str(mine))
    assert result.exit_code == 1
    assert "wrong digest" in result.stdout and result.stdout.count("unpinned") == 3


def test_verify_of_nothing_says_so(settings: Settings) -> None:
    """With no model here there is nothing to hash, which is no error."""
    result = run(settings, "verify")
    assert result.exit_code == 0
    assert "No model was fetched yet; `tiny` is part of lookalike." in result.stdout


def test_path_prints_the_folder_and_never_fetches(hub: Hub, settings: Settings) -> None:
    """An absent model is an error that names the command to fetch it."""
    result = run(settings, "path", NAME)
    assert isinstance(result.exception, ModelNotFound)
    assert f"lookalike models pull {NAME}" in str(result.exception)
    assert hub.seen == []
    run(settings, "pull", NAME)
    result = run(Settings(replace(settings.hub, offline=True)), "path", NAME)
    assert (Path(result.stdout.strip()) / "model.safetensors").is_file()


def test_what_is_here_is_fetched_by_nobody(hub: Hub, settings: Settings) -> None:
    """`ensure_here` asks the hub only for what is not on this machine, and never when it is switched off."""
    ensure_here("tiny", settings.hub)
    ensure_here(NAME, replace(settings.hub, offline=True))
    assert hub.seen == []
    ensure_here(NAME, settings.hub)
    asked = len(hub.seen)
    assert asked > 0
    ensure_here(NAME, settings.hub)
    assert len(hub.seen) == asked


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]], ids=["run", "dry"])
def test_index_shows_the_download_of_its_own_model(settings: Settings, tmp_path: Path, arguments: list[str]) -> None:
    """An index that came from another machine names a model that is not here: that it is fetched is told."""
    config = replace(Config.from_environ(), hub=settings.hub, index=tmp_path / "i.lookalike")
    create_store(config.index, replace(FakeEncoder().tower.space, model=NAME)).close()
    result = CliRunner().invoke(main, ["index", str(tmp_path), *arguments], obj=config)
    assert "model.safetensors\t25.6 KB" in result.stderr
    assert result.exit_code == 1  # what the hub has here is no model that could be run


@pytest.mark.parametrize("command", sorted(models.commands))
def test_every_command_has_help_that_fits_its_line(command: str) -> None:
    """The overview shows each command's first sentence whole."""
    assert not models.commands[command].get_short_help_str(limit=60).endswith("...")


@pytest.mark.parametrize("model", ["clip", "clip-multilingual"])
def test_a_model_of_another_space_is_refused_before_it_is_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str
) -> None:
    """No command, and no call, asks the hub for a known model whose vectors the index could never take."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "photos").mkdir()
    place = tmp_path / "index"
    create_store(place, Embedder.open("tiny").space).close()
    for command in (["index", str(tmp_path / "photos")], ["search", "a cat"]):
        result = CliRunner().invoke(main, [*command, "--model", model, "--index", str(place)])
        assert result.exit_code != 0
        assert "the two cannot be compared" in result.output
    config = replace(Config.from_environ(), index=place, model=model)
    with Index.open(config=config) as opened, pytest.raises(SpaceMismatch, match=r"clip-vit-base-patch32-512@"):
        _ = opened.embedder
    assert hub.seen == []
