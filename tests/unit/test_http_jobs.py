"""The jobs of one request: that none is left behind when its client goes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from lookalike.batching import Queue, QueueLimits
from lookalike.errors import NotReady
from lookalike.health import ServiceStatus
from lookalike.http.jobs import QUICK_BYTES, outcomes
from lookalike.types import Embedded, Job

PATIENCE_S = 20.0


class Slow:
    """An EmbeddingService that hands jobs to its queue when it is told to, and then has nobody who does them."""

    def __init__(self) -> None:
        self.queue = Queue(QueueLimits())
        self.asked, self.released, self.done = threading.Event(), threading.Event(), threading.Event()

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        self.asked.set()
        assert self.released.wait(PATIENCE_S)
        try:
            return self.queue.submit(jobs)
        finally:
            self.done.set()

    def status(self) -> ServiceStatus:
        return ServiceStatus(ready=True, reason="", tower=None, waiting=self.queue.counts(), workers=())

    def close(self, *, drain_s: float) -> None:
        self.queue.stop()


def large() -> list[Job]:
    """More than is handed in on the event loop itself."""
    until = time.monotonic() + PATIENCE_S
    return [Job(modality="image", payload=bytes([n]) * QUICK_BYTES, deadline=until) for n in range(4)]


async def leave(service: Slow) -> None:
    """Be a client that goes while its jobs are handed in."""
    request = asyncio.create_task(outcomes(service, large()))
    assert await asyncio.to_thread(service.asked.wait, PATIENCE_S)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    service.released.set()
    assert await asyncio.to_thread(service.done.wait, PATIENCE_S)


def test_a_client_that_goes_while_its_jobs_are_handed_in_takes_them_along() -> None:
    """The thread that hands them in cannot be stopped, so they are taken back as soon as it has."""
    service = Slow()

    asyncio.run(leave(service))
    assert service.queue.wait_drained(PATIENCE_S)
    assert service.queue.counts() == {"interactive": 0, "bulk": 0}


def test_what_is_refused_when_nobody_waits_any_more_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    """An error of handing in that comes after the client has gone is logged as nothing at all."""
    service = Slow()
    service.queue.close()

    asyncio.run(leave(service))
    assert caplog.records == []


def test_what_is_refused_is_raised() -> None:
    """Also where a thread hands it in."""
    service = Slow()
    service.released.set()
    service.queue.close()
    with pytest.raises(NotReady):
        asyncio.run(outcomes(service, large()))
