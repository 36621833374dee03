"""What the database says of a table that somebody named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.errors import InputError
from lookalike.sql import quoted, statements

if TYPE_CHECKING:
    from lookalike.postgres import Connection

_SQL = statements("lookalike.sources", "relations.sql")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view.

    Attributes:
        schema: Where it is.
        table: Its name there.
        kinds: By column, in order, the server's name of its type ("text", "vector", "_float4" for an array).
    """

    schema: str
    table: str
    kinds: Mapping[str, str]

    @property
    def quoted(self) -> str:
        """Its name for a statement."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"{self.schema}.{self.table}"


def described(connection: Connection, table: str, *, place: str) -> Relation:
    """The table of this name, as one would write it in SQL, else as it is. InputError if there is none."""
    found = connection.execute(_SQL["table"].encode(), {"table": table}).fetchone()
    if found is None:
        raise InputError("there is no such table.", item=f"{place} {table}")
    oid, schema, name = found
    rows = connection.execute(_SQL["columns"].encode(), {"oid": oid}).fetchall()
    return Relation(schema, name, dict(rows))
