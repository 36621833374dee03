"""Ingest: every object ends with an outcome, every content is embedded once, and any run can go on."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL.Image import Image

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import ImageError, InputError, OutOfMemory, SpaceMismatch
from lookalike.ingest import CHUNK_BYTES, Ingest, Target, chunked_by_bytes
from lookalike.progress import Progress, Report
from lookalike.sources.folder import FolderSource
from lookalike.store.memory import MemoryStore
from lookalike.survey import survey
from lookalike.types import Filter, Item, Outcome, Pixels, Rows, SourceObject
from tests.pictures import noise, picture, write


class CountingEncoder(FakeEncoder):
    """Counts how many pictures it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.n_images = 0
        self._lock = threading.Lock()

    def encode_images(self, pixels: Pixels) -> Rows:
        with self._lock:
            self.n_images += len(pixels)
        return super().encode_images(pixels)


class Bench:
    """A store, a counting encoder, and a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.encoder = CountingEncoder()
        self.store = MemoryStore(self.encoder.tower.space)
        self.target = Target(
            store=self.store, ledger=self.store.ledger, embedder=Embedder(LocalVectorizer(self.encoder)), threads=2
        )

    def run(self, *folders: Path) -> Report:
        return Ingest(self.target).run([FolderSource(folder) for folder in folders or (self.folder,)])

    def names(self) -> list[str]:
        return [os.path.relpath(item.uri, self.folder) for item in self.store.items(Filter())]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_folder_becomes_items_with_their_own_vectors(bench: Bench) -> None:
    """More pictures than fit into the window, each stored with the vector of its own bytes."""
    write(bench.folder, {f"{seed:03}.png": noise(seed) for seed in range(150)})
    report = bench.run()
    assert report.counts == {Outcome.STORED: 150}
    items = list(bench.store.items(Filter()))
    rows, contents = bench.store.vectors([item.content for item in items])
    assert contents == [item.content for item in items]
    expected = bench.target.embedder.embed_images([item.uri for item in items]).values
    np.testing.assert_allclose(rows, expected, atol=2e-3)  # a store keeps float16


def test_equal_bytes_are_embedded_once_and_every_item_is_kept(bench: Bench) -> None:
    """Ten files may hold one picture: ten items, one embedding, also when they are far apart in the listing."""
    files = {f"{place:03}.png": noise(place % 7) for place in range(100)}
    report = bench.run(write(bench.folder, files))
    assert report.counts == {Outcome.STORED: 7, Outcome.DUPLICATE: 93}
    assert bench.encoder.n_images == 7
    assert bench.store.stats().items == 100
    assert bench.store.stats().contents == 7


def test_a_second_run_does_nothing(bench: Bench) -> None:
    """What is stored as it is now is neither read nor embedded again."""
    write(bench.folder, {f"{seed}.png": noise(seed % 3) for seed in range(9)})
    bench.run()
    before = bench.encoder.n_images
    report = bench.run()
    assert report.counts == {Outcome.UNCHANGED: 9}
    assert report.n_bytes == 0
    assert bench.encoder.n_images == before


def test_changed_new_and_removed_files_are_noticed(bench: Bench) -> None:
    """A changed file has its new vector, a new one is added, one that is gone is not found any more."""
    write(bench.folder, {"a.png": picture("red"), "b.png": picture("green"), "c.png": picture("blue")})
    bench.run()
    write(bench.folder, {"a.png": picture("yellow"), "d.png": picture("white")})
    (bench.folder / "b.png").unlink()
    report = bench.run()
    assert report.counts == {Outcome.STORED: 2, Outcome.UNCHANGED: 1, Outcome.REMOVED: 1}
    assert bench.names() == ["a.png", "c.png", "d.png"]
    (item,) = bench.store.get([("default", (bench.folder / "a.png").as_posix())])
    assert item is not None
    rows, _ = bench.store.vectors([item.content])
    np.testing.assert_allclose(rows, bench.target.embedder.embed_images([picture("yellow")]).values, atol=2e-3)


def test_touched_but_equal_files_are_not_embedded_again(bench: Bench) -> None:
    """A new modification time alone costs one read, not an embedding."""
    write(bench.folder, {"a.png": noise(1)})
    bench.run()
    os.utime(bench.folder / "a.png", ns=(1, 1))
    assert bench.run().counts == {Outcome.UNCHANGED: 1}
    assert bench.encoder.n_images == 1
    report = bench.run()
    assert (report.counts, report.n_bytes) == ({Outcome.UNCHANGED: 1}, 0)


def test_what_a_file_says_of_itself_follows_it(bench: Bench) -> None:
    """Its kind is a fact of the item, and changes with the file; what its owner says of it stays."""
    write(bench.folder, {"a.png": picture("red"), "b.png": picture("blue")})
    bench.run()
    (key,) = [(item.project, item.id) for item in bench.store.items(Filter()) if item.id.endswith("a.png")]
    (item,) = bench.store.get([key])
    assert item is not None and item.metadata == {"file_type": "png"}
    bench.store.add([replace(item, metadata={**item.metadata, "room": "hall"})], [], np.empty((0, 48), np.float32))
    write(bench.folder, {"a.png": picture("red", kind="JPEG")})
    bench.run()
    (item,) = bench.store.get([key])
    assert item is not None and item.metadata == {"file_type": "jpeg", "room": "hall"}


def test_bad_files_are_listed_with_reasons_and_the_rest_goes_on(bench: Bench) -> None:
    """Every broken file has an entry with its name and a sentence; every good one is stored."""
    good = {f"good{seed}.png": noise(seed) for seed in range(40)}
    bad = {f"bad{seed}.png": noise(100 + seed)[: 50 + seed] for seed in range(20)} | {
        "empty.jpg": b"",
        "t.jpg": b"text",
    }
    report = bench.run(write(bench.folder, good | bad))
    assert report.counts == {Outcome.STORED: 40, Outcome.FAILED: 22}
    assert {os.path.relpath(entry.uri, bench.folder) for entry in report.failures} == set(bad)
    assert all(entry.reason.endswith(".") or entry.reason.endswith(")") for entry in report.failures)
    assert sorted(bench.names()) == sorted(good)


def test_copies_of_a_bad_file_are_all_listed(bench: Bench) -> None:
    """The second copy is not a duplicate of something that was never stored."""
    report = bench.run(write(bench.folder, {f"{place:03}.png": b"broken" for place in range(50)}))
    assert report.counts == {Outcome.FAILED: 50}
    assert bench.encoder.n_images == 0


def test_failures_are_tried_again(bench: Bench) -> None:
    """A file that was broken and is whole now is stored, even if its stamp did not change."""
    path = write(bench.folder, {"a.png": noise(1)[:60]}) / "a.png"
    stamp = path.stat()
    assert bench.run().counts == {Outcome.FAILED: 1}
    path.write_bytes(noise(1))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert bench.run().counts == {Outcome.STORED: 1}


def test_a_picture_that_broke_is_not_found_any_more(bench: Bench) -> None:
    """A file that was good and is damaged now must not be found by what it was."""
    write(bench.folder, {"a.png": noise(1), "b.png": noise(2)})
    bench.run()
    write(bench.folder, {"a.png": b"damaged"})
    assert bench.run().counts == {Outcome.FAILED: 1, Outcome.UNCHANGED: 1}
    assert bench.names() == ["b.png"]


def test_an_empty_folder_does_not_wipe_the_index(bench: Bench) -> None:
    """A drive that is not mounted looks like an empty folder: items are kept, and a warning says so."""
    folder = write(bench.folder / "drive", {"a.png": noise(1), "b.png": noise(2), "failed.png": b"x"})
    bench.run(folder)
    for path in folder.iterdir():
        path.unlink()
    report = bench.run(folder)
    assert report.counts == {}
    assert "2 are indexed from it" in report.warnings[0]
    assert "lookalike forget" in report.warnings[0]
    assert bench.store.stats().items == 2


def test_one_folder_never_removes_what_belongs_to_another(bench: Bench) -> None:
    """Removal is by the source's own prefix, and only in its project."""
    write(bench.folder, {"photos/a.png": noise(1), "photos2/b.png": noise(2)})
    bench.run()
    (bench.folder / "photos/a.png").unlink()
    write(bench.folder, {"photos/c.png": noise(3)})
    report = bench.run(bench.folder / "photos")
    assert report.counts == {Outcome.STORED: 1, Outcome.REMOVED: 1}
    assert bench.names() == ["photos/c.png", "photos2/b.png"]


