"""What the command line says to people: of several projects, of what it does not know, of what it cannot show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lookalike import Config, Index
from lookalike.cli import main
from tests.pictures import noise, picture, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with three pictures, two of them equal, in `photos`."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"photos/a.png": picture("red"), "photos/b.png": noise(1), "photos/sub/b.png": noise(1)})
    yield tmp_path


@pytest.fixture
def config(folder: Path) -> Config:
    return replace(Config.from_environ(), model="tiny", index=folder / "i.lookalike")


def lookalike(config: Config, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, obj=config)


def indexed(config: Config, *projects: str) -> Config:
    """The pictures, in each of these projects."""
    with Index.create(config=config) as index:
        for project in projects or ("default",):
            index.ingest(["photos"], project=project)
    return config


def test_a_file_in_two_projects_is_no_duplicate_of_itself(config: Config, folder: Path) -> None:
    """It is one line with its projects, and a group only together with another file."""
    said = lookalike(indexed(config, "mine", "yours"), "duplicates").stdout.splitlines()
    photos = folder / "photos"
    assert said == [
        "2 x equal bytes",
        f"  {photos / 'b.png'}  (mine, yours)",
        f"  {photos / 'sub' / 'b.png'}  (mine, yours)",
        "1 group of equal files",
    ]


def test_projects_are_named_where_there_are_several(config: Config) -> None:
    """A hit's line ends with its project if the answer has several; otherwise nothing is said of them."""
    indexed(config, "mine", "yours")
    both = lookalike(config, "search", "red", "--limit", "2").stdout.splitlines()
    assert [line.split("\t")[2:] for line in both] == [["photos/a.png", "mine"], ["photos/a.png", "yours"]]
    (one,) = lookalike(config, "search", "red", "--limit", "1", "--project", "yours").stdout.splitlines()
    assert one.split("\t")[2:] == ["photos/a.png"]
    assert "mine" not in lookalike(config, "duplicates", "--project", "yours").stdout
