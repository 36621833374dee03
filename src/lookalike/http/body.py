"""Bodies of requests on their way in: how large, how slow, and how many at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from lookalike import memory
from lookalike.errors import Overloaded, TooLarge

BODY_START_S, BODY_BYTES_PER_S = 10.0, 1_000
"""A body may take so long, and a second longer for so many bytes that came (as Apache's mod_reqtimeout has it)."""

BODIES_IN_MEMORY = 8
"""Bodies of the largest size that are held at the same time, by all requests together."""

TRIM_AFTER_BYTES, TRIM_AFTER_S = 2 << 20, 1.0
"""When so many bytes of bodies came and went, and none is held, freed memory is given back so many seconds later. Of a
list of short texts, a byte takes twenty of memory until it is refused."""


class Load:
    """What the service has accepted and not answered yet. Used from the event loop alone.

    Args:
        max_requests: More at the same time are refused.
        max_body_bytes: The largest body; of such, `BODIES_IN_MEMORY` are held.
    """

    def __init__(self, max_requests: int, max_body_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = BODIES_IN_MEMORY * max_body_bytes
        self._requests = 0
        self._bytes = 0
        self._bytes_passed = 0
        self._trimming: asyncio.TimerHandle | None = None

    def enter(self, *, crowded: bool, always: bool) -> None:
        """Count a request in.

        Args:
            crowded: Whether there are too many connections, this one among them.
            always: Whether it is let in nevertheless.

        Raises:
            Overloaded: There are too many.
        """
        if (crowded or self._requests >= self._max_requests) and not always:
            raise Overloaded(f"{self._requests:,} requests are being answered: ask again shortly.", retry_after_s=1)
        self._requests += 1

    def add(self, n_bytes: int) -> None:
        """Count bytes of a request in; refused with Overloaded if too many are held."""
        if self._bytes + n_bytes > self._max_bytes:
            raise Overloaded("The bodies and pictures of other requests fill the service's memory.", retry_after_s=1)
        self._bytes += n_bytes

    def leave(self, n_bytes: int) -> None:
        """Count a request and its bytes out."""
        self._requests -= 1
        self._bytes -= n_bytes
        self._bytes_passed += n_bytes
        if not self._bytes and self._bytes_passed >= TRIM_AFTER_BYTES and self._trimming is None:
            self._trimming = asyncio.get_running_loop().call_later(TRIM_AFTER_S, self._trim)

    def _trim(self) -> None:
        self._trimming = None
        self._bytes_passed = 0
        asyncio.get_running_loop().run_in_executor(None, memory.give_back)


class Body:
    """A request's body on its way in: not too large, not too slow, and followed by watching for the client to go.

    Attributes:
        deadline: When the request is due, on time.monotonic().
        timeout_s: Seconds from the start until then.
        n_bytes: What came so far, of pictures at URLs as well.
        client_gone: Whether the client has closed the connection.
    """

    def __init__(self, receive: Receive, load: Load, *, max_bytes: int, timeout_s: float) -> None:
        self._receive = receive
        self._load = load
        self._max_bytes = max_bytes
        self._started_at = time.monotonic()
        self._limit: asyncio.Timeout | None = None
        self._first: Message | None = None
        self._watching: asyncio.Task[None] | None = None
        self.timeout_s = timeout_s
        self.deadline = self._started_at + timeout_s
        self.n_bytes = 0
        self.client_gone = False

    async def begin(self, limit: asyncio.Timeout, *, has_body: bool) -> None:
        """Take the scope that ends the request; without a body to wait for, watch the client at once."""
        self._limit = limit
        if not has_body:
            self._first = await self.receive()

    async def receive(self) -> Message:
        """The next message of the request, for the application.

        Raises:
            TooLarge: The body is over the limit.
            Overloaded: There is no room for it.
            HTTPException: It comes too slowly (408).
        """
        if self._first is not None:
            message, self._first = self._first, None
            return message
        if self._watching is not None:
            await asyncio.wait([self._watching])
            return {"type": "http.disconnect"}
        message = await self._next()
        body = message.get("body", b"")
        if self.n_bytes + len(body) > self._max_bytes:
            raise _too_large(self.n_bytes + len(body), self._max_bytes)
        self.hold(len(body))
        if message["type"] == "http.disconnect":
            self._end()
            await asyncio.get_running_loop().create_future()  # never: nobody wants half a body, the request is over
        elif not message.get("more_body", False):
            self._watching = asyncio.create_task(self._watch())
        return message

    def hold(self, n_bytes: int) -> None:
        """Count bytes of the request, its body's or others, until it is answered; Overloaded if too many are held."""
        self._load.add(n_bytes)
        self.n_bytes += n_bytes

    def close(self) -> None:
        """Watch no longer."""
        if self._watching is not None:
            self._watching.cancel()

    async def _next(self) -> Message:
        paced = self._started_at + BODY_START_S + self.n_bytes / BODY_BYTES_PER_S
        with suppress(TimeoutError):
            async with asyncio.timeout(min(paced, self.deadline) - time.monotonic()):
                return await self._receive()
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT, f"The body came too slowly: {self.n_bytes:,} bytes of it are here."
        )

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end()

    def _end(self) -> None:
        self.client_gone = True
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())


def has_body(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers has a body."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def check_length(headers: Mapping[str, str], max_bytes: int) -> None:
    """Raise TooLarge if a request says of its body that it is."""
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(int(declared), max_bytes)


def _too_large(actual: int, limit: int) -> TooLarge:
    return TooLarge(
        f"The body has {actual:,} bytes or more; {limit:,} are allowed: send fewer or smaller pictures at once.",
        actual=actual,
        limit=limit,
    )
