"""Work that several threads want and one does: whoever comes second waits for the first."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lookalike.errors import DeadlineExceeded

PATIENCE_S = 60.0
"""How long to wait for another thread at most: it may never go on."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Flight(Generic[Result]):
    """One piece of work that a thread is doing; ends with a result, or with None if it has failed."""

    thread: int
    ended: Future[Result | None] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Claim(Generic[Result]):
    """Who does what.

    Attributes:
        own: What the claiming thread has to do; each must be landed or released.
        others: What other threads are doing.
        landings: How many flights had landed by then.
    """

    own: Mapping[bytes, Flight[Result]]
    others: Mapping[bytes, Flight[Result]]
    landings: int


class Flights(Generic[Result]):
    """What is being worked on, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[bytes, Flight[Result]] = {}
        self._landings = 0

    @property
    def landings(self) -> int:
        """How many flights have landed: if none has since a look at the results, that look was the latest."""
        return self._landings

    def claim(self, keys: Iterable[bytes]) -> Claim[Result]:
        """Take on those keys that no other thread is working on."""
        me = threading.get_ident()
        own: dict[bytes, Flight[Result]] = {}
        others: dict[bytes, Flight[Result]] = {}
        with self._lock:
            for key in keys:
                flying = self._flying.get(key)
                if flying is None:
                    own[key] = self._flying[key] = Flight(me)
                elif flying.thread == me:  # of a call that this very thread has not finished: waiting would be for ever
                    own[key] = Flight(me)
                else:
                    others[key] = flying
            return Claim(own, others, self._landings)

    def land(self, key: bytes, flight: Flight[Result], result: Result) -> None:
        """The work is done; hand the result to those who wait."""
        self._end(key, flight, result)

    def release(self, own: Mapping[bytes, Flight[Result]]) -> None:
        """Whatever of these has not landed has failed: let those who wait know."""
        for key, flight in own.items():
            if not flight.ended.done():
                self._end(key, flight, None)

    def _end(self, key: bytes, flight: Flight[Result], result: Result | None) -> None:
        with self._lock:
            if self._flying.get(key) is flight:
                del self._flying[key]
                self._landings += 1
        flight.ended.set_result(result)


def awaited(others: Mapping[bytes, Flight[Result]], *, until: float) -> dict[bytes, Result]:
    """What other threads got done; left out is what failed, and what they do not get done at all.

    Args:
        others: What to wait for.
        until: When to give up, on time.monotonic().

    Raises:
        DeadlineExceeded: It is `until`.
    """
    found: dict[bytes, Result] = {}
    stuck: set[int] = set()
    for key, flight in others.items():
        patience_s = 0.0 if flight.thread in stuck else max(0.0, min(PATIENCE_S, until - time.monotonic()))
        try:
            result = flight.ended.result(timeout=patience_s)
        except TimeoutError:
            if time.monotonic() >= until:
                raise DeadlineExceeded(
                    "Another thread was computing the same vectors, and was not done in time."
                ) from None
            stuck.add(flight.thread)
            continue
        if result is not None:
            found[key] = result
    return found