def test_files_and_folders_may_overlap(bench: Bench) -> None:
    """A folder, its own subfolder and one of its files: each picture is stored once."""
    write(bench.folder, {"a.png": noise(1), "sub/b.png": noise(2)})
    report = bench.run(bench.folder, bench.folder / "sub", bench.folder / "a.png")
    assert report.counts == {Outcome.STORED: 2, Outcome.UNCHANGED: 2}


def test_a_store_of_another_space_is_refused() -> None:
    """Not one vector is made before that."""
    encoder = FakeEncoder()
    store = MemoryStore(FakeEncoder(name="other").tower.space)
    with pytest.raises(SpaceMismatch, match="Indexing"):
        Ingest(Target(store=store, ledger=store.ledger, embedder=Embedder(LocalVectorizer(encoder))))


def test_progress_adds_up(bench: Bench) -> None:
    """Progress only grows, and ends where the report does."""
    write(bench.folder, {f"{seed}.png": noise(seed) for seed in range(40)} | {"bad.png": b"x"})
    seen: list[Progress] = []
    report = Ingest(bench.target).run([FolderSource(bench.folder)], on_progress=seen.append)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert seen[-1].done == 41
    assert dict(seen[-1].counts) == dict(report.counts)
    assert seen[-1].n_bytes == report.n_bytes == sum(path.stat().st_size for path in bench.folder.iterdir())


