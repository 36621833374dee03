"""What the production store does when its writers, connections or server fail. Real processes, a real server."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from click.testing import CliRunner

from lookalike.cli import main
from lookalike.config import Config
from lookalike.errors import StoreCorrupt, StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from lookalike.secret import Secret
from lookalike.store.postgres import tuning
from lookalike.store.postgres.store import create, open_store
from lookalike.types import Filter
from tests.faults.processes import heeding, line_of
from tests.faults.store_child import ALL, BATCH, SPACE, add_batch, batch_rows
from tests.postgres import (
    INSTALLS,
    NOBODY,
    WANTED,
    NewDatabase,
    Server,
    as_nobody,
    free_port,
    running_postgres,
)

psycopg = pytest.importorskip("psycopg")

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import sys
from lookalike.secret import Secret
from lookalike.store.postgres.store import open_store
sys.path.insert(0, "tests/faults")
from store_child import add_batch
with open_store(Secret(sys.argv[1])) as store:
    print("open", flush=True)
    for number in range(int(sys.argv[2]), 60):
        add_batch(store, number)
        print(number, flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of this module's own, to be stopped and killed, with few connections."""
    with running_postgres(max_connections="8", superuser_reserved_connections="0", max_wal_senders="2") as started:
        yield started


@pytest.fixture
def url(server: Server) -> Secret:
    """An empty place there; it goes with the server."""
    with psycopg.connect(server.url, autocommit=True) as owner:
        name = f"store_{time.monotonic_ns()}"
        owner.execute(f"CREATE EXTENSION IF NOT EXISTS vector; CREATE SCHEMA {name}".encode())
    return Secret(f"{server.url}?options=-csearch_path%3D{name},public")


@contextmanager
def writer(url: Secret, first: int) -> Iterator[subprocess.Popen[str]]:
    """A process that adds batches and says so, ended with the test."""
    join = "&" if "?" in url.reveal() else "?"
    address = f"{url.reveal()}{join}application_name=the%20writer"
    command = [sys.executable, "-c", WRITER, address, str(first)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def require_whole(url: Secret, acknowledged: set[int]) -> None:
    """Every batch is there once and as a whole or not at all, and those that were acknowledged are there."""
    with open_store(url) as store:
        store.check()
        stored = [item.id for item in store.items(ALL)]
        assert len(stored) == len(set(stored)) == store.n_items
        assert len(stored) % BATCH == 0
        for number in acknowledged:
            answers, _ = store.search(batch_rows(number)[0], limit=1, where=ALL)
            assert answers[0].similarity > 0.999


def numbers_of(process: subprocess.Popen[str]) -> set[int]:
    """What a writer acknowledged since it was last asked, after its end."""
    process.kill()
    assert process.stdout is not None
    return {int(line) for line in process.stdout if line.endswith("\n")}


def test_nothing_acknowledged_is_lost_by_killed_writers(new_database: NewDatabase) -> None:
    """kill -9 at random moments, two writers at once: each acknowledged batch is there, once, nothing by halves."""
    url, chance = new_database(), random.Random(8)
    create(url, SPACE).close()
    acknowledged: set[int] = set()
    for turn in range(3):
        with writer(url, turn * 20) as one, writer(url, turn * 20 + 10) as other:
            for process in (one, other):
                assert line_of(process) == "open"
                acknowledged |= {int(line_of(process)) for _ in range(chance.randint(1, 4))}
            acknowledged |= numbers_of(one) | numbers_of(other)
    require_whole(url, acknowledged)


def test_a_writer_goes_on_when_its_connection_is_ended(new_database: NewDatabase) -> None:
    """A pooler's patience, a failover: the batch is added with another connection, once."""
    url = new_database()
    with create(url, SPACE) as store, writer(url, 0) as process:
        assert line_of(process) == "open"
        acknowledged = {int(line_of(process)) for _ in range(3)}
        ended = store.database.run(
            lambda connection: connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND application_name = 'the writer'"
            ).fetchall()
        )
        assert ended == [(True,)]
        acknowledged |= {int(line_of(process)) for _ in range(3)}
        assert acknowledged == set(range(6))
        acknowledged |= numbers_of(process)
    require_whole(url, acknowledged)


