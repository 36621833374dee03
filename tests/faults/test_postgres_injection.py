"""Every text that reaches PostgreSQL, made to look like SQL: what went in comes out, and nothing else has changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.cache.postgres import PostgresCache
from lookalike.cached import CacheEntry, Pruning, TowerName
from lookalike.cli import main
from lookalike.config import Config
from lookalike.errors import CacheError, ConfigError, InputError, LookalikeError, StoreError
from lookalike.orders import JobState, Order
from lookalike.places import Address
from lookalike.queues.postgres import PostgresQueue, open_queue
from lookalike.secret import Secret
from lookalike.sources.pgvector import PgvectorTable
from lookalike.store.attached.store import AttachedStore
from lookalike.store.postgres import schema
from lookalike.store.postgres.rows import MAX_NAME_BYTES, escaped, plain
from lookalike.store.postgres.store import PostgresStore, create, open_store
from lookalike.types import Filter, Item, LedgerEntry, Outcome
from tests.attached import MAPPED, WHOLE, attached, sql
from tests.catalogued import EMBEDDER, Catalogue, collection
from tests.postgres import new_databases
from tests.serving import InlineService, serving

psycopg = pytest.importorskip("psycopg")

CLASSICS = (
    *("'", "''", '"', "\\", "\\'", "';--", "'; DROP TABLE sentinel;--", '"; DROP TABLE sentinel;--', "' OR '1'='1"),
    *(
        "$$",
        "$$; DROP TABLE sentinel; $$",
        "$body$",
        "/*",
        "*/",
        "--",
        ";",
        "E'\\x27'",
        "U&'\\0027'",
        "x' UNION SELECT 1",
    ),
    *("%", "_", "%%", "%s", "%b", "%t", "%(project)s", "%(x)s", "%1$s", "{}", "{0}", "{space}", "{0.__class__}", "{{"),
    *("{a,b}", '{"a":1}', "[1,2]", "ARRAY['a']", "{NULL}", "NULL", "null", "\\N", "\\.", "(1,2)", "a,b", "\\x41"),
    *(
        "\0",
        "a\0b",
        "\x01",
        "\x01\x01",
        "\x01\x02",
        "\x1f",
        "\x7f",
        "\r\n",
        "\u2028",
        "\u02bc",
        "\uff07",
        "\u202e",
        "\ufeff",
    ),
    *("é", "e\u0301", "\U0001f642", "\ud800", "a\udfffb", "", " ", "default", "DEFAULT", "x" * 2600, "y" * 20_000),
    *("'; SELECT pg_sleep(60);--", "1; COMMIT; DROP TABLE sentinel", "' || pg_read_file('/etc/passwd') || '"),
    *("pg_catalog.pg_class", "lookalike_items", 'public."lookalike_items"', "sentinel; TRUNCATE sentinel"),
)
"""What has broken other programs, and what PostgreSQL, psycopg and `str.format` take for more than text."""

hostile = st.one_of(
    st.sampled_from(CLASSICS),
    st.text(st.characters(exclude_categories=()), max_size=30),
    st.builds("{}{}{}".format, st.text(max_size=5), st.sampled_from(CLASSICS), st.sampled_from(CLASSICS)),
)
each = settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))

N_KEPT = 4
KEPT, VECTOR = b"k" * 32, np.array([1, 0, 0], np.float32)
QUERY = EMBEDDER.embed_texts(["red"]).values[0]


def content(name: object) -> str:
    """A content digest for a name."""
    return sha256(str(name).encode("utf-8", "surrogatepass")).hexdigest()


def unit_rows(n: int) -> Any:
    """n unit rows of the model's space."""
    return EMBEDDER.embed_texts([f"number {i}" for i in range(n)]).values


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[Secret]:
    """A place with a small index and a table of somebody else, with names like SQL."""
    with new_databases(postgres_url) as make:
        address = make()
        contents = [content(n) for n in range(N_KEPT)]
        with create(address, EMBEDDER.space) as store:
            kept = [Item(id=f"kept {n}", content=contents[n], caption="kept", metadata={"n": str(n)}) for n in range(4)]
            store.add(kept, contents, unit_rows(N_KEPT))
            store.ledger.record([entry("kept", "file:///kept")])
        with psycopg.connect(address.reveal(), autocommit=True) as other:
            other.execute("CREATE TABLE sentinel (word text); INSERT INTO sentinel VALUES ('alive')")
        yield address


@pytest.fixture(scope="module")
def store(url: Secret) -> Iterator[PostgresStore]:
    """The index in it."""
    with open_store(url) as opened:
        yield opened


