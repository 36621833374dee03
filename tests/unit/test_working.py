"""Orders done: what becomes of the item, of its vector, and of the ledger."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import (
    ImageError,
    InputError,
    NotReady,
    OutOfMemory,
    StoreError,
    StoreLocked,
    StoreSwitched,
    Unavailable,
)
from lookalike.orders import JobState, Order
from lookalike.places import ITEMS_FILE
from lookalike.queues import sqlite
from lookalike.queues.feed import Ended
from lookalike.queues.patience import Patience
from lookalike.queues.sqlite_desk import SqliteDesk
from lookalike.queues.sqlite_file import QueueFile
from lookalike.sources.pictures import PictureFinder
from lookalike.spaces import Space
from lookalike.store.memory import MemoryStore
from lookalike.types import Filter, Outcome, Rows
from lookalike.working import HostedEmbedding, Lending, Workplace, run_feed
from lookalike.working.indexing import Indexer
from lookalike.working.together import Together
from tests.pictures import picture, write

DEADLINE_S = 20.0


class CountingEmbedding:
    """A hosted model's part, played by a model without one; counts the pictures that it was asked for."""

    def __init__(self) -> None:
        self._embedder = Embedder(LocalVectorizer(FakeEncoder()))
        self._embedding = HostedEmbedding(self._embedder)
        self.space = self._embedder.space
        self.n = 0

    def __call__(self, data: bytes, item: str) -> tuple[Rows, Space]:
        self.n += 1
        return self._embedding(data, item)


@pytest.fixture
def embedding() -> CountingEmbedding:
    """What makes the vectors."""
    return CountingEmbedding()


@pytest.fixture
def store(embedding: CountingEmbedding) -> MemoryStore:
    """An empty store."""
    return MemoryStore(embedding.space)


@pytest.fixture
def place(store: MemoryStore, embedding: CountingEmbedding, tmp_path: Path) -> Workplace:
    """Where orders of pictures in `tmp_path` are done."""
    return Workplace(
        lend=partial(nullcontext, store), pictures=PictureFinder(tmp_path), embed=embedding, max_bytes=1 << 20
    )


def content(data: bytes) -> str:
    """What a picture's vector is filed under."""
    return hashlib.sha256(data).hexdigest()


def test_an_order_becomes_an_item(place: Workplace, store: MemoryStore, tmp_path: Path) -> None:
    """The item is as ordered, has its vector, and the ledger says that its file is stored as it is now."""
    write(tmp_path, {"red.png": picture("red")})
    Indexer(place)(Order(id="7", uri="red.png", project="p", caption="a dress", metadata={"size": "M"}))
    (item,) = store.items(Filter())
    assert (item.id, item.project, item.caption, item.metadata) == (
        "7",
        "p",
        "a dress",
        {"file_type": "png", "size": "M"},
    )
    assert (item.uri, item.content) == (str(tmp_path / "red.png"), content(picture("red")))
    assert store.search(store.vectors([item.content])[0][0], limit=1, where=Filter())[0][0].similarity > 0.999
    (entry,) = store.ledger.under("p", "")
    assert (entry.uri, entry.item_id, entry.outcome) == (item.uri, "7", Outcome.STORED)
    assert entry.stamp == place.pictures.find("red.png").stamp  # type: ignore[union-attr]


def test_equal_bytes_are_two_items_and_one_vector(
    place: Workplace, store: MemoryStore, embedding: CountingEmbedding, tmp_path: Path
) -> None:
    """A picture that is known already is stored without asking the model again."""
    write(tmp_path, {"a.png": picture("red"), "b.png": picture("red")})
    index = Indexer(place)
    for name in ("a", "b"):
        index(Order(id=name, uri=f"{name}.png"))
    assert [item.id for item in store.items(Filter())] == ["a", "b"]
    assert (store.stats().contents, embedding.n) == (1, 1)
    assert [entry.outcome for entry in store.ledger.under(None, "")] == [Outcome.STORED, Outcome.DUPLICATE]


def test_orders_in_flight_make_one_vector_for_each_content(
    place: Workplace, store: MemoryStore, tmp_path: Path
) -> None:
    """Many orders of few pictures at the same time are all stored, each content once."""
    write(tmp_path, {f"{i}.png": picture(("red", "green", "blue")[i % 3]) for i in range(60)})
    index = Indexer(place)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda i: index(Order(id=str(i), uri=f"{i}.png")), range(60)))
    assert len(list(store.items(Filter()))) == 60
    assert store.stats().contents == 3
    outcomes = [entry.outcome for entry in store.ledger.under(None, "")]
    assert len(outcomes) == 60 and set(outcomes) == {Outcome.STORED, Outcome.DUPLICATE}


