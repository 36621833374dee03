"""When a provider may be asked: not faster than it allows, and not at all while it is down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from lookalike.errors import DeadlineExceeded, ProviderError, RateLimited, Unavailable
from lookalike.providers.adapter import Limits
from lookalike.providers.splitting import Batch
from lookalike.retry import RetryPolicy

BURST_S = 10.0
"""So many seconds' worth of what a minute allows may go at once. Providers count by the minute, and some by the second:
a whole minute's worth at once would be refused by the one, a second's worth would slow down every short job."""

FAILURES_TO_OPEN = 10
"""Failures in a row before a provider counts as down: more than one request with all its tries makes."""

OPEN_S = 30.0
"""How long one that is down is left alone before a single request tries it again."""

PATIENT_S = 10.0
"""A deadline that was missed after no less than this counts as a failure; an impatient caller's does not."""

TRY_SHARE = 0.5
"""Of the time that a request has left: so much of it a try may take, so that silence leaves time for another one ..."""

SHORTEST_TRY_S = 1.0
"""... but no less than this, as far as there is so much: answers take a second."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of `embed`: how long it may take, and whether anybody still waits for it.

    Attributes:
        until: When it is over, on `clock`.
        clock: A clock in seconds that only moves forward.
        wait: Waits for an event, or so many seconds.
        request_s: How long each of its requests may take, where the call has no end.
        given_up: Set when nobody wants the answer any more.
    """

    until: float
    clock: Callable[[], float]
    wait: Callable[[threading.Event, float], object] = threading.Event.wait
    request_s: float = float("inf")
    given_up: threading.Event = field(default_factory=threading.Event)

    def left_s(self) -> float:
        """The seconds that are left; less than none once it is given up."""
        return -1.0 if self.given_up.is_set() else self.until - self.clock()

    def request(self) -> Call:
        """One of its requests, which begins now: that has an end even where the call has none."""
        return replace(self, until=min(self.until, self.clock() + self.request_s))

    def one_try(self) -> Call:
        """One try of a request, which begins now: silence ends it while there is time for another."""
        now_s = self.clock()
        left_s = self.until - now_s
        return replace(self, until=now_s + min(left_s, max(TRY_SHARE * left_s, SHORTEST_TRY_S)))

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than somebody waits for the answer."""
        self.wait(self.given_up, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an answer is waited for, and how often it is asked for again.

    Attributes:
        timeout_s: How long each request of a call may take, all its tries included, where the caller does not say how
            long the call may.
        retry: When a request is tried again, and the clocks of everything.
        wait: Waits for an event, or so many seconds.
    """

    timeout_s: float = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    wait: Callable[[threading.Event, float], object] = threading.Event.wait

    def call(self, until: float) -> Call:
        """A call that starts now; `until` may be infinite: then it lasts as long as its requests do."""
        request_s = self.timeout_s if until == float("inf") else float("inf")
        return Call(until, self.retry.clock, self.wait, request_s)


