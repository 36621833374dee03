"""The working half of any queue: takes orders, has them done by threads, and says what became of each.

A queue's desk is where orders are handed out. Whatever becomes of it meanwhile (a database that starts again, a disk
that is full), a worker goes on: what has been done is told when the desk answers again, and what could not be told is
handed out again when the worker counts as dead. So an order may be done twice, and is never lost.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Protocol

from lookalike.errors import LookalikeError, StoreError
from lookalike.orders import Claim, JobState, Order
from lookalike.queues.patience import Patience

TICK_S = 0.1
"""How soon it is seen that the work shall end."""

AWAY_S = 0.5
"""How long a desk that does not answer is left alone."""

LAST_WORDS_S = 10.0
"""How long a worker that shall end tries to tell what it has done."""

_log = logging.getLogger("lookalike.jobs")


@dataclass(frozen=True, slots=True)
class Handed:
    """An order that was handed out, how often it had been begun before, and when this was, on time.monotonic()."""

    claim: Claim
    order: Order
    attempts: int
    since_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of an order: done, dead, or waiting for so many seconds before it is tried again, and why."""

    number: int
    state: JobState
    reason: str = ""
    pause_s: float = 0.0


class Desk(Protocol):
    """Where one worker is handed its orders; all may raise StoreError. Several threads call `held`, one the others."""

    def take(self, n: int) -> list[Handed]:
        """At most n orders, the oldest first, and never two of one item at a time; they are this worker's now."""
        ...

    def held(self, claims: Sequence[Claim]) -> set[Claim]:
        """Those that still hold."""
        ...

    def settle(self, ended: Sequence[Ended]) -> None:
        """Put on record what became of orders; of one that is not this worker's any more nothing."""
        ...

    def beat(self) -> None:
        """Say that this worker lives, and bring back what dead ones have left."""
        ...

    def leave(self) -> None:
        """This worker ends."""
        ...

    def listening(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """While the block runs, call `wake` when there may be new orders."""
        ...


class Feed:
    """ports.JobFeed over a desk."""

    def __init__(self, desk: Desk, patience: Patience) -> None:
        self._desk = desk
        self._patience = patience

    def work(self, do: Callable[[Order, Claim], None], *, concurrency: int, stopping: Event) -> None:
        """Do orders until told to stop, then finish those that were begun; see ports.JobFeed."""
        with ThreadPoolExecutor(concurrency, thread_name_prefix="job") as pool:
            shift = _Shift(self._desk, self._patience, lambda *given: pool.submit(do, *given), concurrency)
            with self._desk.listening(shift.wake):
                while not stopping.is_set():
                    shift.turn()
                shift.finish()

    def held(self, claims: Sequence[Claim]) -> set[Claim]:
        """Those that still hold; see ports.JobFeed."""
        return self._desk.held(claims)


class _Shift:
    """One call of `work`: all but `wake` and the ends of orders happen on its thread."""

    def __init__(
        self, desk: Desk, patience: Patience, begin: Callable[[Order, Claim], Future[None]], concurrency: int
    ) -> None:
        self._desk = desk
        self._patience = patience
        self._begin = begin
        self._concurrency = concurrency
        self._n_begun = 0
        self._over: deque[tuple[Handed, Future[None]]] = deque()
        self._untold: list[Ended] = []
        self._stirred = Event()
        self._may_be_more = True
        self._ask_at = self._beat_at = 0.0
        self._is_away = False

    def wake(self) -> None:
        """There may be new orders."""
        self._may_be_more = True
        self._stirred.set()

    def turn(self) -> None:
        """Tell what has ended, take what there is room for, and wait until something happens."""
        self._deal(self._take)

    def finish(self) -> None:
        """Wait for what was begun, and tell what became of it."""
        while self._n_begun:
            self._deal()
        until = time.monotonic() + LAST_WORDS_S
        while self._untold and time.monotonic() < until:
            self._deal()
        if self._untold:
            _log.warning("What became of %d jobs could not be told: they are done again.", len(self._untold))
            return
        try:
            self._desk.leave()
        except StoreError as error:
            _log.warning("The queue was left without a word: %s", error)

    def _deal(self, *then: Callable[[], None]) -> None:
        self._stirred.clear()
        self._gather()
        try:
            for step in (self._beat, self._tell, *then):
                step()
            if self._is_away:
                _log.info("The queue answers again.")
            self._is_away = False
        except StoreError as error:
            if not self._is_away:
                _log.warning("The queue does not answer, and is asked again until it does: %s", error)
            self._is_away = True
        if not (self._over or (then and self._may_be_more and self._has_room and not self._is_away)):
            self._stirred.wait(AWAY_S if self._is_away else TICK_S)

    @property
    def _has_room(self) -> bool:
        # A quarter at a time: a question for each single order would cost more than many a picture.
        return 4 * (self._concurrency - self._n_begun) >= self._concurrency

    def _take(self) -> None:
        now = time.monotonic()
        if not self._has_room or not (self._may_be_more or now >= self._ask_at):
            return
        self._may_be_more = False  # before asking: what comes meanwhile is asked for again
        n_free = self._concurrency - self._n_begun
        handed = self._desk.take(n_free)
        self._may_be_more |= len(handed) == n_free
        self._ask_at = now + self._patience.poll_s
        for one in handed:
            self._n_begun += 1
            self._begin(one.order, one.claim).add_done_callback(partial(self._note, one))

    def _note(self, handed: Handed, future: Future[None]) -> None:
        self._over.append((handed, future))
        self._stirred.set()

    def _gather(self) -> None:
        while self._over:
            handed, future = self._over.popleft()
            self._untold.append(ended := self._ended(handed, future))
            self._n_begun -= 1
            _report(handed, ended)

    def _tell(self) -> None:
        if self._untold:
            self._desk.settle(self._untold)
            self._untold = []

    def _beat(self) -> None:
        if time.monotonic() >= self._beat_at:
            self._desk.beat()
            self._beat_at = time.monotonic() + self._patience.beat_s

    def _ended(self, handed: Handed, future: Future[None]) -> Ended:
        error, attempts = future.exception(), handed.attempts + 1
        if error is None:
            return Ended(number=handed.claim.number, state=JobState.DONE)
        if not isinstance(error, LookalikeError):
            _log.error("Job %d failed unexpectedly.", handed.claim.number, exc_info=error)
            return Ended(number=handed.claim.number, state=JobState.DEAD, reason=f"{type(error).__name__}: {error}")
        if error.retryable and attempts < self._patience.attempts:
            pause_s = self._patience.pause_s(error, attempts)
            return Ended(number=handed.claim.number, state=JobState.WAITING, reason=str(error), pause_s=pause_s)
        return Ended(number=handed.claim.number, state=JobState.DEAD, reason=str(error))


def _report(handed: Handed, ended: Ended) -> None:
    """A line of the log, for a person and for a machine."""
    facts = {
        "job": ended.number,
        "project": handed.order.project,
        "item": handed.order.id,
        "state": ended.state.value,
        "attempts": handed.attempts + 1,
        "seconds": round(time.monotonic() - handed.since_s, 3),
        **({"reason": ended.reason} if ended.reason else {}),
        **({"pause_s": round(ended.pause_s, 1)} if ended.pause_s else {}),
    }
    level = logging.WARNING if ended.state is JobState.DEAD else logging.INFO
    _log.log(level, "Job %d is %s. %s", ended.number, ended.state.value, ended.reason, extra={"facts": facts})
