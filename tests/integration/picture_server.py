"""A web server on loopback that answers each path as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

Behaviour = Callable[["Handler"], None]


@dataclass
class PictureServer:
    """`with PictureServer(behaviours) as server:`.

    Attributes:
        behaviours: By path, without the query.
        seen: The headers of every request, by path and query.
        released: Set when the server ends; a behaviour that holds a client up waits for it.
    """

    behaviours: Mapping[str, Behaviour]
    seen: dict[str, Message] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> PictureServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.pictures = self  # type: ignore[attr-defined]  # how a handler finds it
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


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
        pass

    @property
    def pictures(self) -> PictureServer:
        return self.server.pictures  # type: ignore[attr-defined]  # set by PictureServer

    def do_GET(self) -> None:
        self.pictures.seen[self.path] = self.headers
        with suppress(BrokenPipeError, ConnectionResetError):  # the client had enough
            self.pictures.behaviours[self.path.split("?")[0]](self)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
