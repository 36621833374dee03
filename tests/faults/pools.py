"""Worker pools for tests, and jobs for them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.spaces import Modality
from lookalike.types import Embedded, Job
from lookalike.workers import WorkerPlan, WorkerPool
from lookalike.workers.child import OpenEmbedder

PLAN = WorkerPlan(workers=2, cores=2)
SOON_S = 30.0


class Figures:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {}

    def observe(self, stage: str, seconds: float, *, modality: Modality | None = None) -> None:
        self.seconds.setdefault(f"{stage}_{modality}", []).append(seconds)

    def count(self, event: str, n: int = 1) -> None:
        self.counts[event] += n


@contextmanager
def running(
    open_embedder: OpenEmbedder, canaries: Path, plan: WorkerPlan = PLAN, *, recorder: Figures | None = None
) -> Iterator[WorkerPool]:
    """A pool that has been started, and is closed in the end."""
    pool = WorkerPool(open_embedder, plan, canaries=canaries, recorder=recorder or Figures())
    pool.start()
    try:
        yield pool
    finally:
        pool.close(drain_s=0.0)


def text(words: str, *, timeout_s: float = SOON_S, **fields: str) -> Job:
    """A job for a text."""
    return Job(modality="text", payload=words, deadline=time.monotonic() + timeout_s, **fields)  # type: ignore[arg-type]


def image(data: bytes, *, timeout_s: float = SOON_S, **fields: str) -> Job:
    """A job for a picture."""
    return Job(modality="image", payload=data, deadline=time.monotonic() + timeout_s, **fields)  # type: ignore[arg-type]


def assert_right(jobs: list[Job], futures: list[Future[Embedded]]) -> None:
    """Each future has the vector that the embedder of this process has for its job."""
    embedder = Embedder(LocalVectorizer(FakeEncoder()))
    for job, future in zip(jobs, futures, strict=True):
        embed = embedder.embed_images if job.modality == "image" else embedder.embed_texts
        np.testing.assert_allclose(future.result(SOON_S).vector, embed([job.payload]).values[0], atol=1e-6)  # type: ignore[operator]


def all_ready(pool: WorkerPool) -> None:
    """Wait until every worker is ready."""
    status = pool.wait_until(lambda now: all(worker.state == "ready" for worker in now.workers), SOON_S)
    assert [worker.state for worker in status.workers] == ["ready"] * len(status.workers), status


def pid_of(pool: WorkerPool, name: str) -> int:
    """The process of a worker."""
    (pid,) = [worker.pid for worker in pool.status().workers if worker.name == name]
    assert pid is not None
    return pid
