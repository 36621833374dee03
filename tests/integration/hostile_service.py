"""A service on loopback, with real sockets, that speaks lookalike's language until it is told to misbehave."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.loopback import LoopbackHandler, LoopbackServer

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


class Service(LoopbackServer):
    """`with Service() as service:`.

    Attributes:
        space: What it says its vectors belong to.
        faults: What becomes of the next requests, one each; then all is well.
        seen: Every request.
    """

    def __init__(self, *, faults: Sequence[Fault] = (), tls: Path | None = None) -> None:
        super().__init__(_Handler, tls=tls)
        self.space = SPACE
        self.faults = list(faults)
        self.seen: list[Seen] = []


class _Handler(LoopbackHandler):
    @property
    def service(self) -> Service:
        return self.owner

    def respond(self) -> None:
        raw = self.body()
        is_raw = self.named_headers.get("content-type") == "application/octet-stream"
        body = raw if is_raw else json.loads(raw) if raw else {}
        self.service.seen.append(Seen(self.command, self.path, self.named_headers, body))
        if self.service.faults:
            self.service.faults.pop(0)(self)
        else:
            self.answer(well_said(self.path, body, self.service.space))


def well_said(path: str, body: Any, space: str = SPACE) -> dict[str, Any]:
    """The right answer to a request; a text's first character decides its vector, "bad" has none."""
    said = {"dimensions": len(VECTOR), "space": space, "model": "tiny"}
    if path.startswith("/search"):
        item = {"id": "a b/c", "content": "0" * 64, "project": "default", "uri": "a.jpg", "metadata": {"colour": "red"}}
        return {**said, "hits": [{"item": item, "similarity": 0.3, "confidence": 0.9}], "considered": 7, "warnings": []}
    if isinstance(body, bytes):
        return {**said, "embedding": vector_of(chr(body[0]))}
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
    handler.hold()


def half(handler: _Handler) -> None:
    """Closes the connection in the middle of the body."""
    handler.break_off()


def reset(handler: _Handler) -> None:
    """Breaks the connection rudely."""
    handler.reset()


def drip(start: bytes) -> Fault:
    """Sends this and then a byte from time to time, for as long as somebody reads."""
    return lambda handler: handler.drip(start)