def test_an_item_that_lies_elsewhere_by_now_stays(bench: Bench) -> None:
    """Its id was given to another picture: what is on record of the old place goes, the item does not."""
    write(bench.folder, {"old.png": noise(1), "new.png": noise(2), "other.png": noise(3)})
    bench.run()
    moved, other = (bench.folder / name for name in ("new.png", "other.png"))
    (item,) = bench.store.get([("default", str(moved))])
    assert item is not None
    bench.store.add([replace(item, id="42")], [], np.empty((0, bench.store.space.dim), np.float32))
    entries = bench.store.ledger.known("default", [str(moved), str(other)])
    bench.store.delete([("default", str(moved)), ("default", str(other))])
    gone = {"old.png": Outcome.STORED, "typo.png": Outcome.FAILED}
    bench.store.ledger.record(
        [
            replace(entries[str(moved)], item_id="42"),
            *(
                replace(entries[str(moved)], item_id="42", uri=str(bench.folder / name), outcome=outcome)
                for name, outcome in gone.items()
            ),
        ]
    )
    (bench.folder / "old.png").unlink()
    assert bench.run().counts[Outcome.REMOVED] == 0
    assert bench.store.get([("default", "42")]) == [replace(item, id="42")]
    assert not bench.store.ledger.known("default", [str(bench.folder / name) for name in gone])


def test_every_item_of_a_file_goes_with_it(bench: Bench) -> None:
    """Those too that the ledger does not know of: it has one entry for a file. A dry run counts them as well."""
    write(bench.folder, {"one.png": noise(1), "two.png": noise(2)})
    bench.run()
    (item,) = bench.store.get([("default", str(bench.folder / "one.png"))])
    assert item is not None
    siblings = [replace(item, id="sibling"), replace(item, id="foreign", project="other")]
    bench.store.add(siblings, [], np.empty((0, bench.store.space.dim), np.float32))
    (bench.folder / "one.png").unlink()
    assert survey([FolderSource(bench.folder)], bench.target).counts[Outcome.REMOVED] == 2
    assert bench.run().counts[Outcome.REMOVED] == 2
    assert {item.id for item in bench.store.items(Filter())} == {"foreign", str(bench.folder / "two.png")}


def test_what_a_walk_passes_over_is_not_gone(bench: Bench) -> None:
    """A hidden file, one whose name promises no picture, and what lies behind a link, once it was named itself."""
    elsewhere = bench.folder / "drive"
    album = bench.folder / "album"
    write(elsewhere, {"a.png": noise(1)})
    write(album, {".hidden/b.png": noise(2), "scan": noise(3), "c.png": noise(4)})
    (album / "nas").symlink_to(elsewhere)
    bench.run(album / ".hidden", album / "scan", album / "nas", album)
    before = bench.names()
    assert len(before) == 4
    assert bench.run(album).counts == {Outcome.UNCHANGED: 1}
    (elsewhere / "a.png").unlink()  # nobody knows whether it is gone: the walk does not look behind links
    assert bench.run(album).counts == {Outcome.UNCHANGED: 1}
    assert bench.names() == before
    (album / "scan").unlink()
    assert bench.run(album).counts == {Outcome.UNCHANGED: 1, Outcome.REMOVED: 1}


