"""A service on loopback, with real sockets, that speaks lookalike's language until it is told to misbehave."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

SPACE = "tiny-4@0123456789ab"
VECTOR = [0.5, 0.5, -0.5, 0.5]

Fault = Callable[["_Handler"], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived: its headers have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class Service:
    """`with Service() as service:`.

    Attributes:
        space: What it says its vectors belong to.
        faults: What becomes of the next requests, one each; then all is well.
        seen: Every request.
        released: Set it to end a silence.
        tls: A file with its certificate and key; None for plain HTTP.
    """

    space: str = SPACE
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    tls: Path | None = None

    def __enter__(self) -> Service:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        if self.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.service = self  # type: ignore[attr-defined]  # how a handler finds it
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
        pass

    @property
    def service(self) -> Service:
        return self.server.service  # type: ignore[attr-defined]  # set by Service

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw else {}
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.service.seen.append(Seen(self.command, self.path, headers, body))
        try:
            if self.service.faults:
                self.service.faults.pop(0)(self)
            else:
                self.answer(well_said(self.path, body, self.service.space))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has given up: what some tests are about

    def answer(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def well_said(path: str, body: Any, space: str = SPACE) -> dict[str, Any]:
    """The right answer to a request; a text's first character decides its vector, "bad" has none."""
    said = {"dimensions": len(VECTOR), "space": space, "model": "tiny"}
    if path.startswith("/search"):
        item = {"id": "a b/c", "content": "0" * 64, "project": "default", "uri": "a.jpg", "metadata": {"colour": "red"}}
        return {**said, "hits": [{"item": item, "similarity": 0.3, "confidence": 0.9}], "considered": 7, "warnings": []}
    if "text" in body or "image" in body:
        return {**said, "embedding": packed(vector_of(body.get("text", "")))}
    inputs = body.get("texts") or [base64.b64decode(image).decode() for image in body.get("images", ())]
    bad = [index for index, value in enumerate(inputs) if value == "bad"]
    named = "texts" if "texts" in body else "images"
    return {
        **said,
        "embeddings": [None if value == "bad" else packed(vector_of(value)) for value in inputs],
        "errors": [
            {"index": i, "type": "ImageError", "message": f"{named}[{i}]: is bad.", "item": f"{named}[{i}]"}
            for i in bad
        ],
        "warnings": [{"index": i, "message": f"texts[{i}]: was cut."} for i, v in enumerate(inputs) if v == "long"],
    }


def vector_of(text: str) -> list[float]:
    """A unit vector of four numbers that tells the first characters apart."""
    angle = float(ord((text or " ")[0]))
    return [float(np.cos(angle)), float(np.sin(angle)), 0.0, 0.0]


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def says(content: Any, status: int = 200, **headers: str) -> Fault:
    """Answers with this, whatever was asked."""
    return lambda handler: handler.answer(content, status, {n.replace("_", "-"): v for n, v in headers.items()})


def refuses(kind: str, status: int, *, retryable: bool = False, **headers: str) -> Fault:
    """Answers with an error of the service."""
    said = {"type": kind, "message": "No.", "retryable": retryable, "request_id": "r-1"}
    return says({"error": said}, status, **headers)


def silence(handler: _Handler) -> None:
    """Says nothing until released."""
    handler.service.released.wait(timeout=20)
    handler.close_connection = True


def half(handler: _Handler) -> None:
    """Closes the connection in the middle of the body."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    handler.wfile.flush()
    handler.close_connection = True


def reset(handler: _Handler) -> None:
    """Breaks the connection rudely."""
    # No lingering: the peer gets an RST.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.shutdown(socket.SHUT_RD)
    handler.close_connection = True


def drip(start: bytes) -> Fault:
    """Sends this and then a byte from time to time, for as long as somebody reads."""

    def fault(handler: _Handler) -> None:
        handler.wfile.write(start)
        while not handler.service.released.wait(timeout=0.02):
            handler.wfile.write(b"x")
            handler.wfile.flush()
        handler.close_connection = True

    return fault
