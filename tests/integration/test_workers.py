"""The worker pool with real processes: answers, errors, lanes, and what a caller sees of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.embed import Embedder
from lookalike.encoders.fake import FakeEncoder
from lookalike.types import Job
from lookalike.workers import WorkerPlan, WorkerPool
from tests.faults import models
from tests.pictures import noise

PLAN = WorkerPlan(workers=2, cores=2)
SOON_S = 20.0


class Figures:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {}

    def observe(self, stage: str, seconds: float) -> None:
        self.seconds.setdefault(stage, []).append(seconds)

    def count(self, event: str, n: int = 1) -> None:
        self.counts[event] += n


def text(words: str, *, timeout_s: float = SOON_S, **fields: str) -> Job:
    return Job(modality="text", payload=words, deadline=time.monotonic() + timeout_s, **fields)  # type: ignore[arg-type]


def image(data: bytes, *, timeout_s: float = SOON_S, **fields: str) -> Job:
    return Job(modality="image", payload=data, deadline=time.monotonic() + timeout_s, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    pool = WorkerPool(models.good, PLAN, canaries=tmp_path_factory.mktemp("canaries"), recorder=Figures())
    pool.start()
    assert pool.wait_ready(SOON_S).ready
    yield pool
    pool.close(drain_s=1.0)


def test_answers_come_in_the_order_of_the_jobs(pool: WorkerPool) -> None:
    """Each future has the vector of its own job, as the embedder in this process makes it."""
    pictures = [noise(seed) for seed in range(40)]
    texts = [f"a {colour} dress {'of silk ' * seed}" for seed in range(40) for colour in ("red", "blue")]
    found = pool.submit([*(image(data, lane="bulk") for data in pictures), *(text(words) for words in texts)])
    embedder = Embedder(FakeEncoder())
    expected = np.concatenate([embedder.embed_images(pictures).values, embedder.embed_texts(texts).values])
    vectors = np.stack([future.result(SOON_S).vector for future in found])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert {future.result().tower for future in found} == {embedder.tower}
