"""The queue in a database: its tables beside a product's own, made once, and asked in a way that scales."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from lookalike import queues
from lookalike.errors import StoreError, StoreReadOnly, StoreTooNew
from lookalike.orders import JobState, Order
from lookalike.places import Address
from lookalike.queues import postgres
from lookalike.queues.desk import PostgresDesk
from lookalike.queues.patience import Patience
from lookalike.queues.schema import VERSION
from lookalike.queues.tables import Tables
from lookalike.secret import Secret
from tests.postgres import NewDatabase

psycopg = pytest.importorskip("psycopg")


@pytest.fixture
def url(new_database: NewDatabase) -> Secret:
    """The address of an empty place."""
    return new_database()


@pytest.fixture
def direct(url: Secret) -> Iterator[psycopg.Connection]:
    """A connection of somebody else's."""
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        yield connection


def test_an_attached_table_has_a_queue_of_its_own(url: Secret) -> None:
    """An order for a table is not in the queue of the index of its database, nor in that of another table."""
    own = Address(url.reveal())
    places = [own, own.at("photos"), own.at("shop.photos")]
    several = [queues.open_queue(place) for place in places]
    try:
        (number,) = several[1].submit([Order(id="a", uri="a.jpg")])
        waiting = [queue.page(state=JobState.WAITING, project=None, above=-1, limit=10) for queue in several]
        assert [[job.number for job in jobs] for jobs in waiting] == [[], [number], []]
    finally:
        for queue in several:
            queue.close()


def test_a_product_may_use_procrastinate_itself(url: Secret, direct: psycopg.Connection) -> None:
    """Tables of procrastinate that a product has are neither changed nor used: its workers take no order of ours."""
    from procrastinate.schema import SchemaManager

    direct.execute(SchemaManager.get_schema().encode())
    direct.execute("DROP FUNCTION procrastinate_fetch_job_v2")  # as of another version
    with closing(postgres.open_queue(url)) as queue:
        queue.submit([Order(id="1", uri="x")])
        assert len(queue.page(state=JobState.WAITING, project=None, above=0, limit=10)) == 1
    assert direct.execute("SELECT count(*) FROM procrastinate_jobs").fetchall() == [(0,)]


def test_procrastinates_own_tools_read_the_jobs(url: Secret, direct: psycopg.Connection) -> None:
    """What is on record is what procrastinate puts there: a job of its table, with its events."""
    with closing(postgres.open_queue(url)) as queue:
        (number,) = queue.submit([Order(id="1", uri="x")])
    (schema,) = direct.execute("SELECT current_schema() || '_jobs'").fetchone() or ("",)
    direct.execute(f"SET search_path = {schema}".encode())
    job = direct.execute("SELECT id, queue_name, task_name, status::text FROM procrastinate_jobs").fetchall()
    assert job == [(number, "lookalike", "lookalike.index", "todo")]
    assert direct.execute("SELECT type::text FROM procrastinate_events").fetchall() == [("deferred",)]


def test_the_tables_are_made_once(url: Secret) -> None:
    """Many who open a queue for the first time at once find the same tables; migrating again does nothing."""
    with ThreadPoolExecutor(4) as pool:
        queues = list(pool.map(lambda _: postgres.open_queue(url), range(4)))
    numbers = [number for queue in queues for number in queue.submit([Order(id=str(id(queue)), uri="x")])]
    assert len(set(numbers)) == 4
    assert postgres.migrate(url) == (VERSION, VERSION)
    assert all(job is not None for job in queues[0].look_up(numbers))
    for queue in queues:
        queue.close()


def test_later_migrations_of_procrastinate_are_run(
    url: Secret, direct: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a newer procrastinate changes about its tables comes with the next `lookalike db migrate`, once."""
    from procrastinate.schema import SchemaManager

    postgres.migrate(url)
    (tmp_path / "00.00.00_01_initial.sql").write_text("CREATE TABLE never_again (x int);")
    (tmp_path / "99.00.00_01_new.sql").write_text("CREATE TABLE procrastinate_news (x int);")
    monkeypatch.setattr(SchemaManager, "get_migrations_path", staticmethod(lambda: str(tmp_path)))
    for _ in range(2):
        postgres.migrate(url)
    tables = direct.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() || '_jobs'"
    ).fetchall()
    assert ("procrastinate_news",) in tables and ("never_again",) not in tables


def test_tables_of_a_newer_version_are_left_alone(url: Secret, direct: psycopg.Connection) -> None:
    """Who does not know the tables says so, and what to do."""
    postgres.migrate(url)
    (schema,) = direct.execute("SELECT current_schema() || '_jobs'").fetchone() or ("",)
    direct.execute(f"SET search_path = {schema}".encode())
    direct.execute("INSERT INTO lookalike_schema (version) VALUES (%s)", (VERSION + 1,))
    with pytest.raises(StoreTooNew, match="Upgrade"):
        postgres.open_queue(url)


def test_a_user_without_rights_is_told(url: Secret, direct: psycopg.Connection) -> None:
    """Who may not make the tables is told who can, and how."""
    direct.execute("DROP ROLE IF EXISTS mere_reader")
    direct.execute("CREATE ROLE mere_reader LOGIN")
    try:
        with pytest.raises(StoreReadOnly, match="lookalike db migrate"):
            postgres.open_queue(Secret(url.reveal().replace("postgres:not-asked-for", "mere_reader:not-asked-for")))
    finally:
        direct.execute("DROP ROLE mere_reader")


def test_a_database_that_is_away_is_named(url: Secret) -> None:
    """An address where nobody answers is an error of the queue, without the password."""
    with pytest.raises(StoreError, match="queue") as caught:
        postgres.open_queue(Secret("postgresql://me:secret@127.0.0.1:9/none"))
    assert "secret" not in str(caught.value)


def test_handing_out_does_not_look_at_all_that_waits(url: Secret, direct: psycopg.Connection) -> None:
    """Where the planner knows nothing of a queue that was filled just now, it is still read from its front."""
    with closing(postgres.open_queue(url)) as queue:
        queue.submit([Order(id=str(number), uri="x") for number in range(2000)])
    tables = Tables(url).open()
    desk = PostgresDesk(tables, Patience())
    desk.beat()
    with direct.transaction():
        direct.execute(tables.sql["plan_take"].encode())
        asked = {"n": 10, "worker": 1}
        plan = "\n".join(
            row[0] for row in direct.execute(f"EXPLAIN (ANALYZE) {tables.sql['take']}".encode(), asked).fetchall()
        )
    tables.close()
    assert "lookalike_jobs_lock" in plan and "procrastinate_jobs_priority_idx_v1" in plan, plan
    assert "Sort" not in plan and "Seq Scan" not in plan, plan
