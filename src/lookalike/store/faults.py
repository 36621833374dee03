"""What goes wrong below the store, told once in the store's own errors."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lookalike.errors import InputError, StoreCorrupt, StoreError, StoreFull, StoreLocked, StoreReadOnly
from lookalike.sql import lacks_room

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}

_PRIMARY = 0xFF  # the low byte of an extended SQLite result code


def full(folder: Path) -> StoreFull:
    """The error for a disk without room."""
    return StoreFull(
        f"No room is left on the disk for {folder}. What was stored before is safe; free some space and go on.",
        store=str(folder),
    )


def read_only(folder: Path) -> StoreReadOnly:
    """The error for a folder that cannot be written."""
    if os.path.exists(folder / "items.sqlite"):  # noqa: PTH110  Path.exists raises where the folder cannot be entered
        advice = "Search it as it is, or copy it to a folder of your own."
    else:
        advice = "Choose another place for the index: --index, or LOOKALIKE_INDEX."
    return StoreReadOnly(f"{folder} cannot be written by this user. {advice}", store=str(folder))


def damaged(path: Path, what: str) -> StoreCorrupt:
    """The error for a file that is not what was written."""
    return StoreCorrupt(
        f"{path} {what}. Nothing was changed. Restore the folder {path.parent} from a backup, or move it away and "
        "index the pictures again.",
        store=str(path.parent),
    )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Translate what the operating system says about a write into this folder."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise full(folder) from error
        if error.errno in _READ_ONLY:
            raise read_only(folder) from error
        raise StoreError(f"{folder} could not be written: {error.strerror or error}.", store=str(folder)) from error


@contextmanager
def speaking() -> Iterator[None]:
    """Translate what cannot be sent to a database at all."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise InputError(
            f"{error.object!r} cannot be stored: it is not valid Unicode. Rename it, or give it another id."
        ) from error


@contextmanager
def speaking_sql(folder: Path) -> Iterator[None]:
    """Translate what SQLite says about the database of this folder."""
    try:
        with speaking():
            yield
    except sqlite3.Error as error:
        raise _translated(error, folder) from error


def _translated(error: sqlite3.Error, folder: Path) -> StoreError:
    if lacks_room(error):
        return full(folder)
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    match code:
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return read_only(folder)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreLocked(f"{folder} is busy: another process is writing. Try again.", store=str(folder))
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(folder / "items.sqlite", f"is damaged ({error})")
        case sqlite3.SQLITE_ERROR if str(error).startswith("no such"):
            return damaged(folder / "items.sqlite", f"is not what was written ({error})")
        case _:
            return StoreError(f"The database of {folder} failed: {error}.", store=str(folder))
