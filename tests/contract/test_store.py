"""The store contract: the same tests over every store."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lookalike.contents import content_of
from lookalike.errors import InputError, VectorMissing
from lookalike.spaces import Space
from lookalike.store.attached.store import AttachedStore
from lookalike.store.embedded import EmbeddedStore, create
from lookalike.store.memory import MemoryStore
from lookalike.store.postgres import store as postgres
from lookalike.store.postgres.store import PostgresStore
from lookalike.types import Filter, Item, Rows
from lookalike.vectors import normalise
from tests.attached import new_table
from tests.postgres import NewDatabase

Store = EmbeddedStore | MemoryStore | PostgresStore | AttachedStore

A_VECTOR_GOES = "a vector belongs to a row of the team's table, and goes with it"
CANNOT = {
    "attached": {
        "test_deleting_an_item_keeps_the_others_of_its_picture": A_VECTOR_GOES,
        "test_a_dead_picture_comes_back_without_a_new_vector": A_VECTOR_GOES,
        "test_replacing_an_item_moves_it_to_its_new_picture": A_VECTOR_GOES,
        "test_compaction_frees_and_changes_no_answer": A_VECTOR_GOES,
        "test_each_change_has_a_version": "others write to a table without a word",
        "test_the_newest_come_first": "a table does not say when its rows came",
        "test_names_may_be_any_unicode": "a NUL would have to be written otherwise, and the column is the team's",
    }
}
"""What a store does not do by its nature, and why: these tests have to fail on it."""

DIM = 16
ALL = Filter()


def space(dim: int = DIM) -> Space:
    """A space of vectors of this length."""
    return Space(model="toy", weights="0" * 64, preprocessing="", pooling="mean", dim=dim, modalities=("image",))


def sha(name: object) -> str:
    """A content digest for a name."""
    return hashlib.sha256(str(name).encode()).hexdigest()


def unit_rows(n: int, *, seed: int = 0, dim: int = DIM) -> Rows:
    """n random unit rows."""
    return normalise(np.random.default_rng(seed).standard_normal((n, dim)))


def fill(store: Store, n: int, *, project: str = "default", seed: int = 0, prefix: str = "item") -> Rows:
    """n items with a picture each."""
    rows = unit_rows(n, seed=seed, dim=store.space.dim)
    contents = [sha(f"{prefix}{i}") for i in range(n)]
    items = [Item(id=f"{prefix}{i}", content=content, project=project) for i, content in enumerate(contents)]
    store.add(items, contents, rows)
    return rows


def found(store: Store, query: Rows, *, limit: int = 10, where: Filter = ALL) -> list[str]:
    """The ids of the answers, best first."""
    return [scored.item.id for scored in store.search(query, limit=limit, where=where)[0]]


@pytest.fixture(params=["memory", "embedded", "postgres", "postgres in memory", "attached"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Makes empty stores of one kind."""
    stores: list[Store] = []
    reason = CANNOT.get(request.param, {}).get(request.node.originalname)
    if reason:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True, raises=(AssertionError, InputError)))

    def make_one(dim: int = DIM) -> Store:
        if request.param == "memory":
            store: Store = MemoryStore(space(dim))
        elif request.param == "embedded":
            store = create(tmp_path / f"{len(stores)}.lookalike", space(dim))
        elif request.param == "attached":
            store = new_table(request.getfixturevalue("new_database"), space(dim))
        else:
            new_database: NewDatabase = request.getfixturevalue("new_database")
            store = postgres.create(new_database(), space(dim))
            if request.param == "postgres in memory":
                store.finder.keep_in_memory().join()
        stores.append(store)
        return store

    yield make_one
    for store in stores:
        store.close()


@pytest.fixture
def store(make: Callable[..., Store]) -> Store:
    """An empty store."""
    return make()


