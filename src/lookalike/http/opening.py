"""What the routes work with, opened together and closed together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from lookalike import app, transfer
from lookalike.config import Config
from lookalike.http.buckets import Buckets
from lookalike.http.collection import Collection
from lookalike.http.context import Context
from lookalike.http.feeding import Feeding
from lookalike.http.fetching import Fetcher
from lookalike.http.gate import Gatekeeper
from lookalike.http.intake import Intake, OpenQueue
from lookalike.metrics import Metrics
from lookalike.places import Place
from lookalike.ports import EmbeddingService
from lookalike.working import Lending


@contextmanager
def open_context(
    config: Config,
    service: EmbeddingService,
    metrics: Metrics,
    *,
    number: int | None = None,
) -> Iterator[Context]:
    """What a configuration describes, while the block runs.

    Args:
        config: Which index, and how the service behaves.
        service: Makes the vectors; closed by the caller.
        metrics: Where its figures go.
        number: The space of the index to search; whichever is searched by others too, if left out.

    Raises:
        ConfigError: An API key or a bucket's name cannot be used.
    """
    gatekeeper = Gatekeeper.of(config.serve)
    buckets = Buckets.parse(config.serve.buckets)
    stopping = Event()
    lending = Lending(partial(app.open_store, config.index, write=True), stopping)
    feeding = (
        Feeding(config.index, config, lending=lending, recorder=metrics, stopping=stopping)
        if isinstance(config.index, Path)
        else None
    )
    intake = Intake(
        partial(open_queue, config.index),
        transfer.open_keeper(config),
        lending,
        on_order=feeding.wake if feeding else lambda: None,
    )
    collection = Collection(config, service, number=number)
    fetcher = Fetcher.of(config.serve)
    with ExitStack() as stack:
        for closed_after in (collection, intake, feeding, fetcher):
            if closed_after is not None:
                stack.callback(closed_after.close)
        collection.warm_up()
        yield Context(
            service=service,
            index=collection,
            fetcher=fetcher,
            settings=config.serve,
            metrics=metrics,
            gatekeeper=gatekeeper,
            intake=intake,
            feeding=feeding,
            stopping=stopping,
            buckets=buckets,
        )


def open_queue(place: Place) -> OpenQueue:
    """The queue of the index at a place. StoreNotFound if there is no index: nobody would do its orders."""
    app.open_store(place).close()
    return app.open_queue(place)
