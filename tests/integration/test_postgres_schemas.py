"""Several indexes in one database: that of an address is the first on its search path, with its queue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lookalike import Config, queues
from lookalike.cli import main
from lookalike.orders import JobState, Order
from lookalike.places import Address
from lookalike.secret import Secret
from lookalike.store.postgres import tuning
from lookalike.store.postgres.spaces import PostgresSpaces
from lookalike.store.postgres.store import create, open_store
from lookalike.types import Item
from lookalike.vectors import normalise
from tests.contract.test_store import sha
from tests.postgres import NewDatabase
from training.catalogue import write_catalogue

psycopg = pytest.importorskip("psycopg")

N_ITEMS = 20


@pytest.fixture
def first(new_database: NewDatabase) -> Secret:
    """The address of an index of the built-in model with some items."""
    url = new_database()
    assert run(url, "db", "init").exit_code == 0
    with open_store(url) as store:
        rows = normalise(np.random.default_rng(1).standard_normal((N_ITEMS, store.space.dim)))
        contents = [sha(n) for n in range(N_ITEMS)]
        store.add([Item(id=content, content=content) for content in contents], contents, rows)
    return url


@pytest.fixture
def second(first: Secret, new_database: NewDatabase) -> Secret:
    """An address whose path begins with an empty schema, and goes on to that of the first index."""
    return Secret(new_database().reveal().replace(",public", f",{schema_of(first)},public"))


def schema_of(url: Secret) -> str:
    """The first schema on the path of an address."""
    return url.reveal().partition("search_path%3D")[2].partition(",")[0]


def sql(url: Secret, statement: str) -> list[Any]:
    """What the database answers."""
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def tables_in(url: Secret, schema: str) -> set[str]:
    """The names of the tables and indexes in a schema."""
    rows = sql(url, f"SELECT relname FROM pg_class WHERE relnamespace = '{schema}'::regnamespace")  # noqa: S608
    return {name for (name,) in rows}


def run(url: Secret, *arguments: str) -> Result:
    """One command, as the shell would run it."""
    config = replace(Config.from_environ(), model="tiny")
    return CliRunner().invoke(main, [*arguments, "--index", url.reveal()], obj=config)


def n_items(url: Secret) -> int:
    """How many items the index of an address holds."""
    with open_store(url) as store:
        return store.n_items


def test_init_makes_an_index_in_the_first_schema(first: Secret, second: Secret) -> None:
    """Whatever a later schema of the path has, and says which one it is: from then on that is the address's index."""
    assert n_items(second) == N_ITEMS
    made = run(second, "db", "init").output
    assert "Made an index" in made
    assert f"schema {schema_of(second)}," in made
    again = run(second, "db", "init").output
    assert "There is an index" in again
    assert f"schema {schema_of(second)}," in again
    assert (n_items(first), n_items(second)) == (N_ITEMS, 0)


def test_the_first_index_on_the_path_is_written_and_named(first: Secret, second: Secret, tmp_path: Path) -> None:
    """`lookalike index` makes none where the path has one, and says which it writes into if that is a later one."""
    write_catalogue(tmp_path, count=2, seed=5, size_px=96)
    told = run(second, "index", str(tmp_path)).output
    assert f"The index is the one in schema {schema_of(first)}; for one of your own run `lookalike db init`" in told
    assert (n_items(first), tables_in(first, schema_of(second))) == (N_ITEMS + 2, set())
    assert "schema" not in run(first, "index", str(tmp_path)).output


def test_what_is_made_for_an_index_comes_to_its_schema(first: Secret, second: Secret) -> None:
    """A space, an index on vectors, a queue: others find them whose path knows nothing of whoever made them."""
    with open_store(second) as store:
        space = replace(store.space, weights="0" * 64)
        assert tuning.build(store)
    with closing(PostgresSpaces(second)) as spaces:
        number = spaces.add(space, precision="exact")
    assert run(second, "db", "migrate").exit_code == 0
    assert tables_in(first, schema_of(second)) == set()
    assert {f"lookalike_vectors_{number}", "lookalike_vectors_1_hnsw"} <= tables_in(first, schema_of(first))
    with closing(PostgresSpaces(first)) as spaces:
        assert [entry.number for entry in spaces.entries()] == [1, number]


