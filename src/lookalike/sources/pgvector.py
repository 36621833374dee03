"""Vectors in a PostgreSQL table: columns of pgvector (vector, halfvec) or arrays of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InputError, LookalikeError, StoreError
from lookalike.postgres import Database
from lookalike.secret import Secret
from lookalike.sources.columns import METADATA, Columns, resolve
from lookalike.sources.relations import described
from lookalike.sql import quoted, statements
from lookalike.tables import TablePart, rows_to_a_part

if TYPE_CHECKING:
    from lookalike.postgres import Connection

TIMEOUT_S = 120.0
"""For one answer, which is a part of the rows or their number; a table of millions is counted in seconds."""

WIRE = {"vector": ">f4", "halfvec": ">f2"}
"""How pgvector sends numbers (vector_send, halfvec_send): two 16-bit words, the first their number; then these."""

ARRAYS = ("_float4", "_float8")

NO_FACTS = {"json", "jsonb", "bytea", "date", "time", "timetz", "timestamp", "timestamptz", "interval", *WIRE}
"""Types of columns that are neither text nor number, so that they are not even read; nor are arrays."""

_SQL = statements("lookalike.sources", "pgvector.sql")


class PgvectorTable:
    """tables.VectorTable over a table or view; each walk sees it as it was at one moment.

    Args:
        url: "postgresql://user:password@host/database".
        table: Its name as one would write it in SQL: "pictures", "shop.pictures", '"Pictures"'.
        wished: Columns by role; see `columns.resolve`.

    Raises:
        InputError: There is no such table, or it has no such columns.
        StoreError: The database cannot be reached, was too slow or refused.
        MissingDependency: psycopg is not installed.
    """

    def __init__(self, url: Secret, table: str, wished: Mapping[str, Sequence[str]]) -> None:
        setting = "The address of the table's database"
        self._database = Database(url, setting=setting, failed=_failed, timeout_s=TIMEOUT_S)
        self.name = f"{self._database.place} {table}"
        try:
            self._place, self._columns, self._kind = self._database.run(lambda c: self._described(c, table, wished))
            self._n_rows, self._dim = self._database.run(self._counted)
        except UnicodeEncodeError as error:
            raise InputError("there is no such table: its name is not valid Unicode.", item=repr(table)) from error
        finally:
            self._database.close()

    @property
    def n_rows(self) -> int:
        """How many rows it had when it was opened."""
        return self._n_rows

    @property
    def dim(self) -> int:
        """How many numbers its first vector has."""
        return self._dim

    def parts(self) -> Iterator[TablePart]:
        """Its rows; one whose vector is missing or of another length has that for a problem."""
        names = [*self._columns.of_entries, self._columns.vector]
        query = self._statement("rows", names)
        for rows in self._database.stream(query, n_rows=rows_to_a_part(self._dim)):
            entries = [self._columns.entry(dict(zip(names, row, strict=True))) for row in rows]
            values, problems = self._vectors([row[-1] for row in rows])
            yield TablePart(entries=entries, values=values, problems=problems)

    def _described(
        self, connection: Connection, table: str, wished: Mapping[str, Sequence[str]]
    ) -> tuple[str, Columns, str]:
        relation = described(connection, table, place=self._database.place)
        kinds = relation.kinds
        of_vectors = [column for column, kind in kinds.items() if kind in WIRE]
        if len(of_vectors) == 1 and not wished.get("vector"):
            wished = {**wished, "vector": of_vectors}
        columns = resolve(list(kinds), wished, table=self.name)
        if METADATA not in wished:
            columns = replace(columns, metadata=tuple(c for c in columns.metadata if _is_of_facts(kinds[c])))
        kind = kinds[columns.vector]
        if kind not in WIRE and kind not in ARRAYS:
            raise InputError(
                f"its column {columns.vector!r} is of type {kind}, not vector, halfvec or an array of numbers.",
                item=self.name,
            )
        return relation.quoted, columns, kind

    def _counted(self, connection: Connection) -> tuple[int, int]:
        (n_rows,) = connection.execute(self._statement("count", ())).fetchone() or (0,)
        cursor = connection.cursor(binary=True)
        first = cursor.execute(self._statement("first", [self._columns.vector])).fetchone()
        return n_rows, 0 if first is None else self._length(first[0])

    def _statement(self, name: str, columns: Sequence[str]) -> bytes:
        return _SQL[name].format(table=self._place, columns=", ".join(map(quoted, columns))).encode()

    def _length(self, value: Any) -> int:
        return len(value) if self._kind in ARRAYS else int.from_bytes(value[:2], "big")

    def _vectors(self, found: Sequence[Any]) -> tuple[NDArray[np.floating], dict[int, str]]:
        kind = np.dtype(WIRE.get(self._kind, "f8"))
        values = np.zeros((len(found), self._dim), kind.newbyteorder("="))
        problems = {}
        for row, value in enumerate(found):
            if value is None:
                problems[row] = "has no vector."
            elif self._length(value) != self._dim:
                problems[row] = f"its vector has {self._length(value)} numbers, the others {self._dim}."
            else:
                values[row] = np.array(value, kind) if self._kind in ARRAYS else np.frombuffer(value, kind, offset=4)
        return values, problems


def _is_of_facts(kind: str) -> bool:
    return kind not in NO_FACTS and not kind.startswith("_")  # the server's name of an array begins so


def _failed(place: str, reason: str, _code: str = "") -> LookalikeError:
    return StoreError(f"The table at {place} cannot be read: {reason}.", store=place)
