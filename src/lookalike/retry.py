"""When to ask a remote service again, and how long to wait before. Clocks and sleep are values: tests take no time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import TypeVar

from lookalike.errors import LookalikeError, RateLimited, ServiceError

T = TypeVar("T")

LONGEST_S = 1e9
"""Whoever asks for more, in however many digits, asks for thirty years; infinity is no number of seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Attributes:
        tries: How often something is attempted, the first time included.
        base_s: Upper bound of the first pause, in seconds; each further one is twice as long ...
        cap_s: ... up to this.
        longest_wait_s: A service that asks for a longer pause than this is not waited for.
        deadline_s: Seconds after which nothing is tried again, all pauses included; None for no limit.
        sleep: Waits for so many seconds.
        clock: A clock in seconds that only moves forward.
        wall_clock: Seconds since the epoch: a Retry-After may be a date.
        jitter: A number from 0 to 1.
    """

    tries: int = 6
    base_s: float = 1.0
    cap_s: float = 30.0
    longest_wait_s: float = 300.0
    deadline_s: float | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random

    def deadline(self) -> float:
        """The moment, on `clock`, after which nothing is tried again for a job that starts now."""
        return float("inf") if self.deadline_s is None else self.clock() + self.deadline_s

    def run(self, action: Callable[[], T], *, until: float, on_pause: Callable[[LookalikeError, float], None]) -> T:
        """The result of `action`, repeated while it raises retryable errors.

        Args:
            action: What to do.
            until: The deadline, on `clock`.
            on_pause: Told the error and the seconds of each pause before it begins.

        Raises:
            LookalikeError: The last error, when it cannot be retried, or not in time, or not once more.
        """
        attempt = 1
        while True:
            try:
                return action()
            except LookalikeError as error:
                pause_s = self._pause_s(error, attempt)
                too_late = pause_s > self.longest_wait_s or self.clock() + pause_s > until
                if not error.retryable or attempt >= self.tries or too_late:
                    raise
                on_pause(error, pause_s)
                self.sleep(pause_s)
                attempt += 1

    def _pause_s(self, error: LookalikeError, attempt: int) -> float:
        asked_for_s = error.retry_after_s if isinstance(error, RateLimited | ServiceError) else None
        if asked_for_s is not None:
            # Never earlier than asked; a little later, lest all who were sent away come back together.
            return asked_for_s + self.jitter() * self.base_s
        return self.jitter() * min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))


def asked_pause_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The seconds that an answer asks for, in Retry-After-Ms (OpenAI, Azure) or Retry-After; None if it does not.

    Args:
        headers: With lower-case names.
        now_s: Seconds since the epoch.
    """
    try:
        pause_s = float(headers.get("retry-after-ms", "")) / 1000
    except ValueError:
        return retry_after_s(headers.get("retry-after"), now_s)
    return min(pause_s, LONGEST_S) if pause_s >= 0 else None


def retry_after_s(header: str | None, now_s: float) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date); None if it says nothing.

    Args:
        header: The header's value.
        now_s: Seconds since the epoch.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_S)
    from email.utils import parsedate_to_datetime  # 5 of the 100 ms that `import lookalike` may take; rarely needed

    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # no date, or one with more digits than a number of the machine has
        return None
    # "-0000" and no zone at all are read as a naive time; HTTP dates are always in UTC.
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, aware.timestamp() - now_s), LONGEST_S)
