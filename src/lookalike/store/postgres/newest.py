"""Items in the order in which their pictures came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.errors import InputError
from lookalike.sql import statements
from lookalike.store.pages import number_in
from lookalike.store.postgres.rows import asked_metadata, escaped, item_of
from lookalike.types import Filter, Item

if TYPE_CHECKING:
    from lookalike.postgres import Connection

LAST = 2**63 - 1
"""No content has a greater number."""

_SQL = statements("lookalike.store.postgres", "newest.sql")


def newest(connection: Connection, where: Filter, *, limit: int, after: str) -> tuple[list[Item], str]:
    """At most `limit` items that pass, the last pictures first, and where the next ones begin; see ports.Catalogue."""
    content, project, item_id = _key(after)
    asked = {
        "content": content,
        "project": project,
        "id": item_id,
        "name": None if where.project is None else escaped(where.project),
        "metadata": asked_metadata(where),
        "limit": limit + 1,
    }
    rows = connection.cursor(binary=True).execute(_SQL["newest"], asked).fetchall()
    items = [item_of(row[2:]) for row in rows[:limit]]
    if len(rows) <= limit:
        return items, ""
    last = rows[limit - 1]
    return items, f"{last[0]}.{last[1]}.{items[-1].id}"


def _key(after: str) -> tuple[int, int, str]:
    """The content, the project's number and the id, as they are kept, of the item that a page before ended with."""
    content, dot, rest = after.partition(".")
    project, other, item_id = rest.partition(".")
    if after and not (dot and other):
        raise InputError("is not what an answer gave in 'next'.", item="after")
    number = min(number_in(project, default=0), 2**31 - 1)
    return number_in(content, default=LAST), number, escaped(item_id)