def test_an_order_replaces_the_item(place: Workplace, store: MemoryStore, tmp_path: Path) -> None:
    """A second order of the same id takes its place, with all that it says, and forgets where the old picture lay."""
    write(tmp_path, {"old.png": picture("red"), "new.png": picture("blue")})
    index = Indexer(place)
    index(Order(id="7", uri="old.png", caption="old", metadata={"a": "b"}))
    index(Order(id="7", uri="new.png"))
    (item,) = store.items(Filter())
    assert (item.content, item.caption, dict(item.metadata)) == (
        content(picture("blue")),
        "",
        {"file_type": "png"},
    )
    assert [entry.uri for entry in store.ledger.under(None, "")] == [str(tmp_path / "new.png")]


def test_an_item_that_moves_takes_no_record_of_another_along(
    place: Workplace, store: MemoryStore, tmp_path: Path
) -> None:
    """Of two items of one file, what is on record of it is that of the last; an item that leaves takes its own only."""
    write(tmp_path, {"a.png": picture("red"), "b.png": picture("blue")})
    index = Indexer(place)
    first, second = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    index(Order(id="1", uri=first))
    index(Order(id="2", uri=first))
    index(Order(id="1", uri=second))
    assert store.ledger.known("default", [first])[first].item_id == "2"
    index(Order(id="2", uri=second))
    assert not store.ledger.known("default", [first])


def test_doing_an_order_twice_changes_nothing(
    place: Workplace, store: MemoryStore, embedding: CountingEmbedding, tmp_path: Path
) -> None:
    """What a worker did before it died is done again without harm, and without a second vector."""
    write(tmp_path, {"red.png": picture("red")})
    index, order = Indexer(place), Order(id="7", uri="red.png")
    index(order)
    before = list(store.items(Filter()))
    index(order)
    assert (list(store.items(Filter())), embedding.n) == (before, 1)
    assert [entry.outcome for entry in store.ledger.under(None, "")] == [Outcome.UNCHANGED]


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [("cut.png", picture("red")[:60], InputError), ("note.txt", b"hello", InputError), ("none.png", None, ImageError)],
)
def test_a_picture_that_cannot_be_used_is_on_record(
    place: Workplace, store: MemoryStore, tmp_path: Path, name: str, data: bytes | None, error: type[InputError]
) -> None:
    """A bad picture is an error of its order, and the ledger has it as failed with the reason."""
    write(tmp_path, {name: data} if data is not None else {})
    with pytest.raises(error) as caught:
        Indexer(place)(Order(id="7", uri=name))
    (entry,) = store.ledger.under(None, "")
    assert (entry.outcome, entry.item_id, entry.reason) == (Outcome.FAILED, "7", caught.value.reason)
    assert list(store.items(Filter())) == []


def test_too_little_memory_costs_no_item(place: Workplace, store: MemoryStore, tmp_path: Path) -> None:
    """A picture for which there is no memory now says nothing against itself: what is there by its name stays."""

    def short(data: bytes, item: str) -> tuple[Rows, Space]:
        raise OutOfMemory("There is too little memory to decode it now.", item=item)

    write(tmp_path, {"red.png": picture("red")})
    Indexer(place)(Order(id="7", uri="red.png"))
    write(tmp_path, {"red.png": picture("blue")})
    with pytest.raises(OutOfMemory):
        Indexer(replace(place, embed=short))(Order(id="7", uri="red.png"))
    assert len(list(store.items(Filter()))) == 1


def test_a_bad_replacement_leaves_the_item_unless_its_file_is_bad(
    place: Workplace, store: MemoryStore, tmp_path: Path
) -> None:
    """An order that fails changes nothing; but what was found by a picture that is broken now is found no more."""
    write(tmp_path, {"red.png": picture("red"), "bad.png": b"no picture"})
    index = Indexer(place)
    index(Order(id="7", uri="red.png"))
    with pytest.raises(InputError):
        index(Order(id="7", uri="bad.png"))
    assert len(list(store.items(Filter()))) == 1
    write(tmp_path, {"red.png": b"no picture"})
    with pytest.raises(InputError):
        index(Order(id="7", uri="red.png"))
    assert list(store.items(Filter())) == []


