"""A real service on a loopback port, for tests of its routes and clients."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from threading import Event
from typing import Any

import httpx2

from lookalike.config import Config, ServeSettings
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import StoreNotFound
from lookalike.health import ServiceStatus
from lookalike.http.buckets import Buckets
from lookalike.http.collection import Collection
from lookalike.http.connections import MAX_DESCRIPTORS
from lookalike.http.context import Context
from lookalike.http.feeding import Feeding
from lookalike.http.fetching import Fetcher
from lookalike.http.gate import Gatekeeper
from lookalike.http.intake import Intake
from lookalike.http.opening import open_context
from lookalike.http.server import Server
from lookalike.http.sockets import bind, url_of
from lookalike.metrics import Metrics
from lookalike.ports import EmbeddingService
from lookalike.service import open_service
from lookalike.types import Embedded, Job
from lookalike.workers import WorkerPlan, WorkerPool
from lookalike.working import Lending

START_S = 20.0
"""How long a test waits for a service to start or to stop."""


class InlineService:
    """An `EmbeddingService` on threads of this process, for tests that bring their own embedder or their own faults."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._threads = ThreadPoolExecutor(2)

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        return [self._threads.submit(self._embed, job) for job in jobs]

    def status(self) -> ServiceStatus:
        return ServiceStatus(
            ready=True,
            reason="",
            tower=self._embedder.tower,
            waiting={"interactive": 0, "bulk": 0},
            workers=(),
        )

    def close(self, *, drain_s: float) -> None:
        self._threads.shutdown(cancel_futures=drain_s == 0)

    def _embed(self, job: Job) -> Embedded:
        embed = self._embedder.embed_images if job.modality == "image" else self._embedder.embed_texts
        found = embed([job.payload], names=[job.item])  # type: ignore[operator]
        n_tokens = int(found.n_tokens[0])
        return Embedded(vector=found.values[0], tower=found.tower, warning=" ".join(found.warnings), n_tokens=n_tokens)


@cache
def fake_pool() -> tuple[WorkerPool, Metrics]:
    """Real workers with a fake model, and their figures: started once, ended with the process."""
    metrics = Metrics()
    pool = WorkerPool(
        _open_fake,
        WorkerPlan(workers=2, cores=1),
        canaries=Path(os.environ["LOOKALIKE_CACHE_DIR"]) / "canaries",
        recorder=metrics,
    )
    pool.start()
    status = pool.wait_ready(START_S)
    assert status.ready, status.reason
    return pool, metrics


def _open_fake(_threads: int) -> Embedder:
    return Embedder(LocalVectorizer(FakeEncoder()))


@contextmanager
def opened(config: Config) -> Iterator[Context]:
    """What the routes work with over real workers, as the command opens it; the workers have their model."""
    metrics = Metrics()
    service = open_service(config, metrics)
    try:
        with open_context(config, service, metrics) as context:
            status = service.wait_ready(START_S)
            assert status.ready, status.reason
            yield context
    finally:
        service.close(drain_s=0)


@dataclass(frozen=True, kw_only=True)
class Running:
    """A service that is running.

    Attributes:
        url: Where it is, without a slash at the end.
        context: What its routes work with.
        server: What answers; `server.stop()` is what a signal does.
        thread: Where it runs.
    """

    url: str
    context: Context
    server: Server
    thread: threading.Thread
    client: httpx2.Client = field(repr=False)


def _none() -> Any:
    raise StoreNotFound("There is no index in /nowhere/index. Make one: lookalike index FOLDER.")


@contextmanager
def serving(
    service: EmbeddingService | None = None,
    *,
    index: Collection | None = None,
    settings: ServeSettings | None = None,
    fetcher: Fetcher | None = None,
    intake: Intake | None = None,
    feeding: Feeding | None = None,
    metrics: Metrics | None = None,
    max_connections: int = MAX_DESCRIPTORS,
    port: int = 0,
) -> Iterator[Running]:
    """Run the HTTP service in a thread while the block runs.

    Args:
        service: Makes the vectors; real workers with a fake model if left out. Not closed.
        index: What is searched; there is no index if left out. Not closed.
        settings: As LOOKALIKE_... would have them; its host and port are not looked at.
        fetcher: Reads pictures at URLs, if they are allowed.
        intake: Takes pictures in; there is no queue if left out. Not closed.
        feeding: Does what is ordered; nobody does if left out. Not closed.
        metrics: Where figures go; those of the workers with a fake model, or new ones, if left out.
        max_connections: How many may be open.
        port: Where to listen; any that is free by default.
    """
    settings = replace(settings or ServeSettings(), host="127.0.0.1", port=0)
    if service is None:
        service, figures = fake_pool()
    else:
        figures = metrics or Metrics()
    behind = index or Collection(replace(Config.from_environ(), index=Path("/nowhere/index")), service)
    context = Context(
        service=service,
        index=behind,
        settings=settings,
        metrics=figures,
        gatekeeper=Gatekeeper.of(settings),
        intake=intake or Intake(_none, None, Lending(_none, Event())),
        feeding=feeding,
        buckets=Buckets.parse(settings.buckets),
        fetcher=fetcher,
    )
    listener = bind("127.0.0.1", port)  # from here on connections wait until the server takes them
    server = Server(context, max_connections=max_connections)
    thread = threading.Thread(target=partial(server.run, sockets=[listener]), name="serving")
    url = url_of(listener)
    thread.start()
    try:
        with httpx2.Client(base_url=url, timeout=START_S, trust_env=False) as client:
            assert client.get("/healthz").status_code == 200
            yield Running(url=url, context=context, server=server, thread=thread, client=client)
    finally:
        server.stop()
        thread.join(START_S)
        if index is None:
            behind.close()
    assert not thread.is_alive(), "the service did not stop"
