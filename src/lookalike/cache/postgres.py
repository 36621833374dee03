"""The cache in a PostgreSQL table, `embedding_cache`: for many machines that share what one has paid for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from lookalike.cache.rows import RECENT_S, ROW_BYTES, Notes, entry_of, row_of
from lookalike.cached import CacheEntry, CacheStats, Holding, Pruning, TowerName
from lookalike.errors import CacheError
from lookalike.postgres import Answer, Database, apply_migrations
from lookalike.secret import Secret
from lookalike.sql import statements

if TYPE_CHECKING:
    from lookalike.postgres import Connection

VERSION = 1
"""The last of the numbered files in `migrations`; tables of a later version are left alone."""

TIMEOUT_S = 10.0
HOUSEKEEPING_TIMEOUT_S = 600.0
PAGE = 500

_SQL = statements("lookalike.cache", "postgres.sql")


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
        self._database = Database(
            url, setting="The address of the cache's database", failed=_failed, prepare=self._make, timeout_s=timeout_s
        )
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
        rows = self._run(lambda c: c.cursor(binary=True).execute(_SQL["get"], asked).fetchall())
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
                _drop_damaged(connection, {"keys": keys, "stale": columns["now"]})
                connection.execute(_SQL["insert"], {**columns, "tower": _tower_code(connection, tower)})

        self._run(insert)
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

        return self._run(read, timeout_s=HOUSEKEEPING_TIMEOUT_S)

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

        return self._run(delete, timeout_s=HOUSEKEEPING_TIMEOUT_S)

    def clear(self) -> int:
        """Remove everything."""
        return self.prune(Pruning(max_bytes=0))

    def walk(self) -> Iterator[tuple[TowerName, dict[bytes, CacheEntry]]]:
        """Every whole entry, by key; no transaction is held between one page and the next."""
        last: bytes | None = b""
        while last is not None:
            rows, towers = self._run(partial(_page, last))
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

    def _make(self, connection: Connection) -> None:
        """Make the tables, unless they are there; whoever comes second waits, and finds them."""
        if not _one(connection, "is_made")[0]:
            with connection.transaction():
                connection.execute(_SQL["lock_migration"])
                apply_migrations(connection, "lookalike.cache")
        (version,) = _one(connection, "version")
        if version != VERSION:
            raise self._database.failure(
                f"its tables have version {version} and this version of lookalike knows {VERSION}"
            )

    def _write_notes_if(self, wanted: bool) -> None:
        if not wanted:
            return
        used, figures = self._notes.take()

        def write(connection: Connection) -> None:
            with connection.transaction():
                connection.execute(_SQL["use"], {"keys": used, "now": self._time()})
                connection.execute(_SQL["count"], (figures.hits, figures.misses, figures.saved_usd))

        self._run(write)

    def _run(self, work: Callable[[Connection], Answer], *, timeout_s: float | None = None) -> Answer:
        try:
            return self._database.run(work, timeout_s=timeout_s)
        except UnicodeEncodeError as error:
            raise self._database.failure(f"{error.object!r} is not valid Unicode") from error

    def _time(self, ago_s: float = 0.0) -> datetime:
        return datetime.fromtimestamp(self._clock() - ago_s, UTC)


def _failed(place: str, reason: str, _: str) -> CacheError:
    return CacheError(f"The cache in {place} failed: {reason}.", cache=place)


def _one(connection: Connection, name: str) -> tuple[int, ...]:
    row = connection.execute(_SQL[name]).fetchone()
    return row if row is not None else ()


def _drop_damaged(connection: Connection, asked: Mapping[str, object]) -> None:
    """Have those of these entries give way that are not what was written."""
    rows = connection.cursor(binary=True).execute(_SQL["get"], asked).fetchall()
    damaged = [row[0] for row in rows if entry_of(row[0], row[2:]) is None]
    if damaged:
        connection.execute(_SQL["delete"], {"keys": damaged})


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
