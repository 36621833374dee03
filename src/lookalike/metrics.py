"""The service's figures: for Prometheus, and as percentiles of the last while for people."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from lookalike.health import MemberState, ServiceStatus
from lookalike.spaces import Modality
from lookalike.types import Lane, StoreStats

RECENT = 2_048
"""Durations of a stage that its percentiles are taken from."""

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
EVENTS = (
    "restart",
    "stall",
    "harmful",
    "failover",
    "failback",
    "mismatch",
    "standby",
    "ordered",
    "refused",
    "indexed",
    "unusable",
)
"""Events that are shown as 0 before the first."""

WORKER_STATES = ("loading", "ready", "busy", "failed", "stopped")


class Metrics:
    """Counts and times what the service does; a `ports.Recorder`. Safe to use from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._stages = Histogram(
            "lookalike_stage_seconds",
            "How long a stage took.",
            ["stage", "modality"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._events = Counter("lookalike_events", "What happened, by event.", ["event"], registry=self._registry)
        self._requests = Counter(
            "lookalike_http_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self._request_seconds = Histogram(
            "lookalike_http_request_seconds",
            "How long requests took.",
            ["route", "method"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)
        self._lock = Lock()
        self._recent: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._observed: defaultdict[str, int] = defaultdict(int)
        self._counts = dict.fromkeys(EVENTS, 0)
        for event in EVENTS:
            self._events.labels(event)

    def observe(self, stage: str, seconds: float, *, modality: Modality | None = None) -> None:
        """A stage took so long, for one job or one batch of this modality."""
        self._stages.labels(stage, modality or "").observe(seconds)
        name = f"{stage}_{modality}" if modality else stage
        with self._lock:
            self._recent[name].append(seconds)
            self._observed[name] += 1

    def count(self, event: str, n: int = 1) -> None:
        """Something happened n times."""
        self._events.labels(event).inc(n)
        with self._lock:
            self._counts[event] = self._counts.get(event, 0) + n

    def request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered.

        Args:
            route: The template of its path, "/items/{id}": there are only so many of them.
            method: Its method.
            status: The answer's status; 499 if the client had gone.
            seconds: From its head to the end of the answer.
        """
        method = method if method in METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route, method).observe(seconds)

    def exposition(self, status: ServiceStatus, index: StoreStats | None) -> tuple[bytes, str]:
        """Everything in Prometheus' text format, and its content type.

        Args:
            status: How the service is.
            index: What the index holds; None if there is none.
        """
        return generate_latest(_Scrape(self._registry, status, index)), CONTENT_TYPE_LATEST

    def stages(self) -> dict[str, dict[str, float]]:
        """The number of times that a stage ran, and percentiles of its last runs, in milliseconds.

        By stage, and where it has a modality by both: "search", "inference_text".
        """
        with self._lock:
            recent = {stage: sorted(seconds) for stage, seconds in self._recent.items()}
            observed = dict(self._observed)
        return {
            stage: {
                "count": observed[stage],
                **{f"p{share}_ms": round(percentile(seconds, share) * 1e3, 3) for share in (50, 95, 99)},
            }
            for stage, seconds in sorted(recent.items())
        }

    def events(self) -> dict[str, int]:
        """How often each event happened."""
        with self._lock:
            return dict(sorted(self._counts.items()))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of some sorted numbers that `share` percent of them do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


class _Scrape(Collector):
    """What was counted so far, and what is at this moment."""

    def __init__(self, counted: Collector, status: ServiceStatus, index: StoreStats | None) -> None:
        self._counted = counted
        self._status = status
        self._index = index

    def collect(self) -> Iterator[Metric]:
        for metric in self._counted.collect():
            # When each series began: as many lines again, and nobody asks for them.
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
        yield from _service_gauges(self._status)
        if self._index is not None:
            yield from _index_gauges(self._index)


def _service_gauges(status: ServiceStatus) -> Iterator[Metric]:
    yield GaugeMetricFamily("lookalike_ready", "1 if the service can answer.", value=float(status.ready))
    waiting = GaugeMetricFamily("lookalike_queue_jobs", "Jobs that wait, by lane.", labels=["lane"])
    for lane in get_args(Lane):
        waiting.add_metric([lane], status.waiting.get(lane, 0))
    yield waiting
    workers = GaugeMetricFamily("lookalike_workers", "Worker processes, by state.", labels=["state"])
    for state in WORKER_STATES:
        workers.add_metric([state], sum(worker.state == state for worker in status.workers))
    yield workers
    members = GaugeMetricFamily(
        "lookalike_chain_member", "1 for the state of each who stands in for the workers.", labels=["member", "state"]
    )
    for member in status.members:
        for state in get_args(MemberState):
            members.add_metric([member.name, state], float(member.state == state))
    yield members


def _index_gauges(stats: StoreStats) -> Iterator[Metric]:
    yield GaugeMetricFamily("lookalike_index_items", "Items in the index.", value=stats.items)
    yield GaugeMetricFamily("lookalike_index_contents", "Distinct pictures among them.", value=stats.contents)
    yield GaugeMetricFamily("lookalike_index_projects", "Projects that they belong to.", value=len(stats.projects))
    yield GaugeMetricFamily("lookalike_index_bytes", "Size of the index on disk.", value=stats.n_bytes)
    recall = GaugeMetricFamily(
        "lookalike_index_recall", "Share of the true best answers that live searches found, by way.", labels=["way"]
    )
    for way, share in stats.recall.items():
        recall.add_metric([way], share)
    yield recall
    facts = {"space": stats.space.id, "model": stats.space.model}
    yield InfoMetricFamily("lookalike_index", "Which vectors the index holds.", value=facts)
