"""What the database says of a table that is to be attached, or was: its columns, keys and indexes."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lookalike.errors import InputError
from lookalike.sql import statements

if TYPE_CHECKING:
    from lookalike.postgres import Connection

TABLES = {"r", "p"}
"""Kinds of relations that can be written: tables, and those in partitions. Others are views and foreign tables."""

ORDERS = {"cosine": "<=>", "ip": "<#>", "l2": "<->"}
"""Of an index on vectors, by what its operator class is named after; all are one order where vectors have length 1."""

_SQL = statements("lookalike.store.attached", "catalog.sql")


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: Its name.
        kind: The server's name of its type ("text", "int8", "uuid", "vector"); of a domain, that below.
        type: The type without a length, as SQL of a statement with parameters.
        modifier: The type's length where that is said; of vectors their number of numbers, -1 if any will do.
        is_nullable: Whether it may be null.
        has_default: Whether the database fills it in where nothing is said.
        is_made: Whether the database always makes its value, so that none can be given.
    """

    name: str
    kind: str
    type: str
    modifier: int
    is_nullable: bool
    has_default: bool
    is_made: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view.

    Attributes:
        oid: Its number in the database.
        schema: Where it is.
        name: Its name there.
        kind: "r" for a table, "p" for one in partitions, "v", "m" and "f" for views and foreign tables.
        columns: By name, in order.
        keys: Sets of columns that tell its rows apart, as an index makes sure.
    """

    oid: int
    schema: str
    name: str
    kind: str
    columns: Dictionary[str, Column]
    keys: frozenset[frozenset[str]]

    @property
    def is_table(self) -> bool:
        """Whether it can be written."""
        return self.kind in TABLES


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """An index on vectors that answers by cosine.

    Attributes:
        name: Its name.
        method: "hnsw" or "ivfflat".
        order: The operator that it is asked with.
        cast: The type that its vectors are turned into; empty for their own.
    """

    name: str
    method: str
    order: str
    cast: str


def relation(connection: Connection, name: str) -> Relation | None:
    """The table or view of this name; None if there is none."""
    schema, _, table = name.rpartition(".") if name.count(".") == 1 else ("", "", name)
    asked = {"name": name, "schema": schema, "table": table}
    found = connection.execute(_SQL["relation"], asked).fetchone() if name else None
    if found is None:
        return None
    rows = connection.execute(_SQL["columns"], {"oid": found[0]}).fetchall()
    keys = connection.execute(_SQL["keys"], {"oid": found[0]}).fetchall()
    columns = {name: Column(name, kind, type_.replace("%", "%%"), *rest) for name, kind, type_, *rest in rows}
    oid, where, own_name, kind = found
    return Relation(oid, where, own_name, kind, columns, frozenset(frozenset(key) for (key,) in keys))


def require_columns(table: Relation, names: tuple[str, ...]) -> None:
    """InputError if one of these columns is not there."""
    for name in names:
        if name not in table.columns:
            raise InputError(f"has no column {name!r}; there are: {', '.join(table.columns)}.", item=table.name)


def is_indexed(connection: Connection, table: Relation, column: str) -> bool:
    """Whether an index begins with this column."""
    row = connection.execute(_SQL["starts_index"], {"oid": table.oid, "column": column}).fetchone()
    return bool(row and row[0])


def vector_index(
    connection: Connection, table: Relation, column: str, *, dim: int, has_unit_vectors: bool
) -> VectorIndex | None:
    """The index that finds the vectors of the greatest cosine; None if there is none.

    Args:
        connection: To its database.
        table: With the vectors.
        column: Their column.
        dim: How many numbers each has.
        has_unit_vectors: Whether they are of length 1, so that distances and products are in the order of cosines.
    """
    asked = {"oid": table.oid, "column": column, "dim": dim}
    fitting: list[VectorIndex] = []
    for name, method, operators, cast in connection.execute(_SQL["vector_indexes"], asked).fetchall():
        measure = operators.split("_")[1]
        if cast is not None and (measure == "cosine" or (has_unit_vectors and measure in ORDERS)):
            fitting.append(VectorIndex(name, method, ORDERS[measure], cast))
    return fitting[0] if fitting else None


def n_bytes(connection: Connection, tables: tuple[Relation, ...]) -> int:
    """The size of tables on disk, with their indexes and partitions."""
    row: Any = connection.execute(_SQL["bytes"], {"oids": sorted({table.oid for table in tables})}).fetchone()
    return int(row[0])
