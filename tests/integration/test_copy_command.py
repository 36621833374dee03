"""`lookalike copy` as the shell runs it, with a folder and a database."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lookalike.cli import main
from lookalike.spaces import Space
from lookalike.store.embedded import create, open_store
from lookalike.types import Filter, Item
from lookalike.vectors import normalise
from tests.postgres import NewDatabase, with_password

PASSWORD = "hush-hush"
SPACE = Space(model="toy", weights="0" * 64, preprocessing="", pooling="mean", dim=8, modalities=("image",))


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    """The address of an empty place for an index, with a password in it."""
    return with_password(new_database(), PASSWORD).reveal()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of three items."""
    return made(tmp_path / "photos.lookalike", n=3)


def made(folder: Path, *, n: int, seed: int = 0) -> Path:
    """An index of n items."""
    contents = [f"{i:064x}" for i in range(n)]
    rows = normalise(np.random.default_rng(seed).standard_normal((n, SPACE.dim)))
    with create(folder, SPACE) as store:
        store.add([Item(id=f"{i}.jpg", content=content) for i, content in enumerate(contents)], contents, rows)
    return folder


def run(*arguments: object) -> Result:
    """One command, as the shell would run it."""
    return CliRunner().invoke(main, ["copy", *map(str, arguments)])


def test_there_and_back(folder: Path, url: str, tmp_path: Path) -> None:
    """Both ways are told with counts and checksums, which are equal; no output shows the password."""
    there, back = run(folder, url), run(url, tmp_path / "back")
    for done in (there, back):
        assert done.exit_code == 0, done.output
        assert "3 items: 3 new, 0 replaced, 0 there already" in done.output
        from_line, to_line = (line[6:] for line in done.output.splitlines() if line.startswith(("FROM", "TO ")))
        assert from_line == to_line
        assert "cosine at least 0.999999" in done.output or "cosine at least 1.0000" in done.output
        assert PASSWORD not in done.output
    assert "lookalike db index" in there.output
    with open_store(folder) as first, open_store(tmp_path / "back") as last:
        assert list(first.items(Filter())) == list(last.items(Filter()))


def test_the_same_in_json(folder: Path, tmp_path: Path) -> None:
    """Everything that was counted, for scripts; items that the target has beside are counted too."""
    target = tmp_path / "other"
    with create(target, SPACE) as store:
        store.add([Item(id="own", content="f" * 64)], ["f" * 64], normalise(np.ones((1, SPACE.dim))))
    told = json.loads(run(folder, target, "--json").stdout)
    assert (told["new"], told["replaced"], told["unchanged"], told["others"]) == (3, 0, 0, 1)
    assert told["comparison"]["is_equal"]
    assert told["comparison"]["source"] == told["comparison"]["target"]
    again = json.loads(run(folder, target, "--json", "--project", "default").stdout)
    assert (again["new"], again["unchanged"], again["others"]) == (0, 3, 1)


def test_what_cannot_be_copied_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    """No index, the index itself, another space, other vectors: what it is, and what to do."""
    assert "There is no index in" in run(tmp_path / "none", tmp_path / "new").output
    assert not (tmp_path / "new").exists()
    unknown = run(folder, tmp_path / "new", "--project", "nope")
    assert unknown.output == "Error: There is no project 'nope' in the index; there are: default.\n"
    assert unknown.exit_code == 1 and not (tmp_path / "new").exists()
    assert "the same index" in run(folder, folder.parent / "." / folder.name).output
    with create(tmp_path / "other", replace(SPACE, weights="1" * 64)):
        pass
    assert "Copying would mix two vector spaces" in run(folder, tmp_path / "other").output
    differing = run(folder, made(tmp_path / "differing", n=3, seed=1))
    assert differing.exit_code == 1
    assert "3 pictures have other vectors in TO" in differing.output
