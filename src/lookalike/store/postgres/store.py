"""The production store: items and vectors in PostgreSQL, any number of writers and readers.

Every statement is a transaction, or stands in one that `with connection.transaction()` shows: nothing is prepared, set
or locked for a session, so that a pooler may stand between. A search is one statement and sees whole batches only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.contents import N_BYTES, UNCHECKED, digest_of
from lookalike.errors import InputError, StoreCorrupt, StoreNotFound
from lookalike.postgres import Database
from lookalike.secret import Secret
from lookalike.spaces import Space
from lookalike.sql import statements
from lookalike.store.faults import speaking
from lookalike.store.pages import start_behind
from lookalike.store.postgres import schema, writing
from lookalike.store.postgres.finding import TIMEOUT_S, Finder
from lookalike.store.postgres.ledger import PostgresLedger
from lookalike.store.postgres.newest import newest
from lookalike.store.postgres.rows import asked_metadata, escaped, item_of, plain, rows_of
from lookalike.store.postgres.sampling import sample_by_hash
from lookalike.store.postgres.watch import Watch, require_current
from lookalike.types import Filter, Item, Rows, Scored, StoreStats
from lookalike.vectors import normalise, require_unit_rows

if TYPE_CHECKING:
    from lookalike.postgres import Connection

LONG_TIMEOUT_S = 600.0
"""How long what reads or writes much may take."""

PAGE = 1000
"""Items to a question when all are walked."""

DRAWS = 16
"""How often a sample is drawn by lot: numbers of contents that have gone are drawn in vain."""

_SQL = statements("lookalike.store.postgres", "store.sql")


def create(url: Secret, space: Space) -> PostgresStore:
    """A new, empty store in the first schema of the search path; its tables are made if they are not there yet.

    Raises:
        StoreError: There is one already, or the database refuses.
        ConfigError: The address cannot be read.
        MissingDependency: psycopg is not installed.
    """
    database = schema.connect(url, timeout_s=TIMEOUT_S)
    try:
        database.run(lambda c: schema.migrate(c, database.place, anew=True), timeout_s=LONG_TIMEOUT_S)
        return PostgresStore(database, database.run(lambda c: schema.bind(c, database.place, space)))
    except BaseException:
        database.close()
        raise


def open_store(url: Secret, *, mirror: bool = False, number: int | None = None) -> PostgresStore:
    """The store in a database; every one can be written by whom the database lets.

    Args:
        url: The address of the database.
        mirror: Keep the vectors in the memory of this process, 1.2 KB for each at 512 dimensions, and search them
            there. They are read in the background; until they are there, the database searches.
        number: The space to search, whatever is searched meanwhile by others; the one that is searched if left out,
            until that changes.

    Raises:
        StoreNotFound: There is none.
        StoreTooNew: A newer version of lookalike made it.
        StoreError: The database cannot be reached, or refuses.
        ConfigError: The address cannot be read.
        MissingDependency: psycopg is not installed.
    """
    database = schema.connect(url, timeout_s=TIMEOUT_S)
    try:
        bound = database.run(lambda c: schema.read_bound(c, database.place, number))
        store = PostgresStore(database, bound, watched=number is None)
    except BaseException:
        database.close()
        raise
    if mirror:
        store.finder.keep_in_memory()
    return store


class PostgresStore:
    """VectorReader, VectorWriter and Catalogue over one database; use `create` or `open_store`.

    Every method may be called from several threads at once, and from any number of processes.

    Attributes:
        space: The space that every vector belongs to.
        ledger: What became of each source object.
        database: Where it is.
        bound: The space, and the number that its rows carry.
        finder: Plans and makes searches.
    """

    def __init__(self, database: Database, bound: schema.Bound, *, watched: bool = True) -> None:
        self.space = bound.space
        self._watch = Watch(database, bound.number) if watched else None
        self.ledger = PostgresLedger(database)
        self.bound = bound
        self.database = database
        self.finder = Finder(database, bound)

    def __enter__(self) -> PostgresStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

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
        self._require_current()
        try:
            with speaking():
                found = self.finder.search(query, limit=limit, where=where)
        except (StoreNotFound, StoreCorrupt):  # the partition of a space that was dropped
            self._require_current(at_once=True)
            raise
        self._require_current(at_once=not found[0])  # a space that was dropped has no vectors
        return found

    def get(self, keys: Sequence[tuple[str, str]]) -> list[Item | None]:
        """The items of these (project, id) pairs, in order; None where there is none."""
        found: list[Item | None] = [None] * len(keys)
        if keys:
            for place, *row in self._rows("get", writing.key_columns(keys)):
                found[place - 1] = item_of(row)
        return found

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        """The stored vectors of these contents, (m, dim) unit rows, and the m contents that were found, in order."""
        if not contents:
            return np.empty((0, self.space.dim), np.float32), []
        asked = {"space": self.bound.number, "contents": [digest_of(content) for content in contents]}
        known = dict(self._rows("vectors", asked, timeout_s=LONG_TIMEOUT_S))
        self._require_current(at_once=not known)
        found = [content for content in contents if bytes.fromhex(content) in known]
        return self._unit_rows(known[bytes.fromhex(content)] for content in found), found

    def stats(self) -> StoreStats:
        """What the store holds."""

        def read(connection: Connection) -> tuple[Any, list[Any]]:
            asked = {"n_bytes": N_BYTES, "mark": UNCHECKED, "space": self.bound.number}
            return connection.execute(_SQL["stats"], asked).fetchone(), connection.execute(
                _SQL["read_projects"]
            ).fetchall()

        (n_contents, n_used, n_unchecked, n_bytes, version), projects = self.database.run(
            read, timeout_s=LONG_TIMEOUT_S
        )
        return StoreStats(
            items=sum(n_items for _, n_items in projects),
            contents=n_used,
            dead_slots=n_contents - n_used,
            n_bytes=n_bytes,
            unchecked=n_unchecked,
            projects={plain(name): n_items for name, n_items in projects},
            space=self.space,
            recall=self.finder.recall,
            version=version,
        )

    def items(self, where: Filter, *, after: tuple[str, str] | None = None) -> Iterator[Item]:
        """Every item that passes, by (project, id); see ports.Catalogue."""
        names = [plain(row[0]) for row in self._rows("read_projects")] if where.project is None else [where.project]
        for name in names:
            yield from self._items_of(name, where, start_behind(after, name))

    def newest(self, where: Filter, *, limit: int, after: str = "") -> tuple[list[Item], str]:
        """Items that pass, those first whose pictures came last; see ports.Catalogue."""
        with speaking():
            page = partial(newest, where=where, limit=limit, after=after)
            return self.database.run(page, timeout_s=TIMEOUT_S)

    def sample(self, n: int, *, seed: int, project: str | None = None) -> tuple[list[str], Rows]:
        """At most n contents in use, drawn evenly, and their vectors; see ports.Catalogue."""
        rows = self._by_lot(n, seed) if project is None else None
        if rows is None:
            with speaking():
                draw = partial(sample_by_hash, space=self.bound.number, project=project, n=n, seed=seed)
                rows = self.database.run(draw, timeout_s=TIMEOUT_S)
        return [digest.hex() for digest, _ in rows], self._unit_rows(vector for _, vector in rows)

    def add(self, items: Sequence[Item], contents: Sequence[str], vectors: Rows) -> None:
        """Store items and the vectors of new contents, all or nothing; see ports.VectorWriter.

        Several may write at once: a content has one vector, that of whoever came first.

        Raises:
            InputError: A vector is not a finite float32 unit row; it is named.
            VectorMissing: The content of an item has none; the item is named.
            StoreFull: The disk is full; the store is as it was.
            StoreSwitched: Another space is searched by now, which would lack these items.
        """
        require_unit_rows(vectors, dim=self.space.dim, names=contents)
        digests = [digest_of(content) for content in contents]
        if len(set(digests)) != len(digests):
            raise InputError("The contents of one call must be distinct.")
        by_key = {(item.project, item.id): item for item in items}

        def write(connection: Connection) -> None:
            with connection.transaction():
                connection.execute(_SQL["lock_writing"])
                require_current(connection, self.database.place, self.bound.number)
                numbers, added = writing.add_contents(connection, self.bound.number, digests, vectors)
                if by_key:
                    writing.add_items(connection, self.bound.number, list(by_key.values()), numbers)
                writing.note_change(connection, self.bound.number, added=added)

        with speaking():
            self.database.run(write, timeout_s=LONG_TIMEOUT_S)

    def delete(self, keys: Sequence[tuple[str, str]]) -> int:
        """Delete these (project, id) pairs; the number that existed. Vectors stay until `compact`."""
        if not keys:
            return 0

        def write(connection: Connection) -> int:
            with connection.transaction():
                n_deleted = writing.delete_items(connection, keys)
                writing.note_change(connection, self.bound.number)
            return n_deleted

        with speaking():
            return self.database.run(write, timeout_s=LONG_TIMEOUT_S)

    def compact(self) -> int:
        """Give back the space of vectors that no item uses; the number freed. Readers go on, writers wait.

        The database uses the room again once it has vacuumed, which it does by itself.
        """

        def write(connection: Connection) -> int:
            with connection.transaction():
                connection.execute(_SQL["lock_compacting"])
                gone = [number for (number,) in connection.execute(_SQL["delete_contents"]).fetchall()]
                if gone:
                    writing.note_change(connection, self.bound.number, removed=gone)
            return len(gone)

        return self.database.run(write, timeout_s=LONG_TIMEOUT_S)

    def check(self) -> int:
        """Look at every item; how many have no vector in this space, as after a switch to one that lacked some. Slow.

        Raises:
            StoreCorrupt: An item has a vector in no space, or a project another number of items than was counted.
        """
        for name, what in (("check_vectors", "items without a vector"), ("check_counts", "projects with wrong counts")):
            ((n,),) = self._rows(name, timeout_s=LONG_TIMEOUT_S)
            if n:
                raise StoreCorrupt(
                    f"{self.database.place} has {n:,} {what}: its tables were changed by something else. Restore "
                    "them from a backup, or index the pictures again into another database.",
                    store=self.database.place,
                )
        ((n,),) = self._rows("check_items", {"space": self.bound.number}, timeout_s=LONG_TIMEOUT_S)
        return int(n)

    def _require_current(self, *, at_once: bool = False) -> None:
        """StoreSwitched if another space is searched by now; of one that was opened by its number that it is gone."""
        if self._watch is not None:
            self._watch.require(at_once=at_once)
        elif at_once:
            self.database.run(lambda c: schema.read_bound(c, self.database.place, self.bound.number))

    def _items_of(self, project: str, where: Filter, start: str | None) -> Iterator[Item]:
        while start is not None:
            asked = {"project": escaped(project), "metadata": asked_metadata(where)}
            rows = self._rows("page_of_items", {**asked, "start": escaped(start), "limit": PAGE})
            page = [item_of(row) for row in rows]
            yield from page
            if len(page) < PAGE:
                return
            start = page[-1].id + "\0"  # the next string there can be

    def _by_lot(self, n: int, seed: int) -> list[Any] | None:
        """A sample by drawing numbers of contents, which is quick; None where too many of those have gone."""
        ((first, last),) = self._rows("range_of_contents")
        if n < 1 or first is None:
            return []
        chance, drawn = np.random.default_rng(seed), dict[int, list[bytes]]()
        few = last - first < DRAWS * n
        for _ in range(1 if few else DRAWS):
            numbers = chance.permutation(last - first + 1) if few else chance.integers(last - first + 1, size=2 * n)
            asked = [int(number) + first for number in numbers if int(number) + first not in drawn]
            rows = self._rows("sample", {"space": self.bound.number, "numbers": asked})
            found = {number: row for number, *row in rows}
            drawn |= {number: found[number] for number in asked if number in found}
            if len(drawn) >= n:
                break
        return list(drawn.values())[:n] if few or len(drawn) >= n else None

    def _unit_rows(self, vectors: Iterable[bytes]) -> Rows:
        return normalise(rows_of(vectors, dim=self.space.dim))

    def _rows(self, name: str, asked: Mapping[str, object] | None = None, *, timeout_s: float = TIMEOUT_S) -> list[Any]:
        def ask(connection: Connection) -> list[Any]:
            return connection.cursor(binary=True).execute(_SQL[name], asked or {}).fetchall()

        with speaking():
            return self.database.run(ask, timeout_s=timeout_s)
