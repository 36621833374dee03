"""What every source keeps to: folders, buckets, and rows of a table whose pictures are in a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import InputError, TooLarge
from lookalike.ingest import Ingest, Target
from lookalike.places import Address
from lookalike.ports import Source
from lookalike.sources.folder import FolderSource
from lookalike.sources.objects import ObjectName
from lookalike.sources.pictures import PictureFinder
from lookalike.sources.prefix import BucketSource
from lookalike.sources.rows import RowSource
from lookalike.store.memory import MemoryStore
from lookalike.survey import survey
from lookalike.types import Filter, Outcome, SourceObject
from tests.buckets import Bucket
from tests.pictures import noise, picture, write
from tests.postgres import NewDatabase

AWKWARD = ["a b.png", "ü.png", "100%41.png", "a#b.png", "what?.png", "a+b.png", "A.PNG", "~[x].png", "back\\slash.png"]


@dataclass(frozen=True)
class Place:
    """Somewhere that pictures are.

    Attributes:
        put: Puts pictures there, by name.
        take: Takes one away for good.
        vanish: Takes the bytes of one away behind the back of whatever lists them.
        open: A source over all of it.
    """

    put: Callable[[Mapping[str, bytes]], None]
    take: Callable[[str], None]
    vanish: Callable[[str], None]
    open: Callable[[], Source]

    def names(self) -> list[str]:
        source = self.open()
        return [obj.uri.removeprefix(source.prefix) for obj in source.objects()]


def folder_place(folder: Path) -> Place:
    def put(files: Mapping[str, bytes]) -> None:
        write(folder, dict(files))

    def take(name: str) -> None:
        (folder / name).unlink()

    return Place(put, take, take, lambda: FolderSource(folder))


def bucket_place(bucket: Bucket) -> Place:
    root = f"{bucket.place}shop/"

    def put(files: Mapping[str, bytes]) -> None:
        bucket.put({f"shop/{name}": data for name, data in files.items()})

    def take(name: str) -> None:
        bucket.delete(f"shop/{name}")

    return Place(put, take, take, lambda: BucketSource(root, bucket.client))


def table_place(bucket: Bucket, url: Address, connection: Any) -> Place:
    connection.execute("CREATE TABLE photos (sku text PRIMARY KEY, storage_path text, updated_at timestamptz)")

    def put(files: Mapping[str, bytes]) -> None:
        bucket.put(files)
        for name in files:
            connection.execute(
                "INSERT INTO photos VALUES (%s, %s, clock_timestamp()) ON CONFLICT (sku) DO UPDATE "
                "SET updated_at = clock_timestamp()",
                (name, name),
            )

    def take(name: str) -> None:
        connection.execute("DELETE FROM photos WHERE sku = %s", (name,))

    def opened() -> Source:
        root = ObjectName.of(bucket.place)
        assert root is not None
        return RowSource(url, "photos", {"uri": ["storage_path"]}, PictureFinder(root, buckets=bucket.client))

    return Place(put, take, bucket.delete, opened)


@pytest.fixture(params=["folder", "bucket", "table"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield folder_place(tmp_path)
        return
    bucket: Bucket = request.getfixturevalue("bucket")
    if request.param == "bucket":
        yield bucket_place(bucket)
        return
    import psycopg

    new_database: NewDatabase = request.getfixturevalue("new_database")
    url = Address(new_database().reveal())
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        yield table_place(bucket, url, connection)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(FakeEncoder().tower.space)


@pytest.fixture
def target(store: MemoryStore) -> Target:
    embedder = Embedder(LocalVectorizer(FakeEncoder()))
    return Target(store=store, ledger=store.ledger, embedder=embedder, threads=2)


def test_it_lists_what_may_be_a_picture_in_a_stable_order(place: Place) -> None:
    """Twice the same, each under the prefix; how many were passed over is known."""
    place.put({"b.png": b"x", "a.png": b"x", "sub/c.JPG": b"x"})
    assert place.names() == ["a.png", "b.png", "sub/c.JPG"]
    source = place.open()
    assert list(source.objects()) == list(source.objects())
    assert all(obj.uri.startswith(source.prefix) for obj in source.objects())
    assert source.prefix.endswith("/")


def test_awkward_names_are_names(place: Place) -> None:
    """What is listed is read, whatever its name is spelled with."""
    place.put({name: name.encode() for name in AWKWARD})
    source = place.open()
    found = {obj.uri.removeprefix(source.prefix): source.read(obj, max_bytes=100) for obj in source.objects()}
    assert found == {name: name.encode() for name in AWKWARD}


def test_the_stamp_changes_when_the_picture_does(place: Place) -> None:
    """And at no other time: neither when it is read, nor when another comes."""
    place.put({"a.png": b"one"})
    source = place.open()
    (before,) = source.objects()
    assert before.stamp
    assert source.read(before, max_bytes=3) == b"one"
    place.put({"b.png": b"x"})
    assert next(iter(source.objects())) == before
    place.put({"a.png": b"two!"})
    assert next(iter(source.objects())).stamp != before.stamp


def test_reading_stops_at_the_budget(place: Place) -> None:
    """A picture over the budget is refused with both numbers."""
    place.put({"a.png": bytes(100)})
    source = place.open()
    (obj,) = source.objects()
    assert source.read(obj, max_bytes=100) == bytes(100)
    with pytest.raises(TooLarge) as caught:
        source.read(obj, max_bytes=99)
    assert (caught.value.actual, caught.value.limit) == (100, 99)


def test_what_vanished_between_listing_and_reading_is_told(place: Place) -> None:
    """It is that object's error, with a sentence."""
    place.put({"a.png": b"x", "b.png": b"y"})
    source = place.open()
    first, second = source.objects()
    place.vanish("a.png")
    with pytest.raises(InputError, match=r"a\.png: .+\.$"):
        source.read(first, max_bytes=10)
    assert source.read(second, max_bytes=10) == b"y"


