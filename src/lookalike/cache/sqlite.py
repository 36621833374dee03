"""The cache in one SQLite file: for several processes and threads, bounded, whole after a kill."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lookalike.cache.rows import RECENT_S, ROW_BYTES, Notes, entry_of, row_of
from lookalike.cache.sqlite_file import CacheFile
from lookalike.cached import CacheEntry, CacheStats, Holding, Pruning, TowerName
from lookalike.errors import CacheDamaged, CacheError
from lookalike.sql import statements

MAX_BYTES = 2 << 30
PAGE = 500
EVICTED_SHARE = 10
"""A tenth goes at a time: finding what was used least recently means looking through all entries."""

_SQL = statements("lookalike.cache", "sqlite.sql")


class SqliteCache:
    """ports.VectorCache and ports.CacheKeeper over one file, which is made when something is put.

    A transaction holds all entries of one `put`, so a killed process leaves whole ones. The vectors of evicted entries
    are written over in place. When an entry was used is noted at most once an hour, together with the next writing.

    Args:
        path: The file; "-wal" and "-shm" lie beside it while it is in use.
        max_bytes: The size from which on entries give way to new ones; one `put` may go beyond.
        frozen: Whether nobody writes to it: for a file that was handed over.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        frozen: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = CacheFile(path, frozen=frozen)
        self._max_bytes = max_bytes
        self._clock = clock
        self._notes = Notes()

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self._file.path)

    def get(self, keys: Sequence[bytes]) -> list[CacheEntry | None]:
        """For each key in order what is kept under it, or None. Raises CacheError."""
        if not self._file.exists:
            return [None] * len(keys)
        found: list[CacheEntry | None] = []
        stale_before, stale = self._clock() - RECENT_S, []
        with self._file.reading() as connection:
            execute, sql = connection.execute, _SQL["get"]
            for key in keys:
                row = execute(sql, (key,)).fetchone()
                entry = None if row is None else entry_of(key, row[1:])
                found.append(entry)
                if entry is not None and row[0] <= stale_before:
                    stale.append(key)
        if stale:
            self._notes.use(stale)
        return found

    def put(self, tower: TowerName, entries: Mapping[bytes, CacheEntry]) -> None:
        """Keep vectors, all or none of them; on return they outlive the process. Raises CacheError."""
        with self._file.writing() as connection:
            self._write_notes(connection)  # first: what was used lately is not to give way
            new = [key for key in sorted(entries) if not _has(connection, key)]
            if not new:
                return
            # A damaged entry gives way; not the place of its vector, which by that damage may be that of another.
            connection.executemany(_SQL["delete_entry"], [(key,) for key in new])
            code = _tower_code(connection, tower)
            ids = self._room(connection, len(new), tower.dim)
            now = int(self._clock())
            connection.executemany(_SQL["insert_entry"], ((key, i, code, now) for key, i in zip(new, ids, strict=True)))
            rows = ((i, *row_of(key, entries[key])) for key, i in zip(new, ids, strict=True))
            connection.executemany(_SQL["insert_vector"], rows)

    def count(self, *, hits: int = 0, misses: int = 0, saved_usd: float = 0.0) -> None:
        """Add to the figures; written with the next `put`, when there is much of it, or when the cache is closed."""
        self._notes.count(hits, misses, saved_usd)
        if self._notes.is_due and self._file.exists:
            with self._file.writing() as connection:
                self._write_notes(connection)

    def stats(self) -> CacheStats:
        """What it holds, what was noted by this process included."""
        if not self._file.exists:
            return CacheStats()
        self.flush()
        with self._file.reading() as connection:
            holdings = connection.execute(_SQL["holdings"]).fetchall()
            hits, misses, saved_usd = connection.execute(_SQL["figures"]).fetchone()
        return CacheStats(
            holdings=tuple(
                Holding(tower=TowerName(fingerprint=f, model=model, space=space, dim=dim), entries=n)
                for f, model, space, dim, n in holdings
            ),
            n_bytes=self._file.n_bytes,
            hits=hits,
            misses=misses,
            saved_usd=saved_usd,
        )

    def prune(self, what: Pruning) -> int:
        """Remove entries and give their room back to the disk; how many went."""
        if not self._file.exists:
            return 0
        with self._file.writing() as connection:
            self._write_notes(connection)
            (before,) = connection.execute(_SQL["count_entries"]).fetchone()
            if what.model is not None:
                connection.execute(_SQL["delete_model"], (what.model,))
            if what.unused_s is not None:
                connection.execute(_SQL["delete_unused"], (int(self._clock() - what.unused_s),))
            if what.max_bytes is not None:
                surplus = _beyond(connection.execute(_SQL["by_age"]), what.max_bytes)
                connection.executemany(_SQL["delete_entry"], [(key,) for key in surplus])
            (after,) = connection.execute(_SQL["count_entries"]).fetchone()
            for statement in ("delete_orphans", "delete_towers", "clear_vacant"):
                connection.execute(_SQL[statement])
        self._file.shrink()
        return int(before - after)

    def clear(self) -> int:
        """Remove everything, by deleting the file if it is damaged."""
        try:
            return self.prune(Pruning(max_bytes=0))
        except CacheDamaged:
            self._file.remove()
            return 0

    def walk(self) -> Iterator[tuple[TowerName, dict[bytes, CacheEntry]]]:
        """Every whole entry, by key; no transaction is held between one page and the next."""
        last: bytes | None = b""
        while last is not None and self._file.exists:
            with self._file.reading() as connection:
                towers = _towers(connection)
                rows = connection.execute(_SQL["page"], (last, PAGE)).fetchall()
            for code in dict.fromkeys(row[1] for row in rows):
                found = {row[0]: entry_of(row[0], row[2:]) for row in rows if row[1] == code}
                yield towers[code], {key: entry for key, entry in found.items() if entry is not None}
            last = rows[-1][0] if len(rows) == PAGE else None

    def check(self) -> int:
        """The number of entries, all of them whole. Raises CacheDamaged, or CacheError if there is no file."""
        if not self._file.exists:
            raise CacheError(f"There is no file {self._file.path}.", cache=str(self._file.path))
        with self._file.reading() as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            (n_entries,) = connection.execute(_SQL["count_entries"]).fetchone()
        n_whole = sum(len(entries) for _, entries in self.walk())
        if verdict != "ok" or n_whole < n_entries:
            raise CacheDamaged(
                f"The cache {self._file.path} is damaged: {n_entries - n_whole:,} of {n_entries:,} entries are not "
                f"what was written, and SQLite says: {verdict}.",
                cache=str(self._file.path),
            )
        return int(n_entries)

    def flush(self) -> None:
        """Write what was noted; a file that cannot be written loses it, and nothing else."""
        if self._notes.is_empty or not self._file.exists:
            return
        with suppress(CacheError), self._file.writing() as connection:
            self._write_notes(connection)

    def seal(self) -> None:
        """Make it one file that can be carried elsewhere, with nothing beside it."""
        self.flush()
        self._file.seal()

    def close(self) -> None:
        """Write what was noted, and let go of the file."""
        self.flush()
        self._file.close()

    def _room(self, connection: sqlite3.Connection, n: int, dim: int) -> list[int]:
        """Places for n new vectors: those of evicted ones, and new ones as long as the file may grow."""
        vacant = connection.execute(_SQL["read_vacant"], (n,)).fetchall()
        if len(vacant) < n and _n_bytes(connection) + (n - len(vacant)) * (4 * dim + ROW_BYTES) > self._max_bytes:
            (n_entries,) = connection.execute(_SQL["count_entries"]).fetchone()
            evicted = connection.execute(_SQL["oldest"], (max(n, n_entries // EVICTED_SHARE),)).fetchall()
            connection.executemany(_SQL["delete_entry"], [(key,) for key, _ in evicted])
            connection.executemany(_SQL["insert_vacant"], [(place,) for _, place in evicted])
            vacant = connection.execute(_SQL["read_vacant"], (n,)).fetchall()
        connection.executemany(_SQL["drop_vacant"], vacant)
        (last,) = connection.execute(_SQL["last_vector"]).fetchone()
        return [place for (place,) in vacant] + list(range(last + 1, last + 1 + n - len(vacant)))

    def _write_notes(self, connection: sqlite3.Connection) -> None:
        if self._notes.is_empty:
            return
        used, figures = self._notes.take()
        now = int(self._clock())
        connection.executemany(_SQL["use"], [(now, key) for key in used])
        connection.execute(_SQL["count"], (figures.hits, figures.misses, figures.saved_usd))


def _has(connection: sqlite3.Connection, key: bytes) -> bool:
    """Whether there is a whole entry."""
    row = connection.execute(_SQL["get"], (key,)).fetchone()
    return row is not None and entry_of(key, row[1:]) is not None


def _beyond(by_age: Iterable[tuple[bytes, int]], max_bytes: int) -> list[bytes]:
    """Of (key, dim), the latest first, the keys that have no room any more."""
    room, surplus = max_bytes, []
    for key, dim in by_age:
        room -= 4 * dim + ROW_BYTES
        if room < 0:
            surplus.append(key)
    return surplus


def _n_bytes(connection: sqlite3.Connection) -> int:
    """What of the file is in use."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _tower_code(connection: sqlite3.Connection, tower: TowerName) -> int:
    row = connection.execute(_SQL["read_tower"], (tower.fingerprint,)).fetchone()
    if row is not None:
        return int(row[0])
    named = (tower.fingerprint, tower.model, tower.space, tower.dim)
    return int(connection.execute(_SQL["insert_tower"], named).lastrowid or 0)


def _towers(connection: sqlite3.Connection) -> dict[int, TowerName]:
    rows = connection.execute(_SQL["towers"]).fetchall()
    return {code: TowerName(fingerprint=f, model=model, space=space, dim=dim) for code, f, model, space, dim in rows}
