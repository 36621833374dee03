"""The SQLite file of a store: its settings, connections for many readers, transactions of the one writer."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lookalike.errors import StoreError, StoreNotFound, StoreReadOnly, StoreTooNew
from lookalike.places import ITEMS_FILE
from lookalike.spaces import Space
from lookalike.sql import statements
from lookalike.store.faults import speaking_sql
from lookalike.store.faults import writing as writing_files
from lookalike.store.pointer import Watch

UNFINISHED = f"{ITEMS_FILE}.new"
"""What the file is called while its tables are made."""

FORMAT = 2
"""The layout that this version writes; a store with a greater one is refused. 1 had an index of digests."""

BUSY_TIMEOUT_S = 10.0
WRITER_CACHE_KIB = 131_072
"""Ids may arrive in any order: their tree must stay in memory, or every row costs a read from the disk."""

PAGE_BYTES = 4096
"""Of twice the size, a batch of ids in no order would write nearly twice as much: each lands on a page of its own."""

CHECKPOINT_PAGES = 32_768
"""The log is carried over into the database at 128 MiB: a page that many batches touch is then written once."""

LOG_BYTES = 2 * CHECKPOINT_PAGES * PAGE_BYTES
"""A log longer than this, 256 MiB, was kept from being begun anew; without readers it reaches about 170 MiB."""

LOG_PATIENCE_MS = 1000
"""How long the writer then waits for readers; if in vain, it tries again when the log is twice as long."""

READER_CACHE_KIB = 8_192


@dataclass(frozen=True, slots=True)
class State:
    """What a reader must know before it reads anything else; the columns of table `state`."""

    version: int
    generation: int
    slots: int
    screened: int
    items: int


class Database:
    """Connections to the SQLite file of one folder.

    Reading connections are lent for one operation each, so any number of threads may read at once. Every operation
    is one transaction: what it sees does not change under it.

    Args:
        folder: The store's folder.
        write: Whether this process holds the store's lock and may write.
        watch: Raises before every operation if another space of the index is searched by now; None if it may be.
    """

    def __init__(self, folder: Path, *, write: bool, watch: Watch | None = None) -> None:
        self.folder = folder
        self._write = write
        self._watch = watch
        self._write_lock = threading.Lock()
        self.path = folder / ITEMS_FILE
        self._log = folder / f"{ITEMS_FILE}-wal"
        self._log_limit = LOG_BYTES
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] = ()
        self._writer: sqlite3.Connection | None = None
        self._is_closed = False
        self._file: tuple[int, int] | None = None

    def create(self, space: Space) -> None:
        """Write the tables of an empty store; the file appears complete or not at all."""
        sql = statements("lookalike.store", "items.sql")
        unfinished = self.folder / UNFINISHED
        with speaking_sql(self.folder), writing_files(self.folder):
            unfinished.unlink(missing_ok=True)
            connection = sqlite3.connect(unfinished, isolation_level=None)
            try:
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                connection.execute("PRAGMA synchronous = FULL")
                connection.executescript(f"BEGIN; {sql['create']} COMMIT;")
                connection.execute("BEGIN")
                connection.execute(sql["first_meta"], (FORMAT, space.to_json()))
                connection.execute(sql["first_state"])
                connection.execute("COMMIT")
                # Last, so that all is in the file: on a full disk, to close it would leave a part behind in a log.
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                connection.close()
            unfinished.replace(self.path)

    def require_file(self) -> None:
        """StoreNotFound if there is none."""
        if not self.path.is_file():
            if self._watch is not None:
                self._watch.require()  # dropped since, and not without another in its place
            where = str(self.folder)
            raise StoreNotFound(f"There is no index in {where}. Make one: lookalike index FOLDER.", store=where)

    def space(self) -> Space:
        """The space that the store is bound to. StoreTooNew if this version cannot read the rest."""
        with self.reading() as connection:
            written, space = connection.execute(statements("lookalike.store", "items.sql")["read_meta"]).fetchone()
        if written > FORMAT:
            raise StoreTooNew(
                f"{self.folder} has format {written} and this version of lookalike reads up to {FORMAT}. "
                "Nothing was changed. Upgrade: pip install --upgrade lookalike.",
                store=str(self.folder),
            )
        return Space.from_json(space)

    def upgrade(self) -> None:
        """Bring what an earlier version wrote into this one's layout."""
        sql = statements("lookalike.store", "items.sql")
        with self.reading() as connection:
            written, _ = connection.execute(sql["read_meta"]).fetchone()
        if written < FORMAT:
            with self.writing() as connection:
                connection.execute(sql["without_digest_index"])
                connection.execute(sql["write_format"], (FORMAT,))

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection within a read transaction."""
        self._require_open()
        self.require_same_file()
        with speaking_sql(self.folder):
            try:
                connection = self._borrow()
            except sqlite3.Error:
                self.require_same_file()  # the reason, if the folder has gone meanwhile
                raise
            try:
                connection.execute("BEGIN")
                connection.execute("PRAGMA schema_version").fetchone()  # opens the log too, and fixes what is seen
                self.require_same_file()  # a connection that was opened just now may lead to another file
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if not self._is_closed:
                    self._idle.append(connection)
                    return
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The writer's connection within a transaction: committed and on the disk at the end, or undone."""
        self._require_open()
        if not self._write:
            raise StoreReadOnly(
                f"{self.folder} was opened for reading only: open it for writing first.", store=str(self.folder)
            )
        self.require_same_file()
        with self._write_lock, speaking_sql(self.folder):
            if self._writer is None:
                self._writer = self._connect(
                    "rw",
                    "PRAGMA synchronous = FULL",
                    f"PRAGMA cache_size = -{WRITER_CACHE_KIB}",
                    f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
                    "PRAGMA temp_store = MEMORY",  # savepoints are kept there
                )
            connection = self._writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has undone the transaction by itself after some errors, a full disk among them.
                with suppress(sqlite3.OperationalError):
                    connection.execute("ROLLBACK")
                raise
            self._shorten_log(connection)

    def close(self) -> None:
        """Close every connection that is not lent; nothing is read or written after that."""
        self._is_closed = True
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _shorten_log(self, connection: sqlite3.Connection) -> None:
        """Begin the log anew where readers, one after another without a gap, kept SQLite from doing so by itself."""
        n_bytes = self._log_bytes()
        if n_bytes <= self._log_limit:
            return
        connection.execute(f"PRAGMA busy_timeout = {LOG_PATIENCE_MS}")
        try:
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError:  # a full disk: what was committed is safe in the log
            busy = 1
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")
        self._log_limit = 2 * n_bytes if busy else LOG_BYTES

    def _require_open(self) -> None:
        # Without the lock that close() gave away, a late write would meet another writer's.
        if self._is_closed:
            raise StoreError(f"{self.folder} was closed: open it again.", store=str(self.folder))

    def require_same_file(self) -> None:
        """StoreNotFound, StoreSwitched or StoreError if what was opened here is deleted, left or replaced."""
        # A connection outlives its file: without a look, a deleted index would answer, and be written to, for ever.
        if self._watch is not None:
            self._watch.require()
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreNotFound(f"There is no index in {self.folder} any more.", store=str(self.folder)) from error
        except OSError as error:
            raise StoreError(
                f"{self.folder} cannot be reached: {error.strerror or error}.", store=str(self.folder)
            ) from error
        file = (status.st_dev, status.st_ino)
        if self._file is None:
            self._file = file
        elif self._file != file:
            raise StoreError(
                f"The index in {self.folder} was replaced by another one: open it again.", store=str(self.folder)
            )

    def _borrow(self) -> sqlite3.Connection:
        stamp = self._frozen_stamp()
        with self._lock:
            if stamp != self._stamp:
                stale, self._idle, self._stamp = self._idle, [], stamp
                for connection in stale:
                    connection.close()
            if self._idle:
                return self._idle.pop()
        return self._connect(self._reading_mode(), "PRAGMA query_only = 1", f"PRAGMA cache_size = -{READER_CACHE_KIB}")

    def _connect(self, mode: str, *pragmas: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{mode if '=' in mode else f'mode={mode}'}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # lent to one thread at a time
        )
        try:
            for pragma in pragmas:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    def _reading_mode(self) -> str:
        if os.access(self.folder, os.W_OK) and os.access(self.path, os.W_OK):
            return "rw"
        return "mode=ro" if self._log_bytes() else "immutable=1"

    def _log_bytes(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def _frozen_stamp(self) -> tuple[int, ...]:
        """Changes when a file that was opened as immutable has changed after all; constant where we may write."""
        if os.access(self.folder, os.W_OK):
            return ()
        try:
            status = self.path.stat()
        except FileNotFoundError:  # to open it will fail, and say so
            return ()
        return (status.st_mtime_ns, status.st_size, int(self._log_bytes() > 0))