class _Choosy(MemoryStore):
    """Refuses some items, as a table with conditions of its own does."""

    def add(self, items: Sequence[Item], contents: Sequence[str], vectors: Rows) -> None:
        for item in items:
            if "bad" in item.id:
                raise InputError("breaks a condition of the table.", item=item.id)
        super().add(items, contents, vectors)


def test_what_the_store_refuses_is_listed_and_the_rest_goes_on(bench: Bench) -> None:
    """One item that cannot be stored does not keep the others out, not even one with the same bytes."""
    bench.store = _Choosy(bench.encoder.tower.space)
    bench.target = replace(bench.target, store=bench.store, ledger=bench.store.ledger)
    write(bench.folder, {f"{seed:02}.png": noise(seed) for seed in range(20)})
    write(bench.folder, {"05-bad.png": noise(50), "06-same.png": noise(50), "19-bad.png": noise(3)})
    assert bench.run().counts == {Outcome.STORED: 20, Outcome.DUPLICATE: 1, Outcome.FAILED: 2}
    assert len(bench.names()) == 21
    uri = str(bench.folder / "05-bad.png")
    assert bench.store.ledger.known("default", [uri])[uri].reason == "breaks a condition of the table."
    assert bench.run().counts == {Outcome.UNCHANGED: 21, Outcome.FAILED: 2}


class _Compacted(MemoryStore):
    """Another process gives back what no item uses, as soon as this one was told what is stored."""

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        found = super().vectors(contents)
        self.compact()
        return found


def test_a_compaction_beside_a_run_loses_nothing(bench: Bench) -> None:
    """Pictures whose vectors were stored when they were looked up, and no more when written, are embedded again."""
    bench.store = _Compacted(bench.encoder.tower.space)
    bench.target = replace(bench.target, store=bench.store, ledger=bench.store.ledger)
    write(bench.folder, {f"{n:03}.png": noise(n % 70) for n in range(100)})
    bench.run()
    items = list(bench.store.items(Filter()))
    bench.store.ledger.forget("default", [item.uri for item in items])
    bench.store.delete([(item.project, item.id) for item in items])
    write(bench.folder, {"050.png": b"no picture", "new.png": noise(100)})
    report = bench.run()
    assert report.counts == {Outcome.STORED: 70, Outcome.DUPLICATE: 30, Outcome.FAILED: 1}
    assert len(bench.names()) == 100
    assert bench.store.vectors([item.content for item in bench.store.items(Filter())])[0].shape == (100, 48)


def test_an_interrupted_run_goes_on(bench: Bench) -> None:
    """What was recorded stays; the next run does the rest and nothing twice."""
    write(bench.folder, {f"{seed:03}.png": noise(seed) for seed in range(120)})

    def interrupt(progress: Progress) -> None:
        if progress.done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Ingest(bench.target).run([FolderSource(bench.folder)], on_progress=interrupt)
    stored = bench.store.stats().items
    assert 40 <= stored < 120
    report = bench.run()
    assert report.counts == {Outcome.STORED: 120 - stored, Outcome.UNCHANGED: stored}
    assert bench.store.stats().items == 120


def test_a_kill_between_store_and_ledger_repeats_nothing(bench: Bench) -> None:
    """An item whose outcome was never recorded is recognised, not embedded or stored twice."""
    write(bench.folder, {"a.png": noise(1), "b.png": noise(1), "c.png": noise(2)})
    bench.run()
    uris = [item.uri for item in bench.store.items(Filter())]
    bench.store.ledger.forget("default", uris)
    report = bench.run()
    assert report.counts == {Outcome.UNCHANGED: 3}
    assert bench.encoder.n_images == 2
    assert bench.store.stats().items == 3


