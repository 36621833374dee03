"""The commands `lookalike db ...`, on a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lookalike import Config, Index
from lookalike.cli import main
from lookalike.errors import StoreNotFound
from lookalike.secret import Secret
from lookalike.store.postgres import schema, tuning
from lookalike.store.postgres import store as production
from lookalike.store.postgres.planning import Plan
from lookalike.types import Filter, Item
from lookalike.vectors import normalise
from tests.contract.test_store import sha
from tests.postgres import NewDatabase, new_databases, with_password

psycopg = pytest.importorskip("psycopg")

N_ITEMS = 1000


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[Secret]:
    """An index of the built-in model with many made-up pictures, in projects of several sizes."""
    with new_databases(postgres_url) as make:
        url = with_password(make(), "hush-hush")
        assert run(url, "init", "--model", "tiny").exit_code == 0
        with production.open_store(url) as store:
            chance = np.random.default_rng(2)
            # Pictures lie in a cone, in heaps.
            heaps = 1 + chance.standard_normal((40, store.space.dim)) * 0.7
            rows = normalise(
                heaps[chance.integers(0, 40, N_ITEMS)] + chance.standard_normal((N_ITEMS, store.space.dim)) * 0.4
            )
            contents = [sha(n) for n in range(N_ITEMS)]
            names = ["small" if n % 100 == 0 else "middle" if n % 9 == 0 else "large" for n in range(N_ITEMS)]
            items = [Item(id=str(n), content=contents[n], project=names[n]) for n in range(N_ITEMS)]
            store.add(items, contents, rows)
        yield url


def run(url: Secret | str, *arguments: str) -> Result:
    """One command, as the shell would run it."""
    place = url if isinstance(url, str) else url.reveal()
    return CliRunner().invoke(main, ["db", *arguments, "--index", place], obj=Config.from_environ())


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """These commands are for PostgreSQL, and say so."""
    for arguments in (["init"], ["migrate"], ["check"], ["index"], ["recall"], ["explain", "a cat"]):
        answer = run(str(tmp_path), *arguments)
        assert answer.exit_code == 1
        assert "LOOKALIKE_INDEX=postgresql://" in answer.output


def test_init_and_migrate_may_be_run_again(new_database: NewDatabase) -> None:
    """The first makes what is missing, the second finds it done."""
    url = new_database()
    assert f"from version 0 to {schema.VERSION}" in run(url, "migrate").output
    assert "nothing to do" in run(url, "migrate").output
    assert "Made an index" in run(url, "init", "--model", "tiny").output
    assert "already" in run(url, "init").output


def test_tables_of_every_older_version_are_brought_up_to_date(new_database: NewDatabase) -> None:
    """Whoever opens them is told how; afterwards they are whole."""
    migrations = sorted(files("lookalike.store.postgres").joinpath("migrations").iterdir(), key=lambda file: file.name)
    older = [file for file in migrations if file.name.endswith(".sql")][:-1]
    for number in range(1, len(older) + 1):
        url = new_database()
        with psycopg.connect(url.reveal()) as other:
            for file in older[:number]:
                other.execute(file.read_text(encoding="utf-8").encode())
        version = int(older[number - 1].name.partition("_")[0])
        assert "lookalike db migrate" in run(url, "check").output
        assert f"from version {version} to {schema.VERSION}" in run(url, "migrate").output
        assert "Made an index" in run(url, "init", "--model", "tiny").output
        assert run(url, "check").exit_code == 0


def test_a_migration_interrupted_half_way_has_not_happened(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, or nothing: the next one begins where there was nothing."""
    url = new_database()

    def broken(connection: psycopg.Connection, package: str, *, above: int) -> None:
        connection.execute("CREATE TABLE lookalike_schema (version integer)")
        connection.execute("CREATE TABLE no such thing")

    with monkeypatch.context() as patch:
        patch.setattr("lookalike.store.postgres.schema.apply_migrations", broken)
        assert run(url, "migrate").exit_code == 1
    with pytest.raises(StoreNotFound):
        production.open_store(url)
    assert f"from version 0 to {schema.VERSION}" in run(url, "migrate").output


def test_check_tells_what_there_is(filled: Secret) -> None:
    """Versions, settings, tables, counts; for people and as JSON; no password."""
    shown = run(filled, "check")
    version = f"version {schema.VERSION}"
    for part in ("PostgreSQL 1", "pgvector 0.8", "UTF8", version, "none seen", "maintenance_work_mem", "1,000"):
        assert part in shown.output
    document = json.loads(run(filled, "check", "--json").output)
    assert (document["items"], document["dead"], document["pooler"]) == (N_ITEMS, 0, False)
    assert "lookalike_items" in {row["name"] for row in document["relations"]}
    assert "hush" not in shown.output


