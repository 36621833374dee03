"""PostgreSQL behind a transaction pooler: nothing that lookalike does there needs a session."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from lookalike import app
from lookalike.config import Config
from lookalike.errors import InputError
from lookalike.index import Index
from lookalike.orders import Claim, JobState, Order
from lookalike.places import Address
from lookalike.types import Outcome
from tests.pictures import noise, write

N_PICTURES = 20


@pytest.fixture
def database(postgres_url: str, pooled_url: str) -> Iterator[str]:
    """The address of a new database through the pooler."""
    name = f"pooled_{time.monotonic_ns()}"
    with psycopg.connect(postgres_url, autocommit=True) as direct:
        direct.execute(f"CREATE DATABASE {name}".encode())
        with psycopg.connect(postgres_url.rpartition("/")[0] + f"/{name}", autocommit=True) as fresh:
            fresh.execute("CREATE EXTENSION vector")
        yield pooled_url.rpartition("/")[0] + f"/{name}"
        direct.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_the_pooler_keeps_no_session(pooled_url: str) -> None:
    """What these tests show would be shown otherwise: a setting of a session is gone with the next statement."""
    with psycopg.connect(pooled_url, autocommit=True) as connection:
        connection.execute("SET work_mem = '7777kB'")
        assert connection.execute("SHOW work_mem").fetchone() != ("7777kB",)


def test_an_index_and_a_cache_work_through_it(database: str, tmp_path: Path) -> None:
    """Pictures are indexed, found, replaced and removed in a database that only a pooler leads to."""
    folder = write(tmp_path / "pictures", {f"{n:02}.png": noise(n) for n in range(N_PICTURES)})
    environ = {
        "LOOKALIKE_MODEL": "tiny",
        "LOOKALIKE_INDEX": database,
        "LOOKALIKE_CACHE": database,
        "LOOKALIKE_CACHE_DIR": str(tmp_path / "cache"),
    }
    config = Config.from_environ(environ)
    with Index.create(config=config) as index:
        assert index.ingest([folder]).counts == {Outcome.STORED: N_PICTURES}
    (folder / "03.png").write_bytes(noise(100))
    (folder / "04.png").unlink()
    with Index.open(config=config, write=True) as index:
        index.ingest([folder])
        assert index.stats().items == N_PICTURES - 1
        best = index.search(image=folder / "03.png", limit=1)[0]
        assert (Path(best.item.uri).name, best.similarity) == ("03.png", pytest.approx(1, abs=1e-3))
        assert len(index.search(text="noise", limit=5)) == 5


def test_orders_are_taken_and_done_through_it(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Orders are taken, done and replayed where no notification comes through: the worker asks instead, and says so."""
    monkeypatch.setattr("lookalike.queues.desk.HELLO_S", 0.3)
    queue, stopping = app.open_queue(Address(database)), threading.Event()
    done: list[str] = []

    def do(order: Order, _: Claim) -> None:
        if order.id == "bad" and not done:
            raise InputError("is no picture.")
        done.append(order.id)

    def wait_for(number: int, state: JobState) -> None:
        for _ in range(2000):
            if queue.look_up([number])[0].state is state:  # type: ignore[union-attr]
                return
            threading.Event().wait(0.01)
        pytest.fail(f"job {number} did not become {state}")

    feed = app.open_feed(Address(database))
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(feed.work, do, concurrency=4, stopping=stopping)
        (bad,) = queue.submit([Order(id="bad", uri="x")])
        wait_for(bad, JobState.DEAD)
        numbers = queue.submit([Order(id=str(number), uri="x") for number in range(50)])
        wait_for(numbers[-1], JobState.DONE)
        assert queue.replay([bad]) == [bad]
        wait_for(bad, JobState.DONE)
        stopping.set()
        working.result(30)
    queue.close()
    assert sorted(done) == sorted(["bad", *map(str, range(50))])
    assert [record.getMessage() for record in caplog.records if "transaction pooler" in record.getMessage()]
