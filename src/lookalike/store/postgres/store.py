"""The production store: items and vectors in PostgreSQL, any number of writers and readers.

Every statement is a transaction, or stands in one that `with connection.transaction()` shows: nothing is prepared, set
or locked for a session, so that a pooler may stand between. A search is one statement and sees whole batches only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import InputError, StoreCorrupt
from lookalike.postgres import Database
from lookalike.secret import Secret
from lookalike.spaces import Space
from lookalike.sql import statements
from lookalike.store.postgres import schema
from lookalike.store.postgres.faults import speaking
from lookalike.store.postgres.ledger import PostgresLedger
from lookalike.store.postgres.rows import (
    asked_metadata,
    copied,
    digest_of,
    escaped,
    item_of,
    metadata_of,
    name_of,
    plain,
    rows_of,
    text_of,
)
from lookalike.types import Filter, Item, Rows, Scored, StoreStats
from lookalike.vectors import normalise, require_unit_rows

if TYPE_CHECKING:
    from lookalike.postgres import Connection

TIMEOUT_S = 600.0
"""How long one step may take before its connection is cut. The server's own statement_timeout is usually shorter."""

PAGE = 1000
"""Items to a question when all are walked."""

MORE = 8
"""How many times as many contents are looked at when those of a search had too few items: the others were deleted."""

_SQL = statements("lookalike.store.postgres", "store.sql")


def create(url: Secret, space: Space) -> PostgresStore:
    """A new, empty store; its tables are made if they are not there yet.

    Raises:
        StoreError: There is one already, or the database refuses.
        ConfigError: The address cannot be read.
        MissingDependency: psycopg is not installed.
    """
    database = schema.connect(url, timeout_s=TIMEOUT_S)
    try:
        database.run(lambda connection: schema.migrate(connection, database.place))
        return PostgresStore(database, database.run(lambda c: schema.bind(c, database.place, space)))
    except BaseException:
        database.close()
        raise


def open_store(url: Secret) -> PostgresStore:
    """The store in a database; every one can be written by whom the database lets.

    Raises:
        StoreNotFound: There is none.
        StoreTooNew: A newer version of lookalike made it.
        StoreError: The database cannot be reached, or refuses.
        ConfigError: The address cannot be read.
        MissingDependency: psycopg is not installed.
    """
    database = schema.connect(url, timeout_s=TIMEOUT_S)
    try:
        return PostgresStore(database, database.run(lambda c: schema.read_bound(c, database.place)))
    except BaseException:
        database.close()
        raise


