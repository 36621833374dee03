"""Memory in front of a cache that is slower and may fail: what fails costs time or money, never the answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from lookalike.cache.memory import MemoryCache
from lookalike.cached import CacheEntry, TowerName
from lookalike.errors import CacheError
from lookalike.ports import VectorCache

REST_S = 30.0
"""How long a cache that failed is left alone: each try may take as long as its timeout."""

_log = logging.getLogger("lookalike.cache")

Answer = TypeVar("Answer")


class LayeredCache:
    """ports.VectorCache that never raises.

    Args:
        front: Asked first; holds what was found behind it too.
        back: Asked for the rest. While it fails, it is asked again every half minute only.
        clock: Seconds that never run backwards.
    """

    def __init__(self, front: MemoryCache, back: VectorCache, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._front = front
        self._back = back
        # A full disk can still be read.
        self._reading = _Forgiving("Vectors are computed again instead.", clock)
        self._writing = _Forgiving("New vectors are kept in memory only.", clock)

    def get(self, keys: Sequence[bytes]) -> list[CacheEntry | None]:
        """For each key in order what is kept under it, or None."""
        found = self._front.get(keys)
        places = [place for place, entry in enumerate(found) if entry is None]
        if not places:
            return found
        missing = [keys[place] for place in places]
        nothing: list[CacheEntry | None] = [None] * len(missing)
        behind = self._reading.ask(lambda: self._back.get(missing), nothing)
        for place, entry in zip(places, behind, strict=True):
            found[place] = entry
        self._front.keep({key: entry for key, entry in zip(missing, behind, strict=True) if entry is not None})
        return found

    def put(self, tower: TowerName, entries: Mapping[bytes, CacheEntry]) -> None:
        """Keep vectors in both."""
        self._front.put(tower, entries)
        self._writing.ask(lambda: self._back.put(tower, entries), None)

    def count(self, *, hits: int = 0, misses: int = 0, saved_usd: float = 0.0) -> None:
        """Add to the figures of the cache behind."""
        self._writing.ask(lambda: self._back.count(hits=hits, misses=misses, saved_usd=saved_usd), None)


class _Forgiving:
    """Asks what may fail; says each failure once, and then lets it rest."""

    def __init__(self, consequence: str, clock: Callable[[], float]) -> None:
        self._consequence = consequence
        self._clock = clock
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._again_at = float("-inf")

    def ask(self, call: Callable[[], Answer], otherwise: Answer) -> Answer:
        """What the call returns; `otherwise` if it fails, or failed lately."""
        if self._clock() < self._again_at:
            return otherwise
        try:
            return call()
        except CacheError as error:
            self._again_at = self._clock() + REST_S
            self._say(str(error))
            return otherwise

    def _say(self, sentence: str) -> None:
        with self._lock:
            is_new = sentence not in self._said
            self._said.add(sentence)
        if is_new:
            _log.warning("%s %s", sentence, self._consequence)
