"""Workers and servers that are killed in the midst of it: nothing is lost, nothing is there twice, every job ends."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import StoreError
from lookalike.orders import JobQueue, JobState, Order
from lookalike.places import ITEMS_FILE, Address
from lookalike.queues import postgres, sqlite
from lookalike.queues.postgres import PostgresQueue
from lookalike.sources.pictures import PictureFinder
from lookalike.store.memory import MemoryStore
from lookalike.store.postgres.store import create, open_store
from lookalike.types import Filter, Outcome
from lookalike.working import ServiceEmbedding, Workplace, run_feed
from tests.faults.models import harmful, poison
from tests.faults.pools import running as pool_running
from tests.postgres import Server, running_postgres

psycopg = pytest.importorskip("psycopg")

ROOT = Path(__file__).resolve().parents[2]
N_ORDERS = 5000
N_DISTINCT = 4000
BAD = range(0, N_ORDERS, 100)
N_KILLS = 20
DEADLINE_S = 60.0


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, to be killed."""
    with running_postgres() as started:
        yield started
        started.stop()  # asked to terminate, it would wait for the clients of who was killed


class Nursery:
    """Brings a worker up whenever the last one has died."""

    def __init__(self, url: Address, folder: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("worker_child.py")), url.reveal(), str(folder)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )
        self._pid = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._pid = int(line.split()[1])

    def kill_worker(self) -> None:
        """kill -9 of the worker that there is now."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """End all of it."""
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait(DEADLINE_S)
        self._reader.join()
        self._process.stdout.close()


@contextmanager
def nursery(url: Address, folder: Path) -> Iterator[Nursery]:
    """Workers that end with the test."""
    opened = Nursery(url, folder)
    try:
        yield opened
    finally:
        opened.close()


def wait_until(holds: Callable[[], bool]) -> None:
    """Fail if it does not come to hold; while the server is down it does not."""
    until = time.monotonic() + DEADLINE_S
    while True:
        with suppress(StoreError):
            if holds():
                return
        assert time.monotonic() < until, "it did not come to that"
        threading.Event().wait(0.01)


def tiny(number: int) -> bytes:
    """A picture of a few bytes; the last thousand have the bytes of the first."""
    pixels = hashlib.sha256(b"%d" % (number % N_DISTINCT)).digest()[:27]
    return b"no picture %d" % number if number in BAD else b"P6 3 3 255\n" + pixels


def kill_server(server: Server) -> None:
    """kill -9 of one of the server's processes: all of it begins anew, from its log."""
    with suppress(psycopg.OperationalError), psycopg.connect(server.url, connect_timeout=2) as doomed:
        os.kill(doomed.info.backend_pid, signal.SIGKILL)


def has_ended(queue: JobQueue, number: int) -> bool:
    """Whether a job is done or dead."""
    (job,) = queue.look_up([number])
    return job is not None and job.state in (JobState.DONE, JobState.DEAD)


def any_in(queue: PostgresQueue, state: JobState) -> bool:
    """Whether a job is in this state."""
    return bool(queue.page(state=state, project=None, above=0, limit=1))


def numbers_in(queue: PostgresQueue, state: JobState) -> list[int]:
    """Of the jobs in this state, by number."""
    return [job.number for job in queue.page(state=state, project=None, above=0, limit=2 * N_ORDERS)]


def all_ended(queue: PostgresQueue) -> bool:
    """Whether every job is done or dead. Between two questions orders of a dead worker come back from work to wait."""
    return len(numbers_in(queue, JobState.DONE)) + len(numbers_in(queue, JobState.DEAD)) == N_ORDERS


def require_all(url: Address) -> None:
    """Every good picture is an item, once, every content has one vector, and the ledger says what became of each."""
    good = {str(number) for number in range(N_ORDERS) if number not in BAD}
    with open_store(url) as store:
        store.check()
        items = list(store.items(Filter()))
        assert sorted(item.id for item in items) == sorted(good)
        assert store.stats().contents == len({tiny(int(name)) for name in good})
        assert store.stats().dead_slots == 0
        rows, found = store.vectors(list({item.content for item in items}))
        assert len(found) == len(rows) == store.stats().contents
        outcomes = Counter(entry.outcome is Outcome.FAILED for entry in store.ledger.under(None, ""))
        assert outcomes == {False: len(good), True: len(BAD)}


def test_nothing_is_lost_and_nothing_is_there_twice(server: Server, tmp_path: Path) -> None:
    """kill -9 of worker and server at 20 random moments of 5,000 orders: every job ends, every good picture is found
    once, every content has one vector, every bad one is dead with its reason."""
    url, chance = Address(server.url), random.Random(5)
    for number in range(N_ORDERS):
        (tmp_path / f"{number}.ppm").write_bytes(tiny(number))
    with create(url, FakeEncoder().tower.space):
        pass
    queue = postgres.open_queue(url)
    orders = [Order(id=str(number), uri=f"{number}.ppm", project="ab"[number % 2]) for number in range(N_ORDERS)]
    numbers = queue.submit(orders)
    moments = sorted(chance.sample(range(50, N_ORDERS - 50), N_KILLS))
    with nursery(url, tmp_path) as one, nursery(url, tmp_path) as other:
        victims = [one.kill_worker, partial(kill_server, server), other.kill_worker, partial(kill_server, server)]
        for kill, moment in enumerate(moments):
            wait_until(lambda moment=moment: has_ended(queue, numbers[moment]))
            victims[kill % len(victims)]()
        wait_until(
            lambda: not any_in(queue, JobState.WAITING) and not any_in(queue, JobState.WORKING) and all_ended(queue)
        )
    assert numbers_in(queue, JobState.DEAD) == [numbers[number] for number in BAD]
    assert len(numbers_in(queue, JobState.DONE)) == N_ORDERS - len(BAD)
    require_all(url)
    queue.close()


def test_a_harmful_picture_ends_a_process_and_not_the_worker(tmp_path: Path) -> None:
    """A picture that kills whoever decodes it is dead with that sentence; the orders around it are done."""
    store, stopping = MemoryStore(FakeEncoder().tower.space), threading.Event()
    (tmp_path / "harmful.png").write_bytes(cast(bytes, poison(image=True)))
    for number in range(6):
        (tmp_path / f"{number}.ppm").write_bytes(tiny(number + 1))
    (tmp_path / ITEMS_FILE).touch()
    queue = sqlite.open_queue(tmp_path)
    names = ["0.ppm", "1.ppm", "harmful.png", *(f"{number}.ppm" for number in range(2, 6))]
    numbers = queue.submit([Order(id=name, uri=name) for name in names])
    with pool_running(partial(harmful, "segfault", "decode"), tmp_path) as service, ThreadPoolExecutor(1) as threads:
        place = Workplace(
            lend=lambda: nullcontext(store),
            pictures=PictureFinder(tmp_path),
            embed=ServiceEmbedding(service, stopping),
            max_bytes=1 << 20,
        )
        working = threads.submit(run_feed, sqlite.open_feed(tmp_path), place, concurrency=8, stopping=stopping)
        try:
            wait_until(lambda: all(has_ended(queue, number) for number in numbers))
        finally:
            stopping.set()
        assert working.result(DEADLINE_S) is False
    jobs = dict(zip(names, queue.look_up(numbers), strict=True))
    queue.close()
    bad = jobs.pop("harmful.png")
    assert bad and bad.state is JobState.DEAD and "process" in bad.reason
    assert {job.state for job in jobs.values() if job} == {JobState.DONE}
    assert sorted(item.id for item in store.items(Filter())) == sorted(jobs)
