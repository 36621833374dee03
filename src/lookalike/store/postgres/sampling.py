"""A sample of the contents of one project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lookalike.sql import statements
from lookalike.store.postgres.rows import escaped

if TYPE_CHECKING:
    from lookalike.postgres import Connection

_SQL = statements("lookalike.store.postgres", "sampling.sql")


def sample_of_project(connection: Connection, *, space: int, project: str, n: int, seed: int) -> list[Any]:
    """At most n (sha256, vector) of a project's items, drawn evenly; the same for the same seed and project."""
    asked = {"space": space, "project": escaped(project), "n": n, "seed": seed}
    return connection.cursor(binary=True).execute(_SQL["sample_of_project"], asked).fetchall()
