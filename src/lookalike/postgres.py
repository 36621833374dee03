"""PostgreSQL: connections, each lent to one thread at a time, and what their errors mean.

No session state is used (no prepared statements, settings or session locks), so that a transaction pooler may stand
between: github.com/supabase/supavisor and pgbouncer.org/features.html, "transaction pooling".
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

from lookalike.errors import ConfigError, LookalikeError, MissingDependency
from lookalike.forks import InEachProcess
from lookalike.places import Address
from lookalike.secret import Secret
from lookalike.sql import statements

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from psycopg import Connection as Connection
    from psycopg import Copy as Copy

CONNECT_TIMEOUT_S = 5

UNREACHABLE = "08001"
"""What an error has for an SQLSTATE where libpq gives none: there is no connection, and later there may be one
(sqlclient_unable_to_establish_sqlconnection)."""

LOST = "08006"
"""A connection was lost, and so was the one after it (connection_failure)."""

FOR_GOOD = re.compile(r"authentication failed|does not exist|no pg_hba\.conf entry")
"""Why there is no connection and will be none, as a server that speaks English says it."""

PAUSES_S = (0.05, 0.5)
"""Between two attempts to reach a database again: the first pause, and the longest."""

Answer = TypeVar("Answer")

_SQL = statements("lookalike", "postgres.sql")


class Database:
    """Connections to one database, opened when they are needed.

    Args:
        url: "postgresql://user:password@host/database", or a connection string of libpq.
        setting: What the address is called where it was set, for errors ("LOOKALIKE_CACHE").
        failed: Makes the error that its owner raises, of (place, reason, SQLSTATE); the last is empty if there is none.
        prepare: What each process does once, with its first connection: see that the tables are there.
        timeout_s: How long a piece of work may take before its connection is cut; a database that has stopped
            answering would be waited for until the kernel gives up.
        patience_s: For how long a database that was reached before is tried to reach again: it may be restarting, or
            out of connections for a moment.

    Raises:
        ConfigError: The address cannot be read.
        MissingDependency: psycopg is not installed.
    """

    def __init__(
        self,
        url: Secret,
        *,
        setting: str,
        failed: Callable[[str, str, str], LookalikeError],
        prepare: Callable[[Connection], None] | None = None,
        timeout_s: float,
        patience_s: float = 0.0,
    ) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise MissingDependency("psycopg", extra="postgres") from error
        self._psycopg = psycopg
        self._url = url.database if isinstance(url, Address) else url
        self._make_failed = failed
        self._prepare = prepare
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._was_reached = False
        self._n_closed = 0
        self._lock = threading.Lock()
        self._idle: InEachProcess[list[Connection]] = InEachProcess(list)
        try:
            settings = psycopg.conninfo.conninfo_to_dict(self._url.reveal())
        except psycopg.Error:  # its sentence would repeat the password
            raise ConfigError(f"{setting} cannot be read: write postgresql://user:password@host/database.") from None
        # A sign in a password that was not written in percent: what follows it was taken for host, port or database.
        if any("@" in str(settings.get(name, "")) for name in ("host", "dbname")) or not _is_port(settings.get("port")):
            raise ConfigError(
                f"{setting} cannot be read: in a user and a password write @ / ? # : % as %40 %2F %3F %23 %3A %25."
            )
        self._place = f"postgresql://{settings.get('host', '')}/{settings.get('dbname', '')}"

    @property
    def place(self) -> str:
        """The database, without user and password."""
        return self._place

    def run(self, work: Callable[[Connection], Answer], *, timeout_s: float | None = None) -> Answer:
        """Do this with a connection in autocommit mode, once more with a new one if it had been closed meanwhile.

        With patience the new one may be lost as well. So `work` is all in one transaction, or can be done again.

        Raises:
            LookalikeError: What `failed` makes: the database cannot be reached, was too slow or refused.
        """
        limit_s, n_closed = timeout_s or self._timeout_s, self._n_closed
        try:
            with self._lock:
                connection = idle.pop() if (idle := self._idle()) else None
            if connection is not None:
                with suppress(_ClosedMeanwhile):
                    return self._attempt(connection, work, limit_s, n_closed)
            if self._patience_s:
                with suppress(_ClosedMeanwhile):
                    return self._attempt(self._connect(), work, limit_s, n_closed)
            return self._attempt(self._connect(), work, limit_s, n_closed)
        except _ClosedMeanwhile as error:
            raise self.failure(str(error), code=LOST) from error
        except self._psycopg.Error as error:
            raise self.failure(str(error), code=error.sqlstate or "") from error

    def stream(
        self, query: bytes, asked: Mapping[str, object] | None = None, *, n_rows: int
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The answer to a query, `n_rows` at a time: as of one moment, values in binary, never whole in memory.

        It reads in a transaction of its own; every part has the time that a piece of work has.

        Raises:
            LookalikeError: What `failed` makes. What was yielded before is good.
        """
        try:
            with self._connect() as connection, connection.transaction():
                connection.execute(f"SET LOCAL statement_timeout = {int(self._timeout_s * 1000)}".encode())
                with connection.cursor(name="stream", binary=True) as cursor:
                    cursor.execute(query, asked)
                    while True:
                        with _cut_after(connection, self._timeout_s):
                            rows = cursor.fetchmany(n_rows)
                        if not rows:
                            return
                        yield rows
        except self._psycopg.Error as error:
            raise self.failure(str(error), code=error.sqlstate or "") from error

    def hear(self, channel: str, *, every_s: float) -> Generator[bool, None, None]:
        """Listen on a channel with a connection of its own: whether something was notified, at least every so often.

        The first answer comes when it listens. A transaction pooler in between takes the connection away again, and
        then nothing is ever heard.

        Raises:
            LookalikeError: What `failed` makes.
        """
        try:
            with self._connect() as connection:
                connection.execute(f'LISTEN "{channel}"'.encode())
                yield False
                while True:
                    yield bool(list(connection.notifies(timeout=every_s, stop_after=1)))
        except self._psycopg.Error as error:
            raise self.failure(str(error), code=error.sqlstate or "") from error

    def close(self) -> None:
        """Close the connections, those that are lent when they come back; others may be opened again."""
        idle = self._idle()
        with self._lock:
            self._n_closed += 1
            closing = [idle.pop() for _ in range(len(idle))]
        for connection in closing:
            connection.close()

    def failure(self, reason: str, *, code: str = "") -> LookalikeError:
        """The owner's error with this reason, in one line."""
        return self._make_failed(self.place, re.sub(r"\s+", " ", reason).strip().rstrip("."), code)

    def _attempt(
        self, connection: Connection, work: Callable[[Connection], Answer], limit_s: float, n_closed: int
    ) -> Answer:
        began = time.monotonic()
        try:
            with _cut_after(connection, limit_s):
                answer = work(connection)
        except BaseException as error:
            is_broken = connection.broken
            connection.close()
            if is_broken and isinstance(error, self._psycopg.OperationalError):
                if time.monotonic() - began >= limit_s:
                    raise self.failure(f"it did not answer within {limit_s:g} seconds") from error
                raise _ClosedMeanwhile(str(error)) from error
            raise
        with self._lock:
            if self._n_closed == n_closed:  # or nobody would ever close this one
                self._idle().append(connection)
                return answer
        connection.close()
        return answer

    def _connect(self) -> Connection:
        connection = self._reached()
        prepare = self._prepare  # another thread may be done with it meanwhile
        if prepare is not None:
            try:
                with _cut_after(connection, self._timeout_s):
                    prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._prepare = None
        return connection

    def _reached(self) -> Connection:
        pause_s, longest_s = PAUSES_S
        until = time.monotonic() + (self._patience_s if self._was_reached else 0.0)
        while True:
            try:
                connection = self._psycopg.connect(
                    self._url.reveal(),
                    autocommit=True,
                    prepare_threshold=None,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    client_encoding="utf8",  # whatever the role, the database or PGCLIENTENCODING says
                )
            except self._psycopg.OperationalError as error:
                is_for_good = FOR_GOOD.search(str(error))
                if is_for_good or time.monotonic() + pause_s > until:
                    raise self.failure(str(error), code="" if is_for_good else UNREACHABLE) from error
            else:
                # Who writes what another has just written waits for him and goes on; where the database has a stricter
                # level by default, he would be refused. It comes with each BEGIN, so that a pooler may be between.
                connection.isolation_level = self._psycopg.IsolationLevel.READ_COMMITTED
                self._was_reached = True
                return connection
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)


