"""What the routes work with, opened together and closed together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lookalike.config import Config
from lookalike.errors import StoreNotFound
from lookalike.http.access import Gatekeeper
from lookalike.http.collection import Collection
from lookalike.http.context import Context
from lookalike.http.fetching import Fetcher
from lookalike.index import Index
from lookalike.metrics import Metrics
from lookalike.ports import EmbeddingService


@contextmanager
def open_context(config: Config, service: EmbeddingService, metrics: Metrics) -> Iterator[Context]:
    """What a configuration describes, while the block runs.

    Args:
        config: Which index, and how the service behaves.
        service: Makes the vectors; closed by the caller.
        metrics: Where its figures go.

    Raises:
        ConfigError: An API key cannot be used.
        StoreError: There is an index, and it cannot be read.
    """
    gatekeeper = Gatekeeper.of(config.serve)
    collection = Collection(config, service) if _has_index(config) else None
    fetcher = Fetcher.of(config.serve)
    metrics.watch(service.status)
    with ExitStack() as stack:
        for closed_after in (collection, fetcher):
            if closed_after is not None:
                stack.callback(closed_after.close)
        yield Context(
            service=service,
            index=collection,
            fetcher=fetcher,
            settings=config.serve,
            metrics=metrics,
            gatekeeper=gatekeeper,
        )


def _has_index(config: Config) -> bool:
    try:
        Index.open(config=config).close()
    except StoreNotFound:
        return False
    return True
