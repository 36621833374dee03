"""How often an order is tried, how long is waited in between, and when a worker counts as dead."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from lookalike.errors import LookalikeError, RateLimited, ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Exponential backoff, of which one half is left to chance, so that those that failed together do not come back so.

    Attributes:
        attempts: How often an order is begun before it is dead; twelve take 23 to 47 minutes.
        base_s: The longest first pause, in seconds; each further one is twice as long ...
        cap_s: ... up to this.
        beat_s: How often a worker says that it lives.
        dead_s: A worker that has not said so for this long is dead, and what it had is handed out again.
        poll_s: How often a worker looks for orders that nobody told it of, and for those whose pause is over.
        kept_s: How long an order that is done stays on record.
        chance: A number from 0 to 1.
    """

    attempts: int = 12
    base_s: float = 2.0
    cap_s: float = 900.0
    beat_s: float = 5.0
    dead_s: float = 30.0
    poll_s: float = 1.0
    kept_s: float = 7 * 86_400.0
    chance: Callable[[], float] = random.random

    def pause_s(self, error: LookalikeError, attempts: int) -> float:
        """How long to wait after this error, the `attempts`-th of its order; never less than the error asks for."""
        asked_s = error.retry_after_s if isinstance(error, RateLimited | ServiceError) else None
        longest_s = min(self.cap_s, self.base_s * 2.0 ** min(attempts - 1, 60))
        return longest_s * (1 + self.chance()) / 2 + (asked_s or 0.0)
