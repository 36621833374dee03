"""The contract of queues: the same tests over a database and over a file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import pytest

from lookalike.errors import InputError, StoreNotFound, Unavailable
from lookalike.orders import IndexJob, JobFeed, JobQueue, JobState, Order
from lookalike.places import ITEMS_FILE
from lookalike.queues import postgres, sqlite
from lookalike.queues.desk import PostgresDesk
from lookalike.queues.feed import Desk, Ended, Handed
from lookalike.queues.patience import Patience
from lookalike.queues.sqlite_desk import SqliteDesk
from lookalike.queues.sqlite_file import QueueFile
from lookalike.queues.tables import Tables
from lookalike.secret import Secret
from tests.postgres import NewDatabase

DEADLINE_S = 20.0
QUICK = Patience(base_s=0.02, cap_s=0.1, beat_s=0.05, dead_s=1.0, poll_s=0.05)


class Place(Protocol):
    """Where a queue is: opened as often as one likes, each time as by another process."""

    def queue(self) -> JobQueue: ...

    def feed(self, patience: Patience = QUICK) -> JobFeed: ...

    def desk(self, patience: Patience = QUICK) -> Desk: ...


class File:
    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self._folder = folder
        (folder / ITEMS_FILE).touch()  # a queue is that of an index
        self._closing = closing

    def queue(self) -> JobQueue:
        opened = sqlite.open_queue(self._folder)
        self._closing.callback(opened.close)
        return opened

    def feed(self, patience: Patience = QUICK) -> JobFeed:
        return sqlite.open_feed(self._folder, patience)

    def desk(self, patience: Patience = QUICK) -> Desk:
        file = QueueFile(self._folder)
        self._closing.callback(file.close)
        return SqliteDesk(file, patience)


class Database:
    def __init__(self, url: Secret, closing: ExitStack) -> None:
        self._url = url
        self._closing = closing

    def queue(self) -> JobQueue:
        opened = postgres.open_queue(self._url)
        self._closing.callback(opened.close)
        return opened

    def feed(self, patience: Patience = QUICK) -> JobFeed:
        return postgres.open_feed(self._url, patience)

    def desk(self, patience: Patience = QUICK) -> Desk:
        tables = Tables(self._url).open()
        self._closing.callback(tables.close)
        return PostgresDesk(tables, patience)


@pytest.fixture(params=["file", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place for a queue of its own."""
    with ExitStack() as closing:
        if request.param == "file":
            yield File(tmp_path, closing)
        else:
            new_database: NewDatabase = request.getfixturevalue("new_database")
            yield Database(new_database(), closing)


@pytest.fixture
def queue(place: Place) -> JobQueue:
    """An empty queue."""
    return place.queue()


def order(number: object, *, project: str = "p") -> Order:
    """An order of an item of its own."""
    return Order(id=f"item {number}", uri=f"/pictures/{number}.jpg", project=project)


def job(queue: JobQueue, number: int) -> IndexJob:
    """A job that there is."""
    (found,) = queue.look_up([number])
    assert found is not None
    return found


def states(queue: JobQueue, numbers: Sequence[int]) -> list[JobState]:
    """Of these jobs."""
    return [job(queue, number).state for number in numbers]


def wait_until(holds: Callable[[], bool]) -> None:
    """Fail if it does not come to hold."""
    until = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        threading.Event().wait(0.01)


@contextmanager
def working(feed: JobFeed, do: Callable[[Order], None], *, concurrency: int = 4) -> Iterator[threading.Event]:
    """A worker that ends with the block."""
    stopping = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(feed.work, lambda order, _: do(order), concurrency=concurrency, stopping=stopping)
        try:
            yield stopping
        finally:
            stopping.set()
            running.result(DEADLINE_S)


def nothing(_: Order) -> None:
    """Does an order that needs no doing."""


