"""The database that a queue is in: its statements, connections to run them with, and what it means by an error."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from lookalike.errors import StoreError, StoreFull, StoreLocked, StoreReadOnly, StoreUnavailable
from lookalike.orders import JobState
from lookalike.places import Address
from lookalike.postgres import LOST, UNREACHABLE, Answer, Database
from lookalike.queues import schema
from lookalike.secret import Secret

if TYPE_CHECKING:
    from lookalike.postgres import Connection

TIMEOUT_S = 30.0
PATIENCE_S = 10.0
"""How long who hands in an order waits for a server that starts again; a worker has patience of its own."""

MIGRATION_TIMEOUT_S = 600.0
CHANNEL = "procrastinate_queue_v1#lookalike"

STATUSES = {
    JobState.WAITING: ("todo",),
    JobState.WORKING: ("doing",),
    JobState.DONE: ("succeeded",),
    JobState.DEAD: ("failed", "cancelled", "aborted"),
}
"""What procrastinate calls them; the first is what we write."""

_FULL, _DENIED, _BUSY = {"53100"}, {"42501", "25006"}, {"55P03", "40P01", "40001"}
_GONE = {UNREACHABLE, LOST, "53300", "57P01", "57P02", "57P03"}


class Tables:
    """The statements of one database, and connections to run them with."""

    def __init__(self, url: Secret, *, patience_s: float = 0.0) -> None:
        self.sql: dict[str, str] = {}
        self._table = url.table if isinstance(url, Address) else ""
        self._database = connect(url, self._ensure, timeout_s=TIMEOUT_S, patience_s=patience_s)

    def open(self) -> Tables:
        """Itself, once the database has been reached and has the tables."""
        self._database.run(lambda _: None)
        return self

    @property
    def place(self) -> str:
        """The database, without user and password."""
        return self._database.place

    def do(self, work: Callable[[Connection], Answer]) -> Answer:
        """As Database.run."""
        return self._database.run(work)

    def run(self, name: str, **asked: object) -> list[Any]:
        """The rows that one statement answers."""
        return self._database.run(lambda connection: connection.execute(self.sql[name], asked).fetchall())

    def hear(self, every_s: float) -> Generator[bool, None, None]:
        """As Database.hear, of new orders."""
        return self._database.hear(CHANNEL, every_s=every_s)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def _ensure(self, connection: Connection) -> None:
        self.sql = schema.ensure(connection, self._database.place, table=self._table)


def connect(
    url: Secret, prepare: Callable[[Connection], None] | None, *, timeout_s: float, patience_s: float = 0.0
) -> Database:
    """Connections to the database of an index."""
    return Database(
        url,
        setting="The address of the index",
        failed=_failed,
        prepare=prepare,
        timeout_s=timeout_s,
        patience_s=patience_s,
    )


def _failed(place: str, reason: str, code: str) -> StoreError:
    if code in _FULL:
        return StoreFull(f"No room is left on the disk of {place}: the order was not taken.", store=place)
    if code in _DENIED:
        sentence = (
            f"{place} does not let this user do that ({reason}): have its owner run `lookalike db migrate` and grant "
            "the rights on the schema of the queue (lookalike_jobs for the index in public) and its tables."
        )
        return StoreReadOnly(sentence, store=place)
    if code in _BUSY:
        return StoreLocked(f"The queue in {place} is busy ({reason}). Try again.", store=place)
    if code in _GONE:
        return StoreUnavailable(f"The queue in {place} cannot be reached now: {reason}.", store=place)
    return StoreError(f"The queue in {place} failed: {reason}.", store=place)
