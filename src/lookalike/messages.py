"""One question over HTTP and its answer, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask: a path with its query, and a body if there is something to send. Headers may hold a key."""

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names are in lower case, the body is whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