def test_an_order_is_on_record_as_it_was_given(place: Place, queue: JobQueue) -> None:
    """What was submitted waits, whole, for whoever opens the queue; unknown numbers are None."""
    given = Order(
        id="ä\"'\\%s{}",
        uri="s3://bucket/Ünïcode key",
        project="q",
        caption="a\nb",
        metadata=MappingProxyType({"k": "v"}),
    )
    before = time.time()
    first, second = queue.submit([replace(given, metadata=MappingProxyType({"k": "v"})), order(2)])
    assert first < second
    found, unknown, also = place.queue().look_up([second, second + 1000, first])
    assert (unknown, found and found.order) == (None, order(2))
    assert also is not None
    assert also.order == Order(
        **{**{n: getattr(given, n) for n in ("id", "uri", "project", "caption")}, "metadata": {"k": "v"}}
    )
    assert (also.state, also.attempts, also.reason) == (JobState.WAITING, 0, "")
    assert before - 60 < also.ordered_s <= also.changed_s < time.time() + 60
    assert queue.submit([]) == queue.look_up([]) == []
    assert queue.look_up([-1, 0, 2**70]) == [None, None, None]


@pytest.mark.parametrize("text", ["a\0b", "\udcff"])
def test_what_no_database_takes_is_refused_whole(queue: JobQueue, text: str) -> None:
    """An order that cannot be kept is named, and nothing that came with it is taken."""
    with pytest.raises(InputError, match="cannot be ordered"):
        queue.submit([order(1), Order(id=text, uri="u")])
    assert queue.page(state=JobState.WAITING, project=None, above=0, limit=10) == []
    assert queue.page(state=JobState.WAITING, project=text, above=0, limit=10) == []


def test_a_thousand_orders_are_one_submission(queue: JobQueue) -> None:
    """Many orders are taken at once, in order, and found page by page."""
    numbers = queue.submit([order(i) for i in range(1000)])
    assert numbers == sorted(set(numbers)) and len(numbers) == 1000
    seen: list[int] = []
    while page := queue.page(state=JobState.WAITING, project="p", above=seen[-1] if seen else 0, limit=300):
        seen += [found.number for found in page]
    assert seen == numbers


def test_pages_are_of_one_state_and_project(queue: JobQueue, place: Place) -> None:
    """A page holds the jobs of the state and project that it was asked for, by number."""
    numbers = queue.submit([order(i, project="ab"[i % 2]) for i in range(6)])

    def refuse(given: Order) -> None:
        if given.project == "a":
            raise InputError("is no picture.", item=given.id)

    with working(place.feed(), refuse):
        wait_until(lambda: set(states(queue, numbers)) <= {JobState.DONE, JobState.DEAD})

    def page(state: JobState, project: str | None) -> list[int]:
        return [found.number for found in queue.page(state=state, project=project, above=0, limit=10)]

    assert page(JobState.DEAD, None) == page(JobState.DEAD, "a") == numbers[::2]
    assert page(JobState.DONE, "b") == numbers[1::2]
    assert page(JobState.DEAD, "b") == page(JobState.WAITING, None) == page(JobState.WORKING, None) == []


def test_orders_begin_in_their_order(place: Place, queue: JobQueue) -> None:
    """One at a time, orders are done first come, first served."""
    queue.submit([order(i) for i in range(20)])
    done: list[str] = []
    with working(place.feed(), lambda given: done.append(given.id), concurrency=1):
        wait_until(lambda: len(done) == 20)
    assert done == [f"item {i}" for i in range(20)]


def test_several_are_done_at_the_same_time(place: Place, queue: JobQueue) -> None:
    """As many orders are in flight as were asked for, and each is done once, however many workers there are."""
    numbers = queue.submit([order(i) for i in range(60)])
    together, done, lock = threading.Barrier(6), [], threading.Lock()

    def do(given: Order) -> None:
        together.wait(DEADLINE_S)
        with lock:
            done.append(given.id)

    with working(place.feed(), do, concurrency=3), working(place.feed(), do, concurrency=3):
        wait_until(lambda: set(states(queue, numbers)) == {JobState.DONE})
    assert sorted(done) == sorted(f"item {i}" for i in range(60))