def test_a_crashed_or_frozen_server_is_survived(server: Server, url: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 of a server's process has all of it begin anew: what was acknowledged is there, and the writer goes on.
    Frozen, it is not waited for."""
    create(url, SPACE).close()
    with writer(url, 0) as process:
        assert line_of(process) == "open"
        acknowledged = {int(line_of(process)) for _ in range(3)}
        with psycopg.connect(server.url) as doomed:
            psutil.Process(doomed.info.backend_pid).kill()
        acknowledged |= {int(line_of(process)) for _ in range(3)}
        acknowledged |= numbers_of(process)
    wait_until_open(url)
    require_whole(url, acknowledged)
    with open_store(url) as store:
        add_batch(store, 0)
        query, n_items = batch_rows(0)[0], store.n_items
        monkeypatch.setattr("lookalike.store.postgres.finding.TIMEOUT_S", 0.3)
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
        for one in family:
            one.suspend()
        try:
            with pytest.raises(StoreError, match=r"did not answer within 0\.3 seconds"):
                store.search(query, limit=1, where=ALL)
        finally:
            for one in family:
                one.resume()
        assert store.search(query, limit=1, where=ALL)[1] == n_items


def test_a_restart_is_waited_for(server: Server, url: Secret) -> None:
    """A server that is restarted, and one that is killed and started again, cost searches and writes time, and
    nothing else: no error, and nothing is lost."""
    done, answers = threading.Event(), (list[int](), list[int]())
    with create(url, SPACE) as store, writer(url, 0) as process, ThreadPoolExecutor(2) as pool:
        assert line_of(process) == "open"
        acknowledged = {int(line_of(process))}

        def search(own: list[int]) -> None:
            while not done.is_set():
                own.append(store.search(batch_rows(0)[0], limit=1, where=ALL)[1])

        searching = [pool.submit(search, own) for own in answers]
        try:
            for number in (signal.SIGINT, signal.SIGKILL):
                n_before = sum(map(len, answers))
                server.stop(number)
                server.start()
                acknowledged |= {int(line_of(process)) for _ in range(2)}
                wait_until(lambda n_before=n_before: sum(map(len, answers)) > n_before + 2)
        finally:
            done.set()
        for one in searching:
            one.result(20)
        acknowledged |= numbers_of(process)
    assert acknowledged == set(range(len(acknowledged)))
    assert all(own == sorted(own) for own in answers)
    require_whole(url, acknowledged)


def test_a_server_without_room_for_a_connection_says_so_and_is_tried_again(server: Server, url: Secret) -> None:
    """Whoever comes new is told that trying again may help; whoever was there waits for its turn."""
    with create(url, SPACE) as store, ThreadPoolExecutor(1) as pool:
        add_batch(store, 0)
        store.database.close()
        held = connections_of(server.url)
        with pytest.raises(StoreUnavailable, match=r"no room for another connection.*Try again") as caught:
            open_store(url)
        assert caught.value.retryable
        waiting = pool.submit(store.search, batch_rows(0)[0], limit=1, where=ALL)
        assert not waiting.done()
        for one in held:
            one.close()
        assert waiting.result(20)[1] == BATCH
    open_store(url).close()


def connections_of(url: str) -> list[Any]:
    """As many connections as a server has."""
    held = []
    with suppress(psycopg.OperationalError):
        while True:
            held.append(psycopg.connect(url))
    return held


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when it does; fail if it does not in time."""
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        threading.Event().wait(0.01)


def test_a_full_disk_costs_nothing_that_was_stored(postgres_url: str, new_database: NewDatabase) -> None:
    """On a full file system a batch fails whole; the store answers as before, and goes on when there is room."""
    with small_tablespace(postgres_url, megabytes=4) as (name, folder):
        url = Secret(f"{new_database().reveal()}%20-c%20default_tablespace%3D{name}")
        with create(url, SPACE) as store:
            n_added = 0
            with pytest.raises(StoreFull, match="stored before is safe"):
                for number in range(2000):
                    add_batch(store, number)
                    n_added += 1
            assert 0 < n_added < 2000
            assert store.n_items == n_added * BATCH
            require_whole(url, set(range(0, n_added, max(1, n_added // 5))))
            subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
            add_batch(store, n_added)
            assert store.n_items == (n_added + 1) * BATCH
        with psycopg.connect(url.reveal(), autocommit=True) as owner:
            owner.execute("DO $$ BEGIN EXECUTE 'DROP SCHEMA ' || current_schema() || ' CASCADE'; END $$")
            owner.execute("CHECKPOINT")
            owner.execute(f"DROP TABLESPACE {name}".encode())


@contextmanager
def small_tablespace(url: str, *, megabytes: int) -> Iterator[tuple[str, Path]]:
    """A tablespace on a file system of its own; skips, saying so, where none can be mounted."""
    name, folder = f"tiny_{os.getpid()}", Path(tempfile.mkdtemp(prefix="tablespace-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if WANTED not in INSTALLS or os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root, the right to mount, and a server of this machine")
    try:
        os.chown(folder, NOBODY, NOBODY)
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'".encode())
        yield name, folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def test_a_standby_answers_and_takes_nothing(server: Server, url: Secret) -> None:
    """Searches may be made on a replica that only reads; a write there is refused in a sentence."""
    with create(url, SPACE) as store:
        add_batch(store, 0)
    with standby_of(server) as address, open_store(Secret(f"{address}?{url.reveal().partition('?')[2]}")) as replica:
        assert replica.search(batch_rows(0)[0], limit=1, where=ALL)[0][0].similarity > 0.999
        for change in (lambda: add_batch(replica, 1), lambda: replica.delete([("default", "0")]), replica.compact):
            with pytest.raises(StoreReadOnly, match="does not let this user do that"):
                change()
        assert replica.n_items == BATCH


@contextmanager
def standby_of(server: Server) -> Iterator[str]:
    """The address of a replica of a server."""
    port, address = free_port(), urlsplit(server.url)
    data = server.data.parent / "standby" / "data"
    data.parent.mkdir()
    if os.geteuid() == 0:
        os.chown(data.parent, NOBODY, NOBODY)
    where = ["--host", "127.0.0.1", "--port", str(address.port), "--username", "postgres"]
    command = [
        server.programs / "pg_basebackup",
        *where,
        "-D",
        data,
        "--write-recovery-conf",
        "-c",
        "fast",
        "--no-sync",
    ]
    subprocess.run(command, check=True, capture_output=True, **as_nobody())
    settings = {**server.own, "port": port}
    replica = Server(server.programs, data, settings)
    try:
        replica.start()
        yield replica.url
    finally:
        replica.stop()


MIGRATION = """
import sys
from lookalike.secret import Secret
from lookalike.store.postgres import schema
database = schema.connect(Secret(sys.argv[1]), timeout_s=60)
print("begun", flush=True)
database.run(lambda connection: schema.migrate(connection, database.place))
"""


@pytest.mark.parametrize("killed", ["client", "server"])
def test_a_migration_that_is_killed_half_way_has_not_happened(server: Server, url: Secret, killed: str) -> None:
    """kill -9 of who migrates, or of the server, between two of the numbered files: the tables are of the version
    that they were, and the next migration goes through."""
    with psycopg.connect(url.reveal(), autocommit=True) as owner:
        first = files("lookalike.store.postgres").joinpath("migrations", "001_store.sql")
        owner.execute(first.read_text(encoding="utf-8").encode())
        with suppress(psycopg.OperationalError), psycopg.connect(url.reveal()) as holding:  # 003 waits for it
            holding.execute("SELECT * FROM lookalike_spaces")
            address = f"{url.reveal()}&application_name=migrating"
            command = [sys.executable, "-c", MIGRATION, address]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                try:
                    assert line_of(process) == "begun"
                    wait_until(lambda: serving(owner, "migrating", "wait_event_type = 'Lock'") != [])
                    ((pid,),) = serving(owner, "migrating", "true")
                    process.kill()
                    if killed == "server":
                        psutil.Process(pid).kill()
                finally:
                    process.kill()
        wait_until_reached(server.url)
        with psycopg.connect(url.reveal(), autocommit=True) as other:
            wait_until(lambda: serving(other, "migrating", "true") == [])
            assert other.execute("SELECT max(version) FROM lookalike_schema").fetchone() == (1,)
            assert other.execute("SELECT to_regclass('lookalike_tuning')").fetchone() == (None,)
        create(url, SPACE).close()
        with open_store(url) as store:
            add_batch(store, 0)
            store.check()


def serving(connection: Any, name: str, condition: str) -> list[Any]:
    """The processes of the server that serve who calls itself so, of which this holds."""
    query = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}' AND {condition}"  # noqa: S608
    return connection.execute(query.encode()).fetchall()  # type: ignore[no-any-return]


def wait_until_reached(url: str) -> None:
    """Return when a server takes connections."""

    def is_reached() -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url).close()
            return True
        return False

    wait_until(is_reached)


def test_an_index_that_was_left_half_made_is_noticed_and_made_again(new_database: NewDatabase) -> None:
    """CREATE INDEX CONCURRENTLY that was broken off leaves one that the database keeps up and never asks: `db check`
    says so, and `db index` makes it anew."""
    url = new_database()
    with create(url, SPACE) as store:
        add_batch(store, 0)
        with ThreadPoolExecutor(1) as pool, psycopg.connect(url.reveal()) as writing:
            writing.execute("LOCK TABLE lookalike_vectors IN ROW EXCLUSIVE MODE")  # the index waits for who writes
            address = Secret(f"{url.reveal()}&application_name=indexing")
            with open_store(address) as other:
                making = pool.submit(tuning.build, other, concurrently=True)
                with psycopg.connect(url.reveal(), autocommit=True) as owner:
                    waiting = (
                        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'indexing' "
                        "AND wait_event_type = 'Lock' AND query LIKE '%CREATE INDEX%'"
                    )
                    wait_until(lambda: owner.execute(waiting).fetchall() != [])
                with pytest.raises(StoreError, match="canceling"):
                    making.result(20)
        assert tuning.half_made(store)
        answer = CliRunner().invoke(main, ["db", "check", "--index", url.reveal()], obj=Config.from_environ())
        assert "was left half made" in answer.output
        assert "lookalike db index" in answer.output
        assert store.search(batch_rows(0)[0], limit=1, where=ALL)[0][0].similarity > 0.999
        assert tuning.build(store)
        assert not tuning.half_made(store)


@pytest.mark.parametrize("options", [[], ["--concurrently"]])
def test_ctrl_c_ends_the_making_of_an_index_in_the_database_too(new_database: NewDatabase, options: list[str]) -> None:
    """The command ends at once, the server builds nothing that nobody waits for, and the next one makes the index."""
    url = new_database()
    with create(url, SPACE) as store, psycopg.connect(url.reveal(), autocommit=True) as owner:
        add_batch(store, 0)
        command = [sys.executable, "-m", "lookalike", "db", "index", *options, "--index"]
        with psycopg.connect(url.reveal()) as writing:
            writing.execute("LOCK TABLE lookalike_vectors_1 IN ROW EXCLUSIVE MODE")  # the index waits for who writes
            making = heeding([*command, f"{url.reveal()}&application_name=indexing"], stderr=subprocess.PIPE)
            try:
                wait_until(lambda: serving(owner, "indexing", "wait_event_type = 'Lock'") != [])
                making.send_signal(signal.SIGINT)
                assert b"Interrupted." in making.communicate(timeout=20)[1]
            finally:
                making.kill()
                making.wait()
            assert making.returncode == 130
            wait_until(lambda: not serving(owner, "indexing", "state <> 'idle'"))
            add_batch(store, 1)
        assert tuning.build(store)
        assert not tuning.half_made(store)


def test_a_role_without_rights_is_told(new_database: NewDatabase) -> None:
    """One that may only read searches, and is told what it may not; one that may nothing is told so at once."""
    url = new_database()
    with create(url, SPACE) as store:
        add_batch(store, 0)
    name = f"reader_{os.getpid()}"
    reader = Secret(url.reveal().replace("postgres:not-asked-for@", f"{name}:x@"))
    with psycopg.connect(url.reveal(), autocommit=True) as owner:
        row = owner.execute("SELECT current_schema()").fetchone()
        assert row is not None
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA {row[0]} TO {name}".encode())
        try:
            with pytest.raises(StoreReadOnly, match=r"permission denied.*grant the rights"):
                open_store(reader)
            owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {row[0]} TO {name}".encode())
            with open_store(reader) as store:
                assert store.search(batch_rows(0)[0], limit=1, where=ALL)[1] == BATCH
                with pytest.raises(StoreReadOnly, match="permission denied"):
                    add_batch(store, 1)
                assert store.n_items == BATCH
            with pytest.raises(StoreReadOnly, match="permission denied"):
                create(Secret(reader.reveal().replace(row[0], "public", 1)), SPACE)
        finally:
            owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DROP TABLE lookalike_items CASCADE", "lookalike_items.*does not exist.*restore"),
        ("ALTER TABLE lookalike_items DROP COLUMN caption", "caption.*does not exist.*restore"),
        ("ALTER TABLE lookalike_vectors DROP COLUMN vector", "vector.*does not exist.*restore"),
        ("DROP TABLE lookalike_spaces CASCADE", "lookalike_spaces.*does not exist.*restore"),
    ],
)
def test_a_dropped_table_is_told(new_database: NewDatabase, statement: str, sentence: str) -> None:
    """Whoever searches or opens an index that lacks a part is told which, and what to do."""
    url = new_database()
    with create(url, SPACE) as store:
        add_batch(store, 0)
        with psycopg.connect(url.reveal(), autocommit=True) as owner:
            owner.execute(statement.encode())
        with pytest.raises(StoreCorrupt, match=sentence), open_store(url) as again:
            again.search(batch_rows(0)[0], limit=1, where=ALL)


def test_a_dropped_extension_is_told(postgres_url: str) -> None:
    """With pgvector dropped, the vectors are gone too, which does not pass for an empty index."""
    name = f"without_{os.getpid()}"
    address = urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(f"CREATE DATABASE {name}".encode())
        with create(Secret(address), SPACE) as store, psycopg.connect(address, autocommit=True) as owner:
            add_batch(store, 0)
            owner.execute("DROP EXTENSION vector CASCADE")
            for where in (ALL, Filter(project="default")):
                with pytest.raises(StoreError, match=r"restore|no pgvector"):
                    store.search(batch_rows(0)[0], limit=1, where=where)
            with pytest.raises(StoreError, match=r"restore|no pgvector"):
                add_batch(store, 1)
            owner.execute("CREATE EXTENSION vector")
            with pytest.raises(StoreCorrupt, match="restore"):
                store.search(batch_rows(0)[0], limit=1, where=Filter(project="default"))
        other.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def wait_until_open(url: Secret) -> None:
    """Return when the server has recovered; fail if it does not."""
    until = time.monotonic() + 20
    while True:
        try:
            open_store(url).close()
        except StoreError:
            assert time.monotonic() < until
        else:
            return


def test_a_connection_that_is_lent_while_the_store_is_closed_is_not_left_open(url: Secret) -> None:
    """It is closed when it comes back: a sample in the background may outlast the store that it is taken for."""
    with create(url, SPACE) as store:
        lent = store.database.run(lambda connection: (store.close(), connection)[1])
        assert lent.closed
        assert store.n_items == 0, "and another is opened when it is needed"
