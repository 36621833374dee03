"""Load for a server on this machine: a lean HTTP client, requests at equal concurrency or at random moments.

The client shares the cores with the server, so it does as little as it can: prepared bytes out, status and length in.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True, slots=True)
class Figures:
    """What a load saw.

    Attributes:
        per_s: Answers a second.
        latencies_ms: Of each, sorted.
        failures: Answers that were no 200, and requests without an answer.
    """

    per_s: float
    latencies_ms: list[float]
    failures: int

    def percentile_ms(self, share: float) -> float:
        """The latency that this share of the requests stayed below."""
        return self.latencies_ms[min(len(self.latencies_ms) - 1, int(len(self.latencies_ms) * share))]


def request(path: str, body: bytes, content_type: str) -> bytes:
    """The bytes of a POST."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def closed(port: int, requests: Sequence[bytes], *, concurrency: int, seconds: float) -> Figures:
    """So many clients, each with one request under way at any time."""
    numbers = count()
    latencies_ms: list[float] = []
    failures = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal failures
        async with _Connection(port) as connection:
            while time.perf_counter() < end:
                began = time.perf_counter()
                status = await connection.ask(requests[next(numbers) % len(requests)])
                latencies_ms.append((time.perf_counter() - began) * 1e3)
                failures += status != 200

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    elapsed_s = time.perf_counter() - began
    return Figures((len(latencies_ms) - failures) / elapsed_s, sorted(latencies_ms), failures)


async def arriving(port: int, requests: Sequence[bytes], *, per_s: float, seconds: float) -> Figures:
    """Requests at random moments (a Poisson process), whether or not the earlier ones have been answered."""
    random.seed(0)
    idle: list[_Connection] = []
    latencies_ms: list[float] = []
    failures = 0

    async def one(data: bytes) -> None:
        nonlocal failures
        began = time.perf_counter()
        connection = idle.pop() if idle else await _Connection(port).__aenter__()
        failures += await connection.ask(data) != 200
        latencies_ms.append((time.perf_counter() - began) * 1e3)
        idle.append(connection)

    began = time.perf_counter()
    due = began
    async with asyncio.TaskGroup() as group:
        for number in count():
            due += random.expovariate(per_s)
            if due > began + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(requests[number % len(requests)]))
    for connection in idle:
        await connection.__aexit__()
    return Figures(len(latencies_ms) / seconds, sorted(latencies_ms), failures)


class _Connection:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> _Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 24)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, data: bytes) -> int:
        """The status of the answer to a request."""
        self._writer.write(data)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        await self._reader.readexactly(length)
        return int(head.split(b" ", 2)[1])
