"""One case: a fault beside a stream of good requests, and what is to hold afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx2
import numpy as np
from numpy.typing import NDArray

from tests.faults.service.stream import DEADLINE_S, Deaf, Good, Stream, Tally
from tests.faults.service.target import Target

READY_WITHIN_S = 5.0
"""How soon after a fault the service is to be ready, and to say so."""

MEMORY_GROWTH = 1.10
"""How much more memory than before may be in use when a fault is over."""

Act = Callable[[Target, Stream], Awaitable[str]]
"""Does the harm while the stream runs; says in a few words what came of it."""

Expected = dict[Good, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Case:
    """A fault.

    Attributes:
        name: What happens.
        act: Makes it happen.
        fits_all: True if it needs nothing but HTTP, so that other servers can be put to it as well.
    """

    name: str
    act: Act
    fits_all: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a server came through a case.

    Attributes:
        case: Its name.
        tally: What became of the good requests.
        note: What came of the harm itself.
        recovered_s: Seconds from the end of the harm until it was ready; None if it was not in time.
        memory_ratio: Its memory afterwards, of what it was before.
    """

    case: str
    tally: Tally
    note: str
    recovered_s: float | None
    memory_ratio: float

    @property
    def is_good(self) -> bool:
        """Whether the rule held."""
        return self.tally.is_clean and self.recovered_s is not None and self.memory_ratio <= MEMORY_GROWTH


async def run(case: Case, target: Target, expected: Expected) -> Outcome:
    """Put a ready server to a case."""
    await target.until_whole(30)
    # Workers that have just been replaced have done nothing yet: they are not what the service is at rest.
    memory_before = max(target.memory_bytes(), target.calm_bytes)
    note = ""
    async with Stream(target.base_url, target.model, expected) as stream:
        with suppress(Deaf):
            note = await case.act(target, stream)
            await stream.more(8)
    recovered_s = None
    with suppress(TimeoutError):
        recovered_s = await target.until_ready(READY_WITHIN_S)
    return Outcome(case.name, stream.tally, note, recovered_s, await _settled(target, memory_before))


async def _settled(target: Target, memory_before: int) -> float:
    """How much memory is in use, once it has come down or has had the time to."""
    end = time.monotonic() + READY_WITHIN_S
    ratio = target.memory_bytes() / memory_before
    while ratio > MEMORY_GROWTH and time.monotonic() < end:
        await asyncio.sleep(0.1)
        ratio = target.memory_bytes() / memory_before
    return ratio


def posting(make: Callable[[], bytes]) -> Act:
    """Post a body to /v1/embeddings eight times at once, twice."""

    async def act(target: Target, stream: Stream) -> str:
        body = make()
        answers: set[str] = set()
        async with httpx2.AsyncClient(trust_env=False, timeout=DEADLINE_S + 1) as client:
            for _ in range(2):
                answers |= set(await asyncio.gather(*(_post(client, target, body) for _ in range(8))))
                await stream.more(2)
        return ", ".join(sorted(answers))

    return act


async def _post(client: httpx2.AsyncClient, target: Target, body: bytes) -> str:
    headers = {"Content-Type": "application/json", "X-Request-Timeout": str(DEADLINE_S)}
    try:
        return str((await client.post(f"{target.base_url}/v1/embeddings", content=body, headers=headers)).status_code)
    except httpx2.TimeoutException:
        return "no answer"
    except httpx2.HTTPError:
        return "connection lost"