def test_a_new_order_is_begun_at_once(place: Place, queue: JobQueue) -> None:
    """A worker that has nothing to do hears of an order; it does not find it at its next look."""
    lazy = Patience(poll_s=3600.0)
    begun = threading.Event()
    with working(place.feed(lazy), lambda _: begun.set()):
        wait_until(lambda: bool(queue.submit([order("first")])) and begun.wait(1.0))  # the worker is up
        begun.clear()
        queue.submit([order("second")])
        assert begun.wait(DEADLINE_S)


def test_the_state_shows_what_is_going_on(place: Place, queue: JobQueue) -> None:
    """A job that was begun is working on its first attempt, and done when that ends."""
    (number,) = queue.submit([order(1)])
    begun, may_end = threading.Event(), threading.Event()

    def do(_: Order) -> None:
        begun.set()
        may_end.wait(DEADLINE_S)

    with working(place.feed(), do):
        assert begun.wait(DEADLINE_S)
        now = job(queue, number)
        assert (now.state, now.attempts) == (JobState.WORKING, 1)
        may_end.set()
        wait_until(lambda: job(queue, number).state is JobState.DONE)
    assert job(queue, number).attempts == 1
    assert job(queue, number).changed_s >= now.changed_s >= now.ordered_s


def test_what_cannot_succeed_is_dead_at_once(place: Place, queue: JobQueue) -> None:
    """An error that trying again does not help ends the job, with its sentence."""
    (number,) = queue.submit([order(1)])

    def do(_: Order) -> None:
        raise InputError("is a film.", item="x.mov")

    with working(place.feed(), do):
        wait_until(lambda: job(queue, number).state is JobState.DEAD)
    assert (job(queue, number).reason, job(queue, number).attempts) == ("x.mov: is a film.", 1)


