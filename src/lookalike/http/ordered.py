"""What has become of orders: one job, those in a state, and dead ones that shall begin anew."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from lookalike.errors import InputError, JobNotFound
from lookalike.http.access import Writing
from lookalike.http.inputs import require_kind
from lookalike.http.problems import responses
from lookalike.http.schemas import inlined, parse
from lookalike.orders import IndexJob, JobState

MAX_JOBS = 1_000
"""Jobs in one answer."""

router = APIRouter(prefix="/jobs")
Number = Annotated[int, Field(ge=0, lt=1 << 63)]

_JOB: dict[str, Any] = {
    "job": 17,
    "id": "dress.jpg",
    "project": "shop",
    "uri": "s3://photos/dress.jpg",
    "state": "dead",
    "attempts": 1,
    "reason": "The image/jpeg file is cut off: its end is missing.",
    "ordered_s": 1764000000.25,
    "changed_s": 1764000001.5,
}


class JobFacts(BaseModel):
    """What has become of an order."""

    model_config = ConfigDict(json_schema_extra={"examples": [_JOB]})

    job: int = Field(description="Its number.")
    id: str = Field(description="The item that the picture becomes.")
    project: str
    uri: str = Field(description="Where the picture is.")
    state: JobState = Field(description="'done': it can be found. 'dead': it cannot be indexed; `reason` says why.")
    attempts: int = Field(description="How often it has been begun.")
    reason: str = Field(description="Why the last attempt failed; empty if none has.")
    ordered_s: float = Field(description="When it was ordered, in seconds since 1970.")
    changed_s: float = Field(description="When it came into this state; for one that waits, when it is tried.")


class JobPage(BaseModel):
    """Some jobs, by number."""

    jobs: list[JobFacts]
    next: int | None = Field(description="Ask again with `above` set to this for those that follow; null if none may.")


class JobsOptions(BaseModel):
    """Which jobs, in the query string."""

    model_config = ConfigDict(extra="forbid")

    job: list[Number] = Field(
        [], max_length=MAX_JOBS, description="The jobs of these numbers, as far as they are known; nothing else then."
    )
    state: JobState = Field(JobState.DEAD, description="Those in this state.")
    project: str | None = Field(None, description="Those of this project; of all that the key is for, if left out.")
    above: Number = Field(0, description="Those with larger numbers.")
    limit: int = Field(100, ge=1, le=MAX_JOBS, description="At most so many.")


class ReplayRequest(BaseModel):
    """Which dead jobs shall begin anew."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"jobs": [17, 18]}]})

    jobs: list[Number] = Field(min_length=1, max_length=MAX_JOBS)


class Replayed(BaseModel):
    """The dead jobs among them, which now wait; others are left as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"replayed": [17]}]})

    replayed: list[int]


def job_facts(job: IndexJob) -> JobFacts:
    """A job, as answers have it."""
    order = job.order
    return JobFacts(
        job=job.number,
        id=order.id,
        project=order.project,
        uri=order.uri,
        state=job.state,
        attempts=job.attempts,
        reason=job.reason,
        ordered_s=job.ordered_s,
        changed_s=job.changed_s,
    )


@router.get("", summary="Jobs by state or by number", response_model=JobPage)
async def some_jobs(call: Writing, options: Annotated[JobsOptions, Query()]) -> JobPage:
    """Those that are dead unless told otherwise: what could not be indexed, each with its reason."""
    if options.job:
        if options.model_fields_set != {"job"}:
            raise InputError("names the jobs already: leave the other parameters out.", item="job")
        found = await call.shared.intake.ask(lambda queue: queue.look_up(options.job), until=call.until)
        known = [job for job in found if job is not None and call.caller.sees(job.order.project)]
        return JobPage(jobs=[job_facts(job) for job in known], next=None)
    project = call.caller.project_of(options.project)
    if project is not None and not call.caller.sees(project):
        return JobPage(jobs=[], next=None)
    page = await call.shared.intake.ask(
        lambda queue: queue.page(state=options.state, project=project, above=options.above, limit=options.limit),
        until=call.until,
    )
    following = page[-1].number if len(page) == options.limit else None
    return JobPage(jobs=[job_facts(job) for job in page], next=following)


@router.post(
    "/replay",
    summary="Let dead jobs begin anew",
    response_model=Replayed,
    responses=responses(415),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": inlined(ReplayRequest)}}}
    },
)
async def replay(call: Writing) -> Replayed:
    """At once, and with all their attempts: after what kept them from being done has been mended."""
    require_kind(call.request, "application/json")
    asked = parse(ReplayRequest, await call.request.body()).jobs
    found = await call.shared.intake.ask(lambda queue: queue.look_up(asked), until=call.until)
    seen = [job.number for job in found if job is not None and call.caller.sees(job.order.project)]
    again = await call.shared.intake.ask(lambda queue: queue.replay(seen), until=call.until) if seen else []
    return Replayed(replayed=again)


@router.get("/{number}", summary="One job", response_model=JobFacts)
async def one_job(number: Number, call: Writing) -> JobFacts:
    """Where an order stands. What was done is known for a while; the item itself is at `/items/{id}`."""
    (found,) = await call.shared.intake.ask(lambda queue: queue.look_up([number]), until=call.until)
    if found is None or not call.caller.sees(found.order.project):
        raise JobNotFound(f"There is no job {number}: it was never given, or was done long ago.")
    return job_facts(found)