def test_a_picture_is_nearest_to_itself(store: Store) -> None:
    """A stored vector finds its own item first, with cosine 1."""
    rows = fill(store, 20)
    scored, considered = store.search(rows[7], limit=3, where=ALL)
    assert scored[0].item.id == "item7"
    assert scored[0].similarity == pytest.approx(1, abs=1e-3)
    assert (len(scored), considered) == (3, 20)


def test_the_newest_come_first(store: Store) -> None:
    """What a later call added comes before what was there, page by page, whatever the filter; each item once."""
    for name, metadata in (
        ("early", {"kind": "a"}),
        ("middle", {"kind": "a", "tone": "warm"}),
        ("late", {"kind": "b"}),
    ):
        rows = unit_rows(3, seed=len(name))
        items = [
            Item(id=f"{name}{i}", content=sha(f"{name}{i}"), project=f"p{i % 2}", metadata=metadata) for i in range(3)
        ]
        store.add(items, [item.content for item in items], rows)

    def walked(where: Filter, limit: int) -> list[str]:
        page, after = store.newest(where, limit=limit)
        names = [item.id for item in page]
        while after:
            page, after = store.newest(where, limit=limit, after=after)
            assert len(page) <= limit
            names += [item.id for item in page]
        return names

    for limit in (1, 2, 4, 100):
        names = walked(ALL, limit)
        assert sorted(names) == sorted(f"{name}{i}" for name in ("early", "middle", "late") for i in range(3))
        assert [name[:-1] for name in names] == ["late"] * 3 + ["middle"] * 3 + ["early"] * 3
    assert [name[:-1] for name in walked(Filter(metadata={"kind": "a"}), 2)] == ["middle"] * 3 + ["early"] * 3
    assert len(walked(Filter(metadata={"kind": "a", "tone": "warm"}), 1)) == 3
    assert walked(Filter(project="p1", metadata={"kind": "a"}), 1) == ["middle1", "early1"]
    assert walked(Filter(project="nowhere"), 1) == walked(Filter(metadata={"kind": "c"}), 1) == []
    with pytest.raises(InputError, match="next"):
        store.newest(ALL, limit=1, after="; DROP TABLE items")


def test_answers_are_exact(store: Store) -> None:
    """The answers are the items with the greatest cosines, in that order."""
    rows = fill(store, 500)
    query = unit_rows(1, seed=9)[0]
    cosines = rows @ query
    best = np.argsort(-cosines, kind="stable")[:10]
    scored, _ = store.search(query, limit=10, where=ALL)
    assert [answer.item.id for answer in scored] == [f"item{i}" for i in best]
    halves = isinstance(store, PostgresStore)  # eleven bits of each number, and of the query's: sixteen elsewhere
    assert [answer.similarity for answer in scored] == pytest.approx(
        cosines[best].tolist(), abs=5e-4 if halves else 1e-4
    )


def test_an_empty_store_answers(store: Store) -> None:
    """Nothing in it: nothing found, nothing considered, nothing to walk."""
    assert store.search(unit_rows(1)[0], limit=5, where=ALL) == ([], 0)
    assert list(store.items(ALL)) == []
    assert store.sample(3, seed=0)[0] == []
    assert (store.stats().items, store.stats().contents, dict(store.stats().projects)) == (0, 0, {})


def test_limit_beyond_the_collection_returns_all(store: Store) -> None:
    """Asking for more than there is gives what there is."""
    fill(store, 5)
    assert len(found(store, unit_rows(1)[0], limit=1000)) == 5


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(store: Store, limit: int) -> None:
    """A search for nothing is a mistake of the caller."""
    with pytest.raises(InputError, match="limit"):
        store.search(unit_rows(1)[0], limit=limit, where=ALL)


def test_items_share_a_picture(store: Store) -> None:
    """Ten items with one content are ten answers of equal similarity, by id, over one vector."""
    rows = unit_rows(2)
    items = [Item(id=f"copy{i}", content=sha("a")) for i in reversed(range(10))]
    store.add([*items, Item(id="other", content=sha("b"))], [sha("a"), sha("b")], rows)
    assert found(store, rows[0], limit=10) == [f"copy{i}" for i in range(10)]
    assert (store.stats().items, store.stats().contents) == (11, 2)


