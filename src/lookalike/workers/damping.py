"""How long a slot stays empty after its worker was lost, or had no model to load."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

AT_ONCE = 3
WITHIN_S = 60.0
"""So many losses within so many seconds are replaced at once ..."""

FIRST_S, LONGEST_S = 0.25, 10.0
"""... and further ones after a pause, each twice as long as the one before."""

FIRST_LOAD_S, LONGEST_LOAD_S = 1.0, 60.0
"""A load that failed is tried again after the first of these, then twice as long, up to the second."""


class Damping:
    """The pauses of one slot."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._losses: deque[float] = deque(maxlen=AT_ONCE)
        self._pause_s = 0.0
        self._load_pause_s = 0.0
        self._ready_at: float | None = None

    def ready(self) -> None:
        """A worker is ready."""
        self._ready_at = self._clock()
        self._load_pause_s = 0.0

    def lost(self) -> float:
        """A worker was lost now: the seconds before the next one is started."""
        now = self._clock()
        if self._ready_at is not None and now - self._ready_at >= WITHIN_S:
            self._losses.clear()
            self._pause_s = 0.0
        self._ready_at = None
        is_storm = len(self._losses) == AT_ONCE and now - self._losses[0] < WITHIN_S
        self._losses.append(now)
        self._pause_s = min(max(2 * self._pause_s, FIRST_S), LONGEST_S) if is_storm else 0.0
        return self._pause_s

    def load_failed(self) -> float:
        """A model could not be loaded: the seconds before it is tried again."""
        self._load_pause_s = min(max(2 * self._load_pause_s, FIRST_LOAD_S), LONGEST_LOAD_S)
        return self._load_pause_s
