"""The cache in a PostgreSQL table, `embedding_cache`: for many machines that share what one has paid for.

No session state is used (no prepared statements, settings or session locks), so that a transaction pooler may stand
between: github.com/supabase/supavisor and pgbouncer.org/features.html, "transaction pooling".
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

from lookalike.cache.rows import RECENT_S, ROW_BYTES, Notes, entry_of, row_of
from lookalike.cached import CacheEntry, CacheStats, Holding, Pruning, TowerName
from lookalike.errors import CacheError, ConfigError, MissingDependency
from lookalike.secret import Secret
from lookalike.sql import statements

if TYPE_CHECKING:
    from psycopg import Connection

VERSION = 1
"""The last of the numbered files in `migrations`; tables of a later version are left alone."""

CONNECT_TIMEOUT_S = 5
TIMEOUT_S = 10.0
HOUSEKEEPING_TIMEOUT_S = 600.0
PAGE = 500

_SQL = statements("lookalike.cache", "postgres.sql")

Answer = TypeVar("Answer")


class PostgresCache:
    """ports.VectorCache and ports.CacheKeeper over one table; its tables are made when it is first used.

    When an entry was used is noted at most once an hour. Nothing goes by itself: `prune` does that.

    Args:
        url: "postgresql://user:password@host/database", or a connection string of libpq.
        timeout_s: How long looking up or keeping may take before the connection is cut; a database that has stopped
            answering is no reason to wait.
        clock: Seconds since 1970.

    Raises:
        ConfigError: The address cannot be read.
        MissingDependency: psycopg is not installed.
    """

    def __init__(self, url: Secret, *, timeout_s: float = TIMEOUT_S, clock: Callable[[], float] = time.time) -> None:
        self._database = _Database(url, timeout_s=timeout_s)
        self._clock = clock
        self._notes = Notes()

    @property
    def place(self) -> str:
        """The database, without user and password."""
        return self._database.place

    def get(self, keys: Sequence[bytes]) -> list[CacheEntry | None]:
        """For each key in order what is kept under it, or None. Raises CacheError."""
        if not keys:
            return []
        asked = {"keys": list(keys), "stale": self._time(RECENT_S)}
        rows = self._database.run(lambda c: c.cursor(binary=True).execute(_SQL["get"], asked).fetchall())
        self._notes.use([row[0] for row in rows if row[1]])
        found = {row[0]: entry_of(row[0], row[2:]) for row in rows}
        return [found.get(key) for key in keys]

    def put(self, tower: TowerName, entries: Mapping[bytes, CacheEntry]) -> None:
        """Keep vectors, all or none of them. Raises CacheError."""
        keys = sorted(entries)  # in one order, or two who put the same could lock each other out
        rows = [row_of(key, entries[key]) for key in keys]
        vectors, checksums, n_tokens, costs, warnings = (list(column) for column in zip(*rows, strict=True))
        columns = {
            "keys": keys,
            "vectors": vectors,
            "checksums": checksums,
            "n_tokens": n_tokens,
            "costs": costs,
            "warnings": warnings,
            "now": self._time(),
        }

        def insert(connection: Connection) -> None:
            with connection.transaction():
                connection.execute(_SQL["insert"], {**columns, "tower": _tower_code(connection, tower)})

        self._database.run(insert)
        self._write_notes_if(self._notes.is_due)

    def count(self, *, hits: int = 0, misses: int = 0, saved_usd: float = 0.0) -> None:
        """Add to the figures; written when there is much of it, or when the cache is closed. Raises CacheError."""
        self._notes.count(hits, misses, saved_usd)
        self._write_notes_if(self._notes.is_due)

    def stats(self) -> CacheStats:
        """What it holds, what was noted by this process included."""
        self._write_notes_if(not self._notes.is_empty)

        def read(connection: Connection) -> CacheStats:
            (n_bytes,) = _one(connection, "n_bytes")
            hits, misses, saved_usd = _one(connection, "figures")
            held = connection.execute(_SQL["holdings"]).fetchall()
            holdings = tuple(Holding(tower=_tower(*row[:4]), entries=row[4]) for row in held)
            return CacheStats(holdings=holdings, n_bytes=n_bytes, hits=hits, misses=misses, saved_usd=saved_usd)

        return self._database.run(read, timeout_s=HOUSEKEEPING_TIMEOUT_S)

    def prune(self, what: Pruning) -> int:
        """Remove entries, and have the database use their room again; how many went."""
        self._write_notes_if(not self._notes.is_empty)

        def delete(connection: Connection) -> int:
            n = 0
            with connection.transaction():
                if what.model is not None:
                    n += connection.execute(_SQL["delete_model"], {"model": what.model}).rowcount
                if what.unused_s is not None:
                    n += connection.execute(_SQL["delete_unused"], (self._time(what.unused_s),)).rowcount
                if what.max_bytes is not None:
                    bounds = {"row_bytes": ROW_BYTES, "max_bytes": what.max_bytes}
                    n += connection.execute(_SQL["delete_beyond"], bounds).rowcount
            connection.execute(_SQL["vacuum"])
            return n

        return self._database.run(delete, timeout_s=HOUSEKEEPING_TIMEOUT_S)

    def clear(self) -> int:
        """Remove everything."""
        return self.prune(Pruning(max_bytes=0))

    def walk(self) -> Iterator[tuple[TowerName, dict[bytes, CacheEntry]]]:
        """Every whole entry, by key; no transaction is held between one page and the next."""
        last: bytes | None = b""
        while last is not None:
            rows, towers = self._database.run(partial(_page, last))
            names = {row[0]: _tower(*row[1:]) for row in towers}
            for code in dict.fromkeys(row[1] for row in rows):
                found = {row[0]: entry_of(row[0], row[2:]) for row in rows if row[1] == code}
                yield names[code], {key: entry for key, entry in found.items() if entry is not None}
            last = rows[-1][0] if len(rows) == PAGE else None

    def close(self) -> None:
        """Write what was noted, and let go of the connections."""
        with suppress(CacheError):
            self._write_notes_if(not self._notes.is_empty)
        self._database.close()

    def _write_notes_if(self, wanted: bool) -> None:
        if not wanted:
            return
        used, figures = self._notes.take()

        def write(connection: Connection) -> None:
            with connection.transaction():
                connection.execute(_SQL["use"], {"keys": used, "now": self._time()})
                connection.execute(_SQL["count"], (figures.hits, figures.misses, figures.saved_usd))

        self._database.run(write)

    def _time(self, ago_s: float = 0.0) -> datetime:
        return datetime.fromtimestamp(self._clock() - ago_s, UTC)


class _Database:
    """Connections, each lent to one thread at a time; what their errors mean."""

    def __init__(self, url: Secret, *, timeout_s: float) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise MissingDependency("psycopg", extra="postgres") from error
        self._psycopg = psycopg
        self._url = url
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._is_made = False
        try:
            settings = psycopg.conninfo.conninfo_to_dict(url.reveal())
        except psycopg.Error:  # its sentence would repeat the password
            raise ConfigError(
                "The address of the cache's database cannot be read: write postgresql://user:password@host/database."
            ) from None
        self.place = f"postgresql://{settings.get('host', '')}/{settings.get('dbname', '')}"

    def run(self, work: Callable[[Connection], Answer], *, timeout_s: float | None = None) -> Answer:
        """Do this with a connection, once more with a new one if it had been closed meanwhile. Raises CacheError."""
        limit_s = timeout_s or self._timeout_s
        try:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is not None:
                with suppress(_ClosedMeanwhile):
                    return self._attempt(connection, work, limit_s)
            return self._attempt(self._connect(), work, limit_s)
        except _ClosedMeanwhile as error:
            raise self._failed(str(error)) from error
        except self._psycopg.Error as error:
            raise self._failed(str(error)) from error

    def close(self) -> None:
        """Close the connections that are not lent; others may be opened again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _attempt(self, connection: Connection, work: Callable[[Connection], Answer], limit_s: float) -> Answer:
        began = time.monotonic()
        try:
            with _cut_after(connection, limit_s):
                answer = work(connection)
        except BaseException as error:
            is_broken = connection.broken
            connection.close()
            if is_broken and isinstance(error, self._psycopg.OperationalError):
                if time.monotonic() - began >= limit_s:
                    raise self._failed(f"it did not answer within {limit_s:g} seconds") from error
                raise _ClosedMeanwhile(str(error)) from error
            raise
        with self._lock:
            self._idle.append(connection)
        return answer

    def _connect(self) -> Connection:
        connection = self._psycopg.connect(
            self._url.reveal(), autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_TIMEOUT_S
        )
        if not self._is_made:
            try:
                with _cut_after(connection, self._timeout_s):
                    self._make(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _make(self, connection: Connection) -> None:
        """Make the tables, unless they are there; whoever comes second waits, and finds them."""
        if not _one(connection, "is_made")[0]:
            with connection.transaction():
                connection.execute(_SQL["lock_migration"])
                for migration in sorted(
                    files("lookalike.cache").joinpath("migrations").iterdir(), key=lambda f: f.name
                ):
                    connection.execute(migration.read_text(encoding="utf-8").encode())
        (version,) = _one(connection, "version")
        if version != VERSION:
            raise self._failed(f"its tables have version {version} and this version of lookalike knows {VERSION}")
        self._is_made = True

    def _failed(self, reason: str) -> CacheError:
        sentence = re.sub(r"\s+", " ", reason).strip().rstrip(".")
        return CacheError(f"The cache in {self.place} failed: {sentence}.", cache=self.place)


class _ClosedMeanwhile(Exception):
    """The connection is lost: a restart, or a pooler's patience with an idle one."""


@contextmanager
def _cut_after(connection: Connection, limit_s: float) -> Iterator[None]:
    """Cut the line if this takes longer: a database that is frozen would be waited for until the kernel gives up."""
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


def _one(connection: Connection, name: str) -> tuple[int, ...]:
    row = connection.execute(_SQL[name]).fetchone()
    return row if row is not None else ()


def _page(last: bytes, connection: Connection) -> tuple[list[Any], list[Any]]:
    rows = connection.cursor(binary=True).execute(_SQL["page"], (last, PAGE)).fetchall()
    return rows, connection.execute(_SQL["towers"]).fetchall()


def _tower(fingerprint: str, model: str, space: str, dim: int) -> TowerName:
    return TowerName(fingerprint=fingerprint, model=model, space=space, dim=dim)


def _tower_code(connection: Connection, tower: TowerName) -> int:
    row = connection.execute(_SQL["read_tower"], (tower.fingerprint,)).fetchone()
    if row is None:
        connection.execute(_SQL["insert_tower"], (tower.fingerprint, tower.model, tower.space, tower.dim))
        row = connection.execute(_SQL["read_tower"], (tower.fingerprint,)).fetchone()
    return int(row[0]) if row else 0