class _Bucket:
    """What may go at once, and how fast that fills up again; one request may overdraw it."""

    def __init__(self, per_minute: int, now_s: float) -> None:
        self._per_second = per_minute / 60
        self._capacity = max(1.0, self._per_second * BURST_S)
        self._level = self._capacity
        self._at_s = now_s

    def wait_s(self, n: float, now_s: float) -> float:
        """Seconds until n may go."""
        self._level = min(self._capacity, self._level + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s
        return max(0.0, (min(n, self._capacity) - self._level) / self._per_second)

    def take(self, n: float) -> None:
        """Let n go, now or after `wait_s`."""
        self._level -= n


class Pace:
    """How fast one key's requests may follow: so many requests, tokens and inputs a minute, and the provider's wishes.

    One for all vectorizers of a key; safe to use from several threads.

    Args:
        limits: What the provider allows.
        provider: Who, for errors.
        clock: A clock in seconds that only moves forward.
    """

    def __init__(self, limits: Limits, *, provider: str, clock: Callable[[], float]) -> None:
        self._provider = provider
        self._clock = clock
        self._lock = threading.Lock()
        self._held_until = clock()
        rates = {
            "request": limits.requests_per_minute,
            "token": limits.tokens_per_minute,
            "text": limits.texts_per_minute,
            "image": limits.images_per_minute,
        }
        self._buckets = {kind: _Bucket(rate, clock()) for kind, rate in rates.items() if rate}

    def await_turn(self, batch: Batch, call: Call) -> None:
        """Wait until a request for this may go.

        Raises:
            RateLimited: That would be after the call's deadline.
        """
        call.pause(self._reserve({"request": 1, "token": batch.tokens, batch.modality: len(batch.entries)}, call))
        while call.left_s() > 0 and (held_s := self._held_until - self._clock()) > 0:  # told to wait in the meantime
            self._require_time(held_s, call)
            call.pause(held_s)

    def correct(self, batch: Batch, n_tokens: int) -> None:
        """Count what an answer says was read, where that is more than was estimated: pictures have tokens as well."""
        n_more = n_tokens - batch.tokens
        with self._lock:
            if n_more > 0 and "token" in self._buckets:
                self._buckets["token"].take(n_more)

    def hold(self, seconds: float) -> None:
        """Let nobody go for so long: the provider asked for it."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)

    def _reserve(self, load: Mapping[str, int], call: Call) -> float:
        with self._lock:
            now_s = self._clock()
            wishes = [(self._buckets[kind], n) for kind, n in load.items() if kind in self._buckets]
            wait_s = max([self._held_until - now_s, 0.0, *(bucket.wait_s(n, now_s) for bucket, n in wishes)])
            self._require_time(wait_s, call)
            for bucket, n in wishes:
                bucket.take(n)
            return wait_s

    def _require_time(self, wait_s: float, call: Call) -> None:
        if wait_s > max(0.0, call.left_s()):
            raise RateLimited(
                f"{self._provider} takes the next request in {wait_s:.1f} s, and the call is over before that: give it "
                "more seconds (timeout_s), or ask for less at once.",
                provider=self._provider,
                retry_after_s=wait_s,
            )


class Breaker:
    """Leaves a provider alone that is down: a request fails at once instead of after all its tries.

    After FAILURES_TO_OPEN failures in a row it is open for OPEN_S; then one request tries, and decides.

    Args:
        provider: Who, for errors.
        clock: A clock in seconds that only moves forward.
    """

    def __init__(self, *, provider: str, clock: Callable[[], float]) -> None:
        self._provider = provider
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until: float | None = None
        self._is_probing = False

    @contextmanager
    def watching(self, given_s: float) -> Iterator[None]:
        """A block that asks the provider once; what it raises tells whether the provider is down.

        Args:
            given_s: The seconds that it may take.

        Raises:
            Unavailable: The provider is down.
        """
        is_probe = self._admit()
        is_up: bool | None = None
        try:
            yield
            is_up = True
        except Unavailable:
            is_up = False
            raise
        except DeadlineExceeded:
            is_up = False if given_s >= PATIENT_S else None
            raise
        except ProviderError:
            is_up = True  # whatever it says, it is there to say it
            raise
        finally:
            self._conclude(is_up, is_probe)

    def require(self) -> None:
        """Raise Unavailable while the provider is down and it is not yet time to try it again."""
        with self._lock:
            self._require()

    def _require(self) -> None:
        if self._open_until is None:
            return
        left_s = self._open_until - self._clock()
        if left_s > 0 or self._is_probing:
            raise Unavailable(
                f"{self._provider} has failed {self._failures} times in a row and is left alone; it is tried again "
                f"in {max(left_s, 1.0):.0f} s.",
                provider=self._provider,
            )

    def _admit(self) -> bool:
        with self._lock:
            self._require()
            self._is_probing = self._open_until is not None
            return self._is_probing

    def _conclude(self, is_up: bool | None, is_probe: bool) -> None:
        with self._lock:
            if is_probe:
                self._is_probing = False
            if is_up:
                self._failures, self._open_until = 0, None
            elif is_up is False:
                self._failures += 1
                if self._failures >= FAILURES_TO_OPEN:
                    self._open_until = self._clock() + OPEN_S
