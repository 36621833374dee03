"""The log of what hosted models were used for: SQLite, added to by any number of processes."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import astuple, dataclass, field
from datetime import date
from pathlib import Path

from lookalike.errors import StoreCorrupt
from lookalike.forks import InEachProcess
from lookalike.sql import statements
from lookalike.usage import Usage

FILE = "usage.sqlite"
"""Its name in the cache folder."""

BUSY_TIMEOUT_S = 2.0
"""How long one process waits for another's entry to be written."""

RETRY_AFTER_S = 5.0
"""When writing is tried again after it failed: a job must not wait for a full disk with every request."""

_SQL = statements("lookalike.metering", "usage.sql")
_log = logging.getLogger("lookalike.usage")


@dataclass(frozen=True, slots=True)
class Account:
    """Whose usage it is.

    Attributes:
        day: In UTC.
        provider: As in a model's name.
        model: The provider's name for it.
        key: What the key is called here; see `meter.key_name`.
    """

    day: date
    provider: str
    model: str
    key: str


@dataclass
class _Desk:
    """What a process has not written yet, and its connection."""

    pending: dict[Account, Usage] = field(default_factory=dict)
    connection: sqlite3.Connection | None = None


class UsageLog:
    """Adds up usage by day, provider, model and key. Safe to use from several threads.

    Adding never fails: what cannot be written (a full disk, a log that is locked) is kept and written later.

    Args:
        path: The file; made when something is first added.
        clock: A clock in seconds that only moves forward.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._desk = InEachProcess(_Desk)
        self._retry_at = float("-inf")
        self._has_warned = False

    def add(self, account: Account, usage: Usage) -> None:
        """Count what was used."""
        pending = self._desk().pending
        with self._lock:
            pending[account] = pending.get(account, Usage()) + usage
            if self._clock() >= self._retry_at:
                self._write()

    def close(self) -> None:
        """Write what could not be written before, if that is possible now."""
        desk = self._desk()
        with self._lock:
            if desk.pending:
                self._write()
            if desk.connection is not None:
                desk.connection.close()
                desk.connection = None

    def _write(self) -> None:
        """All that is pending, in one transaction: if that fails, all of it stays pending."""
        desk = self._desk()
        rows = [(*_columns(account), *astuple(usage)) for account, usage in desk.pending.items()]
        try:
            if desk.connection is None:
                desk.connection = _connected(self._path)
            with desk.connection as transaction:
                transaction.execute("BEGIN IMMEDIATE")
                transaction.executemany(_SQL["add"], rows)
        except (sqlite3.Error, OSError) as error:
            self._retry_at = self._clock() + RETRY_AFTER_S
            if not self._has_warned:
                self._has_warned = True
                _log.warning("What is used cannot be written to %s for now: %s. Work goes on.", self._path, error)
        else:
            desk.pending.clear()


def read_usage(path: Path, *, since: date) -> list[tuple[Account, Usage]]:
    """Everything from a day on; the latest day first. Nothing if there is no log.

    Raises:
        StoreCorrupt: The file cannot be read.
    """
    if not path.exists():
        return []
    try:
        with closing(_connected(path)) as connection:
            rows = connection.execute(_SQL["since"], (since.isoformat(),)).fetchall()
    except sqlite3.Error as error:
        raise StoreCorrupt(f"{path} cannot be read: {error}. Delete it to begin a new log.", store=str(path)) from error
    return [(Account(date.fromisoformat(row[0]), *row[1:4]), _usage(row[4:])) for row in rows]


def _connected(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Threads take turns by the log's own lock.
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_SQL["create"])
        connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")
        # With a write-ahead log an entry does not wait for the disk. To switch to it, SQLite waits for nobody; the mode
        # stays with the file, so it is enough if one process comes to it.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _columns(account: Account) -> tuple[str, str, str, str]:
    return (account.day.isoformat(), account.provider, account.model, account.key)


def _usage(values: tuple[float, ...]) -> Usage:
    requests, texts, images, tokens, image_tokens, cost_usd, cached, saved_usd = values
    return Usage(
        requests=int(requests),
        texts=int(texts),
        images=int(images),
        tokens=int(tokens),
        image_tokens=int(image_tokens),
        cost_usd=cost_usd,
        cached=int(cached),
        saved_usd=saved_usd,
    )
