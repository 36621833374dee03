"""Several spaces of one index, filled, switched to and dropped: the same rules for a folder and for a database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from lookalike.app import create_store, open_store
from lookalike.beside import chosen, open_filling, open_spaces, watching
from lookalike.calls import Inputs
from lookalike.changeover import SpaceEntry
from lookalike.changing import FillReport, Side, Terms, compare, fill
from lookalike.changing.filling import Pace
from lookalike.contents import content_of
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import BudgetExceeded, InputError, StoreError, StoreLocked, StoreSwitched
from lookalike.ingest import Ingest, Target
from lookalike.places import Address, Place, place_of
from lookalike.progress import Report
from lookalike.sources.folder import FolderSource
from lookalike.sources.pictures import PictureFinder
from lookalike.store.behind import MARK
from lookalike.store.postgres import watch
from lookalike.store.postgres.store import PostgresStore
from lookalike.types import Filter, Item, Outcome, Rows, Vectors
from lookalike.vectors import normalise
from tests.pictures import noise, write
from tests.postgres import NewDatabase

ALL = Filter()
N = 56
"""Pictures: more than one chunk, and than a window of them."""

BEFORE = Embedder(LocalVectorizer(FakeEncoder(name="before")))
AFTER = Embedder(LocalVectorizer(FakeEncoder(name="after")))


@pytest.fixture(params=["folder", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Where an index can be made; a switch there is noticed by the next search."""
    if request.param == "folder":
        return tmp_path / "photos.lookalike"
    monkeypatch.setattr(watch, "NOTICE_S", 0.0)
    new_database: NewDatabase = request.getfixturevalue("new_database")
    return place_of(Address(new_database().reveal()))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with pictures, two of them equal."""
    files = {f"{number:02}.png": noise(number) for number in range(N)}
    return write(tmp_path / "pictures", {**files, "copy.png": files["00.png"]})


@pytest.fixture
def index(place: Place, pictures: Path) -> Place:
    """An index of these pictures."""
    create_store(place, BEFORE.space).close()
    ingest(place, pictures)
    return place


def ingest(place: Place, pictures: Path, embedder: Embedder = BEFORE) -> Report:
    """Bring the index up to date."""
    with open_store(place, write=True) as store:
        return Ingest(Target(store=store, ledger=store.ledger, embedder=embedder)).run([FolderSource(pictures)])


def add(place: Place) -> int:
    """An empty space beside the others; its number."""
    with open_spaces(place) as spaces:
        return spaces.add(AFTER.space, precision="exact")


def fill_up(place: Place, number: int, embedder: Embedder = AFTER, terms: Terms | None = None) -> FillReport:
    """Fill a space."""
    with open_filling(place, number) as filling:
        return fill(filling, PictureFinder(Path()), embedder, terms or Terms())


def switch(place: Place, number: int, *, allow_missing: bool = False) -> int:
    """Search another space from now on."""
    with open_spaces(place) as spaces:
        return spaces.switch(number, allow_missing=allow_missing)


def entries(place: Place) -> list[SpaceEntry]:
    """All spaces."""
    with open_spaces(place) as spaces:
        return spaces.entries()


def found(place: Place, number: int | None = None) -> dict[str, str]:
    """The items that a search for everything finds, and the model of the space that it was made in."""
    with open_store(place, number=number) as store:
        query = np.full(store.space.dim, store.space.dim**-0.5, np.float32)
        scored, _ = store.search(query, limit=1000, where=ALL)
        return {Path(one.item.id).name: store.space.model for one in scored}


def names(model: str, *without: str) -> dict[str, str]:
    """What a search finds that finds all pictures but some."""
    every = [*(f"{number:02}.png" for number in range(N)), "copy.png"]
    return {name: model for name in every if name not in without}


def content(path: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Watched:
    """A Vectorizer that notes what it is asked for, and after some pictures does no more."""

    def __init__(self, embedder: Embedder, *, error: Exception | None = None, after: int = 0) -> None:
        self._inner = embedder._vectorizer
        self.tower, self.policy = self._inner.tower, self._inner.policy
        self.seen: list[str] = []
        self._error, self._after = error, after

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        if self._error is not None and len(self.seen) >= self._after:
            raise self._error
        self.seen += [hashlib.sha256(data).hexdigest() for data in inputs.payloads if isinstance(data, bytes)]
        yield from self._inner.embed(inputs, until=until)


def test_a_filled_space_is_searched_after_the_switch(index: Place) -> None:
    """Filled beside the current one, which goes on being searched; then in its place, with every item; and back."""
    number = add(index)
    report = fill_up(index, number)
    assert (report.stored, report.failures, report.n_behind) == (N, (), 0)
    assert found(index) == names("before")
    assert switch(index, number) == 0
    assert found(index) == names("after")
    assert switch(index, 1) == 0
    assert found(index) == names("before")


def test_the_list_says_what_there_is(index: Place) -> None:
    """Number, label, vectors, and which one is searched; a space is named by number, label or id."""
    number = add(index)
    assert [(e.number, e.label, e.is_current, e.n_vectors) for e in entries(index)] == [
        (1, "before", True, N),
        (number, "after", False, 0),
    ]
    fill_up(index, number)
    switch(index, number)
    assert [(e.is_current, e.n_vectors) for e in entries(index)] == [(False, N), (True, N)]
    assert all(e.n_bytes > N * e.space.dim for e in entries(index))
    assert {chosen(entries(index), name).number for name in (str(number), "after", AFTER.space.id)} == {number}
    with pytest.raises(InputError, match=r"'nonesuch' is no space of this index: 1 \(before\)"):
        chosen(entries(index), "nonesuch")


def test_one_model_in_two_precisions_is_two_entries(index: Place) -> None:
    """Vectors of another recipe lie apart, although they are of the same space; a name of both is refused."""
    with open_spaces(index) as spaces:
        number = spaces.add(BEFORE.space, precision="int8")
    assert [entry.label for entry in entries(index)] == ["before", "before+int8"]
    assert fill_up(index, number, BEFORE).stored == N
    assert switch(index, number) == 0
    assert found(index) == names("before")
    with pytest.raises(InputError, match="several spaces: say its number"):
        chosen(entries(index), BEFORE.space.id)


def test_a_switch_is_refused_while_items_are_missing(index: Place) -> None:
    """The number is told and nothing changes; allowed all the same, what is there is found, and back everything is."""
    number = add(index)
    with pytest.raises(StoreError, match=rf"^{N + 1} items .*lookalike spaces fill {number}"):
        switch(index, number)
    assert found(index) == names("before")
    assert switch(index, number, allow_missing=True) == N + 1
    assert found(index) == {}
    assert fill_up(index, 1, BEFORE).n_behind == 0, "nothing is taken for deleted"
    assert switch(index, 1, allow_missing=True) == 0
    assert found(index) == names("before")
    with pytest.raises(StoreError, match=rf"^{N + 1} items "):  # it was searched once, and lacks them still
        switch(index, number)


def test_what_came_meanwhile_is_brought_over_by_another_fill(index: Place, pictures: Path) -> None:
    """New, changed and removed pictures: the switch counts them, and a fill embeds the new ones alone."""
    number = add(index)
    fill_up(index, number)
    write(pictures, {"new.png": noise(1000), "01.png": noise(1001)})
    (pictures / "02.png").unlink()
    ingest(index, pictures)
    with pytest.raises(StoreError, match=r"^[23] items "):
        switch(index, number)
    watched = Watched(AFTER)
    assert fill_up(index, number, Embedder(watched)).stored == 2
    assert sorted(watched.seen) == sorted([content(pictures / "new.png"), content(pictures / "01.png")])
    switch(index, number)
    assert found(index) == {**names("after", "02.png"), "new.png": "after"}


def test_an_ingest_after_the_switch_goes_on_where_the_last_one_was(index: Place, pictures: Path) -> None:
    """The ledger comes along: nothing is read again; and what is indexed then is missing on the way back."""
    number = add(index)
    fill_up(index, number)
    switch(index, number)
    report = ingest(index, pictures, AFTER)
    assert {outcome.value: n for outcome, n in report.counts.items() if n} == {"unchanged": N + 1}
    write(pictures, {"new.png": noise(1000)})
    ingest(index, pictures, AFTER)
    with pytest.raises(StoreError, match=r"^1 items .*spaces fill 1"):
        switch(index, 1)
    assert fill_up(index, 1, BEFORE).stored == 1
    assert switch(index, 1) == 0
    assert found(index) == {**names("before"), "new.png": "before"}


def test_a_fill_goes_on_where_it_was_ended(index: Place) -> None:
    """What one run has stored, the next one does not embed again."""
    number, stopping = add(index), Event()
    first, second = Watched(AFTER), Watched(AFTER)
    terms = Terms(threads=1, stopping=stopping, on_progress=lambda _: stopping.set())
    stored = fill_up(index, number, Embedder(first), terms).stored
    assert 0 < stored < N
    assert fill_up(index, number, Embedder(second)).stored == N - stored
    assert len(first.seen) + len(second.seen) == len({*first.seen, *second.seen}) == N
    assert switch(index, number) == 0


def test_a_picture_that_is_gone_is_told_and_the_others_are_filled(index: Place, pictures: Path) -> None:
    """Each failure has its reason; they stay behind if that is allowed, and are not lost on the way back."""
    number = add(index)
    gone, other = (pictures / "03.png").read_bytes(), (pictures / "04.png").read_bytes()
    (pictures / "03.png").unlink()
    write(pictures, {"04.png": noise(2000)})
    report = fill_up(index, number)
    assert report.stored == N - 2
    assert report.n_behind == 2
    reasons = {Path(item).name: reason for item, reason in report.failures}
    assert "there is no file" in reasons["03.png"]
    assert "another picture is there by now" in reasons["04.png"]
    with pytest.raises(StoreError, match=r"^2 items "):
        switch(index, number)
    assert switch(index, number, allow_missing=True) == 2
    assert found(index) == names("after", "03.png", "04.png")
    assert fill_up(index, 1, BEFORE).failures == ()
    assert switch(index, 1) == 0
    assert found(index) == names("before")
    write(pictures, {"03.png": gone, "04.png": other})
    assert fill_up(index, number).stored == 2
    assert switch(index, number) == 0
    assert found(index) == names("after")


def test_what_stays_behind_is_not_lost_whatever_is_indexed_meanwhile(index: Place, pictures: Path) -> None:
    """Neither one of several items that have one picture, nor one whose picture an ingest could not read either."""
    with open_store(index, write=True) as store:
        (item,) = store.get([("default", str(pictures / "03.png"))])
        assert item is not None
        store.add([replace(item, id=f"{name}.png") for name in ("one", "two")], [], np.empty((0, 48), np.float32))
    before = found(index)
    (pictures / "03.png").unlink()
    (pictures / "03.png").symlink_to("a drive that is not there")
    number = add(index)
    assert fill_up(index, number).n_behind == 3
    assert switch(index, number, allow_missing=True) == 3
    assert ingest(index, pictures, AFTER).counts[Outcome.FAILED] == 1
    assert found(index) == names("after", "03.png")
    assert fill_up(index, 1, BEFORE).n_behind == 0
    assert switch(index, 1) == 0
    assert found(index) == before


def test_what_an_earlier_version_left_behind_is_kept(index: Place, pictures: Path) -> None:
    """It said so of the picture alone."""
    gone = pictures / "03.png"
    gone.unlink()
    number = add(index)
    fill_up(index, number)
    switch(index, number, allow_missing=True)
    with open_store(index, write=True) as store:
        store.ledger.forget("default", [f"{MARK}{gone}"])
    fill_up(index, 1, BEFORE)
    assert switch(index, 1) == 0
    assert found(index) == names("before")


def test_what_stays_behind_is_not_lost_on_the_way_through_a_third_space(index: Place, pictures: Path) -> None:
    """It is counted there as well, and tried again."""
    second, third = add(index), add(index)
    data = (pictures / "03.png").read_bytes()
    (pictures / "03.png").unlink()
    fill_up(index, second)
    switch(index, second, allow_missing=True)
    assert fill_up(index, third).n_behind == 1
    with pytest.raises(StoreError, match=r"^1 items "):
        switch(index, third)
    switch(index, third, allow_missing=True)
    assert fill_up(index, 1, BEFORE).n_behind == 0
    switch(index, 1)
    assert found(index) == names("before")
    switch(index, third, allow_missing=True)
    write(pictures, {"03.png": data})
    assert fill_up(index, second).n_behind == 0
    switch(index, second)
    assert found(index) == names("after")


def test_what_is_deleted_after_it_came_stays_deleted(index: Place, pictures: Path) -> None:
    """Wherever its picture was when it was left behind; nobody else who has that picture goes with it."""
    gone = str(pictures / "03.png")
    with open_store(index, write=True) as store:
        (item,) = store.get([("default", gone)])
        (other,) = store.get([("default", str(pictures / "04.png"))])
        assert item is not None
        assert other is not None
        store.add([replace(item, id="twin.png"), replace(item, id="moved.png")], [], np.empty((0, 48), np.float32))
    Path(gone).unlink()
    number = add(index)
    assert fill_up(index, number).n_behind == 3
    switch(index, number, allow_missing=True)
    with open_store(index, write=True) as store:
        store.add(
            [replace(other, id="twin.png", uri=gone), replace(other, id="moved.png")], [], np.empty((0, 48), np.float32)
        )
        store.delete([("default", "twin.png"), ("default", "moved.png")])
        store.ledger.forget("default", [gone])
    fill_up(index, 1, BEFORE)
    assert switch(index, 1) == 0
    assert found(index) == names("before")


def test_the_first_place_that_still_has_the_picture_is_read(index: Place, pictures: Path) -> None:
    """Of two items with equal bytes, one is enough to embed both."""
    (pictures / "00.png").unlink()
    number = add(index)
    assert fill_up(index, number).failures == ()
    switch(index, number)
    assert found(index) == names("after")


def test_vectors_without_a_picture_are_told(index: Place) -> None:
    """What was imported, or handed in as bytes, cannot be embedded again: the reason says so."""
    rows: Rows = np.eye(2, BEFORE.space.dim, dtype=np.float32)
    imported, bytes_only = content_of(b"vector", is_checked=False), hashlib.sha256(b"picture").hexdigest()
    items = [Item(id="imported", content=imported, uri="/p"), Item(id="bytes", content=bytes_only)]
    with open_store(index, write=True) as store:
        store.add(items, [imported, bytes_only], rows)
    reasons = dict(fill_up(index, add(index)).failures)
    assert "imported without its picture" in reasons["/p"]
    assert "handed in as bytes" in reasons["bytes"]


def test_an_opened_index_says_that_it_was_switched(index: Place) -> None:
    """A reader ends with StoreSwitched at its next search; one that was opened for a space goes on in that."""
    number = add(index)
    fill_up(index, number)
    query = np.full(BEFORE.space.dim, BEFORE.space.dim**-0.5, np.float32)
    with open_store(index) as reader, open_store(index, number=1) as pinned, watching(index) as current:
        assert current() == 1
        before, _ = pinned.search(query, limit=5, where=ALL)
        switch(index, number)
        assert current() == number
        with pytest.raises(StoreSwitched, match="open it again"):
            reader.search(query, limit=5, where=ALL)
        assert pinned.search(query, limit=5, where=ALL)[0] == before
        switch(index, 1)
        reader.search(query, limit=5, where=ALL)


def test_a_writer_adds_nothing_to_a_space_that_is_not_searched(index: Place, pictures: Path) -> None:
    """Of a folder the writer keeps the switch out; of a database its next batch is refused, and nothing is written."""
    number = add(index)
    fill_up(index, number)
    with open_store(index, write=True) as writer:
        if not isinstance(writer, PostgresStore):
            with pytest.raises(StoreLocked):
                switch(index, number)
            return
        switch(index, number)
        item = Item(id="late", content=content(pictures / "05.png"))
        with pytest.raises(StoreSwitched):
            writer.add([item], [], np.empty((0, BEFORE.space.dim), np.float32))
        assert writer.get([("default", "late")]) == [None]


def test_memory_follows_what_is_written_through_another_space(place: Place) -> None:
    """Items are shared: who keeps the vectors of one space hears of what is added and deleted through another."""
    if not isinstance(place, Address):
        pytest.skip("what is kept in memory is a database's")
    contents = [f"{n:064x}" for n in range(3)]
    items = [Item(id=name, content=name, project="shoes") for name in contents]
    rows = normalise(np.random.default_rng(0).standard_normal((3, BEFORE.space.dim)))
    with create_store(place, BEFORE.space) as store:
        store.add(items[:2], contents[:2], rows[:2])
        number = add(place)
        with open_filling(place, number) as filling:
            filling.put(contents[:2], rows[:2])
        with open_store(place, number=number) as kept:
            assert isinstance(kept, PostgresStore)
            kept.finder.keep_in_memory().join()

            def n_passed() -> int:
                return kept.search(rows[0], limit=5, where=Filter(project="shoes"))[1]

            assert n_passed() == 2
            store.add([replace(items[2], content=contents[1])], [], rows[:0])
            assert n_passed() == 3
            switch(place, number)
            assert n_passed() == 3
            store.delete([("shoes", contents[0])])
            assert n_passed() == 2


def test_a_space_is_dropped_unless_it_is_searched(index: Place) -> None:
    """The current one never; another goes with its vectors, its number is not given again, its readers hear of it."""
    number = add(index)
    fill_up(index, number)
    with open_spaces(index) as spaces:
        with pytest.raises(StoreError, match="is the one that is searched"):
            spaces.drop(1)
        spaces.switch(number)
        query = np.full(BEFORE.space.dim, BEFORE.space.dim**-0.5, np.float32)
        with open_store(index, number=1) as pinned:
            spaces.drop(1)
            with pytest.raises(StoreError, match=r"no (index|space)"):
                pinned.search(query, limit=5, where=ALL)
        with pytest.raises(StoreError, match="no space 1"):
            spaces.switch(1)
        assert [entry.number for entry in spaces.entries()] == [number]
        assert spaces.add(BEFORE.space, precision="exact") == number + 1
    assert found(index) == names("after")


def test_who_opened_the_index_before_a_drop_is_told_of_the_switch(
    index: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However rarely it looks: an empty answer of a space that is gone is never given."""
    monkeypatch.setattr(watch, "NOTICE_S", 3600.0)
    number = add(index)
    fill_up(index, number)
    query = np.full(BEFORE.space.dim, BEFORE.space.dim**-0.5, np.float32)
    with open_store(index) as reader, open_spaces(index) as spaces:
        spaces.switch(number)
        spaces.drop(1)
        with pytest.raises(StoreSwitched):
            reader.search(query, limit=5, where=ALL)
        with pytest.raises(StoreSwitched):
            reader.vectors([content_of(b"", is_checked=False)])


