"""What makes the vectors of a worker: supervised processes, or a hosted model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from threading import Event

from lookalike.calls import error_of
from lookalike.embed import Embedder
from lookalike.errors import InputError, NotReady, Overloaded
from lookalike.ports import EmbeddingService
from lookalike.spaces import Space
from lookalike.types import Job, Rows
from lookalike.working.together import Together

PATIENCE_S = 300.0
"""How long one picture waits for a model that is loading, or for room; then it is somebody else's turn."""

TIMEOUT_S = 120.0
"""How long a picture that was accepted may take, the others before it included."""

LOOK_S = 1.0
MOST_AT_ONCE = 64
"""Pictures that are handed to a hosted model together; how many a request has is the provider's affair."""


class ServiceEmbedding:
    """Vectors from an embedding service's bulk lane: a harmful picture ends a process of its own, not the worker.

    Several threads that ask at the same time fill the model's batches.

    Args:
        service: Makes them; closed by the caller.
        stopping: Set when waiting for the model makes no sense any more.
    """

    def __init__(self, service: EmbeddingService, stopping: Event) -> None:
        self._service = service
        self._stopping = stopping

    def __call__(self, data: bytes, item: str) -> tuple[Rows, Space]:
        """The (dim,) vector of a picture, and its space. InputError, or a ServiceError when it takes too long."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._embedded(data, item)
            except (NotReady, Overloaded) as error:
                if self._stopping.is_set() or time.monotonic() > until:
                    raise
                self._stopping.wait(min(error.retry_after_s or LOOK_S, LOOK_S))

    def _embedded(self, data: bytes, item: str) -> tuple[Rows, Space]:
        deadline = time.monotonic() + TIMEOUT_S
        job = Job(modality="image", payload=data, item=item, lane="bulk", caller="worker", deadline=deadline)
        (future,) = self._service.submit([job])
        try:
            embedded = future.result()
        except CancelledError as error:
            raise NotReady("The service stopped before this was done.") from error
        return embedded.vector, embedded.tower.space


class HostedEmbedding:
    """Vectors from a model that needs no process of its own: pictures of several threads are asked for together.

    Args:
        embedder: Makes them.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._together = Together(self._embed, most=MOST_AT_ONCE)

    def __call__(self, data: bytes, item: str) -> tuple[Rows, Space]:
        """The (dim,) vector of a picture, and its space. Raises InputError, ProviderError or BudgetExceeded."""
        return self._together((data, item)), self._embedder.space

    def _embed(self, asked: Sequence[tuple[bytes, str]]) -> list[Rows | InputError]:
        vectors = self._embedder.embed_images(
            [data for data, _ in asked], names=[item for _, item in asked], on_error="collect"
        )
        results: dict[int, Rows | InputError] = {f.position: error_of(f) for f in vectors.failures}
        results |= dict(zip(vectors.positions.tolist(), vectors.values, strict=True))
        return [results[position] for position in range(len(asked))]
