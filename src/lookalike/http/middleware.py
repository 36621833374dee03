"""What happens to every request, whatever its route: its id, its limits, its deadline, its line in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike import memory
from lookalike.errors import DeadlineExceeded, LookalikeError, NotReady, Overloaded, TooLarge
from lookalike.http.context import Context
from lookalike.http.deadlines import HEADER, timeout_s
from lookalike.http.logs import REQUEST_ID
from lookalike.http.problems import problem

ALWAYS_REACHABLE = frozenset({"/healthz", "/readyz", "/metrics", "/stats"})
"""Answered even where everything else is refused: whoever watches must see why."""

GRACE_S = 0.5
"""Whatever a route does, its request ends this long after its deadline."""

BODY_START_S, BODY_BYTES_PER_S = 10.0, 1_000
"""A body may take so long, and a second longer for so many bytes that came (as Apache's mod_reqtimeout has it)."""

BODIES_IN_MEMORY = 8
"""Bodies of the largest size that are held at the same time, by all requests together."""

TRIM_AFTER_BYTES, TRIM_AFTER_S = 8 << 20, 1.0
"""When so many bytes of bodies came and went, and none is held, freed memory is given back so many seconds later."""

CLIENT_GONE = 499
"""What the log calls a request whose client did not wait for the answer (nginx's number; it is never sent)."""

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_log = logging.getLogger("lookalike.request")


def add_middleware(app: FastAPI, context: Context) -> None:
    """Put the middleware around an app. What is added last is outermost."""
    app.add_middleware(Limits, context=context)
    if context.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=context.settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", HEADER, "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(Envelope, context=context)


class Envelope:
    """Gives a request its id, an answer its common headers, and both a line in the log and a place in the figures."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked_for = Headers(scope=scope).get("x-request-id", "")
        request_id = asked_for if _SANE_ID.fullmatch(asked_for) else uuid.uuid4().hex
        REQUEST_ID.set(request_id)  # each request has a task of its own, and thereby a context
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(receive, send, request_id)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BaseException:
            exchange.status = exchange.status or HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            self._record(scope, exchange)

    def _record(self, scope: Scope, exchange: _Exchange) -> None:
        seconds = time.monotonic() - exchange.started_at
        route = getattr(scope.get("route"), "path", "") or "unmatched"
        status = exchange.status or CLIENT_GONE
        self._context.metrics.request(route=route, method=scope["method"], status=status, seconds=seconds)
        facts = {
            "id": exchange.request_id,
            "method": scope["method"],
            "route": route,
            "status": int(status),
            "duration_ms": round(seconds * 1e3, 2),
            "caller": scope["state"].get("caller", ""),
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
        }
        _log.info("request", extra={"facts": facts})


class _Exchange:
    """One request and its answer, as they pass by."""

    def __init__(self, receive: Receive, send: Send, request_id: str) -> None:
        self._receive = receive
        self._send = send
        self._headers = {**_SECURITY_HEADERS, "X-Request-ID": request_id}
        self.request_id = request_id
        self.started_at = time.monotonic()
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.bytes_in += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        self.bytes_out += len(message.get("body", b""))
        await self._send(message)


class Limits:
    """Refuses what is too much, and ends what takes too long or whose client has gone."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._settings = context.settings
        self._stopping = context.stopping
        self._load = Load(context.settings.max_requests, BODIES_IN_MEMORY * context.settings.max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            seconds = timeout_s(headers.get(HEADER), self._settings)
            _check_length(headers, self._settings.max_body_bytes)
            self._load.enter(always=scope["path"] in ALWAYS_REACHABLE)
        except LookalikeError as error:
            await _refuse(error, scope, receive, send)
            return
        body = Body(receive, self._load, max_bytes=self._settings.max_body_bytes, timeout_s=seconds)
        try:
            await self._run(scope, body, send)
        finally:
            body.close()
            self._load.leave(body.n_bytes)

    async def _run(self, scope: Scope, body: Body, send: Send) -> None:
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        scope["state"]["deadline"] = body.deadline
        try:
            async with asyncio.timeout(body.timeout_s + GRACE_S) as limit:
                await body.begin(limit, has_body=_has_body(Headers(scope=scope)))
                await self._app(scope, body.receive, sending)
        except TimeoutError:
            if body.client_gone:
                return
            if started:  # part of an answer is on its way: only closing the connection says that it is not whole
                raise
            late = DeadlineExceeded(f"There was no answer within {body.timeout_s:g} s.")
            await _refuse(late, scope, body.receive, send)
        except asyncio.CancelledError:
            if started or not self._stopping.is_set():
                raise
            stopped = NotReady("The service was stopped before this was answered: send it again.")
            await _refuse(stopped, scope, body.receive, send)


class Load:
    """What the service has accepted and not answered yet. Used from the event loop alone."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._requests = 0
        self._bytes = 0
        self._bytes_passed = 0
        self._trimming: asyncio.TimerHandle | None = None

    def enter(self, *, always: bool) -> None:
        """Count a request in; refused with Overloaded if there are too many, unless it is always let in."""
        if self._requests >= self._max_requests and not always:
            raise Overloaded(f"{self._requests:,} requests are being answered: ask again shortly.", retry_after_s=1)
        self._requests += 1

    def add(self, n_bytes: int) -> None:
        """Count bytes of a body in; refused with Overloaded if too many are held."""
        if self._bytes + n_bytes > self._max_bytes:
            raise Overloaded("The bodies of other requests fill the service's memory.", retry_after_s=1)
        self._bytes += n_bytes

    def leave(self, n_bytes: int) -> None:
        """Count a request and the bytes of its body out."""
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
        n_bytes: What came so far.
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
        self._load.add(len(body))
        self.n_bytes += len(body)
        if message["type"] == "http.disconnect":
            self._end()
            await asyncio.get_running_loop().create_future()  # never: nobody wants half a body, the request is over
        elif not message.get("more_body", False):
            self._watching = asyncio.create_task(self._watch())
        return message

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


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _check_length(headers: Mapping[str, str], max_bytes: int) -> None:
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(int(declared), max_bytes)


def _too_large(actual: int, limit: int) -> TooLarge:
    return TooLarge(
        f"The body has {actual:,} bytes or more; {limit:,} are allowed: send fewer or smaller pictures at once.",
        actual=actual,
        limit=limit,
    )


async def _refuse(error: LookalikeError, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem(error, path=scope["path"], request_id=scope["state"]["request_id"])
    await response(scope, receive, send)
