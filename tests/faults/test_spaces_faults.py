"""Changing the model of an index while processes are killed and others search, with real processes and real stores."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from lookalike.app import create_store, open_store
from lookalike.beside import open_filling, open_spaces
from lookalike.changing import Terms, fill
from lookalike.chunks import chunked
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import StoreCorrupt, StoreError
from lookalike.ingest import Ingest, Target
from lookalike.places import SPACES_FILE, Address, Place, place_of
from lookalike.sources.folder import FolderSource
from lookalike.sources.pictures import PictureFinder
from lookalike.types import Filter, Item
from lookalike.vectors import normalise
from tests.pictures import noise, write
from tests.postgres import NewDatabase

ALL = Filter()
N, N_KILLS, N_SWITCHES = 160, 2, 20

BEFORE = Embedder(LocalVectorizer(FakeEncoder(name="before")))
AFTER = Embedder(LocalVectorizer(FakeEncoder(name="after")))

FILLER = """
import sys
from pathlib import Path
from lookalike.beside import open_filling
from lookalike.changing import Terms, fill
from lookalike.chunks import chunked
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.places import place_of
from lookalike.sources.pictures import PictureFinder

with open_filling(place_of(sys.argv[1]), 2) as filling:
    terms = Terms(threads=1, on_progress=lambda progress: print(progress.done, flush=True))
    fill(filling, PictureFinder(Path()), Embedder(LocalVectorizer(FakeEncoder(name="after"))), terms)
    print("done", flush=True)
"""

READER = """
import sys
import numpy as np
from lookalike.app import open_store
from lookalike.errors import StoreSwitched
from lookalike.places import place_of
from lookalike.store.postgres import watch
from lookalike.types import Filter

watch.NOTICE_S = 0.0
while True:
    with open_store(place_of(sys.argv[1])) as store:
        query = np.eye(1, store.space.dim, dtype=np.float32)[0]
        try:
            while True:
                found, considered = store.search(query, limit=3, where=Filter())
                print(store.space.model, considered, *(scored.item.id for scored in found), flush=True)
        except StoreSwitched:
            pass
"""


@pytest.fixture(params=["folder", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where an index can be made."""
    if request.param == "folder":
        return tmp_path / "photos.lookalike"
    new_database: NewDatabase = request.getfixturevalue("new_database")
    return place_of(new_database().reveal())


def text_of(place: Place) -> str:
    """A place as a command's argument."""
    return place.reveal() if isinstance(place, Address) else str(place)


@contextmanager
def process(code: str, place: Place) -> Iterator[subprocess.Popen[str]]:
    """A process that runs code on an index, and ends with the block."""
    arguments = [sys.executable, "-c", code, text_of(place)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def lines_of(running: subprocess.Popen[str]) -> Iterator[str]:
    """What a process prints, line by line."""
    assert running.stdout is not None
    yield from map(str.strip, running.stdout)


def test_a_fill_that_is_killed_goes_on(place: Place, tmp_path: Path) -> None:
    """kill -9 again and again: what was told is there, nothing is there twice, and the last run completes it."""
    pictures = write(tmp_path / "pictures", {f"{number}.png": noise(number, size=(8, 6)) for number in range(N)})
    with create_store(place, BEFORE.space) as store:
        Ingest(Target(store=store, ledger=store.ledger, embedder=BEFORE)).run([FolderSource(pictures)])
    with open_spaces(place) as spaces:
        spaces.add(AFTER.space, precision="exact")
        stored = 0
        for _ in range(N_KILLS):
            with process(FILLER, place) as filler:
                told = int(next(lines_of(filler)))
            n_vectors = spaces.entries()[1].n_vectors
            assert stored + told <= n_vectors <= N
            stored = n_vectors
        with open_filling(place, 2) as filling:
            assert fill(filling, PictureFinder(Path()), AFTER, Terms()).stored == N - stored
        assert spaces.switch(2) == 0
    with open_store(place, write=True) as after:
        assert (after.n_items, after.stats().contents, after.stats().dead_slots) == (N, N, 0)
        after.check()  # type: ignore[union-attr]


def test_searches_see_one_space_or_the_other(place: Place) -> None:
    """During twenty switches every answer of another process is a whole one of the space that it names."""
    dim, names = BEFORE.space.dim, ["0", "1", "2"]
    near = np.zeros((3, dim), np.float32)
    near[:, 0], near[:, 1] = [0.9, 0.6, 0.3], np.sqrt(1 - np.square([0.9, 0.6, 0.3]))
    rows = {"before": near, "after": np.ascontiguousarray(near[::-1])}
    contents = [f"{number:064x}" for number in range(3)]
    with create_store(place, BEFORE.space) as store:
        items = [Item(id=name, content=content) for name, content in zip(names, contents, strict=True)]
        store.add(items, contents, rows["before"])
    with open_spaces(place) as spaces:
        spaces.add(AFTER.space, precision="exact")
        with open_filling(place, 2) as filling:
            filling.put(contents, rows["after"])
            filling.settle({})
        with process(READER, place) as reader:
            answers = lines_of(reader)
            seen = [next(answers)]
            for turn in range(N_SWITCHES):
                number, model = [(2, "after"), (1, "before")][turn % 2]
                spaces.switch(number)
                while not seen[-1].startswith(model):
                    seen.append(next(answers))
    assert set(seen) == {"before 3 0 1 2", "after 3 2 1 0"}
    assert sum(one != two for one, two in pairwise(seen)) == N_SWITCHES


def test_a_space_is_dropped_while_it_is_filled(new_database: NewDatabase) -> None:
    """The fills that are under way end with the sentence that it is gone; nobody is locked out by another."""
    place = place_of(Address(new_database().reveal()))
    contents = [f"{n:064x}" for n in range(4000)]
    rows = normalise(np.random.default_rng(0).standard_normal((len(contents), BEFORE.space.dim)))
    with create_store(place, BEFORE.space) as store:
        store.add([Item(id=content, content=content) for content in contents], contents, rows)
    with open_spaces(place) as spaces, ThreadPoolExecutor(3) as pool:
        number, is_under_way = spaces.add(AFTER.space, precision="exact"), Barrier(4)

        def fill_up() -> None:
            with open_filling(place, number) as filling:
                for n, part in enumerate(chunked(range(len(contents)), 4)):
                    filling.put([contents[place] for place in part], rows[part])
                    if n == 5:
                        is_under_way.wait(60)

        fills = [pool.submit(fill_up) for _ in range(3)]
        is_under_way.wait(60)
        spaces.drop(number)
        assert [type(fill.exception()) for fill in fills] == [StoreError] * 3
        assert all("no space 2" in str(fill.exception()) for fill in fills)
        assert [entry.number for entry in spaces.entries()] == [1]


def test_a_damaged_list_of_spaces_is_said(tmp_path: Path) -> None:
    """It is never taken for an index with one space: that would be the wrong one."""
    folder = tmp_path / "photos.lookalike"
    create_store(folder, BEFORE.space).close()
    (folder / SPACES_FILE).write_text('{"current": 2')
    with pytest.raises(StoreCorrupt, match=SPACES_FILE):
        open_store(folder)


def test_an_addition_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """The files of a space that never got on the list are taken away by the next one."""
    folder = tmp_path / "photos.lookalike"
    create_store(folder, BEFORE.space).close()
    create_store(folder / "spaces" / "2", AFTER.space).close()
    with open_spaces(folder) as spaces:
        assert [entry.number for entry in spaces.entries()] == [1]
        assert spaces.add(AFTER.space, precision="exact") == 2
        assert [entry.n_vectors for entry in spaces.entries()] == [0, 0]
