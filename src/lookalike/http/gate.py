"""Who may call, what for, and how often; loads nothing of the web framework."""

from __future__ import annotations

import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import sha256

from lookalike.config import ServeSettings
from lookalike.errors import AccessDenied, Overloaded
from lookalike.http.keys import SCOPES, ApiKey, Caller, Scope, read_keys

MAX_BUCKETS = 10_000
"""Callers whose rate is remembered; the one that was quiet for longest is forgotten first."""

ANONYMOUS = Caller("anonymous", frozenset(SCOPES))
"""Everybody, where no keys are configured."""


class Gatekeeper:
    """Knows the API keys, and counts what each caller sends.

    Args:
        keys: The keys; with none, everybody is `ANONYMOUS`.
        requests_per_minute: What a caller may send; 0 for no limit.
        clock: A clock in seconds that only moves forward.
    """

    def __init__(
        self,
        keys: Iterable[ApiKey] = (),
        *,
        requests_per_minute: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = tuple(keys)
        self._rate = Rate(requests_per_minute, clock) if requests_per_minute else None

    @classmethod
    def of(cls, settings: ServeSettings) -> Gatekeeper:
        """The gatekeeper that the settings describe.

        Raises:
            ConfigError: A key cannot be used; names its line, and never the key.
        """
        return cls(read_keys(settings), requests_per_minute=settings.requests_per_minute)

    @property
    def has_keys(self) -> bool:
        """Whether a key is needed."""
        return bool(self._keys)

    def identify(self, key: str | None) -> Caller:
        """The caller with this key; `ANONYMOUS` where none is needed.

        Args:
            key: What came with the request, if anything.

        Raises:
            AccessDenied: There is no such key.
        """
        if not self._keys:
            return ANONYMOUS
        if not key:
            raise AccessDenied(
                "This needs an API key: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.", known=False
            )
        digest = sha256(key.encode("utf-8", "surrogateescape")).digest()
        # Every key is compared, whichever fits: the time tells nothing.
        found = [known.caller for known in self._keys if hmac.compare_digest(known.digest, digest)]
        if not found:
            raise AccessDenied("There is no such API key.", known=False)
        return found[0]

    def admit(self, caller: Caller, scope: Scope | None, *, address: str) -> None:
        """Let a caller do something, and count it.

        Args:
            caller: Who asks.
            scope: What is to be done; None for what any key allows.
            address: Where the request came from; counts where there are no keys.

        Raises:
            AccessDenied: The caller's key lacks the scope.
            Overloaded: The caller has sent too much in the last minute.
        """
        if scope is not None and scope not in caller.scopes:
            raise AccessDenied(f"The key of {caller.name!r} does not have the scope {scope!r}.", known=True)
        if self._rate is not None:
            self._rate.take(caller.name if self._keys else address)


class Rate:
    """A token bucket for each caller: a minute's worth at once, then one after another.

    Used from the event loop alone, so it needs no lock.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count one request of a caller.

        Raises:
            Overloaded: Its bucket is empty.
        """
        now = self._clock()
        tokens, since = self._buckets.pop(caller, (float(self._per_minute), now))
        tokens = min(self._per_minute, tokens + (now - since) * self._per_minute / 60)
        self._buckets[caller] = (tokens - 1 if tokens >= 1 else tokens, now)
        while len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            raise Overloaded(
                f"More than {self._per_minute:,} requests in a minute: wait, and then send them more slowly.",
                retry_after_s=math.ceil((1 - tokens) * 60 / self._per_minute),
                own=True,
            )