def test_deleting_an_item_keeps_the_others_of_its_picture(store: Store) -> None:
    """A picture goes when its last item goes, not before."""
    rows = unit_rows(2)
    store.add([Item(id="a", content=sha(0)), Item(id="b", content=sha(0))], [sha(0)], rows[:1])
    assert store.delete([("default", "a")]) == 1
    assert found(store, rows[0]) == ["b"]
    assert store.stats().dead_slots == 0
    assert store.delete([("default", "b"), ("default", "b"), ("default", "none"), ("nowhere", "b")]) == 1
    assert store.search(rows[0], limit=5, where=ALL) == ([], 0)
    assert (store.stats().contents, store.stats().dead_slots) == (0, 1)


def test_each_change_has_a_version(store: Store) -> None:
    """Also one after which there is as much as before: an item with another caption."""
    versions = [store.stats().version]

    def changed(step: object) -> None:
        versions.append(store.stats().version)

    changed(fill(store, 2))
    changed(store.add([Item(id="item0", content=sha("item0"), caption="new")], [], np.empty((0, DIM), np.float32)))
    changed(store.delete([("default", "item1")]))
    assert versions == sorted(set(versions))
    assert store.stats().version == versions[-1]


def test_a_dead_picture_comes_back_without_a_new_vector(store: Store) -> None:
    """Deleting and adding again uses the vector that is still there."""
    rows = fill(store, 3)
    store.delete([("default", "item1")])
    assert store.vectors([sha("item1")])[1] == [sha("item1")]
    store.add([Item(id="again", content=sha("item1"))], [], np.empty((0, DIM), np.float32))
    assert found(store, rows[1], limit=1) == ["again"]
    assert store.stats().dead_slots == 0


def test_a_stored_picture_keeps_its_vector(store: Store) -> None:
    """A content that is handed in again keeps the vector that it has."""
    rows = fill(store, 2)
    other = unit_rows(1, seed=5)
    store.add([Item(id="item0", content=sha("item0"))], [sha("item0")], other)
    kept, _ = store.vectors([sha("item0")])
    assert kept[0] == pytest.approx(rows[0], abs=1e-3)


def test_vectors_that_were_not_checked_are_counted_while_an_item_has_them(store: Store) -> None:
    """A vector without a picture is found as any other, and `stats` tells the unchecked ones from the checked."""
    rows = unit_rows(3)
    contents = [content_of(rows[n].tobytes(), is_checked=n == 0) for n in range(3)]
    items = [Item(id=str(n), content=content) for n, content in enumerate(contents)]
    store.add(items, contents, rows)
    assert (found(store, rows[1], limit=1), store.stats().unchecked) == (["1"], 2)
    assert sorted(store.sample(3, seed=1)[0]) == sorted(contents)
    store.delete([("default", "1")])
    assert store.stats().unchecked == 1
    store.compact()
    assert store.stats().unchecked == 1


def test_replacing_an_item_moves_it_to_its_new_picture(store: Store) -> None:
    """An item whose (project, id) exists is replaced: old picture, caption and metadata are gone."""
    rows = unit_rows(2)
    store.add([Item(id="a", content=sha(0), caption="old", metadata={"colour": "red"})], [sha(0)], rows[:1])
    store.add([Item(id="a", content=sha(1), caption="new", uri="file")], [sha(1)], rows[1:])
    assert store.get([("default", "a")]) == [Item(id="a", content=sha(1), caption="new", uri="file")]
    assert found(store, rows[0], where=Filter(metadata={"colour": "red"})) == []
    assert (store.stats().items, store.stats().dead_slots) == (1, 1)