def test_an_error_that_nobody_foresaw_ends_its_job_alone(
    place: Place, queue: JobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect is on record and in the log, and the worker goes on with the others."""
    bad, good = queue.submit([order("bad"), order("good")])

    def do(given: Order) -> None:
        if given == order("bad"):
            raise ZeroDivisionError("by\0nought")

    with working(place.feed(), do):
        wait_until(lambda: states(queue, [bad, good]) == [JobState.DEAD, JobState.DONE])
    assert job(queue, bad).reason.startswith("ZeroDivisionError: by")
    assert any(record.exc_info for record in caplog.records)


def test_what_may_pass_is_tried_until_it_does(place: Place, queue: JobQueue) -> None:
    """A job that fails for a moment waits with its reason, is tried again, and ends well."""
    (number,) = queue.submit([order(1)])
    tries: list[IndexJob] = []

    def do(_: Order) -> None:
        tries.append(job(queue, number))
        if len(tries) < 4:
            raise Unavailable(f"It was away, {len(tries)}.", provider="x")

    with working(place.feed(), do):
        wait_until(lambda: job(queue, number).state is JobState.DONE)
    assert [(tried.state, tried.attempts, tried.reason) for tried in tries] == [
        (JobState.WORKING, 1, ""),
        (JobState.WORKING, 2, "It was away, 1."),
        (JobState.WORKING, 3, "It was away, 2."),
        (JobState.WORKING, 4, "It was away, 3."),
    ]


def test_a_failed_job_says_when_it_is_tried(place: Place, queue: JobQueue) -> None:
    """A job that waits for its next try is WAITING until the time that it tells, and others go first."""
    (number,) = queue.submit([order(1)])
    slow = Patience(base_s=3600.0, cap_s=3600.0, poll_s=0.05)

    def do(given: Order) -> None:
        if given == order(1):
            raise Unavailable("It was away.", provider="x")

    with working(place.feed(slow), do, concurrency=1):
        wait_until(lambda: job(queue, number).reason != "")
        (other,) = queue.submit([order(2)])
        wait_until(lambda: job(queue, other).state is JobState.DONE)
    waiting = job(queue, number)
    assert (waiting.state, waiting.attempts, waiting.reason) == (JobState.WAITING, 1, "It was away.")
    assert time.time() + 1700 < waiting.changed_s < time.time() + 3700


def test_attempts_end(place: Place, queue: JobQueue) -> None:
    """What fails again and again is dead after so many attempts, with its last sentence."""
    (number,) = queue.submit([order(1)])
    tries: list[str] = []

    def do(_: Order) -> None:
        tries.append("")
        raise Unavailable(f"It was away, {len(tries)}.", provider="x")

    with working(place.feed(Patience(attempts=3, base_s=0.01, poll_s=0.02)), do):
        wait_until(lambda: job(queue, number).state is JobState.DEAD)
    assert (len(tries), job(queue, number).attempts, job(queue, number).reason) == (3, 3, "It was away, 3.")


def test_the_dead_begin_anew(place: Place, queue: JobQueue) -> None:
    """Replayed jobs have all their attempts again; what is not dead is left as it is."""
    dead, done = queue.submit([order("dead"), order("done")])
    broken = [True]

    def do(given: Order) -> None:
        if given == order("dead") and broken:
            raise InputError("is no picture.")

    with working(place.feed(), do):
        wait_until(lambda: states(queue, [dead, done]) == [JobState.DEAD, JobState.DONE])
        broken.clear()
        assert queue.replay([done, dead, dead + 1000, 2**70, -1]) == [dead]
        wait_until(lambda: job(queue, dead).state is JobState.DONE)
    assert (job(queue, dead).attempts, job(queue, dead).reason) == (1, "")
    assert queue.replay([dead]) == []


def test_a_newer_order_takes_the_place_of_one_that_waits(place: Place, queue: JobQueue) -> None:
    """Of several waiting orders of one item the last is done; the others end with that, and say so."""
    twice = Order(id="item 1", uri="/new.jpg", project="p")
    first, of_another_project = queue.submit([order(1), order(1, project="q")])
    second, third = queue.submit([order(1), twice])
    done: list[Order] = []
    with working(place.feed(), done.append):
        wait_until(lambda: set(states(queue, [first, second, third, of_another_project])) == {JobState.DONE})
    assert sorted(done, key=lambda given: given.project) == [twice, order(1, project="q")]
    assert "newer order" in job(queue, first).reason and "newer order" in job(queue, second).reason
    assert job(queue, third).reason == ""


def test_orders_of_one_item_never_run_side_by_side(place: Place, queue: JobQueue) -> None:
    """While an order of an item is being done, the next one waits, however many threads and workers are free."""
    begun, may_end, done = threading.Event(), threading.Event(), list[str]()

    def do(given: Order) -> None:
        if given.uri == "/1":
            begun.set()
            may_end.wait(DEADLINE_S)
        done.append(given.uri)

    with working(place.feed(), do), working(place.feed(), do):
        queue.submit([Order(id="same", uri="/1")])
        assert begun.wait(DEADLINE_S)
        (second, other) = queue.submit([Order(id="same", uri="/2"), Order(id="other", uri="/3")])
        wait_until(lambda: job(queue, other).state is JobState.DONE)
        assert job(queue, second).state is JobState.WAITING
        may_end.set()
        wait_until(lambda: job(queue, second).state is JobState.DONE)
    assert done == ["/3", "/1", "/2"]


def test_an_overtaken_order_is_neither_tried_again_nor_replayed(place: Place, queue: JobQueue) -> None:
    """An order that failed does not put an older picture in the place of a newer one, now or later."""
    begun, may_end = threading.Event(), threading.Event()
    done: list[str] = []

    def do(given: Order) -> None:
        if given.uri == "/fails":
            begun.set()
            may_end.wait(DEADLINE_S)
            raise Unavailable("It was away.", provider="x")
        if given.uri == "/bad":
            raise InputError("is no picture.")
        done.append(given.uri)

    with working(place.feed(Patience(base_s=3600.0)), do):
        (bad,) = queue.submit([Order(id="other", uri="/bad")])
        wait_until(lambda: job(queue, bad).state is JobState.DEAD)
        (fails,) = queue.submit([Order(id="same", uri="/fails")])
        assert begun.wait(DEADLINE_S)
        good = queue.submit([Order(id="same", uri="/good"), Order(id="other", uri="/better")])
        may_end.set()
        wait_until(lambda: states(queue, good) == [JobState.DONE, JobState.DONE])
        wait_until(lambda: job(queue, fails).state is JobState.DONE)
        assert queue.replay([bad]) == []
    assert job(queue, bad).state is JobState.DONE and "newer order" in job(queue, bad).reason
    assert sorted(done) == ["/better", "/good"]


def test_the_dead_are_overtaken_for_good(place: Place, queue: JobQueue) -> None:
    """By a newer order that is done, at once and for as long as it is on record itself; not by one that is dead too."""

    def do(given: Order) -> None:
        if given.uri == "/bad":
            raise InputError("is no picture.")

    bad = Order(id="same", uri="/bad")
    with working(place.feed(), do):
        (dead,) = queue.submit([bad])
        wait_until(lambda: job(queue, dead).state is JobState.DEAD)
        (again,) = queue.submit([bad])
        wait_until(lambda: job(queue, again).state is JobState.DEAD)
        assert job(queue, dead).state is JobState.DEAD
        (newer,) = queue.submit([Order(id="same", uri="/good")])
        wait_until(lambda: job(queue, newer).state is JobState.DONE)
    assert states(queue, [dead, again]) == [JobState.DONE] * 2
    assert "newer order" in job(queue, dead).reason
    assert job(queue, dead).changed_s >= job(queue, newer).ordered_s
    place.desk(Patience(kept_s=-1.0)).beat()
    assert queue.replay([dead, again]) == []
    assert queue.look_up([dead, again, newer]) == [None] * 3


def test_the_jobs_of_a_dead_worker_are_handed_out_again(place: Place, queue: JobQueue) -> None:
    """A worker that took orders and was not heard of again loses them to one that lives, which does them."""
    numbers = queue.submit([order(i) for i in range(3)])
    lost = place.desk()
    lost.beat()
    taken = lost.take(2)
    assert [one.claim.number for one in taken] == numbers[:2]
    with working(place.feed(), nothing):
        wait_until(lambda: set(states(queue, numbers)) == {JobState.DONE})
    assert [job(queue, number).attempts for number in numbers] == [2, 2, 1]
    assert job(queue, numbers[0]).reason == "The worker that did it died."


def test_a_worker_that_lives_keeps_its_jobs(place: Place, queue: JobQueue) -> None:
    """A job that takes longer than a worker may be silent stays with its worker, which goes on saying that it lives."""
    (number,) = queue.submit([order(1)])
    patience = Patience(beat_s=0.02, dead_s=0.3, poll_s=0.05)
    n_begun, silent = [0], threading.Event()

    def do(_: Order) -> None:
        n_begun[0] += 1
        silent.wait(1.0)

    with working(place.feed(patience), do), working(place.feed(patience), do):
        wait_until(lambda: job(queue, number).state is JobState.DONE)
    assert (n_begun, job(queue, number).attempts) == ([1], 1)


def test_what_is_not_ours_any_more_is_not_ours_to_end(place: Place, queue: JobQueue) -> None:
    """A worker that was taken for dead changes nothing about jobs that another has been handed since."""
    (number,) = queue.submit([order(1)])
    late = place.desk(Patience(dead_s=0.0))
    late.beat()
    (lost,) = late.take(1)
    assert late.held([lost.claim]) == {lost.claim}
    other, taken = place.desk(Patience(dead_s=0.0)), list[Handed]()
    wait_until(lambda: other.beat() is None and (taken.extend(other.take(1)) or bool(taken)))
    claims = [lost.claim, taken[0].claim]
    assert claims[0].number == claims[1].number == number
    assert late.held(claims) == other.held(claims) == {claims[1]}
    late.settle([Ended(number=number, state=JobState.DEAD, reason="It is late.")])
    assert job(queue, number).state is JobState.WORKING
    other.settle([Ended(number=number, state=JobState.DONE)])
    assert job(queue, number).state is JobState.DONE
    assert other.held(claims) == set()


def test_a_worker_that_lives_is_not_dead_to_itself(place: Place, queue: JobQueue) -> None:
    """However long ago it last said that it lives: a machine that slept, or whose clock was set, does nothing twice."""
    queue.submit([order(1)])
    desk = place.desk(Patience(dead_s=-1.0))
    desk.beat()
    (taken,) = desk.take(1)
    desk.beat()
    assert desk.held([taken.claim]) == {taken.claim}


def test_a_job_that_ends_every_worker_ends(place: Place, queue: JobQueue) -> None:
    """What was begun by so many workers that died is dead, and says so."""
    (number,) = queue.submit([order(1)])
    for _ in range(2):
        desk = place.desk(Patience(attempts=2, base_s=0.0, dead_s=0.0))
        wait_until(lambda desk=desk: desk.beat() is None and bool(desk.take(1)))  # type: ignore[misc]
    last = place.desk(Patience(attempts=2, dead_s=0.0))
    wait_until(lambda: last.beat() is None and job(queue, number).state is JobState.DEAD)
    assert "died" in job(queue, number).reason


def test_stopping_finishes_what_was_begun(place: Place, queue: JobQueue) -> None:
    """Told to stop, a worker ends what it is at, puts it on record, and begins nothing more."""
    numbers = queue.submit([order(i) for i in range(5)])
    begun, may_end = threading.Semaphore(0), threading.Event()

    def do(_: Order) -> None:
        begun.release()
        may_end.wait(DEADLINE_S)

    with working(place.feed(), do, concurrency=2) as stopping:
        assert begun.acquire(timeout=DEADLINE_S) and begun.acquire(timeout=DEADLINE_S)
        stopping.set()
        may_end.set()
    assert states(queue, numbers) == [JobState.DONE] * 2 + [JobState.WAITING] * 3
    desk = place.desk()
    desk.beat()
    assert len(desk.take(5)) == 3


def test_done_jobs_are_forgotten_in_time(place: Place, queue: JobQueue) -> None:
    """What was done long ago leaves the record; what is dead or waits stays."""
    done, dead = queue.submit([order("done"), order("dead")])

    def do(given: Order) -> None:
        if given == order("dead"):
            raise InputError("is no picture.")

    with working(place.feed(), do):
        wait_until(lambda: states(queue, [done, dead]) == [JobState.DONE, JobState.DEAD])
    (waits,) = queue.submit([order("waits")])
    place.desk(Patience(kept_s=-1.0)).beat()
    assert queue.look_up([done]) == [None]
    assert states(queue, [dead, waits]) == [JobState.DEAD, JobState.WAITING]


def test_a_queue_that_is_gone_says_so(tmp_path: Path) -> None:
    """Where there is no index there is no queue, and the error says what to do; no file is made."""
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(StoreNotFound, match="lookalike index FOLDER"):
            sqlite.open_queue(folder)
    assert list(tmp_path.iterdir()) == []
    with closing(File(tmp_path, ExitStack()).queue()) as queue:
        (tmp_path / ITEMS_FILE).unlink()
        with pytest.raises(StoreNotFound, match="lookalike index FOLDER"):
            queue.submit([Order(id="7", uri="7.png")])
