"""What the routes work with: a value, which `current` puts another one in the place of."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from lookalike.config import ServeSettings
from lookalike.http.buckets import Buckets
from lookalike.http.collection import Collection
from lookalike.http.feeding import Feeding
from lookalike.http.fetching import Fetcher
from lookalike.http.gate import Gatekeeper
from lookalike.http.intake import Intake
from lookalike.metrics import Metrics
from lookalike.ports import EmbeddingService


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every request shares.

    Attributes:
        service: Makes vectors.
        index: What is searched, if it is there.
        settings: How the service behaves.
        metrics: Where figures go.
        gatekeeper: Knows the API keys.
        intake: Takes pictures in.
        feeding: Does their orders; None where others do.
        buckets: The buckets whose objects may be handed in.
        fetcher: Reads pictures at URLs; None if the service does not.
        switch_reason: Says what is being done about a switch of the index to another space; empty if nothing is.
        stopping: Set once the service has been told to stop.
        started_at: When it was started, on time.monotonic().
    """

    service: EmbeddingService
    index: Collection
    settings: ServeSettings
    metrics: Metrics
    gatekeeper: Gatekeeper
    intake: Intake
    buckets: Buckets = field(default_factory=Buckets)
    fetcher: Fetcher | None = None
    feeding: Feeding | None = None
    switch_reason: Callable[[], str] = str
    stopping: Event = field(default_factory=Event)
    started_at: float = field(default_factory=time.monotonic)