def test_what_is_the_matter_with_the_index_may_pass(place: Workplace, tmp_path: Path) -> None:
    """An order meets an index that cannot be written now: it is tried again, and its sentence says why."""
    write(tmp_path, {"red.png": picture("red")})

    def broken() -> nullcontext[MemoryStore]:
        raise StoreError("The index is away.")

    with pytest.raises(NotReady, match="The index is away") as caught:
        Indexer(replace(place, lend=broken))(Order(id="7", uri="red.png"))
    assert caught.value.retryable


class _Compacted(MemoryStore):
    """Another process gives back what no item uses, as soon as this one was told what is stored."""

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        found = super().vectors(contents)
        self.compact()
        return found


def test_a_compaction_beside_an_order_loses_nothing(
    place: Workplace, embedding: CountingEmbedding, tmp_path: Path
) -> None:
    """An owner who puts the first picture back has it, though its vector went after it was looked up."""
    store = _Compacted(embedding.space)
    index = Indexer(replace(place, lend=partial(nullcontext, store)))
    for color in ("red", "blue", "red"):
        write(tmp_path, {"a.png": picture(color)})
        index(Order(id="a", uri="a.png"))
    (item,) = store.items(Filter())
    assert item.content == content(picture("red"))
    assert store.vectors([item.content])[1] == [item.content]
    assert [entry.reason for entry in store.ledger.under(None, "")] == [""]


def test_a_vector_of_another_space_is_not_stored(place: Workplace, store: MemoryStore, tmp_path: Path) -> None:
    """A worker whose model is not the index's any more stores nothing and says what to do."""
    write(tmp_path, {"red.png": picture("red")})
    other = FakeEncoder(name="another").tower.space

    def embed(data: bytes, item: str) -> tuple[Rows, Space]:
        return place.embed(data, item)[0], other

    with pytest.raises(NotReady, match="start it again"):
        Indexer(replace(place, embed=embed))(Order(id="7", uri="red.png"))
    assert list(store.items(Filter())) == []


def test_a_feed_is_worked_off(place: Workplace, store: MemoryStore, tmp_path: Path) -> None:
    """Orders of a queue end done or dead, and the worker ends when it is told to, saying that it was told."""
    write(tmp_path, {"red.png": picture("red"), "bad.png": b"no picture"})
    write(tmp_path, {ITEMS_FILE: b""})
    queue = sqlite.open_queue(tmp_path)
    good, bad = queue.submit([Order(id="good", uri="red.png"), Order(id="bad", uri="bad.png")])
    stopping = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_feed, sqlite.open_feed(tmp_path), place, concurrency=4, stopping=stopping)
        wait_until_ended(queue, [good, bad])
        stopping.set()
        assert running.result(DEADLINE_S) is False
    first, second = queue.look_up([good, bad])
    assert first and (first.state, first.reason) == (JobState.DONE, "")
    assert second and second.state is JobState.DEAD and second.reason.startswith("bad: ")
    queue.close()


def wait_until_ended(queue: sqlite.SqliteQueue, numbers: Sequence[int]) -> None:
    """Fail if these jobs do not end."""
    ended = {JobState.DONE, JobState.DEAD}
    for _ in range(int(DEADLINE_S / 0.02)):
        if {job.state for job in queue.look_up(numbers) if job} <= ended:
            return
        threading.Event().wait(0.02)
    pytest.fail(f"{queue.look_up(numbers)}")


@pytest.mark.parametrize("found", [picture("red"), b"no picture any more"], ids=["good", "bad"])
def test_a_worker_that_stood_still_writes_nothing_old(
    place: Workplace, store: MemoryStore, tmp_path: Path, found: bytes
) -> None:
    """Taken for dead while it did an order, it leaves the item as a newer order has made it, even if its own fails."""
    write(tmp_path, {"red.png": found})
    write(tmp_path, {ITEMS_FILE: b""})
    queue = sqlite.open_queue(tmp_path)
    late, other = (SqliteDesk(QueueFile(tmp_path), Patience(dead_s=0.0)) for _ in range(2))
    queue.submit([Order(id="7", uri="red.png", caption="old")])
    late.beat()
    (handed,) = late.take(1)
    other.beat()
    other.settle([Ended(number=one.claim.number, state=JobState.DONE) for one in other.take(1)])

    def embed(data: bytes, item: str) -> tuple[Rows, Space]:
        write(tmp_path, {"red.png": picture("blue")})
        Indexer(place)(Order(id="7", uri="red.png", caption="new"))
        return place.embed(data, item)

    with pytest.raises(NotReady, match="stood still"):
        Indexer(replace(place, embed=embed), held=late.held)(handed.order, handed.claim)
    (item,) = store.items(Filter())
    assert (item.caption, item.content) == ("new", content(picture("blue")))
    for desk in (late, other):
        desk.leave()
    queue.close()