class Watcher:
    """Says what is in all tables of a place, their definitions included."""

    def __init__(self, url: Secret) -> None:
        self.connection = psycopg.connect(url.reveal(), autocommit=True)

    def checksums(self) -> dict[str, str]:
        """Of each table; not of what only counts how often was written: notes of changes, projects without items."""
        tables = self.connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace "
            "ORDER BY 1"
        ).fetchall()
        assert ("sentinel",) in tables
        found = {}
        for (name,) in tables:
            row = "row(identity, dim)" if name == "lookalike_spaces" else "t"
            where = {"lookalike_projects": "n_items > 0", "lookalike_changes": "false"}.get(name, "true")
            summed = f"md5(coalesce(string_agg({row}::text, ',' ORDER BY {row}::text), ''))"
            query = f"SELECT {summed} FROM {name} t WHERE {where}"  # noqa: S608  names of the catalogue
            found[name] = self.connection.execute(query.encode()).fetchone()[0]
        roles = self.connection.execute("SELECT count(*) FROM pg_roles").fetchone()
        return found | {"roles": str(roles)}


@pytest.fixture(scope="module")
def watcher(url: Secret) -> Iterator[Watcher]:
    watching = Watcher(url)
    with closing(watching.connection):
        yield watching


def entry(project: str, uri: str, text: str = "x") -> LedgerEntry:
    """A line of the ledger, with this text wherever there may be one."""
    return LedgerEntry(
        project=project, uri=uri, item_id=text, stamp=text, outcome=Outcome.FAILED, content=text, reason=text
    )


def is_storable(*texts: str) -> bool:
    """Whether a database in UTF-8 can keep these texts."""
    return not any(re.search("[\ud800-\udfff]", text) for text in texts)


def is_name(*texts: str) -> bool:
    """And keep them as keys."""
    return is_storable(*texts) and all(len(escaped(text).encode()) <= MAX_NAME_BYTES for text in texts)


@each
@given(hostile, hostile, hostile, hostile)
def test_items_come_out_as_they_went_in(
    store: PostgresStore, watcher: Watcher, project: str, name: str, text: str, other: str
) -> None:
    """Whatever is in an item's project, id, uri, caption and metadata, it is found by them, alone, and goes again."""
    before = watcher.checksums()
    facts = {name: text, other: name}
    item = Item(id=name, project=project, content=content(1), uri=text, caption=other, metadata=facts)
    if not is_name(project, name) or not is_storable(text, other):
        with pytest.raises(InputError):
            store.add([item], [], np.empty((0, store.space.dim), np.float32))
        assert watcher.checksums() == before
        return
    store.add([item], [], np.empty((0, store.space.dim), np.float32))
    assert store.get([(project, name), (name + "'", project)])[0] == item
    where = Filter(project=project, metadata=facts)
    assert [scored.item for scored in store.search(QUERY, limit=9, where=where)[0]] == [item]
    assert list(store.items(where)) == [item]
    assert item in store.items(Filter(metadata={name: text} if facts[name] == text else facts))
    assert store.sample(9, seed=0, project=project)[0] == [content(1)] or project == "default"
    assert store.stats().projects[project] >= 1
    assert store.delete([(project, name)]) == 1
    assert watcher.checksums() == before


@each
@given(hostile, hostile, hostile)
def test_a_question_changes_nothing(store: PostgresStore, watcher: Watcher, project: str, name: str, text: str) -> None:
    """Reading, filtering and deleting by such names finds what has them, which is nothing, or is refused."""
    before = watcher.checksums()
    absent = f"{project}?"
    questions = (
        lambda: store.get([(absent, name)]) == [None],
        lambda: store.search(QUERY, limit=3, where=Filter(project=absent)) == ([], 0),
        lambda: store.search(QUERY, limit=3, where=Filter(metadata={f"{name}?": text})) == ([], 0),
        lambda: list(store.items(Filter(project=absent, metadata={name: text}))) == [],
        lambda: store.sample(3, seed=0, project=absent)[0] == [],
        lambda: store.vectors([text])[1] == [],
        lambda: store.delete([(absent, name)]) == 0,
        lambda: store.ledger.known(absent, [text]) == {},
        lambda: [one.uri for one in store.ledger.under(None, f"{text}?")] == [],
        lambda: store.ledger.forget(absent, [text]) is None,
    )
    for question in questions:
        with suppress(InputError):
            assert question()
    assert watcher.checksums() == before


