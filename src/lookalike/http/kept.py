"""A folder of files that can be made again: it has a size, and what nobody asked for goes first."""

from __future__ import annotations

import math
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lookalike.files import keep

ROOM = 0.2
"""What is free again, of all that may be kept, after something had to go: looking for it takes a while."""


class Kept:
    """Bytes by name, in files; those that were not read for longest go when there are too many. Thread-safe.

    Several processes may share a folder. Each counts what it keeps itself and, whenever that could be too much, looks
    at what is really there; until then the folder may hold a little more than it should.

    Args:
        folder: Where they are; one that cannot be written costs time only.
        max_bytes: What all of them may have together.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._n_bytes = math.inf  # not known before the first look
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes | None:
        """What was kept under a name, if it is still there; now it is the last to go."""
        path = self._folder / name
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(path)
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep something."""
        keep(self._folder / name, data)
        with self._lock:
            self._n_bytes += len(data)
            if self._n_bytes > self._max_bytes:
                self._n_bytes = self._make_room()

    def _make_room(self) -> int:
        """Remove what has to go; how many bytes are left."""
        files = sorted(self._files())
        n_bytes = sum(size for _, size, _ in files)
        allowed = self._max_bytes * (1 - ROOM) if n_bytes > self._max_bytes else self._max_bytes
        for _, size, path in files:
            if n_bytes <= allowed:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
                n_bytes -= size
        return n_bytes

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """When it was last read or kept, size and path of each file, half-written ones of lost processes included."""
        for path in self._folder.rglob("*"):
            with suppress(OSError):  # another process has just removed it
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    yield status.st_mtime_ns, status.st_size, path