class PostgresStore:
    """VectorReader, VectorWriter and Catalogue over one database; use `create` or `open_store`.

    Every method may be called from several threads at once, and from any number of processes.

    Attributes:
        space: The space that every vector belongs to.
        ledger: What became of each source object.
    """

    def __init__(self, database: Database, bound: schema.Bound) -> None:
        self.space = bound.space
        self.ledger = PostgresLedger(database)
        self._number = bound.number
        self._database = database
        self._projects: dict[str, int] = {}

    def __enter__(self) -> PostgresStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    @property
    def n_items(self) -> int:
        """How many items it holds."""
        return int(self._rows("n_items")[0][0])

    def search(self, query: Rows, *, limit: int, where: Filter) -> tuple[list[Scored], int]:
        """The items nearest to a (dim,) float32 unit vector; see ports.VectorReader.

        Similarities are those of vectors in half precision: for CLIP, whose vectors have one large number each, within
        3e-4 of float32's, for vectors of even numbers within 5e-5.
        """
        if limit < 1:
            raise InputError(f"A search must ask for at least one answer; limit is {limit}.")
        require_unit_rows(query[None, :], dim=self.space.dim, names=["query"])
        asked: dict[str, Any] = {"query": text_of(query), "space": self._number, "limit": limit}
        if where.is_empty:
            return _answer(self._search_all(asked))
        with speaking():
            project = None if where.project is None else self._database.run(lambda c: self._code(c, where.project))
            if project is None and where.project is not None:
                return [], 0
            asked |= {"project": project, "metadata": asked_metadata(where), "n_contents": limit}
            return _answer(self._rows("search_among", **asked))

    def get(self, keys: Sequence[tuple[str, str]]) -> list[Item | None]:
        """The items of these (project, id) pairs, in order; None where there is none."""
        found: list[Item | None] = [None] * len(keys)
        if keys:
            for place, *row in self._rows("get", **_columns(keys)):
                found[place - 1] = item_of(row)
        return found

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        """The stored vectors of these contents, (m, dim) unit rows, and the m contents that were found, in order."""
        if not contents:
            return np.empty((0, self.space.dim), np.float32), []
        known = dict(self._rows("vectors", space=self._number, contents=[digest_of(content) for content in contents]))
        found = [content for content in contents if bytes.fromhex(content) in known]
        return self._unit_rows(known[bytes.fromhex(content)] for content in found), found

    def stats(self) -> StoreStats:
        """What the store holds."""

        def read(connection: Connection) -> tuple[Any, list[Any]]:
            return connection.execute(_SQL["stats"], {}).fetchone(), connection.execute(
                _SQL["read_projects"]
            ).fetchall()

        (n_contents, n_used, n_bytes), projects = self._database.run(read)
        return StoreStats(
            items=sum(n_items for _, n_items in projects),
            contents=n_used,
            dead_slots=n_contents - n_used,
            n_bytes=n_bytes,
            projects={plain(name): n_items for name, n_items in projects},
            space=self.space,
        )

    def items(self, where: Filter) -> Iterator[Item]:
        """Every item that passes, by (project, id)."""
        names = [plain(row[0]) for row in self._rows("read_projects")] if where.project is None else [where.project]
        for name in names:
            yield from self._items_of(name, where)

    def sample(self, n: int, *, seed: int) -> tuple[list[str], Rows]:
        """At most n contents in use, drawn evenly, and their vectors; the same for the same seed and store."""
        start = np.random.default_rng(seed).bytes(32)
        drawn: list[tuple[bytes, bytes]] = []
        for first, before in ((start, b"\xff" * 33), (b"", start)):
            asked = {"space": self._number, "from": first, "before": before, "limit": n - len(drawn)}
            drawn += self._rows("sample", **asked)
        return [digest.hex() for digest, _ in drawn], self._unit_rows(vector for _, vector in drawn)

    def add(self, items: Sequence[Item], contents: Sequence[str], vectors: Rows) -> None:
        """Store items and the vectors of new contents, all or nothing; see ports.VectorWriter.

        Several may write at once: a content has one vector, that of whoever came first.

        Raises:
            InputError: A vector is not a finite float32 unit row, or an item's content has none; it is named.
            StoreFull: The disk is full; the store is as it was.
        """
        require_unit_rows(vectors, dim=self.space.dim, names=contents)
        digests = [digest_of(content) for content in contents]
        if len(set(digests)) != len(digests):
            raise InputError("The contents of one call must be distinct.")
        by_key = {(item.project, item.id): item for item in items}

        def write(connection: Connection) -> None:
            with connection.transaction():
                connection.execute(_SQL["lock_writing"])
                if digests:
                    self._add_contents(connection, copied(digests, vectors))
                if by_key:
                    self._add_items(connection, list(by_key.values()), set(digests))

        with speaking():
            self._database.run(write)

    def delete(self, keys: Sequence[tuple[str, str]]) -> int:
        """Delete these (project, id) pairs; the number that existed. Vectors stay until `compact`."""
        if not keys:
            return 0

        def write(connection: Connection) -> int:
            with connection.transaction():
                gone = connection.execute(_SQL["delete_items"], _columns(keys)).fetchall()
                _count(connection, [(project, -n) for project, n in gone])
            return sum(n for _, n in gone)

        with speaking():
            return self._database.run(write)

    def compact(self) -> int:
        """Give back the space of vectors that no item uses; the number freed. Readers go on, writers wait.

        The database uses the room again once it has vacuumed, which it does by itself.
        """

        def write(connection: Connection) -> int:
            with connection.transaction():
                connection.execute(_SQL["lock_compacting"])
                row = connection.execute(_SQL["delete_contents"]).fetchone()
            return int(row[0]) if row else 0

        return self._database.run(write)

    def check(self) -> None:
        """Look at every item. Slow.

        Raises:
            StoreCorrupt: An item has no vector, or a project another number of items than was counted.
        """
        for name, what in (("check_items", "items without a vector"), ("check_counts", "projects with a wrong count")):
            ((n,),) = self._rows(name, space=self._number)
            if n:
                raise StoreCorrupt(
                    f"{self._database.place} has {n:,} {what}: its tables were changed by something else. Restore "
                    "them from a backup, or index the pictures again into another database.",
                    store=self._database.place,
                )

    def _search_all(self, asked: dict[str, Any]) -> list[Any]:
        n_contents = asked["limit"]
        while True:
            rows = self._rows("search_all", **asked, n_contents=n_contents)
            n_passed = rows[0][7] if rows else self.n_items
            if len(rows) >= min(asked["limit"], n_passed):
                return rows
            n_contents *= MORE

    def _add_contents(self, connection: Connection, data: bytes) -> None:
        connection.execute(_SQL["make_staging"])
        with connection.cursor().copy(_SQL["copy_staging"]) as copy:
            copy.write(data)
        connection.execute(_SQL["insert_contents"])
        connection.execute(_SQL["insert_vectors"], {"space": self._number})

    def _add_items(self, connection: Connection, items: Sequence[Item], handed_in: set[bytes]) -> None:
        digests = [digest_of(item.content) for item in items]
        elsewhere = list(set(digests) - handed_in)
        if elsewhere:
            asked = {"space": self._number, "contents": elsewhere}
            rows = connection.cursor(binary=True).execute(_SQL["known_contents"], asked).fetchall()
            _require_vectors(items, digests, handed_in.union(row[0] for row in rows))
        codes = _project_codes(connection, {item.project for item in items})
        columns = {
            "projects": [codes[item.project] for item in items],
            "ids": [name_of(item.id, item=item.id) for item in items],
            "contents": digests,
            "uris": [escaped(item.uri) for item in items],
            "captions": [escaped(item.caption) for item in items],
            "metadata": [metadata_of(item.metadata) for item in items],
        }
        _count(connection, connection.execute(_SQL["insert_items"], columns).fetchall())

    def _items_of(self, project: str, where: Filter) -> Iterator[Item]:
        start = ""
        while True:
            asked = {"project": escaped(project), "start": escaped(start), "metadata": asked_metadata(where)}
            page = [item_of(row) for row in self._rows("page_of_items", **asked, limit=PAGE)]
            yield from page
            if len(page) < PAGE:
                return
            start = page[-1].id + "\0"  # the next string there can be

    def _code(self, connection: Connection, project: str | None) -> int | None:
        """The number of a project, which it keeps for ever; None if there is none of that name."""
        if project is not None and project not in self._projects:
            self._projects |= _project_codes(connection, {project}, make=False)
        return None if project is None else self._projects.get(project)

    def _unit_rows(self, vectors: Iterable[bytes]) -> Rows:
        return normalise(rows_of(vectors, dim=self.space.dim))

    def _rows(self, name: str, **asked: object) -> list[Any]:
        with speaking():
            return self._database.run(lambda c: c.cursor(binary=True).execute(_SQL[name], asked).fetchall())