def test_what_was_paid_for_is_kept(index: Place) -> None:
    """A fill that may spend no more ends with the error, and what was embedded before is stored."""
    number = add(index)
    over = Watched(AFTER, error=BudgetExceeded("The limit is reached.", limit_usd=1, spent_usd=1), after=16)
    with pytest.raises(BudgetExceeded):
        fill_up(index, number, Embedder(over), Terms(threads=1))
    assert entries(index)[1].n_vectors == len(over.seen) == 16
    assert fill_up(index, number).stored == N - 16


def test_a_fill_of_the_searched_space_finds_what_it_lacks(index: Place) -> None:
    """After a switch that left some behind, in a database they are filled in; in a folder they are not in it."""
    number = add(index)
    switch(index, number, allow_missing=True)
    report = fill_up(index, number)
    if isinstance(index, Address):
        assert report.stored == N
        assert found(index) == names("after")
    else:
        assert report.stored == 0


def test_giving_room_back_reaches_every_space(index: Place, pictures: Path) -> None:
    """What no item uses goes from the space that is searched, and a fill takes it from the others."""
    number = add(index)
    fill_up(index, number)
    (pictures / "06.png").unlink()
    ingest(index, pictures)
    with open_store(index, write=True) as store:
        assert store.compact() == 1
    fill_up(index, number)
    switch(index, number)
    with open_store(index, write=True) as store:
        assert store.compact() == (0 if isinstance(index, Address) else 1)
        store.check()
    assert [entry.n_vectors for entry in entries(index)] == [N - 1, N - 1]