def test_of_one_key_in_a_batch_the_last_counts(store: Store) -> None:
    """The same (project, id) twice in one call is one item."""
    rows = unit_rows(2)
    store.add([Item(id="a", content=sha(0)), Item(id="a", content=sha(1))], [sha(0), sha(1)], rows)
    assert store.get([("default", "a")])[0] == Item(id="a", content=sha(1))
    assert (store.stats().items, store.stats().contents) == (1, 1)


def test_ties_go_by_project_and_id(store: Store) -> None:
    """Equal similarity: by project, then id, also where the limit cuts through the tie."""
    row = unit_rows(1)
    keys = [("b", "1"), ("a", "2"), ("a", "10"), ("c", "0")]
    items = [Item(project=project, id=id_, content=sha((project, id_))) for project, id_ in keys]
    store.add(items, [item.content for item in items], np.repeat(row, 4, axis=0))
    scored, _ = store.search(row[0], limit=3, where=ALL)
    assert [(answer.item.project, answer.item.id) for answer in scored] == [("a", "10"), ("a", "2"), ("b", "1")]


def test_filters_lose_nothing(store: Store) -> None:
    """A filter that few items pass still gives as many answers as were asked for, the best ones."""
    rows = fill(store, 300, project="many")
    few = unit_rows(5, seed=8)
    items = [Item(id=f"{i}", content=sha(("few", i)), project="few", metadata={"odd": str(i % 2)}) for i in range(5)]
    store.add(items, [item.content for item in items], few)
    query = rows[0]
    order = [str(i) for i in np.argsort(-(few @ query))]
    assert found(store, query, limit=5, where=Filter(project="few")) == order
    assert found(store, query, limit=5, where=Filter(metadata={"odd": "1"})) == [i for i in order if int(i) % 2]
    assert store.search(query, limit=9, where=Filter(project="few", metadata={"odd": "0"}))[1] == 3
    assert store.search(query, limit=9, where=Filter(project="few", metadata={"odd": "7"})) == ([], 0)
    assert store.search(query, limit=9, where=Filter(project="none")) == ([], 0)


def test_a_filter_is_for_items_not_pictures(store: Store) -> None:
    """Of the items of one picture only those that pass are returned."""
    row = unit_rows(1)
    items = [Item(id="a", project=project, content=sha(0)) for project in ("mine", "yours")]
    store.add(items, [sha(0)], row)
    scored, considered = store.search(row[0], limit=5, where=Filter(project="mine"))
    assert ([answer.item.project for answer in scored], considered) == (["mine"], 1)


def test_filters_follow_every_change(store: Store) -> None:
    """A filter asked before and after additions, deletions, replacements and a compaction is right each time."""
    where = Filter(project="p", metadata={"k": "v"})

    def put(id_: str, value: str = "v") -> None:
        store.add([Item(id=id_, content=sha(id_), project="p", metadata={"k": value})], [sha(id_)], row)

    row = unit_rows(1)
    steps: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: put("a"), ["a"]),
        (lambda: put("b"), ["a", "b"]),
        (lambda: store.delete([("p", "a")]), ["b"]),
        (lambda: put("c"), ["b", "c"]),
        (lambda: put("c", "other"), ["b"]),
        (store.compact, ["b"]),
        (lambda: put("a"), ["a", "b"]),
        (lambda: store.delete([("p", "b"), ("p", "a")]), []),
    ]
    for step, expected in steps:
        step()
        assert found(store, row[0], where=where) == expected
        assert store.search(row[0], limit=1, where=where)[1] == len(expected)


def test_compaction_frees_and_changes_no_answer(store: Store) -> None:
    """Dead vectors go, everything else stays as it was."""
    rows = fill(store, 40)
    store.delete([("default", f"item{i}") for i in range(0, 40, 3)])
    before = [store.search(row, limit=40, where=ALL) for row in rows[:5]]
    assert store.compact() == 14
    assert store.compact() == 0
    assert [store.search(row, limit=40, where=ALL) for row in rows[:5]] == before
    assert (store.stats().contents, store.stats().dead_slots) == (26, 0)
    assert store.vectors([sha("item0")])[1] == []
    fill(store, 40)
    assert found(store, rows[3], limit=1) == ["item3"]


