"""Pictures that the rows of a PostgreSQL table or view name: a path in a bucket or folder, or a URL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from lookalike.errors import InputError, LookalikeError, StoreError, StoreFull
from lookalike.orders import Order
from lookalike.places import Address
from lookalike.postgres import Database
from lookalike.sources.columns import METADATA, STAMP, listed, resolve
from lookalike.sources.patience import Patience
from lookalike.sources.pictures import PictureFinder
from lookalike.sources.relations import described
from lookalike.sql import quoted, statements
from lookalike.tables import Entry
from lookalike.types import LedgerEntry, SourceObject

if TYPE_CHECKING:
    from lookalike.postgres import Connection

TIMEOUT_S = 120.0
"""For one answer, a few thousand rows; before the first, the database may have to sort all of them."""

PART_ROWS = 5000

USUAL_STAMPS = ("updated_at", "modified_at", "last_modified", "etag")
"""Of the column that changes when a row's picture does."""

_SQL = statements("lookalike.sources", "rows.sql")


class RowSource:
    """Every row that names a picture. It becomes the item that its columns say: id, project, caption, metadata.

    What becomes an item's metadata has to be named: what a table has beside its pictures is often nobody's business.
    The rows are read whole before the first picture is, so that no transaction stays open for as long as pictures take.

    Attributes:
        n_other: How many rows the last listing passed over because they name no picture.
    """

    def __init__(self, url: Address, table: str, wished: Mapping[str, Sequence[str]], pictures: PictureFinder) -> None:
        """Look at a table.

        Args:
            url: "postgresql://user:password@host/database".
            table: Its name as one would write it in SQL: "customer_photos", "shop.photos", '"Photos"'.
            wished: Columns by role: those of `columns.resolve`, and "stamp".
            pictures: Reads what the rows name.

        Raises:
            InputError: There is no such table, or it has no such columns.
            StoreError: The database cannot be reached, was too slow or refused.
        """
        self._pictures = pictures
        self._patience = Patience()
        self._is_empty = False
        self.n_other = 0
        setting = "The address of the table's database"
        self._database = Database(url, setting=setting, failed=_failed, timeout_s=TIMEOUT_S)
        try:
            self._table, self._name, present = self._database.run(lambda connection: self._found(connection, table))
        finally:
            self._database.close()
        usual = [name for name in USUAL_STAMPS if name in present]
        self._stamp = next(iter(wished.get(STAMP) or usual), "")
        if self._stamp and self._stamp not in present:
            raise InputError(f"has no column {self._stamp!r}; there are: {listed(present)}.", item=self._name)
        others = {METADATA: (), **{role: names for role, names in wished.items() if role != STAMP}}
        self._columns = resolve(present, others, table=self._name, vector=False)
        if not self._columns.uri:
            raise InputError(
                f"has no column with a usual name for the paths of pictures: say which it is, as in "
                f"`--column uri=NAME`. There are: {listed(present)}.",
                item=self._name,
            )
        identity = self._columns.id or self._columns.uri
        self._key = list(filter(None, [identity, self._columns.project]))
        self._names = list(dict.fromkeys([identity, *self._columns.of_entries, *filter(None, [self._stamp])]))
        self._twice = f"another row has the same {identity!r}: say which column tells rows apart (--column id=NAME)."

    @property
    def prefix(self) -> str:
        """The table, as in "postgresql://host/database/public.photos/"; behind it comes a row's id."""
        return f"{self._name}/"

    @property
    def names_projects(self) -> bool:
        """Whether a column says the project."""
        return bool(self._columns.project)

    @property
    def names_items(self) -> bool:
        """Every row says what item it is."""
        return True

    def objects(self) -> Iterator[SourceObject]:
        """The rows that name a picture, by id, as they all were at one moment."""
        self.n_other, self._is_empty = 0, True
        for *values, is_twice in self._rows():
            self._is_empty = False
            found = dict(zip(self._names, values, strict=True))
            entry = self._columns.entry(found)
            if not entry.uri:
                self.n_other += 1
            elif is_twice:
                yield replace(self._object(entry, ""), problem=self._twice)
            else:
                yield self._object(entry, found.get(self._stamp) or "")

    def unsure(self) -> Sequence[str]:
        """The table, if the last listing showed no row: that is what one sees who may not see them."""
        return (self.prefix,) if self._is_empty else ()

    def has(self, entry: LedgerEntry) -> bool:
        """Whether a row of this id, and project, names a picture now."""
        names = {"key": self._key[0], "project": self._columns.project or "", "uri": self._columns.uri}
        places = {"table": self._table, **{role: quoted(name) for role, name in names.items()}}
        statement = _SQL["has_in_project" if self._columns.project else "has"].format(
            **{role: name.replace("%", "%%") for role, name in places.items()}  # or a name's would be a parameter
        )
        asked = {"id": entry.uri.removeprefix(self.prefix), "project": entry.project}
        try:
            row = self._database.run(lambda connection: connection.execute(statement.encode(), asked).fetchone())
        finally:
            self._database.close()  # what others of its threads have borrowed is closed when they give it back
        return row is not None

    def read(self, obj: SourceObject, *, max_bytes: int) -> bytes:
        """The picture of a row. ProviderError where its bucket or host fails with many in a row."""
        uri = obj.order.uri if obj.order else obj.uri
        with self._patience.reading(uri):
            return self._pictures.read(uri, max_bytes=max_bytes)

    def _found(self, connection: Connection, table: str) -> tuple[str, str, list[str]]:
        relation = described(connection, table, place=self._database.place)
        return relation.quoted, f"{self._database.place}/{relation.name}", list(relation.kinds)

    def _rows(self) -> Iterator[list[Any]]:
        """For each row its columns as texts, and whether another one has the same key."""
        columns, key = ", ".join(map(_as_text, self._names)), ", ".join(map(_as_text, self._key))
        query = _SQL["rows"].format(columns=columns, key=key, table=self._table).encode()
        try:
            with TemporaryFile("w+", encoding="utf-8") as kept:
                for rows in self._database.stream(query, n_rows=PART_ROWS):
                    kept.writelines(f"{json.dumps(row)}\n" for row in rows)
                kept.seek(0)
                yield from map(json.loads, kept)
        except OSError as error:
            reason = error.strerror or error
            raise StoreFull(f"The rows of {self._name} cannot be kept in a temporary file: {reason}.") from error

    def _object(self, entry: Entry, stamp: str) -> SourceObject:
        item_id = entry.id or entry.uri
        try:
            uri, problem = self._pictures.place(entry.uri), ""
        except InputError as error:
            uri, problem = entry.uri, error.reason
        facts = [entry.id, uri, entry.project, entry.caption, sorted(entry.metadata.items()), stamp]
        return SourceObject(
            uri=f"{self.prefix}{item_id}",
            stamp=hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32],
            n_bytes=0,
            problem=problem,
            order=Order(id=item_id, uri=uri, project=entry.project, caption=entry.caption, metadata=entry.metadata),
        )


def _as_text(column: str) -> str:
    return f"{quoted(column)}::text"


def _failed(place: str, reason: str, _code: str = "") -> LookalikeError:
    return StoreError(f"The table at {place} cannot be read: {reason}.", store=place)
