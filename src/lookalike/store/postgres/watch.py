"""Whether an index is still searched in the space that it was opened with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lookalike.errors import StoreSwitched
from lookalike.postgres import Database
from lookalike.sql import statements

if TYPE_CHECKING:
    from lookalike.postgres import Connection

NOTICE_S = 1.0
"""After a switch a process answers from the space before for so long at most; whole answers, of that space alone."""

_SQL = statements("lookalike.store.postgres", "spaces.sql")


class Watch:
    """Says that another space is searched by now; may be asked from several threads at once.

    Args:
        database: Of the index.
        number: The space that it was opened with.
    """

    def __init__(self, database: Database, number: int) -> None:
        self._database = database
        self._number = number
        self._due_s = time.monotonic() + NOTICE_S

    def require(self, *, at_once: bool = False) -> None:
        """StoreSwitched if it is so; looked at once a second, or at once."""
        now = time.monotonic()
        if at_once or now >= self._due_s:
            self._due_s = now + NOTICE_S
            self._database.run(lambda connection: require_current(connection, self._database.place, self._number))


def require_current(connection: Connection, place: str, number: int) -> None:
    """StoreSwitched unless this space is the one that is searched; in a writer's transaction, behind its lock."""
    row = connection.execute(_SQL["current"]).fetchone()
    if row is not None and row[0] != number:
        raise StoreSwitched(f"The index in {place} was switched to another space: open it again.", store=place)