def test_a_survey_says_what_a_run_would_do_and_writes_nothing(bench: Bench) -> None:
    """New, duplicate, unchanged and bad objects are told as the run then finds them."""
    write(bench.folder, {"a.png": noise(1), "old.png": noise(2)})
    bench.run()
    write(bench.folder, {"b.png": noise(1), "c.png": noise(3), "d.png": noise(3), "e.png": b"bad", "f.png": b"bad"})
    before = bench.store.stats()
    (bench.folder / "old.png").unlink()
    told = survey([FolderSource(bench.folder), FolderSource(bench.folder)], bench.target)
    assert told.counts == {
        Outcome.STORED: 1,
        Outcome.DUPLICATE: 2,
        Outcome.UNCHANGED: 1 + 6,
        Outcome.FAILED: 2,
        Outcome.REMOVED: 2,
    }
    assert {Path(uri).name for uri, _ in told.failures} == {"e.png", "f.png"}
    assert told.vector_bytes == 2 * bench.encoder.tower.space.dim
    assert told.n_bytes == sum((bench.folder / f"{name}.png").stat().st_size for name in "bcdef")
    assert bench.store.stats() == before
    once = bench.run()
    assert once.counts == told.counts - Counter({Outcome.UNCHANGED: 6, Outcome.REMOVED: 1})


def test_projects_are_apart(bench: Bench) -> None:
    """The same file in two projects is two items over one content."""
    write(bench.folder, {"a.png": noise(1)})
    bench.run()
    target = Target(store=bench.store, ledger=bench.store.ledger, embedder=bench.target.embedder, project="other")
    assert Ingest(target).run([FolderSource(bench.folder)]).counts == {Outcome.DUPLICATE: 1}
    assert dict(bench.store.stats().projects) == {"default": 1, "other": 1}
    assert bench.encoder.n_images == 1


def test_an_empty_subfolder_keeps_its_items(bench: Bench) -> None:
    """A drive that is mounted below the root looks like an empty subfolder when it is not."""
    write(bench.folder, {"a.png": noise(1), "drive/b.png": noise(2), "gone/c.png": noise(3)})
    bench.run()
    (bench.folder / "drive/b.png").unlink()
    (bench.folder / "gone/c.png").unlink()
    (bench.folder / "gone").rmdir()
    report = bench.run()
    assert report.counts == {Outcome.UNCHANGED: 1, Outcome.REMOVED: 1}
    assert "drive/ shows no pictures now, and 1 are" in report.warnings[0]
    assert bench.names() == ["a.png", "drive/b.png"]


class _Flaky(FolderSource):
    """A disk that fails for a moment."""

    def read(self, obj: SourceObject, *, max_bytes: int) -> bytes:
        raise ImageError("cannot be read: Input/output error.", item=obj.uri)


def test_an_item_that_cannot_be_read_for_a_moment_stays(bench: Bench) -> None:
    """An error of the disk says nothing about the picture: it fails, is told, and is still found."""
    path = write(bench.folder, {"a.png": noise(1)}) / "a.png"
    bench.run()
    os.utime(path, ns=(1, 1))
    assert Ingest(bench.target).run([_Flaky(bench.folder)]).counts == {Outcome.FAILED: 1}
    assert bench.names() == ["a.png"]
    assert bench.run().counts == {Outcome.UNCHANGED: 1}


class _Short(CountingEncoder):
    """A machine whose memory is full."""

    def prepare_image(self, image: Image) -> Pixels:
        raise OutOfMemory("There is too little memory to decode it now.")


def test_too_little_memory_costs_no_item(bench: Bench) -> None:
    """A picture for which there was no memory is told as failed, is still found, and is tried again by the next run."""
    write(bench.folder, {"a.png": noise(1)})
    bench.run()
    write(bench.folder, {"a.png": noise(2), "b.png": noise(3), "c.png": noise(3)})
    short = replace(bench.target, embedder=Embedder(LocalVectorizer(_Short())))
    report = Ingest(short).run([FolderSource(bench.folder)])
    assert report.counts == {Outcome.FAILED: 3}
    assert {entry.reason for entry in report.failures} == {"There is too little memory to decode it now."}
    assert bench.names() == ["a.png"]
    assert bench.run().counts == {Outcome.STORED: 2, Outcome.DUPLICATE: 1}


def test_what_is_in_flight_is_bounded_by_bytes() -> None:
    """A chunk ends at its bytes as well as at its number; one larger object goes alone."""
    sizes = [1, CHUNK_BYTES, 1, CHUNK_BYTES - 1, 5, 3 * CHUNK_BYTES, *[0] * 40]
    objects = [SourceObject(uri=str(place), stamp="", n_bytes=size) for place, size in enumerate(sizes)]
    chunks = list(chunked_by_bytes(objects))
    assert [obj for chunk in chunks for obj in chunk] == objects
    assert [len(chunk) for chunk in chunks] == [1, 1, 2, 1, 1, 16, 16, 8]