def test_names_may_be_any_unicode(store: Store) -> None:
    """Ids, projects, captions and metadata come back as they were, NUL, emoji and right-to-left text too."""
    item = Item(
        id="תמונה/红裙子\0🙂'\"--",
        content=sha("u"),
        project="مشروع %_",
        uri="s3://b/ключ",
        caption="line\nbreak",
        metadata={"ключ": "值", "": "", "a'b": '{"x": 1}'},
    )
    row = unit_rows(1)
    store.add([item], [item.content], row)
    assert store.get([(item.project, item.id), (item.project, "none")]) == [item, None]
    assert list(store.items(Filter(metadata={"ключ": "值"}))) == [item]
    assert store.search(row[0], limit=1, where=Filter(project=item.project, metadata=item.metadata))[1] == 1


def test_vectors_come_in_the_order_asked_for(store: Store) -> None:
    """Each found content in its place, unknown ones left out, unit float32 rows."""
    rows = fill(store, 6)
    asked = [sha("item4"), sha("none"), sha("item0"), sha("item5")]
    values, contents = store.vectors(asked)
    assert contents == [sha("item4"), sha("item0"), sha("item5")]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, rows[[4, 0, 5]], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-6)


def test_items_are_walked_in_order(store: Store) -> None:
    """Everything once, by project and id, across many pages."""
    fill(store, 1500, project="b")
    fill(store, 2, project="a", prefix="x")
    walked = [(item.project, item.id) for item in store.items(ALL)]
    assert walked == sorted([("a", "x0"), ("a", "x1"), *(("b", f"item{i}") for i in range(1500))])
    assert [item.id for item in store.items(Filter(project="a"))] == ["x0", "x1"]


def test_a_walk_goes_on_behind_an_item(store: Store) -> None:
    """Behind any (project, id), be there such an item or not, whatever the filter."""
    fill(store, 3, project="b")
    fill(store, 2, project="a", prefix="x")
    keys = [(item.project, item.id) for item in store.items(ALL)]
    for after in [*keys, ("", ""), ("a", ""), ("a", "x0\0"), ("a", "z"), ("aa", "x"), ("b", "item00"), ("c", "")]:
        assert [(item.project, item.id) for item in store.items(ALL, after=after)] == [k for k in keys if k > after]
        of_one = [item.id for item in store.items(Filter(project="b"), after=after)]
        assert of_one == [item_id for project, item_id in keys if project == "b" and (project, item_id) > after]


def test_samples_are_drawn_from_what_is_in_use(store: Store) -> None:
    """The same seed draws the same contents, another one others; dead pictures are never drawn."""
    fill(store, 50)
    store.delete([("default", f"item{i}") for i in range(10)])
    contents, rows = store.sample(20, seed=1)
    assert len(set(contents)) == 20
    assert rows.shape == (20, DIM)
    np.testing.assert_allclose(rows, store.vectors(contents)[0])
    assert store.sample(20, seed=1)[0] == contents
    assert store.sample(20, seed=2)[0] != contents
    alive = {sha(f"item{i}") for i in range(10, 50)}
    assert set(contents) <= alive
    assert set(store.sample(1000, seed=0)[0]) == alive