def _answer(rows: Sequence[Sequence[Any]]) -> tuple[list[Scored], int]:
    return [Scored(item_of(row[:6]), float(row[6])) for row in rows], int(rows[0][7]) if rows else 0


def _columns(keys: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    return {"projects": [escaped(key[0]) for key in keys], "ids": [escaped(key[1]) for key in keys]}


def _project_codes(connection: Connection, projects: set[str], *, make: bool = True) -> dict[str, int]:
    """The numbers of these projects by name."""
    names = [name_of(project, item=project) for project in projects]
    if make:
        connection.execute(_SQL["insert_projects"], {"names": names})
    return {plain(name): code for name, code in connection.execute(_SQL["project_codes"], (names,)).fetchall()}


def _count(connection: Connection, changes: Sequence[tuple[int, int]]) -> None:
    """Add to the number of items of these projects; last in a transaction, since others of the project then wait."""
    if changes:
        columns = {"projects": [project for project, _ in changes], "counts": [n for _, n in changes]}
        connection.execute(_SQL["count_projects"], columns)


def _require_vectors(items: Sequence[Item], digests: Sequence[bytes], known: set[bytes]) -> None:
    for item, digest in zip(items, digests, strict=True):
        if digest not in known:
            raise InputError(
                f"Its content {item.content[:12]} has no vector: it is neither stored nor among the contents "
                "handed in.",
                item=item.id,
            )