@each
@given(hostile, hostile, hostile)
def test_the_ledger_keeps_what_it_is_given(
    store: PostgresStore, watcher: Watcher, project: str, uri: str, text: str
) -> None:
    """Each column; a prefix is a prefix, whatever LIKE would make of it."""
    before = watcher.checksums()
    line = entry(project, uri, text)
    if not is_name(project, uri) or not is_storable(text):
        with pytest.raises(InputError):
            store.ledger.record([line])
    else:
        store.ledger.record([line])
        assert store.ledger.known(project, [uri, f"{uri}'"]) == {uri: line}
        assert line in list(store.ledger.under(project, uri[:3]))
        assert all(one.uri.startswith(uri) for one in store.ledger.under(None, uri))
        store.ledger.forget(project, [uri])
    assert watcher.checksums() == before


@pytest.fixture(scope="module")
def cache(url: Secret) -> Iterator[PostgresCache]:
    """A cache beside the index, with one vector in it."""
    with closing(PostgresCache(url)) as opened:
        opened.put(TowerName(fingerprint="kept", model="kept", space="kept", dim=3), {KEPT: CacheEntry(vector=VECTOR)})
        yield opened


@settings(each, max_examples=25)
@given(hostile, hostile, st.binary(min_size=32, max_size=32))
def test_the_cache_keeps_what_it_is_given(
    cache: PostgresCache, watcher: Watcher, model: str, text: str, key: bytes
) -> None:
    """Names of models and spaces, warnings; pruning by a name prunes that name."""
    tower = TowerName(fingerprint=content(model + text)[:16], model=model, space=text, dim=3)
    before = watcher.checksums()
    try:
        cache.put(tower, {key: CacheEntry(vector=VECTOR, warning=text)})
    except CacheError:
        assert not is_storable(model, text) or "\0" in model + text
        assert watcher.checksums() == before
    else:
        found = cache.get([key])[0]
        assert found is not None and found.warning == text
        assert tower.model in {one.tower.model for one in cache.stats().holdings}
    with suppress(CacheError):
        cache.prune(Pruning(model=model))
        assert cache.get([key]) == [None]
    assert cache.get([KEPT]) != [None]
    after = watcher.checksums()
    assert {name for name in before if before[name] != after[name]} <= {"embedding_cache_towers"}


@settings(each, max_examples=25)
@given(hostile, hostile, hostile)
def test_a_queue_keeps_what_it_is_given(
    queue: PostgresQueue, watcher: Watcher, project: str, name: str, text: str
) -> None:
    """Each fact of an order, under its number and in its project, or it is refused; nothing else changes."""
    order = Order(id=name, uri=text, project=project, caption=text, metadata={name: text})
    before = watcher.checksums()
    try:
        (number,) = queue.submit([order])
    except InputError:
        assert not is_storable(project, name, text) or "\0" in project + name + text
    else:
        (job,) = queue.look_up([number])
        assert job is not None and job.order == order
        page = queue.page(state=JobState.WAITING, project=project, above=number - 1, limit=5)
        assert [one.order for one in page] == [order]
    assert watcher.checksums() == before


@settings(each, max_examples=25)
@given(hostile, hostile, hostile)
def test_a_table_of_ones_own_keeps_what_it_is_given(
    attached_store: AttachedStore, watcher: Watcher, project: str, name: str, text: str
) -> None:
    """Whatever is in an item, it is in the columns that are meant for it, and it alone is found by them and goes."""
    before = watcher.checksums()
    item = Item(id=name, project=project, content=content(1), uri=text, caption=text, metadata={name: text})
    try:
        attached_store.add([item], [content(1)], unit_rows(1))
    except InputError:  # "" is no project where the table must have one
        assert not (project and is_name(project, name) and is_storable(text)) or "\0" in project + name + text
    else:
        assert attached_store.get([(project, name)]) == [item]
        where = Filter(project=project, metadata={name: text})
        assert [scored.item for scored in attached_store.search(QUERY, limit=9, where=where)[0]] == [item]
        assert list(attached_store.items(where)) == [item]
        assert attached_store.sample(3, seed=0, project=project)[0] == [content(1)]
        assert attached_store.delete([(project, name)]) == 1
    assert watcher.checksums() == before


