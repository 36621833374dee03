"""The jobs of one request: handed in together, awaited together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from lookalike.errors import LookalikeError, NotReady
from lookalike.ports import EmbeddingService
from lookalike.types import Embedded, Job

Outcome = Embedded | LookalikeError
T = TypeVar("T")

QUICK_BYTES = 256 << 10
"""What is parsed, hashed or written on the event loop itself: up to half a millisecond. More goes to a thread."""


async def off_loop(n_bytes: int, action: Callable[[], T]) -> T:
    """The result of `action`, which works on so many bytes: at once if they are few, else without holding up others."""
    return action() if n_bytes <= QUICK_BYTES else await asyncio.to_thread(action)


async def outcomes(service: EmbeddingService, jobs: Sequence[Job]) -> list[Outcome]:
    """The vector or the error of each job, in order.

    When the request ends before (its client has gone), this is cancelled, and with it the jobs.

    Raises:
        NotReady: No worker has a model.
        Overloaded: There is no room for all of them.
    """
    futures = await _handed_in(service, jobs)
    results = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
    return [_outcome(result) for result in results]


async def _handed_in(service: EmbeddingService, jobs: Sequence[Job]) -> list[Future[Embedded]]:
    n_bytes = sum(len(job.payload) for job in jobs)
    if n_bytes <= QUICK_BYTES:
        return service.submit(jobs)
    handing = asyncio.create_task(asyncio.to_thread(service.submit, jobs))
    try:
        return await asyncio.shield(handing)
    except asyncio.CancelledError:
        # A thread that has begun goes on, and what it hands in would wait in the queue for nobody.
        handing.add_done_callback(_withdraw)
        raise


def _withdraw(handed: asyncio.Future[list[Future[Embedded]]]) -> None:
    if not handed.cancelled() and handed.exception() is None:
        for future in handed.result():
            future.cancel()


def _outcome(result: Embedded | BaseException) -> Outcome:
    if isinstance(result, Embedded | LookalikeError):
        return result
    if isinstance(result, asyncio.CancelledError):  # by the service: cancelling this request does not lead here
        return NotReady("The service stopped before this was done: send it again.")
    raise result
