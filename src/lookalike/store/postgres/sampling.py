"""A sample of contents for which all of them are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lookalike.sql import statements
from lookalike.store.postgres.rows import escaped

if TYPE_CHECKING:
    from lookalike.postgres import Connection

_SQL = statements("lookalike.store.postgres", "sampling.sql")


def sample_by_hash(connection: Connection, *, space: int, project: str | None, n: int, seed: int) -> list[Any]:
    """At most n (sha256, vector) of a project's items, or of all, drawn evenly; the same for one seed and items."""
    asked = {"space": space, "project": None if project is None else escaped(project), "n": n, "seed": seed}
    return connection.cursor(binary=True).execute(_SQL["sample_by_hash"], asked).fetchall()
