"""A web server on loopback that answers each path as a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.message import Message

from tests.loopback import LoopbackHandler, LoopbackServer

Behaviour = Callable[["Handler"], None]


class PictureServer(LoopbackServer):
    """`with PictureServer(behaviours) as server:`.

    Attributes:
        behaviours: By path, without the query.
        seen: The headers of every request, by path and query.
    """

    def __init__(self, behaviours: Mapping[str, Behaviour]) -> None:
        super().__init__(Handler)
        self.behaviours = behaviours
        self.seen: dict[str, Message] = {}


class Handler(LoopbackHandler):
    """One connection for one request, whose answer ends where the connection does."""

    protocol_version = "HTTP/1.0"

    @property
    def pictures(self) -> PictureServer:
        return self.owner

    def respond(self) -> None:
        self.pictures.seen[self.path] = self.headers
        self.pictures.behaviours[self.path.split("?")[0]](self)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
