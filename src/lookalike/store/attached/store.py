"""An attached table as a store: a team's own rows are the items, and their vectors are searched where they are.

What is different from an index of lookalike's own follows from that: a vector belongs to a row, not to a picture, and
goes with it; a row whose vector is null is no item. Nothing is kept beside the table but the mapping, what was
measured, and the ledger.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import InputError, StoreReadOnly
from lookalike.places import Address
from lookalike.postgres import Database
from lookalike.sql import statements
from lookalike.store.attached import opening, registry, writing
from lookalike.store.attached.catalog import n_bytes
from lookalike.store.attached.contents import Contents
from lookalike.store.attached.finding import AttachedFinder
from lookalike.store.attached.rows import N_COLUMNS, item_of, unit_rows
from lookalike.store.faults import speaking
from lookalike.store.pages import number_in
from lookalike.store.postgres.finding import TIMEOUT_S
from lookalike.store.postgres.ledger import PostgresLedger
from lookalike.store.postgres.store import LONG_TIMEOUT_S, PAGE
from lookalike.types import Filter, Item, Rows, Scored, StoreStats
from lookalike.vectors import require_unit_rows

if TYPE_CHECKING:
    from lookalike.postgres import Connection

STATS_SHARE = 0.01
"""Of the time that counting everything may take: what was counted holds until it would be less."""

OWN_ROWS = "Only its own rows are written now, and whoever deleted one meanwhile is not to find it made anew."

MORE = 8
"""How many times as many rows are drawn when those of a sample share their contents."""


def open_store(url: Address, *, new_rows: bool = True) -> AttachedStore:
    """The attached table that an address means.

    Args:
        url: The database and the table.
        new_rows: Whether an item without a row gets one; if not it is refused, as where the table allows no new ones.

    Raises:
        StoreNotFound: It is not attached.
        StoreError: It is not as it was attached; the database cannot be reached, or refuses.
        ConfigError: The address cannot be read.
        MissingDependency: psycopg is not installed.
    """
    database = opening.connect(url, url.table, timeout_s=TIMEOUT_S)
    try:
        attached = database.run(lambda connection: registry.read(connection, database.place, url.table))
        try:
            found = database.run(lambda connection: opening.find(connection, attached.mapping, dim=attached.space.dim))
        except InputError as error:
            raise opening.altered(database.place, url.table, str(error)) from error
        if not new_rows:
            found = replace(found, no_new_rows=found.no_new_rows or OWN_ROWS)
        return AttachedStore(database, attached, found)
    except BaseException:
        database.close()
        raise


class AttachedStore:
    """VectorReader, VectorWriter and Catalogue over a table of somebody else's; use `open_store`.

    Every method may be called from several threads at once, and from any number of processes.

    Attributes:
        space: The space that every vector belongs to.
        ledger: What became of each source object.
        database: Where it is.
        attached: What it is attached as.
        found: The table as it was when it was opened.
        finder: Plans and makes searches.
    """

    def __init__(self, database: Database, attached: registry.Attached, found: opening.Found) -> None:
        self.space = attached.space
        self.database = database
        self.attached = attached
        self.found = found
        self.finder = AttachedFinder(database, attached.name, found.shape, found.index)
        ledger_sql = statements("lookalike.store.attached", "registry.sql")
        self.ledger = PostgresLedger(database, ledger_sql, {"attached": attached.name})
        self._shape = found.shape
        self._contents = Contents(found.shape)
        self._lock = threading.Lock()
        self._stats: StoreStats | None = None
        self._stats_due = float("-inf")

    def __enter__(self) -> AttachedStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    @property
    def n_items(self) -> int:
        """How many items it holds; about so many, where there are more than some ten thousand."""
        return self.finder.n_items()

    def search(self, query: Rows, *, limit: int, where: Filter) -> tuple[list[Scored], int]:
        """The items nearest to a (dim,) float32 unit vector, whatever the lengths of theirs; see ports.VectorReader."""
        if limit < 1:
            raise InputError(f"A search must ask for at least one answer; limit is {limit}.")
        require_unit_rows(query[None, :], dim=self.space.dim, names=["query"])
        with speaking():
            how = self.finder.plan(query, limit=limit, where=where)
            scored, considered = self.finder.find(how, query, limit=limit, where=where)
        self._contents.note([found.item for found in scored])
        return scored, considered

    def get(self, keys: Sequence[tuple[str, str]]) -> list[Item | None]:
        """The items of these (project, id) pairs, in order; None where there is none."""
        found: list[Item | None] = [None] * len(keys)
        columns, places = writing.key_columns(self._shape, keys)
        if places:
            for row in self._rows("get", columns):
                found[places[row[N_COLUMNS] - 1]] = item_of(row, self._shape)
        self._contents.note([item for item in found if item is not None])
        return found

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        """The vectors of these contents, (m, dim) unit rows, and the m contents that were found, in order.

        Contents that are made of a vector are quick to find if their items were handed out lately; for others every
        row is looked at.
        """
        with speaking():
            known = self.database.run(lambda c: self._contents.vectors(c, contents), timeout_s=LONG_TIMEOUT_S)
        found = [content for content in contents if content in known]
        return np.array([known[content] for content in found], np.float32).reshape(-1, self.space.dim), found

    def stats(self) -> StoreStats:
        """What the table holds; counted again at most so often that this takes a hundredth of the time."""
        with self._lock:
            if self._stats is not None and time.monotonic() < self._stats_due:
                return self._stats
        began = time.monotonic()
        stats = self.database.run(self._counted, timeout_s=LONG_TIMEOUT_S)
        took_s = time.monotonic() - began
        with self._lock:
            self._stats, self._stats_due = stats, time.monotonic() + took_s / STATS_SHARE
        return stats

    def items(self, where: Filter, *, after: tuple[str, str] | None = None) -> Iterator[Item]:
        """Every item that passes, by (project, id), as of the moment when the first is taken; see ports.Catalogue."""
        condition = self._shape.condition(where, after=after)
        if condition is None:
            return
        sql, asked = condition
        with speaking():
            for rows in self.database.stream(self._shape.statement("walk", where=sql), asked, n_rows=PAGE):
                items = [item_of(row, self._shape) for row in rows]
                self._contents.note(items)
                yield from items

    def newest(self, where: Filter, *, limit: int, after: str = "") -> tuple[list[Item], str]:
        """Items that pass, by (project, id): a table does not say when they came; see ports.Catalogue."""
        start, condition = number_in(after, default=0), self._shape.condition(where)
        if condition is None:
            return [], ""
        sql, asked = condition
        rows = self._rows("page", {**asked, "limit": limit + 1, "start": start}, where=sql)
        items = [item_of(row, self._shape) for row in rows[:limit]]
        self._contents.note(items)
        return items, str(start + limit) if len(rows) > limit else ""

    def sample(self, n: int, *, seed: int, project: str | None = None) -> tuple[list[str], Rows]:
        """At most n contents in use, drawn evenly, and their vectors; see ports.Catalogue."""
        items, rows = self.draw(n, seed=seed, project=project)
        return [item.content for item in items], rows

    def draw(self, n: int, *, seed: int, project: str | None = None) -> tuple[list[Item], Rows]:
        """As `sample`, with an item for each content."""
        condition = self._shape.condition(Filter(project=project))
        drawn: dict[str, tuple[Item, bytes]] = {}
        n_rows = n
        while condition is not None and n > 0:
            sql, asked = condition
            rows = self._rows("sample", {**asked, "seed": seed, "n_rows": n_rows}, where=sql)
            for row in rows:
                item = item_of(row, self._shape)
                drawn.setdefault(item.content, (item, row[-1]))
            if len(drawn) >= n or len(rows) < n_rows:
                break
            n_rows *= MORE
        chosen = list(drawn.values())[:n]
        values = unit_rows([vector for _, vector in chosen], self._shape)
        usable = np.flatnonzero(values.any(axis=1)).tolist()
        items = [chosen[place][0] for place in usable]
        self._contents.note(items)
        return items, values[usable]

    def add(self, items: Sequence[Item], contents: Sequence[str], vectors: Rows) -> None:
        """Insert rows, or write into the mapped columns of rows that are there, all or nothing; see ports.VectorWriter.

        What an item does not say (a caption, a fact) stays as it is in its row. A vector is kept in the rows of its
        items: that of a content without an item is not kept.

        Raises:
            InputError: A vector is not a finite float32 unit row, or an item cannot be kept; it is named.
            VectorMissing: The content of an item has none; the item is named.
            StoreReadOnly: The table cannot be written, as was said when it was attached.
        """
        require_unit_rows(vectors, dim=self.space.dim, names=contents)
        if len(set(contents)) != len(contents):
            raise InputError("The contents of one call must be distinct.")
        self._require_writable()
        by_key = {(item.project, item.id): item for item in items}
        handed_in = dict(zip(contents, vectors, strict=True))
        own = list(dict.fromkeys(item.content for item in by_key.values()))

        def write(connection: Connection) -> None:
            with connection.transaction():
                known = handed_in | self._contents.in_column(connection, own)
                known |= self._contents.vectors(connection, [content for content in own if content not in known])
                writing.add(connection, self._shape, list(by_key.values()), known, no_new_rows=self.found.no_new_rows)

        with speaking():
            self._written(write)

    def delete(self, keys: Sequence[tuple[str, str]]) -> int:
        """Delete the rows of these (project, id) pairs, or take their vectors if rows are to stay; how many had one."""
        self._require_writable()
        mapping = self._shape.mapping
        if not mapping.may_delete and not self._shape.vector.is_nullable:
            raise self._read_only(
                f"Column {mapping.vector} cannot be null, and rows are not to be deleted: attach it with --may-delete."
            )

        def write(connection: Connection) -> int:
            with connection.transaction():
                return writing.delete(connection, self._shape, sorted(set(keys)))

        with speaking():
            return self._written(write) if keys else 0

    def compact(self) -> int:
        """Nothing: a vector goes with its row."""
        return 0

    def check(self) -> int:
        """Look at every row; how many items have no vector, which is none, as they would not be items. Slow.

        Raises:
            StoreError: The table is not as it was attached.
        """
        try:
            self.look()
        except InputError as error:
            raise opening.altered(self.database.place, self.attached.name, str(error)) from error
        return 0

    def look(self) -> opening.Counts:
        """What is in every row; InputError if that cannot be a table of items."""
        return self.database.run(lambda connection: opening.look(connection, self._shape), timeout_s=LONG_TIMEOUT_S)

    def _counted(self, connection: Connection) -> StoreStats:
        rows = self._ask(connection, "stats", {})
        contents: Any = connection.execute(self._shape.statement("n_contents"), {}).fetchone()
        tables = self._shape.tables
        n_made = sum(row[2] for row in rows)
        projects = {row[0] or self._shape.mapping.unsaid_project: row[1] for row in rows}
        return StoreStats(
            items=sum(row[1] for row in rows),
            contents=contents[0] + n_made,
            dead_slots=0,
            n_bytes=n_bytes(connection, (tables.items, tables.vectors)),
            projects=dict(sorted(projects.items())),
            space=self.space,
            unchecked=sum(row[3] for row in rows) + (0 if self._shape.mapping.is_checked else n_made),
        )

    def _written(self, write: Any) -> Any:
        try:
            return self.database.run(write, timeout_s=LONG_TIMEOUT_S)
        except opening.Refused as error:
            raise InputError(f"the table does not take it: {error.reason}.", item=self.attached.name) from error
        finally:
            with self._lock:
                self._stats = None

    def _require_writable(self) -> None:
        if self.found.read_only:
            raise self._read_only(self.found.read_only)

    def _read_only(self, reason: str) -> StoreReadOnly:
        place = self.database.place
        return StoreReadOnly(f"The table {self.attached.name!r} in {place} is read only: {reason}", store=place)

    def _ask(self, connection: Connection, name: str, asked: Mapping[str, object], **sql: str) -> list[Any]:
        return connection.cursor(binary=True).execute(self._shape.statement(name, **sql), asked).fetchall()

    def _rows(self, name: str, asked: Mapping[str, object], **sql: str) -> list[Any]:
        with speaking():
            return self.database.run(
                lambda connection: self._ask(connection, name, asked, **sql), timeout_s=LONG_TIMEOUT_S
            )
