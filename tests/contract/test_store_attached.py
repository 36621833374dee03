"""Attached tables: of any name and shape, searched as they are, written as far as they can be, else left alone."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lookalike.contents import is_unread
from lookalike.errors import InputError, StoreError, StoreNotFound, StoreReadOnly
from lookalike.places import Address
from lookalike.secret import Secret
from lookalike.spaces import Space
from lookalike.store.attached import measuring
from lookalike.store.attached.mapping import Mapping
from lookalike.store.attached.store import AttachedStore, open_store
from lookalike.store.postgres.planning import Plan
from lookalike.store.postgres.rows import text_of
from lookalike.store.postgres.tuning import probes_of
from lookalike.types import Filter, Item, LedgerEntry, Outcome, Rows
from lookalike.vectors import normalise
from tests.attached import MAPPED, WHOLE, attached, sql
from tests.contract.test_store import sha
from tests.postgres import NewDatabase

pytest.importorskip("psycopg")

DIM = 8
SPACE = Space(model="toy", weights="0" * 64, preprocessing="", pooling="mean", dim=DIM, modalities=("image",))
ALL = Filter()
INSERT = "INSERT INTO photos VALUES"
PLAIN = Mapping(table="photos", id="id", vector="embedding")


def rows_of(n: int, *, seed: int = 0) -> Rows:
    """n random unit rows."""
    return normalise(np.random.default_rng(seed).standard_normal((n, DIM)))


def literal(row: Rows) -> str:
    """A vector in SQL."""
    return f"'{text_of(row)}'"


@pytest.fixture
def url(new_database: NewDatabase) -> Secret:
    """The address of a place for a team's tables."""
    return new_database()


@pytest.fixture
def attach(url: Secret) -> Iterator[Callable[..., AttachedStore]]:
    """Runs statements as the owner of the tables would, and attaches one of them."""
    stores: list[AttachedStore] = []

    def made(mapping: Mapping, *statements: str) -> AttachedStore:
        sql(url, *statements)
        stores.append(attached(url, mapping, SPACE))
        return stores[-1]

    yield made
    for store in stores:
        store.close()


def ids(store: AttachedStore, query: Rows, *, limit: int = 10, where: Filter = ALL) -> list[str]:
    """The ids of the answers, best first."""
    return [scored.item.id for scored in store.search(query, limit=limit, where=where)[0]]


