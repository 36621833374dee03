"""The SQLite file of a queue: made when it is first opened, connections, transactions, and what its errors mean."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from lookalike.errors import StoreError, StoreFull, StoreLocked, StoreNotFound, StoreReadOnly, StoreTooNew
from lookalike.forks import InEachProcess
from lookalike.places import holds_index
from lookalike.queues.orders import OVERTAKEN
from lookalike.sql import lacks_room, statements

FILE = "jobs.sqlite"
VERSION = 1
"""The layout that this version writes, in `user_version`; a greater one is refused."""

BUSY_TIMEOUT_S = 10.0

_SQL = statements("lookalike.queues", "sqlite.sql")
_NO_FILE = (0, 0)
_PRIMARY = 0xFF  # the low byte of an extended SQLite result code


class QueueFile:
    """Connections to the file, each lent to one thread at a time; where another index is put, they are to its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._lock = Lock()
        self._write_lock = Lock()
        self._idle: InEachProcess[list[sqlite3.Connection]] = InEachProcess(list)
        self._inode = _NO_FILE
        with self.lent():  # makes the file
            pass

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection within a transaction."""
        with self.lent() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection within a writing transaction: committed and on the disk at the end, or undone."""
        with self._write_lock, self.lent() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def lent(self) -> Iterator[sqlite3.Connection]:
        """A connection; closed, and what was not committed undone, where the block fails."""
        with self._speaking():
            with self._lock:
                self._follow()
                inode = self._inode
                connection = idle.pop() if (idle := self._idle()) else None
            connection = connection or self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if inode == self._inode:
                    self._idle().append(connection)
                    return
            connection.close()

    def close(self) -> None:
        """Close the connections that are not lent; others may be opened again."""
        idle = self._idle()
        with self._lock:
            closing = [idle.pop() for _ in range(len(idle))]
        for connection in closing:
            connection.close()

    def _follow(self) -> None:
        """Go over to the file of the index that is in the folder now, where that is another than before."""
        is_there = holds_index(self._folder)
        if is_there and self._inode == _inode(self._path) != _NO_FILE:
            return
        idle = self._idle()
        while idle:
            idle.pop().close()
        if not is_there:  # a file made here would keep the next index out of its folder
            raise StoreNotFound(
                f"There is no index in {self._folder}. Make one: lookalike index FOLDER.", store=str(self._folder)
            )
        connection = self._connect()
        try:
            self._make(connection)
        except BaseException:
            connection.close()
            raise
        self._inode = _inode(self._path)
        idle.append(connection)

    def _make(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("BEGIN IMMEDIATE")  # whoever comes second waits, and finds the tables
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StoreTooNew(
                f"{self._path} has format {version} and this version of lookalike reads up to {VERSION}. Nothing "
                "was changed. Upgrade: pip install --upgrade lookalike.",
                store=str(self._folder),
            )
        if version == 0:
            for statement in _SQL["create"].split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # lent to one thread at a time
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _failed(error, self._folder) from error


def _inode(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return _NO_FILE
    return status.st_dev, status.st_ino


def overtake(connection: sqlite3.Connection, items: Sequence[tuple[str, str]]) -> set[int]:
    """End the waiting and dead jobs of these items that newer ones have overtaken; their numbers."""
    rows = [connection.execute(_SQL["overtake"], (OVERTAKEN, time.time(), *item)).fetchall() for item in set(items)]
    return {number for found in rows for (number,) in found}


def _failed(error: sqlite3.Error, folder: Path) -> StoreError:
    if lacks_room(error):
        return StoreFull(f"No room is left on the disk for the jobs of {folder}.", store=str(folder))
    match getattr(error, "sqlite_errorcode", 0) & _PRIMARY:
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return StoreReadOnly(f"The jobs of {folder} cannot be written by this user.", store=str(folder))
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreLocked(f"The jobs of {folder} are being written by others. Try again.", store=str(folder))
        case _:
            return StoreError(f"The jobs of {folder} failed ({folder / FILE}): {error}.", store=str(folder))