@pytest.fixture(scope="module")
def queue(url: Secret) -> Iterator[PostgresQueue]:
    """The queue of the index."""
    opened = open_queue(url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def attached_store(url: Secret) -> Iterator[AttachedStore]:
    """A table of somebody's own in the same place, attached."""
    sql(url, WHOLE.format(dim=EMBEDDER.space.dim))
    with attached(url, MAPPED, EMBEDDER.space) as opened:
        yield opened


def test_an_index_may_be_of_a_space_with_any_name(postgres_url: str) -> None:
    """The model's name is part of the space, and is kept as it is, or refused before anything is made."""
    with new_databases(postgres_url) as make:
        for name in CLASSICS[::8]:
            url, space = make(), replace(EMBEDDER.space, model=name)
            try:
                create(url, space).close()
            except (InputError, StoreError):
                continue
            with open_store(url) as opened:
                assert opened.space == space


@pytest.mark.parametrize("name", [name for name in CLASSICS if "\0" not in name])
def test_a_table_of_vectors_may_have_any_name(url: Secret, watcher: Watcher, name: str) -> None:
    """A name that is SQL is looked up as a name; there is no such table, and it is said so."""
    before = watcher.checksums()
    with pytest.raises((InputError, StoreError)) as caught:
        PgvectorTable(url, name, {})
    assert isinstance(caught.value, LookalikeError)
    assert watcher.checksums() == before


def test_columns_of_a_table_may_have_any_name(url: Secret) -> None:
    """Tables and columns whose names are format strings and quotes are read as they are."""
    names = ['a"b', "%s", "%(x)s", "{0}", "'; DROP TABLE sentinel;--", "100%"]
    with psycopg.connect(url.reveal(), autocommit=True) as other:
        columns = ", ".join('"' + name.replace('"', '""') + '" text' for name in names)
        other.execute(f'CREATE TABLE "ta""b%s" (id text, vector vector(2), {columns})'.encode())
        other.execute(b"INSERT INTO \"ta\"\"b%s\" VALUES ('one', '[1,0]', 'a', 'b', 'c', 'd', 'e', 'f')")
        try:
            table = PgvectorTable(url, '"ta""b%s"', {"id": ["id"], "metadata": names})
            (part,) = table.parts()
            assert [dict(one.metadata) for one in part.entries] == [dict(zip(names, "abcdef", strict=True))]
        finally:
            other.execute(b'DROP TABLE "ta""b%s"')


def test_commands_take_any_text(url: Secret, watcher: Watcher) -> None:
    """`lookalike db` asked for projects and words that are SQL: what is there stays, and errors are sentences."""
    before = watcher.checksums()
    config = replace(Config.from_environ(), index=Address(url.reveal()))
    for text in ("'; DROP TABLE sentinel;--", "%s", "{space}", "$$", "\\"):
        for command in (["explain", text, "--project", text], ["check"], ["migrate"]):
            answer = CliRunner().invoke(main, ["db", *command], obj=config)
            assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.output
            assert "Traceback" not in answer.output
    assert watcher.checksums() == before


def test_requests_take_any_text(url: Secret, watcher: Watcher, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever a client puts into an address or a body is an answer or a refusal in words, never a failure."""
    before, folder = watcher.checksums(), tmp_path_factory.mktemp("asked")
    config = replace(Config.from_environ({}), index=Address(url.reveal()), cache_dir=folder)
    behind = InlineService(EMBEDDER)
    with collection(Catalogue(folder, config), behind) as index, serving(behind, index=index) as running:
        ask = running.client
        for text in [text for text in CLASSICS[::2] if is_storable(text) and len(text) < 3000]:
            answers = [
                ask.get("/search/images", params={"q": "red", "project": text}),
                ask.get("/search/images", params={"q": "red", "where": f"{text}:{text}"}),
                ask.get("/items", params={"project": text}),
                ask.get("/items/x", params={"project": text}),
                ask.post("/search/images", json={"text": "red", "project": text, "where": {text: text}}),
                ask.post("/search/images", json={"query": [{"item": text, "project": text}]}),
            ]
            assert {answer.status_code for answer in answers} <= {200, 404, 422}, [a.text for a in answers]
    behind.close(drain_s=0)
    assert watcher.checksums() == before


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_escaping_loses_nothing_and_keeps_order(one: str, other: str) -> None:
    """A text without NUL that can be told from every other, and that stands where it stood."""
    assert plain(escaped(one)) == one
    assert "\0" not in escaped(one)
    assert (one < other) == (escaped(one) < escaped(other))
    assert escaped(one + other).startswith(escaped(one))


def test_an_address_is_read_as_an_address() -> None:
    """One with SQL in it is refused, or fails as one that cannot be reached."""
    for text in (
        "postgresql://127.0.0.1:1/x'; DROP TABLE sentinel;--",
        "postgresql://127.0.0.1:1/%00",
        "postgresql://%s",
    ):
        with pytest.raises((ConfigError, StoreError)):
            schema.connect(Secret(text), timeout_s=2).run(lambda connection: connection)