HOSTILE = ["select", 'My "Photos"', "תמונות 写真", "a'; DROP TABLE victim; --", "100%s %(query)s {items} \\", "x.y"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_may_be_anything(attach: Callable[..., AttachedStore], url: Secret, name: str) -> None:
    """Reserved words, quotes, other scripts, percent signs and braces are names like others."""

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    names = {role: f"{role} {name}" for role in ("id", "vector", "uri", "project", "content", "fact")}
    mapping = Mapping(table=name, metadata=(names.pop("fact"),), caption=f"caption {name}", may_delete=True, **names)
    columns = ", ".join(
        f"{quoted(column)} {kind}"
        for column, kind in [
            (mapping.id, "text PRIMARY KEY"),
            (mapping.vector, f"vector({DIM})"),
            *((column, "text") for column in (mapping.uri, mapping.project, mapping.content, mapping.caption)),
            (mapping.metadata[0], quoted(f"kind {name}")),
        ]
    )
    kind = f"CREATE DOMAIN {quoted(f'kind {name}')} AS text"
    store = attach(mapping, "CREATE TABLE victim (x int)", kind, f"CREATE TABLE {quoted(name)} ({columns})")
    rows = rows_of(3)
    items = [Item(id=f"{n}", content=sha(n), project="p", caption="c", metadata=_fact(mapping, n)) for n in range(3)]
    store.add(items, [item.content for item in items], rows)
    assert ids(store, rows[1], limit=1) == ["1"]
    assert ids(store, rows[1], where=Filter(project="p", metadata=_fact(mapping, 2))) == ["2"]
    assert store.get([("p", "0"), ("p", name)]) == [items[0], None]
    assert list(store.items(ALL)) == items
    assert store.vectors([sha(2)])[1] == [sha(2)]
    assert (store.stats().items, store.n_items, len(store.sample(2, seed=1)[0])) == (3, 3, 2)
    assert store.delete([("p", "0"), ("q", "1")]) == 1
    assert sql(url, "SELECT count(*) FROM victim") == [(0,)]
    again = open_store(Address(url.reveal()).at(name))
    assert again.stats().items == 2
    again.close()


def _fact(mapping: Mapping, n: int) -> dict[str, str]:
    return {mapping.metadata[0]: f"'{n}' %s {{}}"}


@pytest.mark.parametrize(
    ("kind", "known", "unknown"),
    [
        ("text", ["7", "007", "a b", "'"], ["A B", "", "\0"]),
        ("bigint", ["7", "-1", str(2**62)], ["007", "+7", " 7", "7.0", "x", str(2**63), "-0", "\u0667", "9" * 5000]),
        ("smallint", ["7", "-32768"], ["32768", "7 "]),
        ("uuid", [str(uuid.UUID(int=5))], [str(uuid.UUID(int=5)).replace("-", ""), "x", str(uuid.UUID(int=5)) + "0"]),
        ("varchar(20)", ["7", "seven"], ["Seven", "7" * 21]),
    ],
)
def test_ids_of_any_type_are_names(
    attach: Callable[..., AttachedStore], kind: str, known: list[str], unknown: list[str]
) -> None:
    """An id is its text, and another spelling another name: never an error where one is looked up."""
    store = attach(PLAIN, f"CREATE TABLE photos (id {kind} PRIMARY KEY, embedding vector({DIM}))")
    rows = rows_of(len(known))
    store.add([Item(id=name, content=sha(name)) for name in known], [sha(name) for name in known], rows)
    found = store.get([("default", name) for name in [*known, *unknown]])
    assert [item and item.id for item in found] == [*known, *([None] * len(unknown))]
    assert ids(store, rows[0], limit=1) == known[:1]
    assert [item.id for item in store.items(ALL)] == sorted(known)
    assert store.delete([("default", name) for name in [*unknown, known[0]]]) == 1
    for name in unknown:
        if not kind.endswith(("text", "(20)")) or "\0" in name or len(name) > 20:
            with pytest.raises(InputError):
                store.add([Item(id=name, content=sha(name))], [sha(name)], rows[:1])


def test_items_are_listed_page_by_page(attach: Callable[..., AttachedStore]) -> None:
    """Every item that passes once, by project and id; an invented place to go on from is refused."""
    store = attach(MAPPED, WHOLE.format(dim=DIM))
    names = [str(n) for n in range(5)]
    store.add([Item(id=n, project="ab"[n > "2"], content=sha(n)) for n in names], [sha(n) for n in names], rows_of(5))
    for where in (ALL, Filter(project="a"), Filter(project="none")):
        listed, after = store.newest(where, limit=2)
        while after:
            page, after = store.newest(where, limit=2, after=after)
            listed += page
        assert listed == list(store.items(where))
    with pytest.raises(InputError):
        store.newest(ALL, limit=2, after="1; DROP TABLE customer_photos")


def test_projects_of_numbers_filter(attach: Callable[..., AttachedStore]) -> None:
    """A project that no row can have lets nothing through; rows without one are of project ''."""
    mapping = replace(PLAIN, project="shop_id")
    rows = rows_of(3)
    store = attach(
        mapping,
        f"CREATE TABLE photos (id int PRIMARY KEY, shop_id bigint, embedding vector({DIM}))",
        *(f"{INSERT} ({n}, {shop}, {literal(rows[n])})" for n, shop in enumerate(("42", "7", "NULL"))),
    )
    assert [ids(store, rows[0], where=Filter(project=name)) for name in ("42", "", "x", "042")] == [
        ["0"],
        ["2"],
        [],
        [],
    ]
    assert store.stats().projects == {"": 1, "42": 1, "7": 1}
    assert store.sample(9, seed=0, project="7")[0] == [store.get([("7", "1")])[0].content]  # type: ignore[union-attr]
    assert store.sample(9, seed=0, project="x")[0] == []
    assert list(store.items(Filter(project="x"))) == []


def test_an_id_of_another_project_is_left_alone(attach: Callable[..., AttachedStore]) -> None:
    """Where ids are unique in the whole table, nobody takes the row of another project: the whole call is refused."""
    mapping = replace(PLAIN, project="shop_id", may_delete=True)
    store = attach(mapping, f"CREATE TABLE photos (id int PRIMARY KEY, shop_id text, embedding vector({DIM}))")
    rows = rows_of(2)
    store.add([Item(id="1", project="a", content=sha(1))], [sha(1)], rows[:1])
    with pytest.raises(InputError, match="another project") as caught:
        store.add([Item(id=n, project="b", content=sha(2)) for n in "21"], [sha(2)], rows[1:])
    assert caught.value.item == "1"
    assert store.get([("b", "1"), ("b", "2")]) == [None, None]
    assert store.delete([("b", "1")]) == 0
    assert ids(store, rows[0]) == ["1"]


@pytest.mark.parametrize(
    ("shop", "key"), [("int", "id"), ("text", "id"), ("text NOT NULL", "shop, id"), ("text NOT NULL", "id")]
)
def test_a_row_of_no_project_is_written_where_it_is(
    attach: Callable[..., AttachedStore], url: Secret, shop: str, key: str
) -> None:
    """A project that is null, or empty, is '' to who reads and writes; it stays as it is, and no row is made."""
    none = "''" if "NOT NULL" in shop else "NULL"
    store = attach(
        replace(PLAIN, project="shop"),
        f"CREATE TABLE photos (shop {shop}, id int, embedding vector({DIM}), UNIQUE ({key}))",
        f"{INSERT} ({none}, 1, NULL), ({none if 'int' in shop else chr(39) * 2}, 2, NULL), (7, 3, NULL)",
    )
    rows = rows_of(4)
    before = sql(url, "SELECT shop, id FROM photos ORDER BY id")
    items = [Item(id=str(n), project="7" if n == 3 else "", content=sha(n)) for n in (1, 2, 3)]
    for _ in range(2):
        store.add(items, [item.content for item in items], rows[:3])
    assert sql(url, "SELECT shop, id FROM photos ORDER BY id") == before
    assert [item and item.project for item in store.get([("", "1"), ("", "2"), ("", "3")])] == ["", "", None]
    store.add([Item(id="4", project="", content=sha(4))], [sha(4)], rows[3:])
    assert ids(store, rows[3], limit=1, where=Filter(project="")) == ["4"]
    assert store.delete([("", str(n)) for n in range(1, 5)]) == 3


@pytest.mark.parametrize("unique", ["UNIQUE", "UNIQUE NULLS NOT DISTINCT"])
def test_a_key_that_may_be_null_is_only_read(attach: Callable[..., AttachedStore], url: Secret, unique: str) -> None:
    """Where the key has a project that can be null, rows are found by it, and writing is refused with the reason."""
    if sql(url, "SHOW server_version_num") < [("150000",)] and "NOT" in unique:
        pytest.skip("PostgreSQL 15 is the first that knows it.")
    row = literal(rows_of(1)[0])
    store = attach(
        replace(PLAIN, project="shop"),
        f"CREATE TABLE photos (shop int, id int, embedding vector({DIM}), {unique} (shop, id))",
        f"{INSERT} (NULL, 3, {row}), (7, 3, {row})",
    )
    found = store.get([("", "3"), ("7", "3"), ("8", "3")])
    assert [item and item.project for item in found] == ["", "7", None]
    assert store.look().vectors == 2
    for write in (lambda: store.add([], [], np.empty((0, DIM), np.float32)), lambda: store.delete([("", "3")])):
        with pytest.raises(StoreReadOnly, match="shop of photos can be null"):
            write()
    if unique == "UNIQUE":
        sql(url, f"{INSERT} (NULL, 3, {row})")
        with pytest.raises(InputError, match="another row has too"):
            store.look()


@pytest.mark.parametrize("kind", ["vector", "halfvec"])
def test_cosines_are_taken_whatever_the_lengths(attach: Callable[..., AttachedStore], kind: str) -> None:
    """Vectors of any length, of none, of zeros: cosines of the first, and the others are not there."""
    rows = rows_of(20)
    values = [f"({n}, {literal(row * (1 + n))})" for n, row in enumerate(rows)]
    store = attach(
        PLAIN,
        f"CREATE TABLE photos (id int PRIMARY KEY, embedding {kind}({DIM}))",
        f"{INSERT} {', '.join(values)}, (98, NULL), (99, '{[0] * DIM}')",
    )
    query = rows_of(1, seed=9)[0]
    cosines = rows @ query
    scored, considered = store.search(query, limit=100, where=ALL)
    assert [found.item.id for found in scored] == [str(n) for n in np.argsort(-cosines)]
    assert [found.similarity for found in scored] == pytest.approx(sorted(cosines, reverse=True), abs=2e-3)
    assert considered == 21
    assert store.get([("default", "98")]) == [None]
    values_found, contents = store.vectors([found.item.content for found in scored])
    assert (len(contents), all(map(is_unread, contents))) == (20, True)
    np.testing.assert_allclose(np.linalg.norm(values_found, axis=1), 1, atol=1e-6)
    assert len(store.sample(100, seed=3)[0]) == 20


def test_a_content_made_of_a_vector_stays(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """Without a column for it a row's content is made of its vector: the same for all who ask, and again."""
    rows = rows_of(3)
    store = attach(PLAIN, f"CREATE TABLE photos (id int PRIMARY KEY, embedding vector({DIM}))")
    store.add([Item(id=str(n), content=sha(n)) for n in range(3)], [sha(n) for n in range(3)], rows)
    contents = [item.content for item in store.items(ALL)]
    assert store.stats().unchecked == 3
    with open_store(Address(url.reveal()).at("photos")) as other:
        found, told = other.vectors([contents[2], sha("none"), contents[0]])
    assert told == [contents[2], contents[0]]
    np.testing.assert_allclose(found, rows[[2, 0]], atol=1e-6)
    store.add([Item(id="2", content=contents[0])], [], np.empty((0, DIM), np.float32))
    assert ids(store, rows[0], limit=2) == ["0", "2"]


TWO = (
    "CREATE TABLE photos (id uuid PRIMARY KEY, shop int NOT NULL DEFAULT 1, path varchar(30) NOT NULL)",
    f"CREATE TABLE image_embeddings (photo_id uuid UNIQUE REFERENCES photos, embedding halfvec({DIM}))",
)
JOINED = Mapping(
    table="photos", id="id", uri="path", vector_table="image_embeddings", vector_key="photo_id", vector="embedding"
)


def test_vectors_in_a_table_of_their_own(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """Photos and their embeddings in two tables are one store: found, written in both, and deleted as was agreed."""
    store = attach(JOINED, *TWO)
    names, rows = [str(uuid.UUID(int=n)) for n in range(4)], rows_of(4)
    items = [Item(id=name, content=sha(name), uri=f"{name[-1]}.jpg") for name in names]
    store.add(items, [item.content for item in items], rows)
    sql(url, f"{INSERT} ('{uuid.UUID(int=9)}', 1, 'bare.jpg')")
    assert [found.item.uri for found in store.search(rows[2], limit=1, where=ALL)[0]] == ["2.jpg"]
    assert (store.n_items, store.stats().items, len(list(store.items(ALL)))) == (4, 4, 4)
    store.add([replace(items[2], uri="new.jpg")], [items[2].content], rows[3:])
    assert ids(store, rows[3], limit=2) == [names[2], names[3]]
    assert store.delete([("default", names[2])]) == 1
    assert sql(url, "SELECT count(*) FROM photos") == [(5,)]
    with attached(url, replace(JOINED, may_delete=True), SPACE) as store:
        assert store.delete([("default", names[2]), ("default", names[3])]) == 1
    assert sql(url, "SELECT (SELECT count(*) FROM photos), (SELECT count(*) FROM image_embeddings)") == [(4, 3)]


def test_only_mapped_columns_change(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """A row that is written again keeps what is not mapped; a deleted item's row stays, without its vector."""
    mapping = replace(PLAIN, caption="title")
    table = f"CREATE TABLE photos (id int PRIMARY KEY, title text, price int DEFAULT 5, embedding vector({DIM}))"
    store = attach(mapping, table, "INSERT INTO photos VALUES (1, 'old', 9, NULL)")
    store.add([Item(id="1", content=sha(1), caption="new"), Item(id="2", content=sha(1))], [sha(1)], rows_of(1))
    assert sql(url, "SELECT id, title, price FROM photos ORDER BY id") == [(1, "new", 9), (2, None, 5)]
    assert store.delete([("default", "1"), ("default", "1")]) == 1
    assert store.get([("default", "1")]) == [None]
    assert sql(url, "SELECT title, embedding IS NULL FROM photos WHERE id = 1") == [("new", True)]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("CREATE TABLE photos (id int, embedding vector(8))", "No unique index is on column id"),
        ("CREATE VIEW photos AS SELECT 1 AS id, NULL::vector(8) AS embedding", "no table but a view"),
        ("CREATE TABLE photos (id int PRIMARY KEY, embedding vector(8)) PARTITION BY RANGE (id)", ""),
        ("CREATE TABLE photos (id int, at int, embedding vector(8), PRIMARY KEY (id, at))", "No unique index"),
    ],
)
def test_what_cannot_be_written_says_why(attach: Callable[..., AttachedStore], table: str, says: str) -> None:
    """Searching goes on, and writing is refused with the reason."""
    store = attach(PLAIN, table)
    assert store.search(rows_of(1)[0], limit=1, where=ALL) == ([], 0)
    for write in (lambda: store.add([], [], np.empty((0, DIM), np.float32)), lambda: store.delete([("default", "1")])):
        if says:
            with pytest.raises(StoreReadOnly, match=says):
                write()
        else:
            write()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("CREATE TABLE photos (id int PRIMARY KEY, price int NOT NULL, embedding vector(8))", "Column price"),
        (
            "CREATE TABLE photos (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x int, embedding vector(8))",
            "Column id",
        ),
    ],
)
def test_rows_that_lookalike_cannot_make_take_vectors(
    attach: Callable[..., AttachedStore], url: Secret, table: str, says: str
) -> None:
    """Where a new row needs what nothing is mapped to, rows that are there are written, and others are refused."""
    store = attach(PLAIN, table)
    sql(url, f"{INSERT} (DEFAULT, 5)" if says == "Column id" else f"{INSERT} (1, 5)")
    rows = rows_of(2)
    with pytest.raises(InputError, match=says) as caught:
        store.add([Item(id=n, content=sha(n)) for n in "12"], [sha(1), sha(2)], rows)
    assert caught.value.item == "2"
    assert store.n_items == 0
    store.add([Item(id="1", content=sha(1))], [sha(1)], rows[:1])
    assert ids(store, rows[0]) == ["1"]