def test_each_index_has_its_own_index_on_vectors(first: Secret, second: Secret) -> None:
    """One that another index on the path has, under the same name, is neither taken for it nor dropped."""
    with open_store(first) as store:
        assert tuning.build(store)
    with create(second, store.space) as store:
        assert tuning.build(store)
        assert not tuning.build(store)
    for url in (first, second):
        assert "lookalike_vectors_1_hnsw" in tables_in(first, schema_of(url))


def test_orders_reach_the_workers_of_an_index_whoever_they_are(first: Secret, second: Secret) -> None:
    """A role with a schema of its own finds the queue of the index that it finds."""
    name = f"guest_{os.getpid()}"
    sql(
        first,
        f"CREATE ROLE {name} LOGIN SUPERUSER; CREATE SCHEMA {name};"
        f'ALTER ROLE {name} SET search_path = "$user", {schema_of(first)}, public',
    )
    try:
        guest = Address(first.reveal().partition("?")[0].replace("postgres:not-asked-for@", f"{name}:x@"))
        with closing(queues.open_queue(Address(first.reveal()))) as queue:
            numbers = queue.submit([Order(id="a", uri="a.jpg")])
        with closing(queues.open_queue(guest)) as queue:
            waiting = queue.page(state=JobState.WAITING, project=None, above=-1, limit=10)
        assert [job.number for job in waiting] == numbers
    finally:
        sql(first, f"DROP SCHEMA {name} CASCADE; DROP ROLE {name}")


@pytest.fixture
def own_database(postgres_url: str) -> Iterator[Secret]:
    """A database without pgvector."""
    name, owner = f"own_{os.getpid()}", Secret(postgres_url)
    sql(owner, f"CREATE DATABASE {name}")
    yield Secret(urlsplit(postgres_url)._replace(path=f"/{name}").geturl())
    sql(owner, f"DROP DATABASE {name} WITH (FORCE)")


def test_pgvector_in_a_schema_off_the_path_is_told(own_database: Secret) -> None:
    """It is there, so the schema to add is named; with that on the path, all is well."""
    sql(own_database, "CREATE SCHEMA extensions; CREATE EXTENSION vector SCHEMA extensions")
    answer = run(own_database, "db", "init")
    assert answer.exit_code == 1
    assert "has pgvector in schema extensions" in answer.output
    led = Secret(f"{own_database.reveal()}?options=-csearch_path%3Dpublic,extensions")
    assert run(led, "db", "init").exit_code == 0
    assert run(led, "db", "check").exit_code == 0
    assert "add extensions to it" in run(own_database, "db", "check").output


def test_an_older_pgvector_is_refused(own_database: Secret) -> None:
    """Before an index is made, and by whoever checks one that is there."""
    older = "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'"
    sql(own_database, f"CREATE EXTENSION vector; {older}")
    for command in ("init", "migrate"):
        answer = run(own_database, "db", command)
        assert answer.exit_code == 1
        assert "has pgvector 0.7.4, and 0.8 or later is needed" in answer.output
    assert tables_in(own_database, "public") == set()
    sql(own_database, older.replace("0.7.4", "0.8.0"))
    assert run(own_database, "db", "init").exit_code == 0
    sql(own_database, older)
    assert "0.8 or later is needed" in run(own_database, "db", "check").output


def test_a_path_without_a_schema_is_told(first: Secret) -> None:
    """Where there is no place for tables, that is said, instead of that something was lost."""
    nowhere = Secret(f"{first.reveal().partition('?')[0]}?options=-csearch_path%3Dno_such_schema")
    answer = run(nowhere, "db", "init")
    assert answer.exit_code == 1
    assert "names no schema that is there" in answer.output
