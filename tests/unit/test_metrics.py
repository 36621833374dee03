"""Figures: what Prometheus and people are shown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lookalike.encoders.fake import FakeEncoder
from lookalike.health import ServiceStatus, WorkerStatus
from lookalike.metrics import EVENTS, RECENT, Metrics, percentile
from lookalike.types import StoreStats

TOWER = FakeEncoder().tower
STATUS = ServiceStatus(
    ready=True,
    reason="",
    tower=TOWER,
    waiting={"interactive": 3, "bulk": 0},
    workers=(WorkerStatus(name="query", state="ready", pid=1, restarts=0),),
)
STATS = StoreStats(items=7, contents=5, dead_slots=1, n_bytes=4_096, projects={"cold": 3, "warm": 4}, space=TOWER.space)


def samples(metrics: Metrics, index: StoreStats | None = None) -> dict[tuple[str, ...], float]:
    """(name, values of its labels by their names...) -> value."""
    text = metrics.exposition(STATUS, index)[0].decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_stages_are_histograms_and_percentiles() -> None:
    """Every duration counts for Prometheus; p50, p95 and p99 are of the nearest rank, in milliseconds."""
    metrics = Metrics()
    for n in range(1, 101):
        metrics.observe("search", n / 1000)
    assert metrics.stages() == {"search": {"count": 100, "p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0}}
    assert samples(metrics)["lookalike_stage_seconds_count", "", "search"] == 100


def test_texts_and_pictures_are_not_mixed() -> None:
    """A stage that works on both has figures for each: a text takes a millisecond and a picture twenty."""
    metrics = Metrics()
    metrics.observe("decode", 0.001, modality="text")
    metrics.observe("decode", 0.02, modality="image")
    assert {stage: figures["p50_ms"] for stage, figures in metrics.stages().items()} == {
        "decode_image": 20.0,
        "decode_text": 1.0,
    }
    found = samples(metrics)
    assert found["lookalike_stage_seconds_sum", "text", "decode"] == 0.001
    assert found["lookalike_stage_seconds_sum", "image", "decode"] == 0.02


def test_percentiles_are_of_the_last_while() -> None:
    """What is long past no longer shows; the number of runs does."""
    metrics = Metrics()
    for seconds in [9.0] * RECENT + [0.001] * RECENT:
        metrics.observe("queue", seconds)
    assert metrics.stages()["queue"] == {"count": 2 * RECENT, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0}


@pytest.mark.parametrize(("share", "expected"), [(1, 1), (50, 1), (51, 2), (99, 2), (100, 2)])
def test_a_percentile_is_a_number_that_occurred(share: int, expected: float) -> None:
    """The nearest rank, of two numbers."""
    assert percentile([1, 2], share) == expected


def test_events_are_counted_and_shown_before_the_first() -> None:
    """A rate over a restart needs the 0 before it."""
    metrics = Metrics()
    assert samples(metrics)["lookalike_events_total", "restart"] == 0
    metrics.count("restart")
    metrics.count("item_image", 5)
    assert samples(metrics)["lookalike_events_total", "restart"] == 1
    assert metrics.events() == {**dict.fromkeys(EVENTS, 0), "item_image": 5, "restart": 1}


def test_requests_are_counted_by_route_method_and_status() -> None:
    """A method that nobody knows is "other": a client cannot make up labels without end."""
    metrics = Metrics()
    metrics.request(route="/items/{id}", method="GET", status=200, seconds=0.1)
    metrics.request(route="unmatched", method="BREW", status=405, seconds=0.1)
    found = samples(metrics)
    assert found["lookalike_http_requests_total", "GET", "/items/{id}", "200"] == 1
    assert found["lookalike_http_requests_total", "other", "unmatched", "405"] == 1


def test_queue_and_workers_are_shown_as_they_are() -> None:
    """Gauges are of the status that is handed in, and every state of a worker is among them."""
    found = samples(Metrics())
    assert (found["lookalike_queue_jobs", "interactive"], found["lookalike_queue_jobs", "bulk"]) == (3, 0)
    assert (found["lookalike_workers", "ready"], found["lookalike_workers", "failed"]) == (1, 0)
    assert found["lookalike_ready",] == 1


def test_an_index_is_shown_where_there_is_one() -> None:
    """Its size, and the model and the space of its vectors; without an index nothing rather than zeros."""
    found = samples(Metrics(), STATS)
    assert {
        key[0]: value for key, value in found.items() if key[0].startswith("lookalike_index") and len(key) == 1
    } == {
        "lookalike_index_items": 7,
        "lookalike_index_contents": 5,
        "lookalike_index_projects": 2,
        "lookalike_index_bytes": 4_096,
    }
    assert found["lookalike_index_info", "fake", TOWER.space.id] == 1
    assert not [name for name, *_ in samples(Metrics()) if name.startswith("lookalike_index")]


def test_no_series_says_when_another_began() -> None:
    """prometheus_client adds a gauge `..._created` to each counter and histogram, which doubles what is scraped."""
    metrics = Metrics()
    metrics.observe("search", 0.1)
    metrics.request(route="/healthz", method="GET", status=200, seconds=0.1)
    assert not [name for name, *_ in samples(metrics) if name.endswith("_created")]


def test_nothing_is_lost_between_threads() -> None:
    """Workers' threads and the event loop count at the same time."""
    metrics = Metrics()

    def work() -> None:
        for _ in range(500):
            metrics.count("batch_text")
            metrics.observe("queue", 0.001)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(work)
    assert metrics.events()["batch_text"] == 2000
    assert metrics.stages()["queue"]["count"] == 2000
