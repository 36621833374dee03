"""A provider on loopback that speaks its wire shape until it is told to misbehave.

A provider's double is a subclass that says three things about its wire shape:

    class CohereDouble(Double):
        def inputs(self, seen):            # what the request asks about, in order: texts as str, pictures as bytes
            return seen.body["texts"]
        def success(self, seen, vectors):  # the JSON of a right answer
            return {"embeddings": {"float": vectors}, "meta": {"billed_units": {"input_tokens": 3 * len(vectors)}}}
        def error(self, status, message, code=""):  # the JSON of an error
            return {"message": message}

The vector of an input is `vector_of(content, dim)`: made of the content alone, so that a wrong order shows; the test
asks for the same and compares. What arrives is in `double.seen` (path, headers in lower case, body).

    with CohereDouble() as double:
        double.faults = [limited(retry_after="1"), broken(500), half]  # the next requests, one each; then all is well
        double.rule = poison("bad")        # what becomes of every request for which no fault is queued
        ...
        double.arrived(2)                  # wait until two requests have come
        double.released.set()              # end every `hang` and `drip`

A fault is any function of an `Exchange`; `says`, `broken`, `with_vectors`, `altered` and `without` make new ones. For a
provider's own quirks write your own in the provider's file. Nothing here sleeps: a silence ends by an event.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.loopback import PATIENCE_S, LoopbackHandler, LoopbackServer

Content = str | bytes
Fault = Callable[["Exchange"], None]

MESSAGE = "Invalid input: this cannot be embedded"
"""What a refusal says, for tests that look for the provider's own words."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived: its headers have lower-case names, its body is read as JSON (None if it is none)."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    raw: bytes


def vector_of(content: Content, dim: int) -> list[float]:
    """The unit vector of a text or of a picture's bytes."""
    data = content.encode() if isinstance(content, str) else content
    seed = int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dim)
    return [float(value) for value in vector / np.linalg.norm(vector)]


class _Handler(LoopbackHandler):
    def respond(self) -> None:
        raw = self.body()
        if len(raw) < int(self.headers.get("Content-Length", 0)):
            self.close_connection = True  # the client has given up while it sent this
            return
        seen = Seen(self.command, self.path, self.named_headers, _json(raw), raw)
        self.owner.serve(Exchange(self.owner, self, seen))


class Double(LoopbackServer):
    """One provider: see the module.

    Attributes:
        dim: Length of its vectors.
        seen: Every request, in the order in which they came.
        faults: What becomes of the next requests, one each.
        rule: What becomes of every other request; None if all is well.
        headers: Sent with every answer.
    """

    def __init__(self, *, dim: int = 8, tls: Path | None = None) -> None:
        super().__init__(_Handler, tls=tls)
        self.dim = dim
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.rule: Fault | None = None
        self.headers: dict[str, str] = {}
        self._came = threading.Condition()

    def inputs(self, seen: Seen) -> Sequence[Content]:
        """What the request asks about: texts, or the bytes of pictures, in order."""
        raise NotImplementedError

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        """The JSON of a right answer with these vectors."""
        raise NotImplementedError

    def error(self, status: int, message: str, code: str = "") -> object:
        """The JSON of an error."""
        raise NotImplementedError

    def vectors(self, seen: Seen) -> list[Any]:
        """The right vector of each input of a request."""
        return [vector_of(content, self.dim) for content in self.inputs(seen)]

    def serve(self, exchange: Exchange) -> None:
        """Answer one request as the faults and the rule have it."""
        with self._came:
            self.seen.append(exchange.seen)
            fault = self.faults.pop(0) if self.faults else self.rule
            self._came.notify_all()
        (fault or Exchange.succeed)(exchange)

    def arrived(self, n: int) -> None:
        """Wait until n requests have come; AssertionError if they do not."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.seen) >= n, timeout=PATIENCE_S), f"{len(self.seen)} came"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to a double, and the ways to answer it."""

    double: Double
    handler: LoopbackHandler
    seen: Seen

    def succeed(self, vectors: list[Any] | None = None) -> None:
        """Answer rightly; with these vectors instead of the right ones, if given."""
        found = self.double.vectors(self.seen) if vectors is None else vectors
        self.say(self.double.success(self.seen, found))

    def fail(self, status: int, message: str = MESSAGE, *, code: str = "", **headers: str) -> None:
        """Answer with an error in the provider's shape; `retry_after="1"` is the header Retry-After."""
        self.say(self.double.error(status, message, code), status, **headers)

    def say(self, content: object, status: int = 200, **headers: str) -> None:
        """Answer with bytes, or with a value as JSON."""
        self.handler.answer(content, status, {**self.double.headers, **_header_names(headers)})


