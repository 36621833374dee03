"""Copies from every kind of store into every other: the same rules for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.contents import content_of
from lookalike.copying import MIN_COSINE, CopyableStore, compare, copy
from lookalike.copying.run import WRITERS
from lookalike.errors import SpaceMismatch, StoreError
from lookalike.progress import Progress
from lookalike.secret import Secret
from lookalike.spaces import Space
from lookalike.store.embedded import create
from lookalike.store.memory import MemoryStore
from lookalike.store.postgres import store as postgres
from lookalike.store.postgres.spaces import PostgresSpaces
from lookalike.types import Filter, Item, LedgerEntry, Outcome, Rows
from lookalike.vectors import normalise

DIM = 16
SPACE = Space(model="toy", weights="0" * 64, preprocessing="", pooling="mean", dim=DIM, modalities=("image",))
ALL = Filter()
Make = Callable[[str], CopyableStore]


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes empty stores of a named kind."""
    stores: list[CopyableStore] = []

    def make_one(kind: str) -> CopyableStore:
        if kind == "memory":
            stores.append(MemoryStore(SPACE))
        elif kind == "embedded":
            stores.append(create(tmp_path / f"{len(stores)}.lookalike", SPACE))
        else:
            stores.append(postgres.create(request.getfixturevalue("new_database")(), SPACE))
        return stores[-1]

    yield make_one
    for store in stores:
        store.close()  # type: ignore[attr-defined]


@pytest.fixture(params=["embedded>postgres", "postgres>embedded", "embedded>embedded", "postgres>memory"])
def pair(request: pytest.FixtureRequest, make: Make) -> tuple[CopyableStore, CopyableStore]:
    """A source that holds something of everything, and an empty target."""
    source, target = request.param.split(">")
    full = make(source)
    fill(full)
    return full, make(target)


def rows_of(n: int, *, seed: int = 0) -> Rows:
    """n unit rows, one number of each large, as CLIP's are."""
    values = np.random.default_rng(seed).standard_normal((n, DIM))
    values[:, 3] += 8
    return normalise(values)


