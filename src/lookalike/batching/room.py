"""How much waits, and of whom: whether there is room for more, and when there will be. Not locked: the queue is."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

from lookalike.batching.lanes import QueueLimits
from lookalike.errors import Overloaded
from lookalike.types import Job, Lane

ANSWERS_REMEMBERED = 256
"""The last so many answers ..."""

RATE_S = 10.0
"""... of so many seconds tell how fast the queue moves."""


class Room:
    """See the module.

    Args:
        limits: The bounds.
        clock: Seconds that only move forward.

    Attributes:
        n_jobs: Jobs that are accepted and not yet answered, by lane.
        n_bytes: Bytes of all inputs together.
    """

    def __init__(self, limits: QueueLimits, clock: Callable[[], float]) -> None:
        self.n_jobs: Counter[Lane] = Counter()
        self.n_bytes = 0
        self._limits = limits
        self._clock = clock
        self._n_of_caller: Counter[tuple[Lane, str]] = Counter()
        self._answered: deque[float] = deque(maxlen=ANSWERS_REMEMBERED)

    def require(self, jobs: Sequence[Job]) -> None:
        """Raise Overloaded unless there is room for all of these."""
        n_bytes = self.n_bytes + sum(len(job.payload) for job in jobs)
        for (lane, caller), n in Counter((job.lane, job.caller) for job in jobs).items():
            held, most = self._n_of_caller[lane, caller], self._limits.jobs(lane)
            others = self.n_jobs[lane] > held
            if held + n > (most // 2 if others else most - most // 8):
                raise Overloaded(
                    f"{held} {lane} jobs of this caller are waiting, and its share does not hold {n} more: send less "
                    "at a time, or try again later.",
                    retry_after_s=self._retry_after_s(),
                    own=others,
                )
        for lane, n in Counter(job.lane for job in jobs).items():
            if self.n_jobs[lane] + n > self._limits.jobs(lane) or n_bytes > self._limits.n_bytes:
                raise Overloaded(
                    f"The service is full: {self.n_jobs[lane]} {lane} jobs are waiting, with {self.n_bytes:,} bytes "
                    "in all: try again later.",
                    retry_after_s=self._retry_after_s(),
                )

    def enter(self, lane: Lane, caller: str) -> None:
        """One job more."""
        self.n_jobs[lane] += 1
        self._n_of_caller[lane, caller] += 1

    def leave(self, lane: Lane, caller: str) -> None:
        """One job less."""
        self.n_jobs[lane] -= 1
        self._n_of_caller[lane, caller] -= 1
        if not self._n_of_caller[lane, caller]:
            del self._n_of_caller[lane, caller]

    def answered(self) -> None:
        """An input was answered now."""
        self._answered.append(self._clock())

    def _retry_after_s(self) -> float:
        """When half of what waits should be answered, at the rate of the last answers; 1 to 30 s."""
        now = self._clock()
        recent = [moment for moment in self._answered if now - moment <= RATE_S]
        rate = len(recent) / max(now - recent[0], 0.001) if recent else 1.0
        return min(max(self.n_jobs.total() / rate / 2, 1.0), 30.0)
