"""One question to the service and one answer of it, as HTTP carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask: a path with its query, and JSON if there is something to send."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names are in lower case, the body is whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
