"""uvicorn's HTTP/1.1 on httptools, with an end to every wait that a client could stretch for ever.

uvicorn waits without limit for a request's head, for the rest of a body that was answered before it was whole, and for
a client to take its answer; and httptools keeps a head of any length. Bodies that are read, and the answering itself,
have their limits in `middleware`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httptools
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from lookalike.http.connections import Connections

HEAD_S = 10.0
"""A connection that has not sent a whole head by then is closed: slow-loris."""

LEFTOVER_S = 5.0
"""How long the rest of a body that nobody reads is let in, so that the client gets to see its answer."""

UNTAKEN_S = 30.0
"""An answer of which the client takes nothing for so long is given up."""

LAST_HEAD_S = 0.3
"""When stopping, a request that may be on its way is waited for: a connection that was just made or is kept alive."""

MAX_HEAD_BYTES = 32 << 10


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        args: What uvicorn makes a connection from.
        kwargs: The same.
        connections: All that are open.
    """

    def __init__(self, *args: Any, connections: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all = connections
        self._patience: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None
        self._between_heads = True  # no head, or not all of it
        self._head_bytes = 0
        self._stopping = False
        self._answering: RequestResponseCycle | None = None

    # What uvicorn and asyncio call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._all.made(self)
        self._wait(HEAD_S)
        if self._all.is_closing:  # it was being taken when the others were told
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every clock."""
        self._all.lost(self)
        self._wait(None)
        self._watch_untaken(False)
        if self._answering is not None and not self._answering.response_complete:
            # uvicorn tells the last request that came, which with pipelining is not the one being answered.
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head that is not whole, and those between and behind the chunks of a body."""
        self._head_bytes += len(data)
        if self._between_heads and self._patience is None:
            self._wait(HEAD_S)
            self._mark_idle()
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._close_with(431, _HEAD_TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. What comes behind a body in chunks is none, whatever it is called (RFC 9110, 6.5.1)."""
        if self._between_heads:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take some of the body."""
        self._head_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Stop waiting for the head, and see that it is not too large."""
        if self._wants_upgrade():
            return
        self._wait(None)
        self._between_heads = False
        self._head_bytes = 0
        self._all.busy(self)
        crowded = self._all.is_crowded
        self.scope["state"]["crowded"] = crowded
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self.app = _refusing(431, _HEAD_TOO_LARGE)
        elif self.parser.get_http_version() == "1.1" and [name for name, _ in self.headers].count(b"host") != 1:
            self.app = _refusing(400, "A request has one Host header.")
        super().on_headers_complete()
        if self._stopping or crowded:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._wants_upgrade():
            return
        super().on_message_complete()
        self._between_heads = True
        self._head_bytes = 0
        if self.cycle.response_complete:  # it was answered before: now the connection can be used again
            self._wait(self.timeout_keep_alive)
            self._mark_idle()

    def on_response_complete(self) -> None:
        """The answer is written, if not yet taken."""
        super().on_response_complete()
        if self._between_heads:
            self._mark_idle()
        else:
            self._wait(LEFTOVER_S)
        if self.transport.get_write_buffer_size():
            self._watch_untaken(True)

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        super().pause_writing()
        self._watch_untaken(True)

    def resume_writing(self) -> None:
        """The client has taken something."""
        super().resume_writing()
        self._watch_untaken(False)

    def shutdown(self) -> None:
        """Finish what is being answered; wait a moment for a request that may be on its way; then close."""
        self._stopping = True
        if self.cycle is None or self.cycle.response_complete:
            self._wait(LAST_HEAD_S)
        else:
            self.cycle.keep_alive = False

    def timeout_keep_alive_handler(self) -> None:
        """Nobody has used the connection; what the client has still not taken goes with it."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._close_with(400, msg)

    # What the other connections ask

    def make_room(self) -> bool:
        """Close a connection that waits for a request; False if its client has not taken the last answer yet."""
        if self.transport.get_write_buffer_size():
            return False
        if self._head_bytes:
            self._close_with(503, "The service has too many connections to wait for the rest of this request.")
        self.transport.close()
        return True

    def _mark_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._all.idle(self)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # The parser takes what follows for another protocol: the body would be the next request.
                data = self._without_upgrade() + data[upgrade.args[0] :] if self._wants_upgrade() else b""
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return

    def _wants_upgrade(self) -> bool:
        """Whether a request offers to go on as another protocol, as curl and Java do for HTTP/2."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _without_upgrade(self) -> bytes:
        """The head again without that offer, which a server may ignore (RFC 9110, 7.8), for a new parser."""
        first = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = [b"%s: %s" % (name, value) for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return b"\r\n".join([first, *headers, b"", b""])

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    # The clocks

    def _wait(self, seconds: float | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = None if seconds is None else self.loop.call_later(seconds, self._out_of_patience)

    def _out_of_patience(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait(HEAD_S)  # part of a next request waits behind one that is being answered
        elif self._between_heads and self._head_bytes and not self._stopping:
            self._close_with(408, f"The head of the request was not whole within {HEAD_S:g} s.")
        else:
            self.transport.close()

    def _watch_untaken(self, on: bool) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
        self._untaken = self.loop.call_later(UNTAKEN_S, self._give_up_untaken) if on else None

    def _give_up_untaken(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _close_with(self, status: int, message: str) -> None:
        """Answer, on a connection that is of no further use, what has no request to be answered as."""
        if self.transport.is_closing():
            return
        if self._is_next_to_answer():
            body = _body(status, message)
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        if self.cycle is not None:
            self.cycle.disconnected = True  # what it would still have said comes to nobody
            self.cycle.message_event.set()
        self.transport.close()

    def _is_next_to_answer(self) -> bool:
        """Whether an answer written now is that to the bytes that come in: not a second one, nor another request's."""
        if self.cycle is None or self.cycle.response_complete:  # perhaps before its own body was whole
            return self._between_heads or self.cycle is None or not self.cycle.more_body
        return not self._between_heads and self._answering is self.cycle and not self.cycle.response_started


_HEAD_TOO_LARGE = f"The head of the request has more than {MAX_HEAD_BYTES:,} bytes: send fewer or shorter headers."
_NAMES = {400: "BadRequest", 408: "RequestTimeout", 431: "RequestHeaderFieldsTooLarge", 503: "Overloaded"}


def _body(status: int, message: str) -> bytes:
    return json.dumps(
        {"error": {"type": _NAMES[status], "message": message, "retryable": status in {408, 503}}}
    ).encode()


def _refusing(status: int, message: str) -> ASGIApp:
    """An application that answers every request so, and closes the connection."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
        body = _body(status, message)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer
