"""The queue of an index in a folder: one SQLite file beside it, that any process of this machine may write to."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from lookalike.orders import IndexJob, JobState, Order
from lookalike.queues.feed import Feed
from lookalike.queues.orders import read, written
from lookalike.queues.patience import Patience
from lookalike.queues.sqlite_desk import SqliteDesk
from lookalike.queues.sqlite_file import QueueFile, overtake
from lookalike.sql import statements

_SQL = statements("lookalike.queues", "sqlite.sql")
_BIGGEST = 2**63 - 1


def open_queue(folder: Path) -> SqliteQueue:
    """The queue of the index in this folder; its file is made if it is not there yet.

    Raises:
        StoreReadOnly, StoreFull, StoreTooNew, StoreError: It cannot be made, or used.
    """
    return SqliteQueue(QueueFile(folder))


def open_feed(folder: Path, patience: Patience | None = None) -> Feed:
    """The working half of the queue in this folder; raises as `open_queue`."""
    patience = patience or Patience()
    return Feed(SqliteDesk(QueueFile(folder), patience), patience)


class SqliteQueue:
    """ports.JobQueue over one file; use `open_queue`. Every method may be called from several threads at once."""

    def __init__(self, file: QueueFile) -> None:
        self._file = file

    def submit(self, orders: Sequence[Order]) -> list[int]:
        """Take orders; their numbers, in order. Durable when it returns, all or nothing.

        Waiting orders of the same items are done with that: the newer one takes their place.
        """
        texts, now = written(orders), time.time()
        if not orders:
            return []
        with self._file.writing() as connection:
            numbers = [
                int(connection.execute(_SQL["submit"], (order.project, order.id, text, now, now)).fetchone()[0])
                for order, text in zip(orders, texts, strict=True)
            ]
            overtake(connection, [(order.project, order.id) for order in orders])
            return numbers

    def look_up(self, numbers: Sequence[int]) -> list[IndexJob | None]:
        """The jobs of these numbers, in order; None for one that is not known, or was done long ago."""
        with self._file.reading() as connection:
            rows = [
                connection.execute(_SQL["look_up"], (number,)).fetchone() if 0 < number <= _BIGGEST else None
                for number in numbers
            ]
        return [row and _job(row) for row in rows]

    def page(self, *, state: JobState, project: str | None, above: int, limit: int) -> list[IndexJob]:
        """Jobs in this state with numbers above this one, by number; of every project if that is None."""
        asked = (state.value, max(-1, min(above, _BIGGEST)), limit)
        with self._file.reading() as connection:
            if project is None:
                return [_job(row) for row in connection.execute(_SQL["page"], asked)]
            name = project.encode("utf-8", "replace").decode()
            return [_job(row) for row in connection.execute(_SQL["page_of_project"], (name, *asked))]

    def replay(self, numbers: Sequence[int]) -> list[int]:
        """Let dead jobs begin anew; those for whose item there is a newer order are done with that.

        Returns:
            The numbers of those that begin anew.
        """
        revived: list[int] = []
        items: list[tuple[str, str]] = []
        with self._file.writing() as connection:
            for number in numbers:
                known = 0 < number <= _BIGGEST
                row = connection.execute(_SQL["replay"], (time.time(), number)).fetchone() if known else None
                if row is not None:
                    revived.append(number)
                    items.append(row)
            overtaken = overtake(connection, items)
        return [number for number in revived if number not in overtaken]

    def close(self) -> None:
        """Close the connections."""
        self._file.close()


def _job(row: tuple[int, str, str, int, str, float, float]) -> IndexJob:
    number, text, state, attempts, reason, ordered_s, changed_s = row
    return IndexJob(
        number=number,
        order=read(json.loads(text)),
        state=JobState(state),
        attempts=attempts + (state == JobState.WORKING),
        reason=reason,
        ordered_s=ordered_s,
        changed_s=changed_s,
    )