def test_a_compaction_beside_a_fill_hides_no_picture(place: Place) -> None:
    """More pictures than are looked up at once: each is handed out once, though room is given back meanwhile."""
    contents = sorted(hashlib.sha256(b"%d" % n).hexdigest() for n in range(1500))
    items = [Item(id=name, content=name, uri=name) for name in contents]
    rows = normalise(np.random.default_rng(0).standard_normal((len(items), BEFORE.space.dim)))
    with create_store(place, BEFORE.space) as store:
        store.add(items, contents, rows)
        store.delete([(item.project, item.id) for item in items[:300]])
    with open_filling(place, add(place)) as filling:
        assert filling.n_missing() == 1200
        missing = filling.missing()
        handed_out = [next(missing).content for _ in range(10)]
        with open_store(place, write=True) as store:
            assert store.compact() == 300
        handed_out += [one.content for one in missing]
    assert sorted(handed_out) == contents[300:]


def test_a_comparison_asks_both_the_same(index: Place) -> None:
    """Two models that agree overlap wholly; labels say how good the answers are."""
    number = add(index)
    fill_up(index, number)
    with open_store(index, write=True) as store:
        labelled = [replace(item, metadata={"kind": str(len(item.id) % 2)}) for item in store.items(ALL)]
        store.add(labelled, [], np.empty((0, BEFORE.space.dim), np.float32))
    fill_up(index, number)
    banks = [embedder.embed_texts(["red", "blue"]).values for embedder in (BEFORE, AFTER)]
    with open_store(index, number=1) as one, open_store(index, number=number) as two:
        sides = [Side(store=store, bank=bank, n_bytes=7) for store, bank in zip((one, two), banks, strict=True)]
        compared = compare(*sides, n=10, label="kind")
        assert compared == replace(compare(*sides, n=10, label="kind"), current=compared.current, other=compared.other)
        reversed_bank = replace(sides[1], bank=-banks[1])
        differing = compare(sides[0], reversed_bank, n=10)
    assert (compared.n_images, compared.n_texts, compared.n_labelled) == (10, 2, 10)
    assert (compared.image_overlap, compared.text_overlap) == (1.0, 1.0)
    assert compared.current.precision == compared.other.precision
    assert 0.5 < (compared.current.precision or 0) <= 1
    assert (differing.text_overlap, differing.current.precision) == (pytest.approx(0, abs=0.3), None)