def test_a_switched_index_ends_the_worker(place: Workplace, tmp_path: Path) -> None:
    """A worker whose index was switched to another space ends by itself, and the order waits for the next."""
    write(tmp_path, {"red.png": picture("red")})

    def switched() -> nullcontext[MemoryStore]:
        raise StoreSwitched("Another space is searched now.")

    write(tmp_path, {ITEMS_FILE: b""})
    queue = sqlite.open_queue(tmp_path)
    (number,) = queue.submit([Order(id="7", uri="red.png")])
    feed = sqlite.open_feed(tmp_path, Patience(base_s=3600.0))
    assert run_feed(feed, replace(place, lend=switched), concurrency=1, stopping=threading.Event()) is True
    (job,) = queue.look_up([number])
    assert job and (job.state, job.reason) == (JobState.WAITING, "Another space is searched now.")
    queue.close()


class Lent(MemoryStore):
    """A store that knows whether it is open."""

    is_open = True

    def close(self) -> None:
        """Let go."""
        self.is_open = False


def test_a_lent_store_is_open_while_somebody_uses_it(embedding: CountingEmbedding) -> None:
    """Users share one store, it is closed after the last, and the next one has it opened again."""
    opened: list[Lent] = []

    def open_store() -> Lent:
        opened.append(Lent(embedding.space))
        return opened[-1]

    lend = Lending(open_store, threading.Event())
    with lend() as first:
        with lend() as second:
            assert first is second
        assert opened[0].is_open
    assert not opened[0].is_open
    with lend() as third:
        assert third is opened[1] and opened[1].is_open


def test_who_is_lent_a_store_waits_for_its_writer(embedding: CountingEmbedding) -> None:
    """While another process writes the order waits; when there is no more time it is refused with that sentence."""
    stopping, tried = threading.Event(), threading.Event()

    def open_store() -> Lent:
        tried.set()
        raise StoreLocked("Another process writes.")

    def borrow() -> None:
        with Lending(open_store, stopping)():
            pass

    with ThreadPoolExecutor(1) as pool:
        borrowing = pool.submit(borrow)
        assert tried.wait(DEADLINE_S)
        assert not borrowing.done()
        stopping.set()
        assert isinstance(borrowing.exception(DEADLINE_S), StoreLocked)


def test_calls_that_come_together_are_made_together() -> None:
    """While one call is made the next ones gather, and each gets its own result."""
    begun, may_end, sizes = threading.Event(), threading.Event(), list[int]()

    def double(numbers: Sequence[int]) -> list[int | InputError]:
        sizes.append(len(numbers))
        begun.set()
        may_end.wait(DEADLINE_S)
        return [2 * number for number in numbers]

    together = Together(double, most=4)
    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(together, 0)
        assert begun.wait(DEADLINE_S)
        rest = [pool.submit(together, number) for number in range(1, 10)]
        while len(together._waiting) < 9:
            threading.Event().wait(0.001)
        may_end.set()
        assert [call.result(DEADLINE_S) for call in (first, *rest)] == [2 * number for number in range(10)]
    assert sizes[0] == 1 and sorted(sizes[1:]) == [1, 4, 4]


def test_one_bad_call_spoils_no_other() -> None:
    """An InputError is found out and told to its caller alone; any other error is everybody's."""

    def check(numbers: Sequence[int]) -> list[int | InputError]:
        if 3 in numbers:
            raise InputError("three")
        if 4 in numbers:
            raise Unavailable("four", provider="x")
        return list(numbers)

    together, ready = Together(check, most=8), threading.Barrier(3)

    def call(number: int) -> int:
        ready.wait(DEADLINE_S)
        return together(number)

    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(call, number) for number in (1, 2, 3)]
        assert [one.result(DEADLINE_S) for one in calls[:2]] == [1, 2]
        assert isinstance(calls[2].exception(DEADLINE_S), InputError)
    with pytest.raises(Unavailable):
        together(4)