def fill(store: CopyableStore, n: int = 60) -> None:
    """Items of two projects that share pictures, odd names, an imported vector, a vector without an item, a ledger."""
    rows = rows_of(n)
    contents = [content_of(b"%d" % i, is_checked=False) if i == 7 else f"{i:064x}" for i in range(n)]
    items = [
        Item(id=f"{i} ü\0'%🙂", content=content, project="a", uri=f"/p/{i}", metadata={"k'": str(i % 3), "": "x"})
        for i, content in enumerate(contents)
    ]
    shared = [Item(id=f"copy {i}", content=contents[i // 2], project="b\x01", caption="two\nlines") for i in range(n)]
    store.add(items + shared, contents, rows)
    store.delete([("a", items[9].id), ("b\x01", "copy 18"), ("b\x01", "copy 19")])
    store.ledger.record(entry(f"/p/{i}", project) for project in ("a", "b\x01") for i in range(n))


def entry(uri: str, project: str = "a", *, reason: str = "It is cut off.") -> LedgerEntry:
    """An entry for an object."""
    return LedgerEntry(
        project=project, item_id=f"id {uri}", uri=uri, stamp="1/2", outcome=Outcome.FAILED, reason=reason
    )


def everything(store: CopyableStore) -> tuple[list[Item], list[LedgerEntry]]:
    """All that a store holds, but for vectors."""
    return list(store.items(ALL)), list(store.ledger.under(None, ""))


def test_a_copy_holds_all_of_the_other(pair: tuple[CopyableStore, CopyableStore]) -> None:
    """Items and ledger equal, vectors within rounding, the same answers; a vector that no item uses stays behind."""
    source, target = pair
    report = copy(source, target)
    assert (report.new, report.replaced, report.unchanged, report.entries) == (117, 0, 0, 120)
    assert report.failures == ()
    assert everything(target) == everything(source)
    comparison = compare(source, target)
    assert comparison.is_equal
    assert (comparison.source.items, comparison.source.entries, comparison.vectors) == (117, 120, 59)
    assert comparison.least_cosine >= 0.9999995
    assert 0 <= comparison.largest_difference < 3e-4
    assert target.stats().contents == source.stats().contents == 59
    assert target.stats().unchecked == 1
    assert target.stats().dead_slots == 0
    for query in rows_of(3, seed=1):
        mine, theirs = (store.search(query, limit=5, where=Filter(project="a"))[0] for store in pair)
        assert [found.item for found in mine] == [found.item for found in theirs]


def test_a_copy_there_and_back_is_the_same(make: Make) -> None:
    """Through half precision and back to fixed point, items and ledger do not change at all, vectors hardly."""
    first, between, last = make("embedded"), make("postgres"), make("embedded")
    fill(first)
    copy(first, between)
    copy(between, last)
    comparison = compare(first, last)
    assert comparison.is_equal
    assert everything(first) == everything(last)


def test_a_second_copy_writes_nothing(pair: tuple[CopyableStore, CopyableStore]) -> None:
    """What is there already is compared and left alone."""
    source, target = pair
    copy(source, target)
    again = copy(source, target)
    assert (again.new, again.replaced, again.unchanged, again.entries) == (0, 0, 117, 0)


def test_other_items_of_the_same_name_are_replaced_and_the_rest_stays(
    pair: tuple[CopyableStore, CopyableStore],
) -> None:
    """What the target holds under a name of the source is replaced and counted; what it holds beside is kept."""
    source, target = pair
    (first, second), own = list(source.items(ALL))[:2], Item(id="own", content=f"{999:064x}", project="a")
    target.add(
        [replace(first, caption="old"), replace(second, content=own.content), own],
        [first.content, own.content],
        rows_of(2),
    )
    target.ledger.record([entry("/p/0", reason="Something else."), entry("/own")])
    report = copy(source, target)
    assert (report.new, report.replaced, report.unchanged, report.entries) == (115, 2, 0, 120)
    assert compare(source, target).source == compare(source, target).target
    assert target.get([("a", "own"), ("a", first.id)]) == [own, first]
    assert list(target.ledger.under("a", "/own")) == [entry("/own")]


def test_a_copy_that_broke_off_goes_on(
    pair: tuple[CopyableStore, CopyableStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended while batches are under way, the next run finds what is there, writes the rest, and nothing twice."""
    monkeypatch.setattr("lookalike.copying.run.BATCH", 10)
    source, target = pair
    limit = 0

    def until(progress: Progress) -> None:
        if progress.done >= limit:
            raise StoreError("The line is cut.")

    for limit in (10, 40, 90):
        with pytest.raises(StoreError, match="cut"):
            copy(source, target, on_progress=until)
        assert limit <= (n_there := target.n_items) <= limit + 10 * WRITERS
    report = copy(source, target)
    assert (report.new, report.unchanged, report.entries) == (117 - n_there, n_there, 120)
    assert compare(source, target).is_equal
    assert target.stats().dead_slots == 0


def test_one_project_is_copied_alone(pair: tuple[CopyableStore, CopyableStore]) -> None:
    """Its items, its part of the ledger, and no vector beside."""
    source, target = pair
    copy(source, target, project="a")
    assert dict(target.stats().projects) == {"a": 59}
    assert {found.project for found in target.ledger.under(None, "")} == {"a"}
    assert compare(source, target, project="a").is_equal
    assert not compare(source, target).is_equal


def test_another_space_is_refused(make: Make, tmp_path: Path) -> None:
    """Vectors of two models never meet; nothing is written."""
    source, target = create(tmp_path / "s", replace(SPACE, model="another", weights="1" * 64)), make("memory")
    with source:
        fill(source)
        with pytest.raises(SpaceMismatch, match="Copying would mix"):
            copy(source, target)
    assert everything(target) == ([], [])


@pytest.mark.parametrize("change", ["item", "missing", "ledger", "vector"])
def test_a_comparison_finds_every_difference(make: Make, change: str) -> None:
    """One item, one missing item, one entry or one vector that is not as in the source."""
    source, target = make("memory"), make("memory")
    fill(source)
    some = next(source.items(Filter(project="a")))
    if change == "vector":
        target.add([some], [some.content], rows_of(1, seed=5))
    copy(source, target)
    assert compare(source, target).is_equal == (change != "vector")
    if change == "item":
        target.add([replace(some, caption="changed")], [], np.empty((0, DIM), np.float32))
    elif change == "missing":
        target.delete([(some.project, some.id)])
    elif change == "ledger":
        target.ledger.record([entry("/p/0", reason="Changed.")])
    comparison = compare(source, target)
    assert not comparison.is_equal
    assert (comparison.far, comparison.least_cosine < MIN_COSINE) == ((1, True) if change == "vector" else (0, False))


def switch_to_an_empty_space(url: Secret) -> None:
    """One of the same geometry, which no vector has come into."""
    with closing(PostgresSpaces(url)) as spaces:
        spaces.switch(spaces.add(SPACE, precision="int8"), allow_missing=True)


def test_items_without_their_vectors_get_them(make: Make, request: pytest.FixtureRequest) -> None:
    """A target that was switched to a space without vectors has the items, and is no copy until searches find them."""
    source, url = make("memory"), request.getfixturevalue("new_database")()
    fill(source)
    postgres.create(url, SPACE).close()
    with postgres.open_store(url) as target:
        copy(source, target)
    switch_to_an_empty_space(url)
    with postgres.open_store(url) as target:
        comparison = compare(source, target)
        assert comparison.source == comparison.target
        assert (comparison.lacking, comparison.is_equal) == (59, False)
        report = copy(source, target)
        assert (report.new, report.replaced, report.failures) == (0, 117, ())
        assert compare(source, target).is_equal
        assert len(target.search(rows_of(1)[0], limit=5, where=ALL)[0]) == 5
        assert copy(source, target).unchanged == 117


def test_a_picture_without_a_vector_is_named_and_the_rest_is_copied(make: Make, request: pytest.FixtureRequest) -> None:
    """A source that was switched to a space without vectors has nothing to give but the items that are found."""
    target, url = make("memory"), request.getfixturevalue("new_database")()
    with postgres.create(url, SPACE) as source:
        fill(source)
    switch_to_an_empty_space(url)
    with postgres.open_store(url) as source:
        found = Item(id="found", content=f"{99:064x}", project="a")
        source.add([found], [found.content], rows_of(1))
        report = copy(source, target)
        assert (report.new, len(report.failures)) == (1, 117)
        assert "no vector in the index that is copied" in report.failures[0][1]
        assert list(target.items(ALL)) == [found]


class _Compacted(MemoryStore):
    """Another process gives back what no item uses, as soon as this one was told what is stored."""

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        found = super().vectors(contents)
        self.compact()
        return found


def test_a_compaction_beside_a_copy_loses_nothing(make: Make) -> None:
    """Items whose vectors were stored when they were looked up, and no more when written, bring theirs."""
    source, target = make("memory"), _Compacted(SPACE)
    fill(source)
    copy(source, target)
    target.delete([(item.project, item.id) for item in target.items(ALL)])
    report = copy(source, target)
    assert (report.new, report.failures) == (117, ())
    assert compare(source, target).is_equal


def test_what_the_target_refuses_is_named_and_the_rest_is_copied(make: Make) -> None:
    """A name that is too long for PostgreSQL's indexes costs nobody else their place."""
    source, target = make("embedded"), make("postgres")
    fill(source)
    long = Item(id="long" * 800, content=f"{1:064x}", project="a")
    source.add([long], [], np.empty((0, DIM), np.float32))
    source.ledger.record([entry("/p/" + "long" * 800)])
    report = copy(source, target)
    assert [item for item, _ in report.failures] == [long.id, "/p/" + "long" * 800]
    assert all("too long" in reason for _, reason in report.failures)
    assert (report.new, report.entries) == (117, 120)
    assert not compare(source, target).is_equal
