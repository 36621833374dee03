"""From a mapping to a table that can be searched: is it as it was said to be, and what may be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lookalike.errors import InputError, LookalikeError, StoreError
from lookalike.postgres import Database
from lookalike.secret import Secret
from lookalike.store.attached.catalog import Column, Relation, VectorIndex, is_indexed, relation, vector_index
from lookalike.store.attached.mapping import Mapping
from lookalike.store.attached.shape import Shape, Tables
from lookalike.store.postgres.faults import failure
from lookalike.store.postgres.schema import PATIENCE_S

if TYPE_CHECKING:
    from lookalike.postgres import Connection

ALTERED = {"42P01", "42703", "42704", "42804", "42883", "22000"}
"""No such table, column or type, or other types or lengths than there were."""


REFUSED = {"22", "23"}
"""Classes of what a row is refused for: a value that its column cannot have, or a constraint."""


class Refused(StoreError):
    """The database refused a value: one that is written, or one of a row that cannot be read.

    Attributes:
        reason: Why, in its own words.
    """

    def __init__(self, message: str, *, store: str, reason: str) -> None:
        super().__init__(message, store=store)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Found:
    """A table as it is now.

    Attributes:
        shape: Its statements.
        index: Its index on vectors that answers by cosine; None if it has none.
        read_only: Why it cannot be written, a sentence; empty if it can.
        no_new_rows: Why only rows that are there can be written, a sentence; empty if others can be made.
        hints: Sentences on what would make it quicker.
    """

    shape: Shape
    index: VectorIndex | None
    read_only: str
    no_new_rows: str
    hints: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a look at every row found.

    Attributes:
        rows: How many there are.
        vectors: How many have a vector.
        zeros: How many of these are all zeros, which nothing is near to.
        not_unit: How many of these have another length than 1, within 0.001.
        dims: The least and the greatest number of numbers.
    """

    rows: int
    vectors: int
    zeros: int
    not_unit: int
    dims: tuple[int, int]


def connect(url: Secret, table: str, *, timeout_s: float) -> Database:
    """Connections to the database of a table.

    Raises:
        ConfigError: The address cannot be read.
        MissingDependency: psycopg is not installed.
    """

    def failed(place: str, reason: str, code: str) -> LookalikeError:
        if code in ALTERED:
            return altered(place, table, reason)
        error = failure(place, reason, code)
        return Refused(str(error), store=place, reason=reason) if code[:2] in REFUSED else error

    return Database(url, setting="The address of the index", failed=failed, timeout_s=timeout_s, patience_s=PATIENCE_S)


def altered(place: str, table: str, reason: str) -> StoreError:
    """The error for a table that is not what was attached."""
    return StoreError(
        f"The table {table!r} in {place} is not as it was when it was attached: {reason.rstrip('.')}. Attach it again: "
        f"lookalike db attach {table}.",
        store=place,
    )


def find(connection: Connection, mapping: Mapping, *, dim: int) -> Found:
    """The tables of a mapping.

    Args:
        connection: To their database.
        mapping: What their columns are for.
        dim: How many numbers a vector has; 0 if that is for the table to say.

    Raises:
        InputError: A table or column is not there, or of no use.
    """
    items = _required(connection, mapping.table)
    vectors = _required(connection, mapping.vector_table) if mapping.is_joined else items
    shape = Shape(mapping, Tables(items, vectors), dim=dim)
    index = vector_index(connection, vectors, mapping.vector, dim=shape.dim, has_unit_vectors=mapping.has_unit_vectors)
    return Found(shape, index, _read_only(shape), _no_new_rows(shape), tuple(_hints(connection, shape, index)))


def look(connection: Connection, shape: Shape) -> Counts:
    """Look at every row, which takes as long as reading all vectors.

    Raises:
        InputError: Ids are missing or not unique, or vectors of several lengths.
    """
    row: Any = connection.execute(shape.statement("look"), {}).fetchone()
    rows, vectors, zeros, not_unit, least, most, no_id = row
    name = shape.mapping.table
    if no_id:
        raise InputError(f"{no_id:,} of its rows have no {shape.id.name!r}: each item needs an id.", item=name)
    if vectors and least != most:
        raise InputError(f"its vectors have from {least} to {most} numbers: they are of several models.", item=name)
    if not shape.has_key or not _is_joined_by_key(shape):
        distinct: Any = connection.execute(shape.statement("n_distinct"), {}).fetchone()
        if distinct[0] != rows:
            raise InputError(
                f"{rows - distinct[0]:,} of its rows have a {shape.id.name!r} that another row has too: each item "
                "needs an id of its own.",
                item=name,
            )
    return Counts(rows=rows, vectors=vectors, zeros=zeros, not_unit=not_unit, dims=(least or 0, most or 0))


def _required(connection: Connection, name: str) -> Relation:
    found = relation(connection, name)
    if found is None:
        raise InputError(
            "there is no such table or view that this user can see; write its name as the database keeps it, without "
            "quotes, and with its schema where that is not in the search_path.",
            item=name,
        )
    return found


def _is_joined_by_key(shape: Shape) -> bool:
    own = frozenset({shape.mapping.vector_key})
    return not shape.mapping.is_joined or own in shape.tables.vectors.keys


def _read_only(shape: Shape) -> str:
    """Why a table cannot be written; empty if it can."""
    mapping, tables = shape.mapping, shape.tables
    for table, named in ((tables.items, mapping.of_items), (tables.vectors, mapping.of_vectors)):
        if not table.is_table:
            return f"{table.name} is no table but a view."
        made = [name for name in named if table.columns[name].is_made and name != mapping.id]
        if made:
            return f"Column {made[0]} of {table.name} is always made by the database."
    if mapping.is_joined and (missing := _missing(tables.vectors, mapping.of_vectors)):
        return missing
    if shape.has_project_keys and not shape.has_key:
        column = f"{mapping.project} of {tables.items.name}"
        return f"Column {column} can be null, and its unique index lets such rows be there twice."
    if not shape.has_key:
        return f"No unique index is on column {shape.id.name} of {tables.items.name}."
    if not _is_joined_by_key(shape):
        return f"No unique index is on column {mapping.vector_key} of {tables.vectors.name}."
    return ""


def _no_new_rows(shape: Shape) -> str:
    """Why no row can be inserted; empty if some can."""
    if shape.id.is_made:
        return f"Column {shape.id.name} of {shape.tables.items.name} is always made by the database."
    return _missing(shape.tables.items, shape.mapping.of_items)


def _missing(table: Relation, mapped: tuple[str, ...]) -> str:
    """A sentence on a column that a new row must have, and nothing is mapped to; empty if there is none."""
    missing = [name for name, column in table.columns.items() if _must_be_given(column) and name not in mapped]
    return f"Column {missing[0]} of {table.name} must be given, and nothing is mapped to it." if missing else ""


def _must_be_given(column: Column) -> bool:
    return not (column.is_nullable or column.has_default or column.is_made)


def _hints(connection: Connection, shape: Shape, index: VectorIndex | None) -> list[str]:
    tables, mapping = shape.tables, shape.mapping
    hints = []
    for column, what in ((mapping.project, "searches of one project"), (mapping.content, "writing, and confidence,")):
        if column and tables.items.is_table and not is_indexed(connection, tables.items, column):
            hints.append(f"An index on {column} would make {what} quicker.")
    if index is None and tables.vectors.is_table:
        hints.append("Searches are exact: there is no index on its vectors that answers by cosine.")
    return hints
