"""The SQLite file of a cache: made when it is first written to, its format, connections, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lookalike.errors import CacheDamaged, CacheError
from lookalike.forks import InEachProcess
from lookalike.sql import lacks_room, statements

VERSION = 1
"""The layout that this version writes, in `user_version`; a file with another one is left alone."""

APPLICATION = 0x6C6B6163
"""`application_id` of the file, "lkac": another program's database is not taken for a cache."""

PAGE_BYTES = 16_384
"""Seven vectors of 512 numbers to a page, two of 1,536, one of 3,072: an eighth to a quarter is left empty."""

BUSY_TIMEOUT_S = 5.0
CONNECTION_CACHE_KIB = 32_768

_PRIMARY = 0xFF  # the low byte of an extended SQLite result code


class CacheFile:
    """Connections to one file, each lent to one thread at a time.

    Args:
        path: The file.
        frozen: Whether nobody writes to it meanwhile: it is then opened for reading only, without files beside it.
    """

    def __init__(self, path: Path, *, frozen: bool = False) -> None:
        self.path = path
        self._frozen = frozen
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._idle = InEachProcess(list[sqlite3.Connection])

    @property
    def exists(self) -> bool:
        """Whether there is a file; looking something up does not make one."""
        return self.path.exists()

    @property
    def n_bytes(self) -> int:
        """The file with what is in its log."""
        return sum(path.stat().st_size for path in (self.path, self._beside("-wal")) if path.exists())

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection within a transaction."""
        with self._speaking():
            connection = self._borrow()
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            self._give_back(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection within a writing transaction: committed at the end, or undone. Makes the file if need be."""
        with self._write_lock, self._speaking():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = self._borrow()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()  # undoes what was not committed
                raise
            self._give_back(connection)

    def shrink(self) -> None:
        """Give the room of what was deleted back to the disk; left for the next time if the file is in use."""
        with self._write_lock, self._speaking():
            connection = self._borrow()
            try:
                with suppress(sqlite3.OperationalError):  # somebody reads, or the disk has no room for a second copy
                    connection.execute("VACUUM")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.close()

    def seal(self) -> None:
        """Put everything into the one file, so that it can be carried elsewhere; then close."""
        with self._speaking():
            connection = self._borrow()
            self.close()
            try:
                connection.execute("PRAGMA journal_mode = DELETE").fetchone()
            finally:
                connection.close()

    def remove(self) -> None:
        """Delete the file and what is beside it."""
        self.close()
        try:
            for suffix in ("", "-wal", "-shm"):
                self._beside(suffix).unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot(f"cannot be removed: {error.strerror or error}.") from error

    def close(self) -> None:
        """Close the connections that are not lent; others may be opened again."""
        idle = self._idle()
        with self._lock:
            closing = [idle.pop() for _ in range(len(idle))]
        for connection in closing:
            connection.close()

    def _may_be_ours(self) -> bool:
        """Whether either mark of a cache is there: SQLite's, or ours (sqlite.org/fileformat.html, section 1.3)."""
        try:
            with self.path.open("rb") as file:
                head = file.read(72)
        except OSError:
            return True
        return not head or head.startswith(b"SQLite format 3\0") or head[68:] == APPLICATION.to_bytes(4, "big")

    def _borrow(self) -> sqlite3.Connection:
        with self._lock:
            if idle := self._idle():
                return idle.pop()
        return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._idle().append(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{self._mode()}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # lent to one thread at a time
        )
        try:
            self._make_ready(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _mode(self) -> str:
        if self._frozen:
            return "immutable=1"
        if os.access(self.path.parent, os.W_OK) and (not self.exists or os.access(self.path, os.W_OK)):
            return "mode=rwc"
        # Without the right to make the log's index file, a file can be read only if it has no log.
        wal = self._beside("-wal")
        return "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1"

    def _make_ready(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA cache_size = -{CONNECTION_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        is_empty = not _pragma(connection, "application_id") and not _pragma(connection, "schema_version")
        if is_empty and not self._frozen:
            self._create(connection)
        if _pragma(connection, "application_id") != APPLICATION:
            raise self._cannot("is no cache of lookalike, and was left alone: choose another file.")
        version = _pragma(connection, "user_version")
        if version != VERSION:
            raise self._cannot(
                f"has format {version} and this version of lookalike knows {VERSION}. Nothing was changed: use the "
                "version that wrote it, or another file."
            )
        if not self._frozen:
            with suppress(sqlite3.OperationalError):  # somebody uses it as it is; the next to open it will try again
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
            # What a killed process has committed is kept; a power cut may cost the last entries, and nothing else.
            connection.execute("PRAGMA synchronous = NORMAL")

    def _create(self, connection: sqlite3.Connection) -> None:
        """Write the tables, whole or not at all; of several processes the first does."""
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("BEGIN EXCLUSIVE")
        if not _pragma(connection, "schema_version"):
            # Not by executescript, which would commit first.
            for statement in statements("lookalike.cache", "sqlite.sql")["create"].split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _cannot(self, what: str) -> CacheError:
        return CacheError(f"The cache {self.path} {what}", cache=str(self.path))

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Translate what SQLite and the file system say."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._translated(error) from error
        except OSError as error:
            raise self._cannot(f"cannot be used: {error.strerror or error}.") from error

    def _translated(self, error: sqlite3.Error) -> CacheError:
        if lacks_room(error):
            return self._cannot("cannot grow: no room is left on the disk. Free some space.")
        match getattr(error, "sqlite_errorcode", 0) & _PRIMARY:
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
                return self._cannot("cannot be opened or written by this user.")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return self._cannot("is busy: another process has been writing for seconds.")
            case sqlite3.SQLITE_NOTADB if not self._frozen and not self._may_be_ours():
                # Not damaged, which would have it cleared away: a photo or a table, named by mistake.
                return self._cannot("is no cache of lookalike, and was left alone: choose another file, or delete it.")
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return self._damaged(error)
            case sqlite3.SQLITE_ERROR if str(error).startswith("no such"):
                return self._damaged(error)
            case _:
                return self._cannot(f"failed: {error}.")

    def _damaged(self, error: sqlite3.Error) -> CacheDamaged:
        # Whoever was handed a file must not be told to clear the cache of their own.
        what = "Nothing was changed: export it again." if self._frozen else "Begin a new one: lookalike cache clear."
        name = f"{self.path} is no exported cache, or" if self._frozen else f"The cache {self.path}"
        return CacheDamaged(f"{name} is damaged ({error}). {what}", cache=str(self.path))


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
