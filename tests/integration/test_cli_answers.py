"""What the command line says to people: of several projects, of what it does not know, of what it cannot show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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


def test_words_without_quotes_are_told_to_have_some(config: Config) -> None:
    """What to type is said, and nothing is searched for."""
    result = lookalike(config, "search", "red", "dress")
    assert result.exit_code == 2
    assert 'put words in quotes: "red dress"' in result.stderr


def test_a_folder_is_searched_for_as_words_aloud(config: Config, folder: Path) -> None:
    """The answer is that to its name, with a word on it, for whoever meant what is in it."""
    indexed(config)
    result = lookalike(config, "search", "photos")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 3)
    assert "photos is a folder here, and its name was searched for as words" in result.stderr
    assert lookalike(config, "search", "--text", "photos").stderr == ""


def test_an_unknown_project_is_told_by_search(config: Config) -> None:
    """Nothing is found, and the projects that there are are named."""
    result = lookalike(indexed(config, "mine", "yours"), "search", "red", "--project", "nope")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "There is no project 'nope' in the index; there are: mine, yours." in result.stderr


def test_similar_knows_a_file_that_is_gone(config: Config, folder: Path) -> None:
    """By a relative path as by an absolute one; and of another project's item it is said whose it is."""
    indexed(config, "mine")
    (folder / "photos" / "a.png").unlink()
    for path in ("photos/a.png", "photos/sub/../a.png", str(folder / "photos" / "a.png")):
        result = lookalike(config, "similar", path, "--project", "mine", "--json")
        assert result.exit_code == 0, result.output
    refused = lookalike(config, "similar", "photos/b.png")
    assert refused.exit_code == 1
    assert "in project 'default' of this index; there is in mine: say so with --project." in refused.output


def test_a_browser_that_does_not_start_is_told(config: Config, folder: Path) -> None:
    """--open says where the page is, and that nothing showed it."""
    indexed(config)
    environ = {**os.environ, "LOOKALIKE_INDEX": str(config.index), "PATH": "", "BROWSER": "/no/such/browser"}
    command = [sys.executable, "-m", "lookalike", "search", "red", "--open", "--html", "page.html"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    assert done.returncode == 0
    assert done.stderr.startswith("Wrote page.html\nNo browser could be started here")


def test_closed_output_is_no_error(config: Config) -> None:
    """`>&-` and `2>&-` are obeyed without a word."""
    indexed(config)
    environ = {**os.environ, "LOOKALIKE_INDEX": str(config.index)}
    for closing in (">&-", "2>&-", ">&- 2>&-"):
        command = ["sh", "-c", f'"{sys.executable}" -m lookalike search red {closing}']
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
        assert (done.returncode, done.stderr) == (0, "")


def test_one_is_no_several(config: Config, folder: Path) -> None:
    """What is there once is told in the singular."""
    one = [lookalike(config, "index", "photos/a.png").stdout, lookalike(config, "duplicates").stdout]
    one += [lookalike(config, "stats", "--failures").stdout, lookalike(config, "forget", "photos/a.png").stdout]
    told = "".join(one)
    assert "\n1 item of 1 picture in the index;" in told and "\nfailed    none\n" in told
    assert "Removed 1 item from the index" in told
    assert not re.search(r"(?<!\d)1 (\w+ )?(items|pictures|groups|vectors)", told)
