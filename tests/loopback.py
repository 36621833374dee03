"""Web servers on this machine, with real sockets: what those of the tests have in common."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE_S = 20.0
"""How long a server holds a client up before the test has failed anyhow."""


class LoopbackServer:
    """`with SomeServer() as server:`; one thread for each connection.

    Args:
        handler: What answers.
        tls: A file with a certificate and its key; None for plain HTTP.

    Attributes:
        released: Set it to end what holds clients up; the end of the server sets it.
    """

    def __init__(self, handler: type[LoopbackHandler], *, tls: Path | None = None) -> None:
        self.handler = handler
        self.tls = tls
        self.released = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), self.handler)
        if self.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    owner: LoopbackServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up between two requests is nothing to report.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class LoopbackHandler(BaseHTTPRequestHandler):
    """One connection; a subclass says what `respond` does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the body follows the headers at once, not after the client's acknowledgement
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
        pass

    @property
    def owner(self) -> Any:
        """The server that it belongs to."""
        return self.server.owner

    def respond(self) -> None:
        """Answer the request whose line and headers were read."""
        raise NotImplementedError

    def do_GET(self) -> None:
        try:
            self.respond()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has given up: what some tests are about

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    @property
    def named_headers(self) -> dict[str, str]:
        """The request's headers, with lower-case names."""
        return {name.lower(): value for name, value in self.headers.items()}

    def body(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send bytes as they are, or a value as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hold(self) -> None:
        """Say nothing until released."""
        self.owner.released.wait(timeout=PATIENCE_S)
        self.close_connection = True

    def break_off(self) -> None:
        """Send half an answer, and close."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        self.wfile.flush()
        self.close_connection = True

    def reset(self) -> None:
        """Break the connection rudely."""
        # No lingering: the peer gets an RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.close_connection = True

    def drip(self, start: bytes) -> None:
        """Send this and then a byte from time to time, for as long as somebody reads."""
        self.wfile.write(start)
        while not self.owner.released.wait(timeout=0.02):
            self.wfile.write(b"x")
            self.wfile.flush()
        self.close_connection = True