def test_a_place_that_is_empty_of_a_sudden_is_doubted(place: Place) -> None:
    """It may be that it cannot be seen: the listing does not vouch that everything is gone."""
    place.put({"a.png": b"x"})
    source = place.open()
    assert list(source.objects())
    assert not source.unsure()
    place.take("a.png")
    assert not list(source.objects())
    assert source.unsure() == (source.prefix,)


def test_what_was_stored_after_the_listing_stays(
    place: Place, target: Target, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs at once: the one does not remove what the other has added, since the source still has it."""
    place.put({"a.png": noise(1), "b.png": noise(2)})
    Ingest(target).run([place.open()])
    source = place.open()
    listed = source.objects

    def overtaken() -> Iterator[SourceObject]:
        yield from listed()
        place.put({"late.png": noise(3)})
        Ingest(target).run([place.open()])

    monkeypatch.setattr(source, "objects", overtaken)
    assert Ingest(target).run([source]).counts == {Outcome.UNCHANGED: 2}
    assert [item.uri.rpartition("/")[2] for item in store.items(Filter())] == ["a.png", "b.png", "late.png"]


def test_a_second_run_does_what_is_new_changed_and_gone(place: Place, target: Target, store: MemoryStore) -> None:
    """Nothing else is read again; what is not there any more is not found any more."""
    place.put({"a.png": noise(1), "b.png": noise(2), "c.png": noise(3), "d.png": noise(3), "e.png": b"no picture"})
    first = Ingest(target).run([place.open()])
    assert first.counts == {Outcome.STORED: 3, Outcome.DUPLICATE: 1, Outcome.FAILED: 1}
    place.put({"a.png": picture("red"), "f.png": noise(4)})
    place.take("b.png")
    told = survey([place.open()], target)
    second = Ingest(target).run([place.open()])
    assert second.counts == {Outcome.STORED: 2, Outcome.UNCHANGED: 2, Outcome.FAILED: 1, Outcome.REMOVED: 1}
    assert told.counts == second.counts
    assert second.n_bytes == len(picture("red") + noise(4) + b"no picture")
    names = [item.uri.rpartition("/")[2] for item in store.items(Filter())]
    assert names == ["a.png", "c.png", "d.png", "f.png"]
