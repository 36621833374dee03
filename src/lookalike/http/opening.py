"""Everything that the service works with, opened together and closed together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lookalike import app
from lookalike.config import Config
from lookalike.errors import StoreNotFound
from lookalike.http.access import Gatekeeper
from lookalike.http.collection import Collection
from lookalike.http.context import Context
from lookalike.http.fetching import Fetcher
from lookalike.index import Index
from lookalike.metrics import Metrics


@contextmanager
def open_context(config: Config) -> Iterator[Context]:
    """What a configuration describes, while the block runs. The model is loaded meanwhile, not before.

    Raises:
        ConfigError: An API key cannot be used.
        StoreError: There is an index, and it cannot be read.
    """
    gatekeeper = Gatekeeper.of(config.serve)
    has_index = _has_index(config)
    metrics = Metrics()
    with ExitStack() as stack:
        service = app.open_service(config, metrics)
        stack.callback(service.close, drain_s=0)
        metrics.watch(service.status)
        collection = Collection(config, service) if has_index else None
        fetcher = Fetcher.of(config.serve)
        for closed_before in (collection, fetcher):
            if closed_before is not None:
                stack.callback(closed_before.close)
        if collection is not None:
            collection.warm_up()
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
