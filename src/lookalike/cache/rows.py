"""An entry as a row of a database: little-endian float32 and a checksum, so that a damaged one is known."""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass

import numpy as np

from lookalike.cached import CacheEntry

ROW_BYTES = 160
"""What a row takes besides its vector, about: the key twice, numbers, the trees of the database."""

RECENT_S = 3600.0
"""Use is noted at most so often for one entry: finer would mean a write for every read."""

Row = tuple[bytes, int, int, float, str]
"""(vector, checksum, n_tokens, cost_usd, warning) of an entry."""


def row_of(key: bytes, entry: CacheEntry) -> Row:
    """What is stored of an entry."""
    vector = entry.vector.astype("<f4", copy=False).tobytes()
    return vector, checksum(key, vector), entry.n_tokens, entry.cost_usd, entry.warning


def entry_of(key: bytes, row: Row) -> CacheEntry | None:
    """The entry that a row was made of; None if it is not what was written under this key."""
    vector, check, n_tokens, cost_usd, warning = row
    if not isinstance(vector, bytes) or not vector or len(vector) % 4 or checksum(key, vector) != check:
        return None
    return CacheEntry(
        vector=np.frombuffer(vector, "<f4").astype(np.float32, copy=False),
        n_tokens=n_tokens,
        cost_usd=cost_usd,
        warning=warning,
    )


def checksum(key: bytes, vector: bytes) -> int:
    """CRC-32 of a key and what is stored under it: also a row that came under another key is found out."""
    return zlib.crc32(vector, zlib.crc32(key))


@dataclass(slots=True)
class Figures:
    """Hits, misses and savings that are not written yet."""

    hits: int = 0
    misses: int = 0
    saved_usd: float = 0.0


class Notes:
    """What is to be written some time: which entries were used, and the figures. Losing it costs little.

    Args:
        limit: From so many entries or inputs on, `is_due`.
    """

    def __init__(self, *, limit: int = 4096) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._used: set[bytes] = set()
        self._figures = Figures()

    def use(self, keys: list[bytes]) -> None:
        """These entries were used."""
        with self._lock:
            self._used.update(keys)

    def count(self, hits: int, misses: int, saved_usd: float) -> None:
        """Add to the figures."""
        with self._lock:
            self._figures.hits += hits
            self._figures.misses += misses
            self._figures.saved_usd += saved_usd

    @property
    def is_due(self) -> bool:
        """Whether there is so much that it should be written now."""
        return len(self._used) >= self._limit or self._figures.hits + self._figures.misses >= self._limit

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._used and self._figures == Figures()

    def take(self) -> tuple[list[bytes], Figures]:
        """All of it, which is then no longer here; the keys sorted, so that two processes lock rows in one order."""
        with self._lock:
            used, self._used = self._used, set()
            figures, self._figures = self._figures, Figures()
        return sorted(used), figures
