"""The queue in the database of the index: procrastinate's tables and functions, so that its tools read them too.

Orders are submitted and looked up by any number of processes; every statement is a transaction, or stands in one that
`with connection.transaction()` shows, so that a transaction pooler may stand between. The worker is our own: it takes
many orders in one question, says in one statement what became of them and why, and outlives a server that starts again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lookalike.orders import IndexJob, JobState, Order
from lookalike.queues import schema
from lookalike.queues.desk import PostgresDesk
from lookalike.queues.feed import Feed
from lookalike.queues.orders import OVERTAKEN, is_storable, lock_of, read, written
from lookalike.queues.patience import Patience
from lookalike.queues.tables import MIGRATION_TIMEOUT_S, PATIENCE_S, STATUSES, Tables, connect
from lookalike.secret import Secret

if TYPE_CHECKING:
    from lookalike.postgres import Connection

_STATE_OF = {status: state for state, statuses in STATUSES.items() for status in statuses}


def open_queue(url: Secret) -> PostgresQueue:
    """The queue of the index in this database; its tables are made if they are not there yet.

    Raises:
        StoreError: The database cannot be reached, or refuses.
        ConfigError: The address cannot be read.
        MissingDependency: psycopg or, to make the tables, procrastinate is not installed.
    """
    return PostgresQueue(Tables(url, patience_s=PATIENCE_S).open())


def open_feed(url: Secret, patience: Patience | None = None) -> Feed:
    """The working half of the queue of this database; raises as `open_queue`."""
    patience = patience or Patience()
    return Feed(PostgresDesk(Tables(url).open(), patience), patience)


def migrate(url: Secret) -> tuple[int, int]:
    """Make the tables of the queue or bring them up to date; the versions before and after. Raises as `open_queue`."""
    database = connect(url, None, timeout_s=MIGRATION_TIMEOUT_S)
    try:
        return database.run(lambda connection: schema.migrate(connection, database.place))
    finally:
        database.close()


class PostgresQueue:
    """ports.JobQueue over one database; use `open_queue`. Every method may be called from several threads at once."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def submit(self, orders: Sequence[Order]) -> list[int]:
        """Take orders; their numbers, in order. Durable when it returns, all or nothing.

        Waiting orders of the same items are done with that: the newer one takes their place.
        """
        columns = {"orders": written(orders), "locks": [lock_of(order) for order in orders], "reason": OVERTAKEN}

        def insert(connection: Connection) -> list[int]:
            with connection.transaction():
                numbers = [row[0] for row in connection.execute(self._tables.sql["submit"], columns).fetchall()]
                connection.execute(self._tables.sql["overtake"], columns)
                return numbers

        return self._tables.do(insert) if orders else []

    def look_up(self, numbers: Sequence[int]) -> list[IndexJob | None]:
        """The jobs of these numbers, in order; None for one that is not known, or was done long ago."""
        # No job has a number that is not one of the database's.
        asked = [number for number in numbers if 0 < number < 2**63]
        found = {job.number: job for job in self._jobs("look_up", numbers=asked)}
        return [found.get(number) for number in numbers]

    def page(self, *, state: JobState, project: str | None, above: int, limit: int) -> list[IndexJob]:
        """Jobs in this state with numbers above this one, by number; of every project if that is None."""
        asked = {"statuses": list(STATUSES[state]), "above": max(-1, min(above, 2**63 - 1)), "limit": limit}
        if project is None:
            return self._jobs("page", **asked)
        if not is_storable(project):
            return []
        return self._jobs("page_of_project", project=project, **asked)

    def replay(self, numbers: Sequence[int]) -> list[int]:
        """Let dead jobs begin anew; those for whose item there is a newer order are done with that.

        Returns:
            The numbers of those that begin anew.
        """
        asked = {"numbers": [number for number in numbers if 0 < number < 2**63]}

        def revive(connection: Connection) -> list[int]:
            sql = self._tables.sql
            with connection.transaction():
                revived = connection.execute(sql["replay"], asked).fetchall()
                locks = {"locks": [lock for _, lock in revived], "reason": OVERTAKEN}
                overtaken = {row[0] for row in connection.execute(sql["overtake"], locks).fetchall()}
                connection.execute(sql["hello"])
                return [number for number, _ in revived if number not in overtaken]

        return self._tables.do(revive)

    def close(self) -> None:
        """Close the connections."""
        self._tables.close()

    def _jobs(self, which: str, **asked: object) -> list[IndexJob]:
        query = f"{self._tables.sql['jobs']} {self._tables.sql[which]}"
        return [_job(row) for row in self._tables.do(lambda c: c.execute(query.encode(), asked).fetchall())]


def _job(row: Sequence[Any]) -> IndexJob:
    number, args, status, attempts, reason, ordered_s, changed_s = row
    return IndexJob(
        number=number,
        order=read(args),
        state=_STATE_OF[status],
        attempts=attempts + (status == "doing"),
        reason=reason,
        ordered_s=ordered_s,
        changed_s=changed_s,
    )
