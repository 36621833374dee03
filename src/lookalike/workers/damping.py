"""How long a slot stays empty after its worker was lost.

What a pause is for: a worker that cannot come up would otherwise be started again and again, and its loading takes the
cores from those that work. A worker that came up is another matter: an input ended it, or a signal, and the next one
will answer too. To keep its slot empty would refuse good requests and help nobody, and whoever knows six harmful inputs
could close the service to everybody. That each of them ends few workers is seen to by `blame`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

AT_ONCE = 3
WITHIN_S = 60.0
"""So many workers that had been ready are replaced at once, when they are lost within so many seconds ..."""

PAUSE_S = 0.5
"""... and further ones after this: loading takes about as long, so that it has half of the time at most."""

FIRST_LOAD_S, LONGEST_LOAD_S = 1.0, 60.0
"""After a worker that never became ready the first of these, then twice as long, up to the second."""


class Damping:
    """The pauses of one slot."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._losses: deque[float] = deque(maxlen=AT_ONCE)
        self._load_pause_s = 0.0
        self._was_ready = False

    def ready(self) -> None:
        """A worker has loaded its model and answered the canary."""
        self._was_ready = True
        self._load_pause_s = 0.0

    def lost(self) -> float:
        """A worker was lost now, ready or not: the seconds before the next one is started."""
        was_ready, self._was_ready = self._was_ready, False
        if not was_ready:
            self._load_pause_s = min(max(2 * self._load_pause_s, FIRST_LOAD_S), LONGEST_LOAD_S)
            return self._load_pause_s
        now = self._clock()
        is_storm = len(self._losses) == AT_ONCE and now - self._losses[0] < WITHIN_S
        self._losses.append(now)
        return PAUSE_S if is_storm else 0.0
