"""Append-only files of equal rows: a header of one page, then row after row, mapped into memory to be read.

How many rows count is not the file's business: the store's database says it. What lies behind them is the remainder
of a batch that was never acknowledged, and the next batch is written over it.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import StoreCorrupt
from lookalike.store.faults import writing

Value = TypeVar("Value", np.float16, np.int8)

MAGIC = b"LOOKALKV"
HEADER_BYTES = 4096
"""One page, so that the rows are aligned for the scan."""

_HEADER = struct.Struct("<8sHHIQ")  # magic, format, bytes to a value, values to a row, identity
_FORMAT = 1


class Segment(Generic[Value]):
    """One such file.

    Args:
        path: The file.
        dtype: Of its values: float16 or int8.
        width: Values to a row.
        identity: A number that the file bears; a file with another one is refused.
    """

    def __init__(self, path: Path, *, dtype: type[Value], width: int, identity: int) -> None:
        self.path = path
        self._dtype: np.dtype[Value] = np.dtype(dtype).newbyteorder("<")
        self._width = width
        self._header = _HEADER.pack(MAGIC, _FORMAT, self._dtype.itemsize, width, identity)

    @property
    def row_bytes(self) -> int:
        """Bytes to a row."""
        return self._dtype.itemsize * self._width

    def create(self) -> None:
        """Write an empty file, over whatever was there."""
        with writing(self.path.parent):
            self.path.write_bytes(self._header.ljust(HEADER_BYTES, b"\0"))

    def write(self, first: int, rows: NDArray[Value]) -> None:
        """Write rows from slot `first` on; on the disk when it returns."""
        data = np.ascontiguousarray(rows, dtype=self._dtype).view(np.uint8).reshape(-1).data
        with writing(self.path.parent):
            handle = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                offset = HEADER_BYTES + first * self.row_bytes
                while data:
                    written = os.pwrite(handle, data, offset)
                    data, offset = data[written:], offset + written
                _datasync(handle)
            finally:
                os.close(handle)

    def read(self, n_rows: int) -> NDArray[Value]:
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
            needed = HEADER_BYTES + n_rows * self.row_bytes
            if n_bytes < needed:
                raise damaged(self.path, f"is cut off: it has {n_bytes} bytes of {needed}")
            if not n_rows:
                return np.empty((0, self._width), self._dtype)
            # Mapped rather than read: processes share the pages, and opening costs the same at any size.
            mapped = np.memmap(file, self._dtype, "r", offset=HEADER_BYTES, shape=(n_rows, self._width))
        return np.asarray(mapped)


def checksum(rows: NDArray[np.float16]) -> int:
    """The crc32 of rows as they lie in the file."""
    return zlib.crc32(np.ascontiguousarray(rows, dtype="<f2").tobytes())


def damaged(path: Path, what: str) -> StoreCorrupt:
    """The error for a file that is not what was written."""
    return StoreCorrupt(
        f"{path} {what}. Nothing was changed. Restore the folder {path.parent} from a backup, or move it away and "
        "index the pictures again.",
        store=str(path.parent),
    )


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
