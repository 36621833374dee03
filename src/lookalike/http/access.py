"""Who may call: API keys with scopes, and how often each may."""

from __future__ import annotations

import hmac
import math
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Literal, cast, get_args

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from lookalike.config import ServeSettings
from lookalike.errors import AccessDenied, ConfigError, Overloaded

Scope = Literal["embed", "search", "write"]
"""What a key allows: vectors; searching, and looking at items; changing the index."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
MIN_KEY_CHARS = 16
MAX_BUCKETS = 10_000
"""Callers whose rate is remembered; the one that was quiet for longest is forgotten first."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="`Authorization: Bearer KEY`")
_header = APIKeyHeader(name="x-api-key", auto_error=False, scheme_name="x-api-key", description="`x-api-key: KEY`")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what for they may ask."""

    name: str
    scopes: frozenset[Scope]


ANONYMOUS = Caller("anonymous", frozenset(SCOPES))
"""Everybody, where no keys are configured."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key: whose it is, and the sha256 of its text, which itself is not kept."""

    caller: Caller
    digest: bytes = field(repr=False)


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

    def admit(self, key: str | None, scope: Scope | None, *, address: str) -> Caller:
        """The caller with this key, if it may do this now.

        Args:
            key: What came with the request, if anything.
            scope: What is to be done; None for what any key allows.
            address: Where the request came from; counts where there are no keys.

        Raises:
            AccessDenied: There is no such key, or it lacks the scope.
            Overloaded: The caller has sent too much in the last minute.
        """
        caller = self._caller(key) if self._keys else ANONYMOUS
        if scope is not None and scope not in caller.scopes:
            raise AccessDenied(f"The key of {caller.name!r} does not have the scope {scope!r}.", known=True)
        if self._rate is not None:
            self._rate.take(caller.name if self._keys else address)
        return caller

    def _caller(self, key: str | None) -> Caller:
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


def read_keys(settings: ServeSettings) -> list[ApiKey]:
    """The keys of the settings and of the file that they name.

    Raises:
        ConfigError: A line cannot be used, or a source of keys has none: that must not open the service to everybody.
    """
    keys: list[ApiKey] = []
    if settings.api_keys:
        keys += _parse("LOOKALIKE_API_KEYS", "entry", settings.api_keys.split(";"))
    if settings.api_keys_file is not None:
        place = f"LOOKALIKE_API_KEYS_FILE ({settings.api_keys_file})"
        try:
            lines = settings.api_keys_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"{place} cannot be read: {reason}.") from error
        keys += _parse(place, "line", lines)
    if len({key.digest for key in keys}) < len(keys):
        raise ConfigError("LOOKALIKE_API_KEYS, LOOKALIKE_API_KEYS_FILE: one key stands there twice; remove one.")
    return keys


def _parse(place: str, unit: str, lines: list[str]) -> list[ApiKey]:
    keys = list(_parsed(place, unit, lines))
    if not keys:
        raise ConfigError(f"{place} names no key: add one, as `name embed,search KEY`, or unset it.")
    return keys


def _parsed(place: str, unit: str, lines: list[str]) -> Iterator[ApiKey]:
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{place}, {unit} {number}"
        if len(words) != 3:
            raise ConfigError(f"{where} has {len(words)} words where it needs three: `name embed,search KEY`.")
        name, scopes, key = words
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: the name must be 1 to 64 letters, digits, dots, dashes or underscores.")
        if not set(scopes.split(",")) <= set(SCOPES):
            raise ConfigError(f"{where}: the scopes must be of {', '.join(SCOPES)}, separated by commas only.")
        if len(key) < MIN_KEY_CHARS:
            raise ConfigError(f"{where}: the key is shorter than {MIN_KEY_CHARS} characters, so it can be guessed.")
        granted = cast(frozenset[Scope], frozenset(scopes.split(",")))
        yield ApiKey(Caller(name, granted), sha256(key.encode("utf-8")).digest())


def require(scope: Scope | None) -> Callable[..., Awaitable[Caller]]:
    """A dependency that lets a request pass only with a key of this scope; None for any key.

    Use it as `caller: Annotated[Caller, Depends(require("embed"))]`.
    """

    async def caller(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
        header: Annotated[str | None, Security(_header)],
    ) -> Caller:
        gatekeeper = cast(Gatekeeper, request.app.state.context.gatekeeper)
        address = request.client.host if request.client else ""
        key = bearer.credentials if bearer else header
        admitted = gatekeeper.admit(key, scope, address=address)
        request.state.caller = admitted.name
        return admitted

    return caller
