"""One writer at a time, by an advisory lock on a file of the store's folder; the kernel frees it at any death."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from lookalike.errors import StoreLocked
from lookalike.store.faults import writing

FILE = "lock"


def acquire(folder: Path, name: str = FILE) -> int:
    """Take the writer's lock of a folder, or another one that it has: a file descriptor to hand to `release`.

    Raises:
        StoreLocked: Another process, or this one, writes already; the message says which.
        StoreReadOnly: The folder cannot be written.
    """
    with writing(folder):
        handle = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise StoreLocked(
            f"{folder} is being written by process {holder}. Wait until it has finished, or stop it.", store=str(folder)
        ) from error
    try:
        with writing(folder):
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
    except BaseException:
        release(handle)
        raise
    return handle


def is_ours(path: Path) -> bool:
    """Whether a file is what `acquire` makes, and not one of somebody that has its name."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        text = file.read(33)
    return len(text) <= 32 and (text.isdigit() or not text)


def release(handle: int) -> None:
    """Give the lock back."""
    os.close(handle)
