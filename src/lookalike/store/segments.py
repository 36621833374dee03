"""Append-only files of equal rows: a header of one page, then row after row, mapped into memory to be read.

How many rows count is not the file's business: the store's database says it. What lies behind them is the remainder
of a batch that was never acknowledged, and the next batch is written over it.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np

from lookalike.store.faults import damaged, writing
from lookalike.vectors import Codes

MAGIC = b"LOOKALKV"
HEADER_BYTES = 4096
"""One page, so that the rows are aligned for the scan."""

_HEADER = struct.Struct("<8sIIQ")  # magic, format, bytes to a row, identity
_FORMAT = 1


class Segment:
    """One such file.

    Args:
        path: The file.
        width: Bytes to a row.
        identity: A number that the file bears; a file with another one is refused.
    """

    def __init__(self, path: Path, *, width: int, identity: int) -> None:
        self.path = path
        self._width = width
        self._header = _HEADER.pack(MAGIC, _FORMAT, width, identity)

    def create(self) -> None:
        """Write an empty file, in the place of whatever was there."""
        with writing(self.path.parent):
            # Never into an old file: a reader that has it mapped would be killed when it touches what was cut off.
            self.path.unlink(missing_ok=True)
            self.path.write_bytes(self._header.ljust(HEADER_BYTES, b"\0"))

    def write(self, first: int, rows: Codes) -> None:
        """Write rows from slot `first` on; on the disk when it returns."""
        data = as_bytes(rows)
        with writing(self.path.parent):
            handle = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                offset = HEADER_BYTES + first * self._width
                while data:
                    written = os.pwrite(handle, data, offset)
                    data, offset = data[written:], offset + written
                _datasync(handle)
            finally:
                os.close(handle)

    def read(self, n_rows: int) -> Codes:
        """The first `n_rows` rows, (n_rows, width), mapped and not yet read.

        Raises:
            FileNotFoundError: There is no such file; the caller knows whether that is a fault.
            StoreCorrupt: The file is too short, or is not what the store wrote.
        """
        with self.path.open("rb") as file:
            header = file.read(_HEADER.size)
            n_bytes = os.fstat(file.fileno()).st_size
            if header != self._header:
                raise damaged(self.path, "does not begin as the file that was written")
            self._require_length(n_bytes, n_rows)
            if not n_rows:
                return np.empty((0, self._width), np.int8)
            # Mapped rather than read: processes share the pages, and opening costs the same at any size.
            mapped = np.memmap(file, np.int8, "r", offset=HEADER_BYTES, shape=(n_rows, self._width))
        return np.asarray(mapped)

    def require(self, n_rows: int) -> None:
        """StoreCorrupt if the file was cut off after `read`: the kernel kills who touches mapped rows that are gone."""
        with suppress(FileNotFoundError):  # removed by a compaction, and what is mapped stays
            self._require_length(self.path.stat().st_size, n_rows)

    def _require_length(self, n_bytes: int, n_rows: int) -> None:
        needed = HEADER_BYTES + n_rows * self._width
        if n_bytes < needed:
            raise damaged(self.path, f"is cut off: it has {n_bytes} bytes of {needed}")


def as_bytes(rows: Codes) -> memoryview:
    """Rows as they lie in a file."""
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data


def _datasync(handle: int) -> None:
    # macOS has no fdatasync.
    getattr(os, "fdatasync", os.fsync)(handle)


def sync_folder(folder: Path) -> None:
    """Make the names of new files in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
