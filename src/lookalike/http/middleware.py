"""What happens to every request, whatever its route: its id, its limits, its deadline, its line in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.errors import DeadlineExceeded, LookalikeError, NotReady
from lookalike.http.body import BODY_BYTES_PER_S, Body, Load, check_length, has_body
from lookalike.http.context import Context
from lookalike.http.current import Current, Lending
from lookalike.http.deadlines import HEADER, timeout_s
from lookalike.http.logs import REQUEST_ID
from lookalike.http.problems import DEFECT, problem

ALWAYS_REACHABLE = frozenset({"/healthz", "/readyz", "/metrics", "/stats"})
"""Answered even where everything else is refused: whoever watches must see why."""

GRACE_S = 0.5
"""Whatever a route does, its request ends this long after its deadline."""

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


def add_middleware(app: FastAPI, current: Current) -> None:
    """Put the middleware around an app. What is added last is outermost."""
    context = current.context  # of which they use what no other one changes
    app.add_middleware(Lending, current=current)
    app.add_middleware(Limits, context=context)
    if context.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=context.settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            # The origins are the wall: no browser adds a credential of its own here, so a header is what a page of
            # theirs wrote. Clients have many (openai's some ten X-Stainless-..., others with every release).
            allow_headers=["*"],
            expose_headers=["*"],
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
        except Exception:
            if not exchange.status:
                await _defect(scope, exchange)
            raise  # the server logs it with its traceback
        finally:
            self._record(scope, exchange)

    def _record(self, scope: Scope, exchange: _Exchange) -> None:
        seconds = time.monotonic() - exchange.started_at
        route = getattr(scope.get("route"), "path_format", "") or "unmatched"
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
        self._load = Load(context.settings.max_requests, context.settings.max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            seconds = timeout_s(headers.get(HEADER), self._settings)
            check_length(headers, self._settings.max_body_bytes)
            crowded = scope["state"].get("crowded", False)  # says `protocol`
            self._load.enter(crowded=crowded, always=scope["path"] in ALWAYS_REACHABLE)
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
            if message.get("more_body") and not body.client_gone and not limit.expired():
                # The deadline is for the answer's beginning; what follows may take as long as a body of its size.
                limit.reschedule((limit.when() or 0.0) + len(message["body"]) / BODY_BYTES_PER_S)

        scope["state"]["deadline"], scope["state"]["hold"] = body.deadline, body.hold
        try:
            async with asyncio.timeout(body.timeout_s + GRACE_S) as limit:
                await body.begin(limit, has_body=has_body(Headers(scope=scope)))
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


async def _refuse(error: LookalikeError, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem(error, path=scope["path"], request_id=scope["state"]["request_id"])
    await response(scope, receive, send)


async def _defect(scope: Scope, exchange: _Exchange) -> None:
    # uvicorn closes the connection after a defect, and would not say so.
    headers = {"Connection": "close"}
    response = problem(DEFECT, path=scope["path"], request_id=exchange.request_id, headers=headers)
    await response(scope, exchange.receive, exchange.send)
