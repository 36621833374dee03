"""Clients that misbehave on the wire: they say too little, too slowly, too much, or go away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.faults.service.stream import Stream, data_uri
from tests.pictures import noise

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

Attack = Callable[[str, Stream], Awaitable[None]]
"""Something done to the service at a base URL while a stream of good requests runs."""

REQUESTS_BESIDE = 40
"""How many good requests an attack goes on for."""


@asynccontextmanager
async def connected(base_url: str, n: int = 1) -> AsyncIterator[list[Connection]]:
    """So many open connections."""
    parts = urlsplit(base_url)
    pairs = await asyncio.gather(*(asyncio.open_connection(parts.hostname, parts.port) for _ in range(n)))
    try:
        yield list(pairs)
    finally:
        for _, writer in pairs:
            writer.transport.abort()


def head(path: str, *headers: str, method: str = "POST") -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def body() -> bytes:
    """The body of a good request for a picture."""
    fields = {"input": [data_uri(noise(99))], "model": "tiny", "modality": "image"}
    return json.dumps(fields).encode()


async def half_heads(base_url: str, stream: Stream) -> None:
    """A hundred connections that never finish the head of their request."""
    async with connected(base_url, 100) as pairs:
        for _, writer in pairs:
            writer.write(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        await stream.more(REQUESTS_BESIDE)


async def dripping_heads(base_url: str, stream: Stream) -> None:
    """Fifty connections that send a byte of their head at a time, for ever."""
    async with connected(base_url, 50) as pairs:
        for n in range(REQUESTS_BESIDE):
            for _, writer in pairs:
                with suppress(ConnectionError):
                    writer.write(b"GET /healthz HTTP/1.1\r\nX-Slow: " + b"a" * 1_000 if n == 0 else b"a")
            await stream.more(1)


async def half_bodies(base_url: str, stream: Stream) -> None:
    """A hundred requests of whose body one half arrives."""
    data = body()
    async with connected(base_url, 100) as pairs:
        for _, writer in pairs:
            writer.write(head("/v1/embeddings", "Content-Type: application/json", f"Content-Length: {len(data)}"))
            writer.write(data[: len(data) // 2])
        await stream.more(REQUESTS_BESIDE)


async def dripping_bodies(base_url: str, stream: Stream) -> None:
    """Fifty bodies that arrive a byte at a time."""
    data = body()
    async with connected(base_url, 50) as pairs:
        for _, writer in pairs:
            writer.write(head("/v1/embeddings", "Content-Type: application/json", f"Content-Length: {len(data)}"))
        for n in range(REQUESTS_BESIDE):
            for _, writer in pairs:
                with suppress(ConnectionError):
                    writer.write(data[n : n + 1])
            await stream.more(1)


async def endless_chunks(base_url: str, stream: Stream) -> None:
    """A chunked body without an end."""
    async with connected(base_url, 4) as pairs:
        for _, writer in pairs:
            writer.write(head("/v1/embeddings", "Content-Type: application/json", "Transfer-Encoding: chunked"))
        for _ in range(REQUESTS_BESIDE):
            for _, writer in pairs:
                with suppress(ConnectionError):
                    writer.write(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
                    async with asyncio.timeout(0.2):
                        await writer.drain()
            await stream.more(1)


async def too_much(base_url: str, stream: Stream) -> None:
    """A body that is announced with a terabyte."""
    async with connected(base_url, 4) as pairs:
        for _, writer in pairs:
            writer.write(head("/v1/embeddings", "Content-Type: application/json", f"Content-Length: {10**12}"))
            writer.write(b"{" * 100_000)
        await stream.more(REQUESTS_BESIDE)


async def gone_at_once(base_url: str, stream: Stream) -> None:
    """Two hundred clients that send a whole request and are gone."""
    data = body()
    request = head("/v1/embeddings", "Content-Type: application/json", f"Content-Length: {len(data)}") + data
    for _ in range(20):
        async with connected(base_url, 10) as pairs:
            for _, writer in pairs:
                writer.write(request)
                await writer.drain()
        await stream.more(1)


async def never_reading(base_url: str, stream: Stream) -> None:
    """Clients that ask for large answers and read none."""
    data = json.dumps(
        {"input": [f"word {n}" for n in range(200)], "model": "tiny", "encoding_format": "float"}
    ).encode()
    request = head("/v1/embeddings", "Content-Type: application/json", f"Content-Length: {len(data)}") + data
    async with connected(base_url, 8) as pairs:
        for _, writer in pairs:
            with suppress(ConnectionError, TimeoutError):
                writer.write(request * 10)
                async with asyncio.timeout(1):
                    await writer.drain()
        await stream.more(REQUESTS_BESIDE)


async def garbage(base_url: str, stream: Stream) -> None:
    """Bytes that are no HTTP."""
    for junk in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0" * 1_000,
        b"GET\r\n\r\n",
        b"\xff" * 70_000,
        b"PRI * HTTP/2.0\r\n\r\n",
    ):
        async with connected(base_url, 10) as pairs:
            for _, writer in pairs:
                with suppress(ConnectionError):
                    writer.write(junk)
                    await writer.drain()
            await stream.more(5)


async def large_heads(base_url: str, stream: Stream) -> None:
    """Heads of ten megabytes."""
    async with connected(base_url, 4) as pairs:
        for _, writer in pairs:
            with suppress(ConnectionError, TimeoutError):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-Large: " + b"a" * 10_000_000)
                async with asyncio.timeout(2):
                    await writer.drain()
        await stream.more(REQUESTS_BESIDE)


async def wrong_lengths(base_url: str, stream: Stream) -> None:
    """Lengths that lie: negative, doubled, two that differ, and a body that goes on after its end."""
    data = body()
    for length in ("-5", "5, 6", "99999999999999999999999", "3"):
        request = head("/v1/embeddings", "Content-Type: application/json", f"Content-Length: {length}") + data
        async with connected(base_url, 5) as pairs:
            for _, writer in pairs:
                with suppress(ConnectionError):
                    writer.write(request)
                    await writer.drain()
            await stream.more(5)


async def idle_connections(base_url: str, stream: Stream) -> None:
    """Four hundred connections on which nothing is said."""
    async with connected(base_url, 400):
        await stream.more(REQUESTS_BESIDE)


async def pipelined(base_url: str, stream: Stream) -> None:
    """A thousand requests in one write, on each of four connections."""
    request = head("/healthz", method="GET")
    async with connected(base_url, 4) as pairs:
        for _, writer in pairs:
            writer.write(request * 1_000)
        await stream.more(REQUESTS_BESIDE)


async def waiting_for_continue(base_url: str, stream: Stream) -> None:
    """Clients that wait for "100 Continue" and then send nothing."""
    async with connected(base_url, 50) as pairs:
        for _, writer in pairs:
            headers = ("Content-Type: application/json", "Content-Length: 1000", "Expect: 100-continue")
            writer.write(head("/v1/embeddings", *headers))
        await stream.more(REQUESTS_BESIDE)


ATTACKS: dict[str, Attack] = {
    "100 half heads": half_heads,
    "50 heads, a byte at a time": dripping_heads,
    "100 half bodies": half_bodies,
    "50 bodies, a byte at a time": dripping_bodies,
    "body without an end": endless_chunks,
    "body of a terabyte announced": too_much,
    "200 clients gone after asking": gone_at_once,
    "answers that nobody reads": never_reading,
    "bytes that are no HTTP": garbage,
    "heads of 10 MB": large_heads,
    "lengths that lie": wrong_lengths,
    "400 idle connections": idle_connections,
    "4,000 pipelined requests": pipelined,
    "waiting for 100 Continue": waiting_for_continue,
}
"""By name."""
