"""How a service, its workers and the members of a chain are, for people and for monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lookalike.spaces import Tower
from lookalike.types import Lane

MemberState = Literal["ok", "resting", "out"]
"""Asked in its turn; left alone for a while after a failure; or of another space, and never asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """One member of a chain.

    Attributes:
        name: The model's name.
        state: "ok", "resting" or "out".
        error: What it failed with last; empty if it is "ok".
        age_s: For how many seconds it has been so.
    """

    name: str
    state: MemberState
    error: str = ""
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One worker process.

    Attributes:
        name: "query", "bulk-1", ...; "worker" if there is only one.
        state: "loading", "ready", "busy", "failed" (waiting to be started again) or "stopped".
        pid: Its process id; None while there is none.
        restarts: How often it was replaced.
        reason: Why it is not ready; empty if it is.
        canary_age_s: Seconds since it last answered the canary as it should; None if it never has.
    """

    name: str
    state: str
    pid: int | None
    restarts: int
    reason: str = ""
    canary_age_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """Whether the embedding service can answer.

    Attributes:
        ready: True if a worker that takes interactive jobs has lately answered the canary as it should, or if somebody
            stands in for the workers.
        reason: A sentence that says why not, or why somebody stands in; else empty.
        tower: The recipe of the vectors; None before the first worker has loaded it.
        waiting: Jobs that are accepted and not yet answered, by lane.
        workers: The worker processes.
        members: Who stands in for the workers, in the order in which they are asked; empty if nobody does.
    """

    ready: bool
    reason: str
    tower: Tower | None
    waiting: Mapping[Lane, int]
    workers: tuple[WorkerStatus, ...]
    members: tuple[MemberStatus, ...] = ()