def _is_port(port: object) -> bool:
    """Whether this can be one: a number, several for several hosts, or none."""
    return port is None or re.fullmatch(r"[\d,]*", str(port)) is not None


def home_of(connection: Connection) -> str:
    """The schema of the index that a connection leads to: the first of its path with our tables; empty if none has."""
    row = connection.execute(_SQL["home"]).fetchone()
    return str(row[0]) if row else ""


def apply_migrations(connection: Connection, package: str, *, above: int = 0) -> None:
    """Run the numbered `migrations/*.sql` of a package that come after number `above`, in the caller's transaction."""
    for number, migration in sorted(_migrations(package).items()):
        if number > above:
            connection.execute(migration.read_text(encoding="utf-8").encode())


def last_migration(package: str) -> int:
    """The number of the last of a package's `migrations/*.sql`."""
    return max(_migrations(package))


def _migrations(package: str) -> dict[int, Traversable]:
    """Their files, by number."""
    found = files(package).joinpath("migrations").iterdir()
    return {int(file.name.partition("_")[0]): file for file in found if file.name.endswith(".sql")}


class _ClosedMeanwhile(Exception):
    """The connection is lost: a restart, or a pooler's patience with an idle one."""


@contextmanager
def _cut_after(connection: Connection, limit_s: float) -> Iterator[None]:
    """Cut the line if this takes longer."""
    lock, is_over = threading.Lock(), False

    def cut() -> None:
        with lock, suppress(OSError):
            if not is_over:  # afterwards, the number may be that of another's socket
                line = socket.socket(fileno=os.dup(connection.fileno()))
                line.shutdown(socket.SHUT_RDWR)
                line.close()

    timer = threading.Timer(limit_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            is_over = True
        timer.cancel()
