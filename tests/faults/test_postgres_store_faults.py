"""What the production store does when its writers, connections or server fail. Real processes, a real server."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lookalike.errors import StoreError
from lookalike.secret import Secret
from lookalike.store.postgres.store import create, open_store
from tests.faults.processes import line_of
from tests.faults.store_child import ALL, BATCH, SPACE, add_batch, batch_rows
from tests.postgres import NewDatabase, running_postgres

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


def test_a_crashed_or_frozen_server_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 of a server's process has all of it begin anew: what was acknowledged is there, and the rest is added
    again. Frozen, it is not waited for."""
    with running_postgres() as server:
        url = Secret(server.url)
        create(url, SPACE).close()
        with writer(url, 0) as process:
            assert line_of(process) == "open"
            acknowledged = {int(line_of(process)) for _ in range(3)}
            with psycopg.connect(server.url) as doomed:
                psutil.Process(doomed.info.backend_pid).kill()
            process.wait(20)  # told that the server is recovering, it ends; or it came through
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
