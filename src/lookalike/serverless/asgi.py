"""An ASGI application without a framework: what Vercel runs, and any ASGI server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from lookalike.errors import TooLarge
from lookalike.messages import Answer, Request
from lookalike.serverless.service import Platform, Service

VERCEL = Platform("Vercel", 4_500_000)
"""4.5 MB a request or answer (vercel.com/docs/functions/limitations)."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Application:
    """ASGI 3 over a service; each request is answered in a thread.

    Args:
        service: What answers.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            answer = await self._answer(scope, receive)
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": [
                        (name.encode(), value.encode())
                        for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items()
                    ],
                }
            )
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers = _headers(scope["headers"])
        query = scope.get("query_string", b"").decode("ascii", "replace")
        client = scope.get("client")
        try:
            body = await self._body(receive)
        except TooLarge as error:
            return self._service.refuse(error)
        request = Request(scope["method"], f"{scope['path']}?{query}" if query else scope["path"], body, headers)
        address = client[0] if client else ""
        return await asyncio.to_thread(self._service.answer, request, address=address)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body; no more of it is kept than the platform lets through."""
        parts, n_bytes, has_more = [], 0, True
        while has_more:
            message = await receive()
            part = message.get("body", b"")
            n_bytes += len(part)
            self._service.require_room(n_bytes)
            parts.append(part)
            has_more = message.get("more_body", False)
        return b"".join(parts)


async def _live(receive: Receive, send: Send) -> None:
    """Start and stop: there is nothing to do for either, since everything is opened when it is needed."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


app = Application(Service(VERCEL))