def test_what_is_not_said_stays(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """A new vector leaves captions, paths and facts of a row as they are, unless it comes with others."""
    mapping = replace(PLAIN, uri="path", caption="title", metadata=("price", "facts"), root="s3://photos/")
    table = (
        f"CREATE TABLE photos (id int, path text, title text, price int NOT NULL, facts jsonb, embedding vector({DIM}))"
    )
    store = attach(mapping, table, "ALTER TABLE photos ADD PRIMARY KEY (id)")
    sql(url, f"{INSERT} (1, '/a/1.jpg', 'One', 5, '{{\"x\": 1}}', NULL)")
    item = Item(id="1", content=sha(1))
    store.add([item], [sha(1)], rows_of(1))
    assert sql(url, "SELECT path, title, price, facts FROM photos") == [("/a/1.jpg", "One", 5, {"x": 1})]
    there = store.get([("default", "1")])[0]
    assert there is not None
    assert (there.uri, there.metadata) == ("s3://photos/a/1.jpg", {"price": "5", "x": "1"})
    store.add([replace(there, content=sha(1))], [sha(1)], rows_of(1))
    assert sql(url, "SELECT path, title, price, facts FROM photos") == [("/a/1.jpg", "One", 5, {"x": 1})]
    store.add([replace(item, uri="s3://photos/b.jpg", metadata={"price": "6", "y": "2"})], [sha(1)], rows_of(1))
    assert sql(url, "SELECT path, price, facts FROM photos") == [("b.jpg", 6, {"x": 1, "y": "2"})]


def test_many_writers_leave_one_row_for_each_item(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """Threads that write and delete the same rows in other orders wait for each other: none is lost, none is twice."""
    store = attach(
        replace(PLAIN, may_delete=True), f"CREATE TABLE photos (id int PRIMARY KEY, embedding vector({DIM}))"
    )
    rows = rows_of(20)

    def write(writer: int) -> None:
        order = np.random.default_rng(writer).permutation(20).tolist()
        for _ in range(4):
            store.delete([("default", str(n)) for n in order[:5]])
            store.add([Item(id=str(n), content=sha(n)) for n in order], [sha(n) for n in order], rows[order])

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(write, writer) for writer in range(4)]:
            task.result()
    assert sql(url, "SELECT count(*), count(embedding) FROM photos") == [(20, 20)]
    assert [ids(store, row, limit=1) for row in rows] == [[str(n)] for n in range(20)]


def test_what_the_columns_do_not_take_is_named(attach: Callable[..., AttachedStore]) -> None:
    """No text is cut, and no fact dropped: an item that does not fit stops the call, and says so."""
    store = attach(replace(JOINED, metadata=("shop",)), *TWO)
    good = Item(id=str(uuid.UUID(int=1)), content=sha(1), uri="a.jpg")
    for bad in (
        replace(good, uri="a" * 31),
        replace(good, caption="red"),
        replace(good, project="p"),
        replace(good, metadata={"colour": "red"}),
        replace(good, metadata={"shop": "seven"}),
    ):
        with pytest.raises(InputError):
            store.add([good, replace(bad, id=str(uuid.UUID(int=2)))], [sha(1)], rows_of(1))
    assert store.n_items == 0
    store.add([replace(good, metadata={"shop": "3"})], [sha(1)], rows_of(1))
    assert store.search(rows_of(1)[0], limit=1, where=Filter(metadata={"shop": "3"}))[1] == 1


def test_what_a_file_says_of_itself_is_kept_where_there_is_room(attach: Callable[..., AttachedStore]) -> None:
    """In a column of its name or in a document; nobody has asked for it, so it is left out where there is neither."""
    facts = {"file_type": "png", "taken_year": "2026"}
    tables = {
        "plain": ("embedding vector({dim})", (), {}),
        "typed": ("file_type text, embedding vector({dim})", ("file_type",), {"file_type": "png"}),
        "open": ("facts jsonb, embedding vector({dim})", ("facts",), facts),
    }
    for name, (columns, metadata, kept) in tables.items():
        mapping = replace(PLAIN, table=name, metadata=metadata)
        store = attach(mapping, f"CREATE TABLE {name} (id int PRIMARY KEY, {columns.format(dim=DIM)})")
        store.add([Item(id="1", content=sha(1), metadata=facts)], [sha(1)], rows_of(1))
        (item,) = store.get([("default", "1")])
        assert item is not None and item.metadata == kept


def test_partitions_and_views_are_searched(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """A table in partitions is written and searched as one; a view over it shows what it shows."""
    rows = rows_of(30)
    store = attach(
        PLAIN,
        f"CREATE TABLE photos (id int PRIMARY KEY, embedding vector({DIM})) PARTITION BY HASH (id)",
        *(f"CREATE TABLE p{n} PARTITION OF photos FOR VALUES WITH (MODULUS 2, REMAINDER {n})" for n in range(2)),
        "CREATE VIEW few AS SELECT * FROM photos WHERE id < 10",
    )
    contents = [sha(n) for n in range(30)]
    store.add([Item(id=str(n), content=contents[n]) for n in range(30)], contents, rows)
    assert ids(store, rows[20], limit=1) == ["20"]
    assert store.stats().n_bytes > 30 * DIM * 4
    with attached(url, replace(PLAIN, table="few"), SPACE) as view:
        assert view.look().vectors == 10
        assert (view.n_items, view.stats().n_bytes) == (10, 0)
        assert ids(view, rows[5], limit=1) == ["5"]


@pytest.fixture
def reader(url: Secret) -> Iterator[str]:
    """A role that may look into the place of the tables, and nothing else."""
    name = f"reader_{uuid.uuid4().hex}"
    ((schema,),) = sql(url, f"CREATE ROLE {name}", "SELECT current_schema")
    sql(url, f"GRANT USAGE ON SCHEMA {schema} TO {name}")
    yield name
    sql(url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_what_a_user_may_not_do_is_told(attach: Callable[..., AttachedStore], url: Secret, reader: str) -> None:
    """A role that may only read finds, and is told that it does not write; one that may not read is told too."""
    rows = rows_of(1)
    table = f"CREATE TABLE photos (id int PRIMARY KEY, embedding vector({DIM}))"
    attach(PLAIN, table, f"{INSERT} (1, {literal(rows[0])})")
    sql(url, f"GRANT SELECT ON photos, lookalike_attached, lookalike_schema TO {reader}")
    with open_store(Address(f"{url.reveal()}%20-crole%3D{reader}").at("photos")) as store:
        assert ids(store, rows[0]) == ["1"]
        with pytest.raises(StoreReadOnly, match="photos"):
            store.add([Item(id="2", content=sha(2))], [sha(2)], rows)
        sql(url, f"REVOKE ALL ON photos FROM {reader}")
        with pytest.raises(StoreError, match="permission denied"):
            store.search(rows[0], limit=1, where=ALL)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE customer_photos DROP COLUMN title",
        "ALTER TABLE customer_photos RENAME COLUMN embedding TO vectors",
        "ALTER TABLE customer_photos ALTER COLUMN embedding TYPE vector(3) USING NULL",
        "DROP TABLE customer_photos",
    ],
)
def test_a_table_that_was_altered_is_named(attach: Callable[..., AttachedStore], url: Secret, change: str) -> None:
    """Who has it open and who opens it are told that it is not as it was, and what to do."""
    store = attach(MAPPED, WHOLE.format(dim=DIM))
    row = rows_of(1)
    store.add([Item(id="a", content=sha(1))], [sha(1)], row)
    sql(url, change)
    if "vector(3)" in change:
        sql(url, "UPDATE customer_photos SET embedding = '[1,2,3]'")
    with pytest.raises(StoreError, match=r"not as it was.*lookalike db attach customer_photos"):
        store.search(row[0], limit=1, where=ALL)
    with pytest.raises(StoreError, match=r"not as it was.*lookalike db attach customer_photos"):
        open_store(Address(url.reveal()).at("customer_photos"))


def test_a_table_that_is_not_attached_says_how(url: Secret, attach: Callable[..., AttachedStore]) -> None:
    """The error has the command, with and without tables of lookalike's own, and no password."""
    for _ in range(2):
        with pytest.raises(StoreNotFound, match="lookalike db attach orders") as caught:
            open_store(Address(url.reveal()).at("orders"))
        assert "not-asked-for" not in str(caught.value)
        attach(MAPPED, f"DROP TABLE IF EXISTS customer_photos; {WHOLE.format(dim=DIM)}")


def test_ledgers_do_not_mix(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """Two tables of one database, and an index there, have a ledger each, which goes when the table is detached."""
    first = attach(MAPPED, WHOLE.format(dim=DIM))
    second = attach(PLAIN, f"CREATE TABLE photos (id int PRIMARY KEY, embedding vector({DIM}))")
    entry = LedgerEntry(project="p", item_id="1", uri="a", stamp="", outcome=Outcome.STORED, content=sha(1))
    first.ledger.record([entry])
    assert list(second.ledger.under(None, "")) == []
    assert sql(url, "SELECT count(*) FROM lookalike_ledger") == [(0,)]
    sql(url, "DELETE FROM lookalike_attached WHERE name = 'customer_photos'")
    assert first.ledger.known("p", ["a"]) == {}


INDEXES = [
    ("vector", "hnsw (embedding vector_cosine_ops)", True, "<=>"),
    ("vector", f"hnsw ((embedding::halfvec({DIM})) halfvec_cosine_ops)", True, "<=>"),
    ("halfvec", "hnsw (embedding halfvec_ip_ops)", True, "<#>"),
    ("vector", "hnsw (embedding vector_l2_ops)", True, "<->"),
    ("vector", "ivfflat (embedding vector_cosine_ops) WITH (lists = 5)", True, "<=>"),
    ("vector", "hnsw (embedding vector_ip_ops)", False, ""),
    ("vector", "hnsw (embedding vector_cosine_ops) WHERE id > 3", True, ""),
    ("vector", "hnsw ((binary_quantize(embedding)::bit(8)) bit_hamming_ops)", True, ""),
]


@pytest.mark.parametrize(("kind", "index", "has_unit_vectors", "order"), INDEXES)
def test_the_tables_own_index_is_asked_where_it_fits(
    attach: Callable[..., AttachedStore], kind: str, index: str, has_unit_vectors: bool, order: str
) -> None:
    """An index that answers by cosine is scanned, and a filter never goes through it; any other is left alone."""
    rows = rows_of(400)
    values = ", ".join(f"({n}, {n % 100}, {literal(row)})" for n, row in enumerate(rows))
    store = attach(
        replace(PLAIN, project="shop", has_unit_vectors=has_unit_vectors),
        f"CREATE TABLE photos (id int PRIMARY KEY, shop int, embedding {kind}({DIM}))",
        f"{INSERT} {values}",
        f"CREATE INDEX own ON photos USING {index}",
        "CREATE INDEX ON photos (shop)",
        "ANALYZE photos",
    )
    assert (store.finder.index.order if store.finder.index else "") == order
    exact, how = Plan(0, ""), Plan(200, "Asked for.")
    where = Filter(project="7")
    assert "own" not in " ".join(store.finder.explain(exact, rows[7], limit=4, where=where))
    assert store.search(rows[7], limit=10, where=where)[1] == 4
    if order:
        assert "own" in " ".join(store.finder.explain(how, rows[5], limit=10, where=ALL))
        by_index, truth = (store.finder.find(one, rows[5], limit=10, where=ALL)[0] for one in (how, exact))
        assert [found.item.id for found in by_index] == [found.item.id for found in truth]
        assert [one.similarity for one in by_index] == pytest.approx([one.similarity for one in truth], abs=1e-6)
    else:
        with pytest.raises(StoreError, match="USING hnsw"):
            measuring.tune(store, {"near": rows[:10]})


def test_an_index_is_asked_only_once_it_was_measured(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """What was measured is kept for all who open the table, and counts until it is attached anew."""
    rows = rows_of(300)
    values = ", ".join(f"({n}, {literal(row)})" for n, row in enumerate(rows))
    store = attach(
        PLAIN,
        f"CREATE TABLE photos (id int PRIMARY KEY, embedding vector({DIM}))",
        f"{INSERT} {values}",
        "CREATE INDEX ON photos USING hnsw (embedding vector_cosine_ops)",
    )
    assert "no index on vectors that was measured" in store.finder.plan(rows[0], limit=10, where=ALL).reason
    settings = measuring.tune(store, dict(probes_of(store, rows_of(20, seed=5), n=20)))
    assert set(settings) == {"near", "far"}
    for one in (store, open_store(Address(url.reveal()).at("photos"))):
        reason = one.finder.plan(rows[0], limit=10, where=ALL).reason
        assert "measured" in reason or "no setting" in reason
        assert "no index" not in reason
        one.close()
    with attached(url, PLAIN, SPACE) as again:
        assert "no index on vectors that was measured" in again.finder.plan(rows[0], limit=10, where=ALL).reason


def test_facts_of_any_type_are_texts(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """Columns and the keys of a document are facts, compared as their texts; what is null is none."""
    mapping = replace(PLAIN, metadata=("price", "sold", "facts"))
    row = rows_of(1)[0]
    store = attach(
        mapping,
        f"CREATE TABLE photos (id int PRIMARY KEY, price numeric, sold boolean, facts json, embedding vector({DIM}))",
        f'{INSERT} (1, 2.50, true, \'{{"n": 3, "deep": {{"x": 1}}, "gone": null}}\', {literal(row)})',
        f"{INSERT} (2, NULL, NULL, '[1]', {literal(row)})",
    )
    first, second = store.items(ALL)
    assert first.metadata == {"price": "2.50", "sold": "true", "n": "3", "deep": '{"x": 1}'}
    assert second.metadata == {}
    asked: list[tuple[dict[str, Any], list[str]]] = [
        ({"price": "2.50"}, ["1"]),
        ({"price": "2.5"}, []),
        ({"sold": "true", "n": "3"}, ["1"]),
        ({"none": "x"}, []),
        ({"n": "3\0"}, []),
    ]
    for metadata, expected in asked:
        assert ids(store, row, where=Filter(metadata=metadata)) == expected


def test_facts_that_cannot_be_texts_are_read_all_the_same(attach: Callable[..., AttachedStore]) -> None:
    """Type json keeps a NUL and half a pair of UTF-16: they end no search, and pairs and other rows are as they are."""
    documents = [r"\u0000", r"\ud83d", r"\uDCFF.jpg", r"\ud83d\uDE00", r"\\\\d83d"]
    rows = rows_of(len(documents))
    values = [f"""({n}, '{{"x": "{text}", "y": 1}}', {literal(rows[n])})""" for n, text in enumerate(documents)]
    store = attach(
        replace(PLAIN, metadata=("facts",)),
        f"CREATE TABLE photos (id int PRIMARY KEY, facts json, embedding vector({DIM}))",
        f"{INSERT} {', '.join(values)}",
    )
    facts = ["\ufffd", "\ufffd", "\ufffd.jpg", "\N{GRINNING FACE}", r"\\d83d"]
    assert [item.metadata["x"] for item in store.items(ALL)] == facts
    assert sorted(ids(store, rows[0], where=Filter(metadata={"y": "1"}))) == list("01234")
    assert ids(store, rows[0], where=Filter(metadata={"x": facts[3]})) == ["3"]


def test_a_row_without_an_id_is_no_item(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """A row that comes without one is passed over by all that reads, and told where every row is looked at."""
    store = attach(PLAIN, f"CREATE TABLE photos (id text UNIQUE, embedding vector({DIM}))")
    rows = rows_of(2)
    sql(url, f"{INSERT} (NULL, {literal(rows[0])}), ('1', {literal(rows[1])})")
    assert ids(store, rows[0]) == ["1"]
    assert [item.id for item in store.items(ALL)] == ["1"]
    assert (store.n_items, store.stats().items, len(store.sample(9, seed=0)[0])) == (1, 1, 1)
    with pytest.raises(StoreError, match="have no 'id'"):
        store.check()


def test_a_search_that_fails_speaks_of_no_write(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """A value that the database cannot read is a fault of the table, not of whoever searches."""
    asking = "CREATE FUNCTION broken(n int) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT (1 / n)::text $$"
    table = f"CREATE TABLE raw (id int, embedding vector({DIM}))"
    view = "CREATE VIEW photos AS SELECT id, broken(id) AS title, embedding FROM raw"
    store = attach(replace(PLAIN, caption="title"), asking, table, view)
    sql(url, "INSERT INTO raw VALUES (0, '[1,0,0,0,0,0,0,0]')")
    with pytest.raises(StoreError, match="failed: division by zero"):
        store.search(rows_of(1)[0], limit=1, where=ALL)


def test_a_mapping_that_is_of_no_use_is_refused(attach: Callable[..., AttachedStore]) -> None:
    """A column that is not there, of a type that cannot be, or two documents: told when it is opened."""
    table = f"CREATE TABLE photos (id int PRIMARY KEY, at date, a json, b jsonb, embedding vector({DIM}))"
    attach(PLAIN, table).close()
    for mapping, says in (
        (replace(PLAIN, id="none"), "no column 'none'"),
        (replace(PLAIN, id="at"), "type date"),
        (replace(PLAIN, vector="at"), "halfvec, vector"),
        (replace(PLAIN, metadata=("a", "b")), "one of them"),
    ):
        with pytest.raises(StoreError, match=says):
            attach(mapping)


def trigger(when: str, body: str) -> tuple[str, str]:
    """Statements that have the photos' table do this before a row is written."""
    return (
        f"CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$",
        f"CREATE TRIGGER own BEFORE {when} ON photos FOR EACH ROW EXECUTE FUNCTION own()",
    )


@pytest.mark.parametrize(
    ("when", "body"),
    [
        ("INSERT", "IF NEW.id = 'Odd' THEN RETURN NULL; END IF; RETURN NEW;"),
        ("INSERT", "NEW.id = lower(NEW.id); RETURN NEW;"),
        ("UPDATE", "IF OLD.id = 'there' THEN RETURN NULL; END IF; RETURN NEW;"),
    ],
)
def test_a_row_that_a_trigger_keeps_out_is_told(
    attach: Callable[..., AttachedStore], url: Secret, when: str, body: str
) -> None:
    """What the table swallows or gives another id is refused, all or nothing, and no writer is held up by it."""
    table = f"CREATE TABLE photos (id text PRIMARY KEY, embedding vector({DIM}))"
    store = attach(PLAIN, table, f"{INSERT} ('there', NULL), ('good', NULL)", *trigger(when, body))
    rows = rows_of(1)
    with pytest.raises(InputError, match="trigger") as caught:
        store.add([Item(id=name, content=sha(1)) for name in ("good", "Odd", "there")], [sha(1)], rows)
    assert caught.value.item.lower() == ("there" if when == "UPDATE" else "odd")
    assert sql(url, "SELECT count(*), count(embedding) FROM photos") == [(2, 0)]
    store.add([Item(id="good", content=sha(1))], [sha(1)], rows)
    assert ids(store, rows[0]) == ["good"]


def test_a_vector_that_a_trigger_keeps_out_is_told(attach: Callable[..., AttachedStore], url: Secret) -> None:
    """So it is where vectors have a table of their own."""
    swallow = [text.replace("photos", "image_embeddings") for text in trigger("INSERT", "RETURN NULL;")]
    store = attach(JOINED, *TWO, *swallow)
    with pytest.raises(InputError, match="trigger"):
        store.add([Item(id=str(uuid.UUID(int=1)), content=sha(1), uri="a.jpg")], [sha(1)], rows_of(1))
    assert sql(url, "SELECT count(*) FROM photos") == [(0,)]


def test_what_changes_nothing_may_be_passed_over(attach: Callable[..., AttachedStore]) -> None:
    """A table that leaves a row alone which is as it shall be has taken it."""
    table = f"CREATE TABLE photos (id int PRIMARY KEY, embedding halfvec({DIM}))"
    passing = "CREATE TRIGGER own BEFORE UPDATE ON photos FOR EACH ROW EXECUTE FUNCTION"
    store = attach(PLAIN, table, f"{passing} suppress_redundant_updates_trigger()")
    for _ in range(2):
        store.add([Item(id=n, content=sha(n)) for n in "12"], [sha(1), sha(2)], rows_of(2))
    assert store.n_items == 2


def test_a_row_that_is_hidden_is_told(attach: Callable[..., AttachedStore], url: Secret, reader: str) -> None:
    """Row-level security that hides the row of an id keeps nobody waiting: what cannot be written is refused."""
    table = f"CREATE TABLE photos (id text PRIMARY KEY, embedding vector({DIM}), tenant text DEFAULT current_user)"
    attach(PLAIN, table, f"{INSERT} ('1', {literal(rows_of(1)[0])}, 'other')")
    sql(
        url,
        "ALTER TABLE photos ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON photos USING (tenant = current_user)",
        f"GRANT ALL ON photos, lookalike_attached, lookalike_schema TO {reader}",
    )
    with open_store(Address(f"{url.reveal()}%20-crole%3D{reader}").at("photos")) as store:
        with pytest.raises(InputError, match="row-level security") as caught:
            store.add([Item(id=n, content=sha(1)) for n in "12"], [sha(1)], rows_of(1))
        assert caught.value.item == "1"
        store.add([Item(id="2", content=sha(1))], [sha(1)], rows_of(1))
        assert ids(store, rows_of(1)[0]) == ["2"]