def test_a_sample_of_a_project_does_not_depend_on_others(store: Store) -> None:
    """It has the project's own contents only, those that it shares too, and stays the same when others come and go."""
    fill(store, 40, project="a")
    few, many = store.sample(10, seed=1, project="a")[0], store.sample(100, seed=1, project="a")[0]
    assert len(set(few)) == 10
    assert sorted(many) == sorted(sha(f"item{i}") for i in range(40))
    fill(store, 60, project="b", prefix="other", seed=1)
    store.add([Item(id="shared", project="b", content=sha("item3"))], [], np.empty((0, DIM), np.float32))
    contents, rows = store.sample(10, seed=1, project="a")
    assert contents == few
    np.testing.assert_allclose(rows, store.vectors(contents)[0])
    assert store.sample(100, seed=1, project="a")[0] == many
    assert store.sample(10, seed=1, project="nobody's")[0] == []


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda rows: rows * np.float32(2), "length 2"),
        (lambda rows: np.where(np.arange(3)[:, None] == 1, np.float32(np.nan), rows), "length nan"),
        (lambda rows: np.where(np.arange(3)[:, None] == 1, np.float32(np.inf), rows), "length inf"),
        (lambda rows: rows.astype(np.float64), "float64"),
        (lambda rows: rows[:, :-1].copy(), "shape"),
        (lambda rows: rows[:2], "shape"),
    ],
)
def test_a_bad_vector_is_refused_and_nothing_is_stored(
    store: Store, spoil: Callable[[Rows], Rows], sentence: str
) -> None:
    """A vector that is not a finite float32 unit row of the right length stops the whole call."""
    contents = [sha(i) for i in range(3)]
    items = [Item(id=str(i), content=content) for i, content in enumerate(contents)]
    with pytest.raises(InputError, match=sentence):
        store.add(items, contents, spoil(unit_rows(3)))
    assert store.stats().items == 0
    assert store.vectors(contents)[1] == []


def test_the_bad_vector_is_named(store: Store) -> None:
    """The error says which content it was."""
    rows = unit_rows(3)
    rows[1] = 0
    with pytest.raises(InputError) as caught:
        store.add([], [sha(i) for i in range(3)], rows)
    assert caught.value.item == sha(1)


def test_an_item_without_a_picture_is_refused_and_named(store: Store) -> None:
    """An item whose content is neither stored nor handed in stops the whole call."""
    with pytest.raises(VectorMissing, match="lost: "):
        store.add([Item(id="a", content=sha(0)), Item(id="lost", content=sha(1))], [sha(0)], unit_rows(1))
    assert (store.stats().items, store.stats().dead_slots) == (0, 0)


def test_a_content_that_is_no_digest_is_refused(tmp_path: Path) -> None:
    """The embedded store keeps digests, not names (its twin keeps any string)."""
    with create(tmp_path / "s", space()) as store, pytest.raises(InputError, match="sha256"):
        store.add([], ["photo.jpg"], unit_rows(1))


def test_a_content_twice_in_one_call_is_refused(store: Store) -> None:
    """Contents of one call are distinct."""
    with pytest.raises(InputError, match="distinct"):
        store.add([], [sha(0), sha(0)], unit_rows(2))


def test_a_bad_query_is_refused(store: Store) -> None:
    """A query must be a unit vector of the store's length."""
    with pytest.raises(InputError):
        store.search(unit_rows(1)[0] * 2, limit=1, where=ALL)
    with pytest.raises(InputError):
        store.search(unit_rows(1, dim=8)[0], limit=1, where=ALL)


def test_threads_search_while_one_writes(store: Store) -> None:
    """Searches from several threads see whole batches only, while batches are added, deleted and compacted."""
    rows = unit_rows(2000)
    contents = [sha(i) for i in range(2000)]
    done = threading.Event()

    def write() -> None:
        try:
            for first in range(0, 2000, 100):
                part = slice(first, first + 100)
                store.add([Item(id=c, content=c) for c in contents[part]], contents[part], rows[part])
                if first % 500 == 400:
                    store.delete([("default", c) for c in contents[part]])
                    store.compact()
        finally:
            done.set()

    def read(number: int) -> None:
        while not done.is_set():
            answers, considered = store.search(rows[number], limit=5, where=ALL)
            assert considered % 100 == 0
            assert len(answers) == min(5, considered)
            assert not considered or answers[0].item.id == contents[number]
            assert store.search(rows[number], limit=5, where=Filter(project="default"))[1] % 100 == 0

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(write), *(pool.submit(read, number) for number in range(3))]:
            task.result()
    assert store.stats().items == 1600