def limited(**headers: str) -> Fault:
    """429; limited(retry_after="2") or with a date in place of the seconds, limited(retry_after_ms="5"), limited()."""
    return broken(429, "Rate limit reached", code="rate_limit_exceeded", **headers)


def out_of_quota(exchange: Exchange) -> None:
    """429 that no waiting helps against, as OpenAI says it."""
    exchange.fail(429, "You exceeded your current quota", code="insufficient_quota")


def broken(status: int, message: str = MESSAGE, *, code: str = "", **headers: str) -> Fault:
    """An error in the provider's shape."""
    return lambda exchange: exchange.fail(status, message, code=code, **headers)


def says(content: object, status: int = 200, **headers: str) -> Fault:
    """An answer with this, whatever was asked."""
    return lambda exchange: exchange.say(content, status, **headers)


def page(status: int = 503) -> Fault:
    """A page of HTML, as load balancers send."""
    return says(b"<html><body>upstream connect error</body></html>", status, content_type="text/html")


def redirect(to: str) -> Fault:
    """A redirect."""
    return says(b"", 307, location=to)


def huge(n_bytes: int) -> Fault:
    """An answer of so many blanks."""
    return lambda exchange: exchange.say(b" " * n_bytes)


def half(exchange: Exchange) -> None:
    """Half an answer, and the connection is closed."""
    exchange.handler.break_off()


def reset(exchange: Exchange) -> None:
    """No answer: the connection is reset."""
    exchange.handler.reset()


def hang(exchange: Exchange) -> None:
    """No answer until released, and then none."""
    exchange.handler.hold()


def held(exchange: Exchange) -> None:
    """No answer until released, and then the right one."""
    exchange.double.released.wait(timeout=PATIENCE_S)
    exchange.succeed()


def drip(exchange: Exchange) -> None:
    """A byte from time to time, for as long as somebody reads."""
    exchange.handler.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")


def with_vectors(change: Callable[[list[Any]], list[Any]]) -> Fault:
    """The right answer, but with the vectors changed."""
    return lambda exchange: exchange.succeed(change(exchange.double.vectors(exchange.seen)))


def altered(change: Callable[[Any], Any]) -> Fault:
    """The right answer, but with its JSON changed."""

    def fault(exchange: Exchange) -> None:
        right = exchange.double.success(exchange.seen, exchange.double.vectors(exchange.seen))
        exchange.say(change(right))

    return fault


def without(*fields: str) -> Fault:
    """The right answer to the request without these fields: a server that ignores what it does not know."""

    def fault(exchange: Exchange) -> None:
        body = {name: value for name, value in exchange.seen.body.items() if name not in fields}
        replace(exchange, seen=replace(exchange.seen, body=body)).succeed()

    return fault


def poison(content: Content, *, status: int = 400) -> Fault:
    """A refusal of every request with this input in it; all others are answered rightly."""

    def fault(exchange: Exchange) -> None:
        if content in exchange.double.inputs(exchange.seen):
            exchange.fail(status)
        else:
            exchange.succeed()

    return fault


def _value(value: object) -> Fault:
    """The last number of the first vector is this."""
    return with_vectors(lambda vectors: [[*vectors[0][:-1], value], *vectors[1:]])


not_a_number: Fault = _value(float("nan"))
infinite: Fault = _value(float("inf"))
null_number: Fault = _value(None)
string_number: Fault = _value("0.5")
too_few: Fault = with_vectors(lambda vectors: vectors[:-1])
too_many: Fault = with_vectors(lambda vectors: [*vectors, vectors[0]])
ragged: Fault = with_vectors(lambda vectors: [vectors[0][:-1], *vectors[1:]])
shorter: Fault = with_vectors(lambda vectors: [vector[:-1] for vector in vectors])
zeros: Fault = with_vectors(lambda vectors: [[0.0] * len(vector) for vector in vectors])
long_vectors: Fault = with_vectors(lambda vectors: [[6.9 * value for value in vector] for vector in vectors])
per_token: Fault = with_vectors(lambda vectors: [[vector] * 3 for vector in vectors])


def indexed_backwards(field: str = "data") -> Fault:
    """The right answer with its entries, which have an `index`, the other way round."""
    return altered(lambda said: {**said, field: said[field][::-1]})


def _header_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {"-".join(part.capitalize() for part in name.split("_")): value for name, value in headers.items()}


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