def test_the_index_is_made_measured_and_asked(filled: Secret) -> None:
    """Before, searches are exact and say why; afterwards the index is asked where it finds enough, and the words of
    the plan are those of the search; the recall that `db recall` finds is that of what is done."""
    before = run(filled, "explain", "a red dress")
    assert "Exact: there is no index" in before.output
    assert "Scan" in before.output
    made = run(filled, "index", "--memory", "64MB", "--queries", "20")
    assert made.exit_code == 0, made.output
    assert "Made the index on vectors" in made.output
    assert "was there" in run(filled, "index", "--queries", "10").output
    rows = json.loads(run(filled, "recall", "--queries", "20", "--json").output)
    assert {(row["queries"], row["project"]) for row in rows} == {
        (kind, project) for kind in ("pictures", "words") for project in (None, "small", "middle", "large")
    }
    assert all(row["recall"] == 1.0 for row in rows if row["project"])
    assert all(row["recall"] >= 0.9 for row in rows)
    assert "recall 1.000" in run(filled, "recall", "--queries", "10").output
    assert "filter" in run(filled, "explain", "a red dress", "--project", "small").output


def test_the_index_finds_items_in_the_stores_order(filled: Secret) -> None:
    """What the index finds comes as an exact search has it: same similarities, same order, same count."""
    with production.open_store(filled) as store:
        tuning.build(store)
        _, rows = store.sample(10, seed=5)
        for query in rows:
            mine, passed = store.finder.find(Plan(400, "asked"), query, limit=10, where=Filter())
            exact, considered = store.finder.find(Plan(0, "asked"), query, limit=10, where=Filter())
            assert passed == considered == N_ITEMS
            assert [scored.similarity for scored in mine] == sorted((s.similarity for s in mine), reverse=True)
            assert len({s.item.id for s in mine} & {s.item.id for s in exact}) >= 9
            assert mine[0] == exact[0]


def test_the_index_finds_a_large_projects_items(filled: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a project is measured for itself, what the index gives of it is what an exact search of it gives."""
    monkeypatch.setattr(tuning, "LARGE_PROJECT", 100)
    where = Filter(project="large")
    with production.open_store(filled) as store:
        tuning.build(store)
        tuning.tune(store, dict(tuning.probes_of(store, None, n=20)))
        query = store.sample(1, seed=5)[1][0]
        assert "with a filter" not in store.finder.plan(query, limit=10, where=where).reason
        mine, passed = store.finder.find(Plan(400, "asked"), query, limit=10, where=where)
        exact, considered = store.finder.find(Plan(0, "asked"), query, limit=10, where=where)
        assert passed == considered
        assert len({s.item.id for s in mine} & {s.item.id for s in exact}) >= 9
        assert {scored.item.project for scored in mine} == {"large"}
        lines = store.finder.explain(Plan(400, "asked"), query, limit=10, where=where)
        assert any("hnsw" in line for line in lines)


def test_live_searches_are_looked_at_again(filled: Secret) -> None:
    """A search by the memory is made once more by the database, and the figure is in the statistics."""
    with production.open_store(filled) as store:
        store.finder.keep_in_memory().join()
        store.search(store.sample(1, seed=5)[1][0], limit=10, where=Filter())
        for thread in threading.enumerate():
            if thread.name == "lookalike-shadow":
                thread.join()
        assert list(store.stats().recall.values()) == [1.0]


def test_deleted_items_leave_no_gap(new_database: NewDatabase) -> None:
    """Where the index's best have lost their items, the next ones are found, as many as were asked for."""
    url = new_database()
    space = replace(Config.from_environ(), model="tiny")
    with Index.create(url.reveal(), config=space) as index:
        store = index._store
        assert isinstance(store, production.PostgresStore)
        rows = normalise(1 + np.random.default_rng(3).standard_normal((200, store.space.dim)))
        contents = [sha(n) for n in range(200)]
        store.add([Item(id=str(n), content=contents[n]) for n in range(200)], contents, rows)
        best, _ = store.search(rows[0], limit=120, where=Filter())
        store.delete([("default", scored.item.id) for scored in best])
        for how in (Plan(400, "asked"), Plan(0, "asked")):
            found, passed = store.finder.find(how, rows[0], limit=30, where=Filter())
            assert (len(found), passed) == (30, 80)
