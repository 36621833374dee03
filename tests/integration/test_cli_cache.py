"""The commands `lookalike cache ...`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lookalike.cache.sqlite import SqliteCache
from lookalike.cli import main
from tests.contract.test_cache import entries, key, same, tower


def run(place: Path | str, *arguments: str) -> Result:
    """One command, as the shell would run it."""
    return CliRunner().invoke(main, ["cache", *arguments, "--cache", str(place)])


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A cache with vectors of two models and some use."""
    path = tmp_path / "vectors.sqlite"
    cache = SqliteCache(path)
    cache.put(tower("one"), entries(range(9)))
    cache.put(tower("two", 8), entries("ab", dim=8))
    cache.count(hits=3, misses=1, saved_usd=0.5)
    cache.close()
    return path


def test_stats_tell_what_is_held(filled: Path) -> None:
    """For people and as JSON: vectors by model, hit rate, money."""
    shown = run(filled, "stats").output
    for part in ("11 vectors", "3 of 4 inputs (75.0%)", "0.50", "acme/one", "one-24@0", "9\t864 bytes"):
        assert part in shown
    document = json.loads(run(filled, "stats", "--json").output)
    assert (document["entries"], document["hits"], document["hit_rate"], document["saved_usd"]) == (11, 3, 0.75, 0.5)
    assert [holding["tower"]["model"] for holding in document["holdings"]] == ["acme/one", "acme/two"]


def test_looking_makes_no_file(tmp_path: Path) -> None:
    """Where there is no cache yet, none appears by being asked about."""
    assert "0 vectors" in run(tmp_path / "none.sqlite", "stats").output
    assert "0 vectors" in run(tmp_path / "none.sqlite", "clear").output
    assert list(tmp_path.iterdir()) == []
    assert "The cache is off" in run("off", "stats").output


def test_prune_and_clear(filled: Path) -> None:
    """What is named goes, with units people write; without a name nothing does."""
    assert run(filled, "prune").exit_code == 2
    assert run(filled, "prune", "--older-than", "soon").exit_code == 2
    assert (
        "Removed 0 vectors; 11 are left" in run(filled, "prune", "--older-than", "30d", "--max-bytes", "1.5MB").output
    )
    assert "Removed 9 vectors; 2 are left" in run(filled, "prune", "--model", "acme/one").output
    assert "Removed 2 vectors" in run(filled, "clear").output


def test_export_and_import_carry_every_vector(filled: Path, tmp_path: Path) -> None:
    """From one place to another, into what is there already, through one file with nothing beside it."""
    file, other = tmp_path / "out" / "vectors.lkcache", tmp_path / "other.sqlite"
    file.parent.mkdir()
    assert "Wrote 11 vectors" in run(filled, "export", str(file)).output
    assert [path.name for path in file.parent.iterdir()] == ["vectors.lkcache"]
    assert "exists already" in run(filled, "export", str(file)).output
    SqliteCache(other).put(tower("one"), entries(range(2)))
    assert "Read 11 vectors" in run(other, "import", str(file)).output
    assert "0 of them are new" in run(other, "import", str(file)).output
    found = SqliteCache(other).get([key(8), key("a")])
    assert same(found[0], entries(range(9))[key(8)])
    assert same(found[1], entries("ab", dim=8)[key("a")])
    assert [path.name for path in file.parent.iterdir()] == ["vectors.lkcache"]


def test_a_cache_goes_into_postgresql_and_back(filled: Path, tmp_path: Path, postgres_url: str) -> None:
    """The same file serves both kinds; no command shows the password."""
    run(postgres_url, "clear")
    file = tmp_path / "vectors.lkcache"
    run(filled, "export", str(file))
    outputs = [run(postgres_url, "import", str(file)).output, run(postgres_url, "stats").output]
    outputs.append(run(postgres_url, "export", str(tmp_path / "back.lkcache")).output)
    assert "11 of them are new" in outputs[0]
    assert "11 vectors" in outputs[1]
    assert "Wrote 11 vectors" in outputs[2]
    assert "not-asked-for" not in "".join(outputs)


@pytest.mark.parametrize("damage", ["vector", "cut", "version", "other", "missing", "text", "empty"])
def test_a_damaged_or_foreign_file_changes_nothing(filled: Path, tmp_path: Path, damage: str) -> None:
    """Import looks at all of a file first: a single flipped bit, a cut, another version or program is refused."""
    file, target = tmp_path / "vectors.lkcache", tmp_path / "target.sqlite"
    run(filled, "export", str(file))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:40_000])
    elif damage == "missing":
        file.unlink()
    elif damage in {"text", "empty"}:
        file.write_text("my notes\n" * 100 if damage == "text" else "")
    else:
        statements = {
            "vector": "UPDATE vectors SET vector = zeroblob(96) WHERE id = 5",
            "version": "PRAGMA user_version = 2",
            "other": "PRAGMA application_id = 7",
        }
        connection = sqlite3.connect(file)
        connection.execute(statements[damage])
        connection.commit()
        connection.close()
    result = run(target, "import", str(file))
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "cache clear" not in result.output, "that is about the cache that is in use"
    assert str(file) in result.output
    assert not target.exists()