def test_a_comparison_of_nothing_says_nothing(place: Place) -> None:
    """Two spaces that share no picture are not said to agree."""
    create_store(place, BEFORE.space).close()
    number = add(place)
    with open_store(place, number=1) as one, open_store(place, number=number) as two:
        compared = compare(*(Side(store=store, bank=None, n_bytes=7) for store in (one, two)))
    assert (compared.n_images, compared.image_overlap, compared.text_overlap) == (0, None, None)


class Clock:
    """A clock that only waiting moves, in the place of an Event that is never set."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def wait(self, timeout: float) -> bool:
        self.now_s += timeout
        return False

    def is_set(self) -> bool:
        return False


@pytest.mark.parametrize(("per_s", "took_s"), [(None, 0.0), (100.0, 0.9), (4.0, 24.0), (0.5, 198.0)])
def test_a_fill_is_no_faster_than_it_may_be(per_s: float | None, took_s: float) -> None:
    """A hundred pictures at so many a second are begun over so long, in chunks of no more than about a second."""
    clock = Clock()
    missing: Sequence[int] = range(100)
    chunks = list(Pace(per_s, clock, clock=lambda: clock.now_s).chunks(missing))  # type: ignore[arg-type]
    assert [one for chunk in chunks for one in chunk] == list(missing)
    assert clock.now_s == pytest.approx(took_s, abs=0.1)
    assert max(map(len, chunks)) <= max(per_s or 16, 1)
