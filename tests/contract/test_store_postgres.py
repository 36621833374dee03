"""The production store beside its in-memory twin, with many writers at once, and where the database refuses."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from lookalike.contents import content_of
from lookalike.errors import InputError, StoreCorrupt, StoreError, StoreNotFound, StoreReadOnly, StoreTooNew
from lookalike.secret import Secret
from lookalike.spaces import Space
from lookalike.store.memory import MemoryStore
from lookalike.store.postgres.mirror import GROWTH
from lookalike.store.postgres.passing import KEPT_FILTERS, Passing
from lookalike.store.postgres.rows import escaped, plain
from lookalike.store.postgres.store import PostgresStore, create, open_store
from lookalike.types import Filter, Item, LedgerEntry, Outcome, Rows
from lookalike.vectors import normalise
from tests.postgres import NewDatabase

psycopg = pytest.importorskip("psycopg")

DIM = 8
SPACE = Space(model="toy", weights="0" * 64, preprocessing="", pooling="mean", dim=DIM, modalities=("image",))
ALL = Filter()


def sha(name: object) -> str:
    """A content digest for a name."""
    return hashlib.sha256(str(name).encode()).hexdigest()


def row(number: int) -> Rows:
    """A picture's vector, a row; pairs of pictures share one."""
    return normalise(np.random.default_rng(number // 2).standard_normal((1, DIM)))


@pytest.fixture
def url(new_database: NewDatabase) -> Secret:
    """The address of an empty place for a store."""
    return new_database()


@pytest.fixture
def store(url: Secret) -> Iterator[PostgresStore]:
    """An empty store."""
    with create(url, SPACE) as made:
        yield made


@pytest.fixture(params=["searched there", "searched in memory"])
def either(request: pytest.FixtureRequest, store: PostgresStore) -> PostgresStore:
    """An empty store that searches in the one way or in the other."""
    if request.param == "searched in memory":
        store.finder.keep_in_memory().join()
    return store


def sql(url: Secret, statement: str) -> list[Any]:
    """What the database answers to a statement of its owner."""
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_it_agrees_with_its_twin(either: PostgresStore) -> None:
    """After any of 100 operations drawn by lot, both stores hold, count and find the same."""
    chance, twin = random.Random(3), MemoryStore(SPACE)
    names = ["a", "b", "é\U0001f642", "z\0", "z\x01"]

    def key() -> tuple[str, str]:
        return chance.choice(names), chance.choice(names)

    for _ in range(100):
        shown = sorted(chance.sample(range(8), chance.randint(0, 3)))
        rows = np.concatenate([row(n) for n in shown]) if shown else np.empty((0, DIM), np.float32)
        items = [
            Item(project=project, id=name, content=sha(chance.choice(shown)), metadata={"k": chance.choice("12")})
            for project, name in (key() for _ in range(chance.randint(0, 4) if shown else 0))
        ]
        doomed = [key() for _ in range(chance.randint(0, 3))]
        for one in (either, twin):
            one.add(items, [sha(n) for n in shown], rows)
        assert either.delete(doomed) == twin.delete(doomed)
        if not chance.randrange(5):
            assert either.compact() == twin.compact()
        where = Filter(project=chance.choice([None, *names]), metadata=chance.choice([{}, {"k": "1"}]))
        query, limit = row(chance.randrange(8))[0], chance.randint(1, 12)
        (mine, passed), (theirs, considered) = (one.search(query, limit=limit, where=where) for one in (either, twin))
        assert passed == considered
        assert [scored.item for scored in mine] == [scored.item for scored in theirs]
        assert list(either.items(where)) == list(twin.items(where))
        counts = [(s.items, s.contents, s.dead_slots, s.projects) for s in (either.stats(), twin.stats())]
        assert counts[0] == counts[1]
    either.check()


def test_many_writers_leave_one_vector_for_each_picture(store: PostgresStore, url: Secret) -> None:
    """Eight threads that add the same pictures in other orders, delete and compact: nothing lost, nothing twice."""

    def write(writer: int) -> None:
        order = random.Random(writer)
        for _ in range(6):
            numbers = order.sample(range(0, 40, 2), 12)
            items = [
                Item(project=f"p{n % 3}", id=f"{n} of {writer}", content=sha(n)) for n in order.sample(numbers, 12)
            ]
            for _ in range(2):
                store.add(items, [sha(n) for n in numbers], np.concatenate([row(n) for n in numbers]))
                store.delete([(item.project, item.id) for item in items[:4]])
                store.compact()

    with ThreadPoolExecutor(8) as pool:
        for task in [pool.submit(write, writer) for writer in range(8)]:
            task.result()
    store.check()
    assert store.stats().items == len(list(store.items(ALL))) > 0
    assert sql(url, "SELECT count(*) - count(DISTINCT content) FROM lookalike_vectors") == [(0,)]
    assert store.stats().dead_slots == 0  # each writer's last step


def test_writers_wait_for_each_other_under_any_default_isolation(store: PostgresStore, url: Secret) -> None:
    """A database may have a stricter level by default: who writes what others write is still never refused."""
    items = [Item(id=str(n), content=sha(n)) for n in range(0, 20, 2)]
    vectors = np.concatenate([row(n) for n in range(0, 20, 2)])
    with open_store(with_option(url, "default_transaction_isolation=serializable")) as strict:

        def write(writer: int) -> None:
            caption = str(writer)
            strict.add([replace(item, caption=caption) for item in items], [item.content for item in items], vectors)
            strict.ledger.record(
                LedgerEntry(project="default", uri=str(n), item_id=str(n), stamp=caption, outcome=Outcome.STORED)
                for n in range(10)
            )
            strict.delete([("default", item.id) for item in items[:writer]])
            strict.ledger.forget("default", [str(n) for n in range(writer)])

        with ThreadPoolExecutor(8) as pool:
            for task in [pool.submit(write, writer) for writer in range(8) for _ in range(6)]:
                task.result()
    store.check()


def test_text_is_sent_in_utf_8_whatever_a_client_is_set_to(
    store: PostgresStore, url: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the role's setting nor the environment's decides what can be stored and read."""
    item = Item(id="שמלה", content=sha(0), caption="赤いドレス", metadata={"צבע": "אדום"})
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    for setting in ("SQL_ASCII", "LATIN1"):
        with open_store(with_option(url, f"client_encoding={setting}")) as other:
            other.add([item], [sha(0)], row(0))
            assert other.get([("default", item.id)]) == [item]
            assert other.search(row(0)[0], limit=1, where=Filter(metadata=item.metadata))[1] == 1


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_in_another_encoding_is_refused(postgres_url: str, encoding: str) -> None:
    """Before anything is made there: not every caption could be stored."""
    name = f"encoded_{os.getpid()}"
    address = Secret(urlsplit(postgres_url)._replace(path=f"/{name}").geturl())
    owner = Secret(postgres_url)
    sql(owner, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    try:
        with pytest.raises(StoreError, match=f"{encoding}.*ENCODING 'UTF8'"):
            create(address, SPACE)
        with pytest.raises(StoreNotFound):
            open_store(address)
    finally:
        sql(owner, f"DROP DATABASE {name} WITH (FORCE)")


def test_an_item_is_replaced_as_a_whole_by_one_of_its_writers(store: PostgresStore) -> None:
    """Of two that write the same items at once one wins each of them, all of its columns."""
    items = {name: [Item(id=str(i), content=sha(name), caption=name) for i in range(50)] for name in "ab"}
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            tasks = [pool.submit(store.add, items[name], [sha(name)], row(ord(name))) for name in "ab"]
            for task in tasks:
                task.result()
    assert {(item.content, item.caption) for item in store.items(ALL)} <= {(sha(name), name) for name in "ab"}
    assert store.stats().items == 50


def in_memory(url: Secret) -> PostgresStore:
    """The store as another process has it that keeps the vectors in memory."""
    reader = open_store(url)
    reader.finder.keep_in_memory().join()
    return reader


def nearest_ids(reader: PostgresStore, number: int) -> set[str]:
    """The ids of what is nearest to a picture; both of a pair are."""
    return {scored.item.id for scored in reader.search(row(number)[0], limit=2, where=ALL)[0]}


def put(store: PostgresStore, *numbers: int) -> None:
    """Add pictures, each with one item."""
    items = [Item(id=str(n), content=sha(n)) for n in numbers]
    store.add(items, [item.content for item in items], np.concatenate([row(n) for n in numbers]))


def test_memory_follows_what_others_write(url: Secret) -> None:
    """What another process adds, deletes or gives up is in the next answer, from memory; also when the notes of the
    changes do not reach back to what was read."""
    with create(url, SPACE) as writer, in_memory(url) as reader:
        for first in range(0, 40, 4):
            put(writer, *range(first, first + 4))
            assert nearest_ids(reader, first) == {str(first), str(first + 1)}
            if first == 20:
                put(writer, 102, 103)
                sql(url, "DELETE FROM lookalike_changes")
                put(writer, 100, 101)
        writer.delete([("default", "4"), ("default", "5")])
        assert nearest_ids(reader, 4).isdisjoint({"4", "5"})
        assert writer.compact() == 2
        assert nearest_ids(reader, 4).isdisjoint({"4", "5"})
        put(writer, 4, 5)
        assert nearest_ids(reader, 4) == {"4", "5"}
        assert reader.finder.plan(row(0)[0], limit=1, where=ALL).in_memory
        assert len(reader.finder._mirror.view().contents) == len(set(reader.finder._mirror.view().contents.tolist()))


def test_memory_keeps_who_passes_a_filter_until_something_is_written(url: Secret) -> None:
    """A filter is asked of the database once; what another process adds, changes or deletes is in the next answer."""
    red, shoes = Filter(metadata={"colour": "red"}), Filter(project="shoes")

    def found(where: Filter) -> tuple[set[str], int]:
        hits, passed = reader.search(row(0)[0], limit=10, where=where)
        return {scored.item.id for scored in hits}, passed

    def write(item: Item) -> None:
        writer.add([item], [], np.empty((0, DIM), np.float32))

    with create(url, SPACE) as writer, in_memory(url) as reader:
        put(writer, *range(6))
        write(Item(id="a", content=sha(0), project="shoes", metadata={"colour": "red"}))
        assert (found(red), found(shoes)) == (({"a"}, 1), ({"a"}, 1))
        kept = list(reader.finder._passing._kept.values())
        assert (found(red), found(shoes)) == (({"a"}, 1), ({"a"}, 1))
        assert len(kept) == 2 and all(a is b for a, b in zip(kept, reader.finder._passing._kept.values(), strict=True))
        write(Item(id="b", content=sha(1), project="shoes"))
        assert (found(red), found(shoes)) == (({"a"}, 1), ({"a", "b"}, 2))
        write(Item(id="b", content=sha(1), project="shoes", metadata={"colour": "red"}))
        assert found(red) == ({"a", "b"}, 2)
        writer.delete([("shoes", "a")])
        assert (found(red), found(shoes)) == (({"b"}, 1), ({"b"}, 1))
        assert found(Filter(project="shoes", metadata={"colour": "red"})) == ({"b"}, 1)
        assert found(Filter(metadata={"colour": "blue"})) == (set(), 0)
        writer.add([Item(id="c", content=sha(9), project="shoes")], [sha(9)], row(9))
        assert found(shoes) == ({"b", "c"}, 2)


def test_memory_keeps_the_filters_that_were_used_last(url: Secret) -> None:
    """Lists of what passes take no more room than they may; the last one is kept in any case."""
    with create(url, SPACE) as writer, in_memory(url) as reader:
        put(writer, *range(6))
        passing = Passing(reader.database, kept_bytes=100)
        view = reader.finder._mirror.view()
        filters = [Filter(project="default"), Filter(project="none")]
        asked = [{"project": 1, "metadata": None}, {"project": 99, "metadata": None}]
        first, second = (passing.of(view, where, words) for where, words in zip(filters, asked, strict=True))
        assert (first.n_items, second.n_items) == (6, 0)
        assert passing.of(view, filters[0], asked[0]) is first
        tight = Passing(reader.database, kept_bytes=40)
        assert tight.of(view, filters[0], asked[0]) is tight.of(view, filters[0], asked[0])
        tight.of(view, filters[1], asked[1])
        assert list(tight._kept) == [("none", frozenset())]
        for n in range(KEPT_FILTERS + 10):
            tight.of(view, Filter(project=f"none {n}"), asked[1])
        assert len(tight._kept) == KEPT_FILTERS


def test_memory_holds_each_picture_once_after_a_failure(url: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that could be read only in part is read again, as a whole."""
    with create(url, SPACE) as writer, in_memory(url) as reader:
        put(writer, *range(12))
        read, mirror = reader.finder._mirror._vectors, reader.finder._mirror
        answers = iter([None, None])

        def flaky(numbers: list[int]) -> list[tuple[int, bytes]]:
            if next(answers, "fail") == "fail":
                raise StoreError("The line broke.")
            return read(numbers)

        monkeypatch.setattr("lookalike.store.postgres.mirror.PART", 5)
        monkeypatch.setattr(mirror, "_vectors", flaky)
        with pytest.raises(StoreError, match="broke"):
            nearest_ids(reader, 0)
        monkeypatch.setattr(mirror, "_vectors", read)
        assert nearest_ids(reader, 10) == {"10", "11"}
        assert sorted(mirror.view().contents.tolist()) == sorted(set(mirror.view().contents.tolist()))
        assert len(mirror.view().contents) == 12


def test_memory_finds_what_the_database_finds_in_a_large_collection(
    url: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With short codes, fitted again as the collection grows, and with filters: the same answers."""
    monkeypatch.setattr("lookalike.store.postgres.mirror.SCREEN_FROM", 300)
    chance = np.random.default_rng(6)
    wide = replace(SPACE, dim=64)
    with create(url, wide) as writer, in_memory(url) as reader:
        for first in range(0, 3600, 900):
            rows = normalise(chance.standard_normal((900, 64)) + 1)
            items = [Item(id=f"{first + n}", content=sha(first + n), project="ab"[n % 9 == 0]) for n in range(900)]
            writer.add(items, [item.content for item in items], rows)
            for query in normalise(chance.standard_normal((5, 64)) + 1):
                for where in (ALL, Filter(project="b"), Filter(project="none")):
                    mine, passed = reader.search(query, limit=10, where=where)
                    theirs, considered = writer.search(query, limit=10, where=where)
                    assert ([scored.item for scored in mine], passed) == ([s.item for s in theirs], considered)
        assert reader.finder._mirror.view().table.codes is not None
        assert reader.finder._mirror.n_bytes < 3600 * GROWTH * (64 * 3 + 16)


@pytest.mark.parametrize("text", ["", "\0", "\x01", "\0\x01\x02a", "a\x01\x01", "é\0\U0001f642"])
def test_a_text_with_nul_comes_back(text: str) -> None:
    """What PostgreSQL cannot keep is written in another way, and read as it was."""
    assert "\0" not in escaped(text)
    assert plain(escaped(text)) == text


def test_escaped_texts_keep_their_order() -> None:
    """Ties by (project, id) and walks by uri are as they are in Python."""
    texts = sorted(a + b + c for a in "\0\x01\x02a\U0001f642" for b in "\0\x01b" for c in ("", "\0", "\x01"))
    assert sorted(texts, key=lambda text: escaped(text).encode()) == texts


def test_pictures_and_vectors_that_were_imported_live_side_by_side(store: PostgresStore) -> None:
    """Contents of both lengths come in one call, are told apart, counted, drawn and compacted."""
    contents = [sha(n) if n % 3 else content_of(b"%d" % n, is_checked=n % 2 == 0) for n in range(30)]
    rows = np.concatenate([row(2 * n) for n in range(30)])
    store.add([Item(id=str(n), content=content) for n, content in enumerate(contents)], contents, rows)
    values, found = store.vectors(contents)
    assert found == contents
    np.testing.assert_allclose(values, rows, atol=1e-3)
    assert (store.stats().contents, store.stats().unchecked) == (30, 5)
    assert set(store.sample(100, seed=0)[0]) == set(contents)
    assert len(set(store.sample(10, seed=0)[0])) == 10
    store.delete([("default", str(n)) for n in range(15)])
    assert store.compact() == 15
    assert set(store.sample(100, seed=0)[0]) == set(contents[15:])


def test_a_sample_is_drawn_from_a_collection_with_gaps(store: PostgresStore) -> None:
    """Where most have gone and the rest is large, as many are drawn as were asked for, evenly."""
    contents = [sha(n) for n in range(600)]
    rows = np.concatenate([row(2 * n) for n in range(600)])
    store.add([Item(id=str(n), content=content) for n, content in enumerate(contents)], contents, rows)
    store.delete([("default", str(n)) for n in range(600) if n % 3])
    drawn = [store.sample(12, seed=seed)[0] for seed in range(20)]
    assert all(len(set(sample)) == 12 for sample in drawn)
    places = [contents.index(content) for sample in drawn for content in sample]
    assert 240 < np.mean(places) < 360


def test_a_sample_is_drawn_where_millions_have_gone(store: PostgresStore) -> None:
    """Numbers of contents are not used again: what is left lies so far apart that a number drawn by lot meets none."""
    items, contents = [Item(id=str(n), content=sha(n)) for n in range(99)], [sha(n) for n in range(99)]
    rows = np.concatenate([row(2 * n) for n in range(99)])
    store.add(items[:50], contents[:50], rows[:50])
    skip = "SELECT setval(pg_get_serial_sequence('lookalike_contents', 'content'), 3000000)"
    store.database.run(lambda connection: connection.execute(skip).fetchone())
    store.add(items[50:], contents[50:], rows[50:])
    assert set(store.sample(1024, seed=0)[0]) == set(contents)
    drawn = [store.sample(20, seed=seed)[0] for seed in range(20)]
    assert all(len(set(sample)) == 20 for sample in drawn)
    assert len({content for sample in drawn for content in sample}) > 80
    assert store.sample(20, seed=3)[0] == drawn[3]


@pytest.mark.parametrize("where", [ALL, Filter(project="p"), Filter(metadata={"k": "v"})])
def test_many_equal_pictures_are_put_in_order(either: PostgresStore, where: Filter) -> None:
    """Where far more pictures are equal than are asked for, the first by (project, id) are the answer."""
    rows = np.repeat(row(0), 300, axis=0)
    items = [Item(project="p", id=f"{n:03}", content=sha(-n), metadata={"k": "v"}) for n in range(300)]
    either.add(items, [item.content for item in items], rows)
    either.delete([("p", f"{n:03}") for n in range(100)])
    answers, passed = either.search(row(0)[0], limit=7, where=where)
    assert [scored.item.id for scored in answers] == [f"{n:03}" for n in range(100, 107)]
    assert passed == 200


def test_what_cannot_be_a_name_is_refused_and_named(store: PostgresStore) -> None:
    """Text that is not Unicode, or too long for an index of the database, stops the call with a sentence."""
    for name, sentence in (("\ud800", "Unicode"), ("é" * 3000, "2,600 bytes")):
        with pytest.raises(InputError, match=sentence):
            store.add([Item(id=name, content=sha(0))], [sha(0)], row(0))
    assert store.stats().items == 0


def test_there_is_one_index_to_a_place(store: PostgresStore, url: Secret, new_database: NewDatabase) -> None:
    """Where there is none it is not found, made twice it is refused, and opened again it is the same."""
    store.add([Item(id="a", content=sha(0))], [sha(0)], row(0))
    with pytest.raises(StoreError, match="already"):
        create(url, SPACE)
    with open_store(url) as again:
        assert (again.space, again.n_items) == (SPACE, 1)
    with pytest.raises(StoreNotFound, match="no index"):
        open_store(new_database())


def test_two_who_make_the_index_at_once_make_one(url: Secret) -> None:
    """One of them makes it, the other is told that it is there."""

    def attempt(_: int) -> str:
        try:
            create(url, SPACE).close()
        except StoreError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(attempt, range(4)))
    assert answers.count("") == 1
    assert all("already" in answer for answer in answers if answer)
    assert sql(url, "SELECT count(*) FROM lookalike_spaces") == [(1,)]


def test_newer_tables_are_left_alone(store: PostgresStore, url: Secret) -> None:
    """Tables of a later version are neither read nor written nor migrated."""
    sql(url, "INSERT INTO lookalike_schema VALUES (99)")
    for attempt in (lambda: open_store(url), lambda: create(url, SPACE)):
        with pytest.raises(StoreTooNew, match="version 99"):
            attempt()


def test_what_something_else_changed_is_found(store: PostgresStore, url: Secret) -> None:
    """`check` says how many items lost their vectors."""
    store.add([Item(id="a", content=sha(0))], [sha(0)], row(0))
    store.check()
    sql(url, "DELETE FROM lookalike_vectors")
    with pytest.raises(StoreCorrupt, match="1 items without a vector"):
        store.check()


def test_a_closed_connection_is_replaced(store: PostgresStore, url: Secret) -> None:
    """A pooler's patience with an idle connection, or a restart, costs no answer."""
    store.add([Item(id="a", content=sha(0))], [sha(0)], row(0))
    sql(
        url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%lookalike_%' AND state = 'idle'"
    )
    assert store.n_items == 1


def with_option(url: Secret, option: str) -> Secret:
    """The address with another setting of the server."""
    return Secret(url.reveal() + f"%20-c%20{option.replace('=', '%3D')}")


def test_the_servers_limits_are_told(store: PostgresStore, url: Secret) -> None:
    """A statement_timeout, a lock_timeout and a read-only database each end in their own sentence."""
    with open_store(with_option(url, "lock_timeout=50")) as late, psycopg.connect(url.reveal()) as other:
        other.execute("LOCK TABLE lookalike_contents IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="busy"):
            late.add([Item(id="a", content=sha(0))], [sha(0)], row(0))
    with open_store(with_option(url, "statement_timeout=60")) as hurried, psycopg.connect(url.reveal()) as other:
        other.execute("LOCK TABLE lookalike_contents IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="statement_timeout"):
            hurried.stats()
    with (
        open_store(with_option(url, "default_transaction_read_only=on")) as reader,
        pytest.raises(StoreReadOnly, match="another"),
    ):
        reader.add([Item(id="a", content=sha(0))], [sha(0)], row(0))


def test_no_error_shows_the_password(url: Secret) -> None:
    """A place that cannot be reached, or has no index, is told without user and password."""
    for address in (
        Secret("postgresql://me:hush-hush@127.0.0.1:1/db?connect_timeout=1"),
        Secret(url.reveal().replace("not-asked-for", "hush-hush")),
        Secret("postgresql://me:hush-hush@[/db"),
        Secret("postgresql://me:abc@hush@127.0.0.1:1/db"),
        Secret("postgresql://me:abc/hush@127.0.0.1:1/db"),
        Secret("postgresql://me:12/hush@127.0.0.1:1/db"),
        Secret("postgresql://me:hush/db"),
    ):
        with pytest.raises(Exception, match=r"\w") as caught:
            open_store(address)
        assert "hush" not in f"{caught.value} {caught.value!r}"


def test_nothing_is_kept_in_a_session(store: PostgresStore, url: Secret) -> None:
    """Each statement may come to another session of a pooler: none is prepared, no setting or lock stays."""
    store.add([Item(id="a", content=sha(0), metadata={"k": "v"})], [sha(0)], row(0))
    for _ in range(8):  # drivers prepare what is asked often
        store.search(row(0)[0], limit=1, where=Filter(project="default", metadata={"k": "v"}))
    left = store.database.run(
        lambda connection: connection.execute(
            "SELECT (SELECT count(*) FROM pg_prepared_statements), "
            "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), "
            "(SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relname LIKE 'lookalike%')"
        ).fetchone()
    )
    assert left == (0, 0, 0)
