"""How the service is: alive, ready, and its figures."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

import lookalike
from lookalike.errors import AccessDenied, ServiceError, StoreError
from lookalike.health import WorkerStatus
from lookalike.http.access import AnyKey
from lookalike.http.context import Context
from lookalike.http.keys import Caller
from lookalike.http.problems import responses
from lookalike.metering.log import FILE, read_usage
from lookalike.metering.meter import today
from lookalike.types import StoreStats
from lookalike.usage import Usage

router = APIRouter()
USAGE_WAIT_S = 1.0
"""How long is waited for the log of what hosted models cost."""


@router.head("/healthz", include_in_schema=False)  # what some balancers send
@router.get("/healthz", summary="Whether the process is alive")
async def healthz() -> dict[str, str]:
    """Answers as long as the process runs and its event loop turns; says nothing of the model: see /readyz."""
    return {"status": "alive"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Whether it can answer", responses={503: {"description": "Not now; `reason` says why."}})
async def readyz(request: Request) -> JSONResponse:
    """200 once a worker has loaded the model and lately answered a known input with the known vector; else 503.

    Where a stand-in answers in the workers' place it is ready as well, and `reason` says so.
    `search_reason` says why the index cannot be searched with this model; empty if nothing is known against it.
    `switch_reason` says that the index was switched to another model, and what is being done; until then the old one
    answers.
    """
    document = readiness(request.state.context)
    return JSONResponse(document, 200 if document["ready"] else 503)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **responses(401, 403, 422, 429)},
)
async def metrics(call: AnyKey) -> Response:
    """Prometheus' text format. Needs a key, of any scope but for every project, where keys are configured."""
    if call.caller.projects is not None:
        raise AccessDenied(
            f"These figures are of all projects, and the key of {call.caller.name!r} is for some: see /stats.",
            known=True,
        )
    body, content_type = call.shared.metrics.exposition(call.shared.service.status(), await call.shared.index.stats())
    return Response(body, media_type=content_type)


@router.get("/stats", summary="Figures for people", responses=responses(401, 422, 429))
async def stats(call: AnyKey) -> dict[str, Any]:
    """p50, p95 and p99 of each stage's last 2,048 runs; queue, workers, stand-ins, events, index. Needs a key too.

    A key for some projects is told what these hold, and nothing that what others do shows in.
    """
    status, holdings = call.shared.service.status(), await call.shared.index.stats()
    everybodys = {
        **readiness(call.shared),
        "version": lookalike.__version__,
        "uptime_s": round(time.monotonic() - call.shared.started_at, 1),
    }
    if call.caller.projects is not None:
        return {**everybodys, "index": _own_holdings(holdings, call.caller)}
    return {
        **everybodys,
        "queue": dict(status.waiting),
        "index": _holdings(holdings),
        "workers": [_figures(worker) for worker in status.workers],
        "members": [{**asdict(member), "age_s": round(member.age_s, 1)} for member in status.members],
        "stages": call.shared.metrics.stages(),
        "events": call.shared.metrics.events(),
        "hosted_today": await _hosted_today(call.shared),
    }


async def _hosted_today(shared: Context) -> dict[str, Any] | None:
    """What hosted models were used for today (UTC) by everything with this cache folder; null if for nothing."""
    log = shared.index.config.cache_dir / FILE
    try:
        rows = await shared.index.read(lambda: read_usage(log, since=today()), until=time.monotonic() + USAGE_WAIT_S)
    except (StoreError, ServiceError):  # figures are worth no error
        return None
    return asdict(sum((used for _, used in rows), Usage())) if rows else None


def readiness(shared: Context) -> dict[str, Any]:
    """Whether the service can answer and why not, what it answers with, and its workers in a word each.

    A search that is impossible, because the index is of another model, does not make it less ready to embed.
    """
    status = shared.service.status()
    stopping = shared.stopping.is_set()
    tower = status.tower
    return {
        "ready": status.ready and not stopping,
        "reason": "The service is stopping." if stopping else status.reason,
        "search_reason": shared.index.mismatch(),
        "switch_reason": shared.switch_reason(),
        "model": tower.space.model if tower else None,
        "space": tower.space.id if tower else None,
        "precision": tower.precision if tower else None,
        "workers": {worker.name: worker.state for worker in status.workers},
    }


def _figures(worker: WorkerStatus) -> dict[str, Any]:
    """A worker as people read it."""
    age_s = worker.canary_age_s
    return {**asdict(worker), "canary_age_s": None if age_s is None else round(age_s, 1)}


def _own_holdings(stats: StoreStats | None, caller: Caller) -> dict[str, Any] | None:
    """What the caller's projects hold; null is for no index, whatever others have."""
    if stats is None:
        return None
    own = [n for name, n in stats.projects.items() if caller.sees(name)]
    return {"items": sum(own), "projects": len(own), "space": stats.space.id, "model": stats.space.model}


def _holdings(stats: StoreStats | None) -> dict[str, Any] | None:
    """What the index holds; of its projects only the number, since a key for vectors opens this too."""
    if stats is None:
        return None
    return {
        "items": stats.items,
        "contents": stats.contents,
        "projects": len(stats.projects),
        "n_bytes": stats.n_bytes,
        "recall": {way: round(share, 4) for way, share in stats.recall.items()},
        "space": stats.space.id,
        "model": stats.space.model,
    }
