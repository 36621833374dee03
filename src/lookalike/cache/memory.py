"""The cache in memory: what was used least recently goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lookalike.cached import CacheEntry, TowerName

MAX_BYTES = 128 << 20
ENTRY_BYTES = 500
"""What an entry takes besides the numbers of its vector: key, objects, its place in the dictionary."""


class MemoryCache:
    """ports.VectorCache that is gone with the process.

    Args:
        max_bytes: What the entries may take together.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._entries: OrderedDict[bytes, CacheEntry] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def n_bytes(self) -> int:
        """What the entries take."""
        return self._n_bytes

    def get(self, keys: Sequence[bytes]) -> list[CacheEntry | None]:
        """For each key in order what is kept under it, or None."""
        with self._lock:
            found = [self._entries.get(key) for key in keys]
            for key, entry in zip(keys, found, strict=True):
                if entry is not None:
                    self._entries.move_to_end(key)
        return found

    def put(self, tower: TowerName, entries: Mapping[bytes, CacheEntry]) -> None:  # noqa: ARG002 (keys tell towers apart)
        """Keep vectors, and let go of what was used least recently."""
        self.keep(entries)

    def keep(self, entries: Mapping[bytes, CacheEntry]) -> None:
        """The same, of whatever tower."""
        own = {key: _own(entry) for key, entry in entries.items()}
        with self._lock:
            for key, entry in own.items():
                if key not in self._entries:
                    self._entries[key] = entry
                    self._n_bytes += _n_bytes(entry)
            while self._n_bytes > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._n_bytes -= _n_bytes(oldest)

    def count(self, *, hits: int = 0, misses: int = 0, saved_usd: float = 0.0) -> None:
        """Nothing: nobody could ask for the figures after the process, and within it each call's usage has them."""


def _own(entry: CacheEntry) -> CacheEntry:
    # A row of a larger array would keep all of that in memory; and nobody may write into what others are given.
    vector = np.array(entry.vector, np.float32)
    vector.setflags(write=False)
    return replace(entry, vector=vector)


def _n_bytes(entry: CacheEntry) -> int:
    return entry.vector.nbytes + ENTRY_BYTES
