"""The embedding service: a queue, and the workers that empty it; see `ports.EmbeddingService`."""

from __future__ import annotations

import atexit
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, Thread
from typing import get_args

from lookalike.batching import Key, Queue, QueueLimits
from lookalike.errors import LookalikeError, NotReady, UnsupportedModel
from lookalike.health import ServiceStatus
from lookalike.ports import Recorder
from lookalike.spaces import Tower
from lookalike.types import Embedded, Job, Lane
from lookalike.workers.answers import harmful
from lookalike.workers.blame import Convicts
from lookalike.workers.canary import Canary
from lookalike.workers.child import ChildPlan, OpenEmbedder, Tell
from lookalike.workers.process import LoadFailed
from lookalike.workers.slot import LOADING, STOPPING, Shared, Slot, Timing

BULK_NICENESS = 10
"""Where a system has no SCHED_IDLE (see workers.child), bulk workers get a tenth of a core that a query wants as well
(sched(7): a factor of 1.25 for each step)."""

STOP_S = 10.0
"""How long the end of the workers may take: the system ends a process at once, unless it hangs in the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """How many processes there are, and how they behave.

    Attributes:
        workers: Processes in all. With two or more, the first takes interactive jobs only.
        cores: Cores that they share.
        stall_s: How long a worker may stand still within a batch. A model whose steps take longer than an eighth of
            this gets eight times as long as its steps took when it was warmed up.
        load_timeout_s: How long a model may take to load; while it is fetched, how long nothing may be heard of it.
        max_memory_bytes: Memory of its own that a worker may have.
        canary_every_s: How often a worker has to answer the canary.
        fetch: What a worker does before it opens the model; see ChildPlan.
        preload: Modules that every worker needs. They are imported once, and every worker starts with them; only what
            the first pool of a process names counts.
    """

    workers: int
    cores: int
    stall_s: float = 5.0
    load_timeout_s: float = 120.0
    max_memory_bytes: int = 4 << 30
    canary_every_s: float = 60.0
    fetch: Callable[[Tell], None] | None = None
    preload: tuple[str, ...] = ("lookalike.workers.child",)

    def slots(self) -> list[tuple[str, bool, ChildPlan]]:
        """Name, whether it takes bulk jobs, and plan of each worker."""
        if self.workers < 2:
            return [("worker", True, self._child(self.cores, niceness=0, batches=True))]
        n_bulk = self.workers - 1
        bulk = self._child(max(1, self.cores // n_bulk), niceness=BULK_NICENESS, batches=True)
        query = self._child(self.cores, niceness=0, batches=False)
        return [("query", False, query), *((f"bulk-{number}", True, bulk) for number in range(1, n_bulk + 1))]

    def _child(self, threads: int, *, niceness: int, batches: bool) -> ChildPlan:
        return ChildPlan(
            threads=threads,
            niceness=niceness,
            max_memory_bytes=self.max_memory_bytes,
            batches=batches,
            fetch=self.fetch,
        )


class WorkerPool:
    """Vectors from supervised processes. Every method may be called from any thread.

    Args:
        open_embedder: Opens the model in a worker, for so many threads; picklable.
        plan: How many workers, and how they behave.
        canaries: Folder in which the known vectors of the canary are kept.
        recorder: Where figures go.
        limits: Bounds of the queue; the usual ones if left out.
    """

    def __init__(
        self,
        open_embedder: OpenEmbedder,
        plan: WorkerPlan,
        *,
        canaries: Path,
        recorder: Recorder,
        limits: QueueLimits | None = None,
    ) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._preload = plan.preload
        self._convicts = Convicts()
        self._queue = Queue(limits or QueueLimits(), refuse=self._refuse)
        self._tower: Tower | None = None
        self._changed = Condition()
        self._closed = Event()
        shared = Shared(
            queue=self._queue,
            open_embedder=open_embedder,
            canary=Canary(canaries),
            convicts=self._convicts,
            recorder=recorder,
            context=self._context,
            timing=Timing(stall_s=plan.stall_s, load_timeout_s=plan.load_timeout_s, canary_every_s=plan.canary_every_s),
            admit=self._admit,
            changed=self._on_change,
            only_queries=lambda: self._cannot_load("bulk"),
            queries_move=lambda: any(slot.moves() for slot in self._slots if not slot.takes_bulk),
        )
        self._slots: list[Slot] = []
        for name, bulk, child in plan.slots():
            # The cores belong to the first worker until it is ready: with it the service is.
            after = self._slots[0].has_tried if self._slots else None
            self._slots.append(Slot(name, takes_bulk=bulk, plan=child, shared=shared, after=after))
        self._timer = Thread(target=self._keep_time, name="lookalike-deadlines", daemon=True)

    def start(self) -> None:
        """Begin to bring up the workers; returns at once."""
        self._context.set_forkserver_preload(list(self._preload))
        # Before multiprocessing's own, which would wait for processes that nobody has told to end.
        atexit.register(self.close, drain_s=0.0)
        for slot in self._slots:
            slot.start()
        self._timer.start()

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        """See `ports.EmbeddingService.submit`."""
        for lane in {job.lane for job in jobs}:
            if self._tower is None or self._cannot_load(lane):
                raise NotReady(self.status().reason or LOADING)
        return self._queue.submit(jobs)

    def status(self) -> ServiceStatus:
        """See `ports.EmbeddingService.status`."""
        workers = tuple(slot.status() for slot in self._slots)
        ready = any(worker.state in ("ready", "busy") and not worker.reason for worker in workers)
        # Who has failed knows more than who is still loading.
        reasons = [worker.reason for worker in sorted(workers, key=lambda w: (w.state != "failed", -w.restarts))]
        reason = "" if ready else next(filter(None, reasons), LOADING)
        if self._closed.is_set():
            ready, reason = False, STOPPING
        return ServiceStatus(
            ready=ready, reason=reason, tower=self._tower, waiting=self._queue.counts(), workers=workers
        )

    def wait_ready(self, timeout_s: float) -> ServiceStatus:
        """The status as soon as the service is ready, or a worker has failed before it was, or the time is over."""
        return self.wait_until(lambda now: now.ready or any(worker.restarts for worker in now.workers), timeout_s)

    def wait_until(self, condition: Callable[[ServiceStatus], bool], timeout_s: float) -> ServiceStatus:
        """The status as soon as it fulfils a condition, or when the time is over."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while not condition(status := self.status()) and (left_s := until - time.monotonic()) > 0:
                self._changed.wait(left_s)
            return status

    def close(self, *, drain_s: float) -> None:
        """See `ports.EmbeddingService.close`."""
        self._closed.set()
        self._queue.close()
        self._queue.wait_drained(drain_s)
        self._queue.stop()
        for slot in self._slots:
            slot.stop()
        self._queue.fail_all(lambda _: NotReady(STOPPING))
        until = time.monotonic() + STOP_S
        for slot in self._slots:
            slot.join(max(0.0, until - time.monotonic()))
        atexit.unregister(self.close)

    def _refuse(self, key: Key, job: Job) -> LookalikeError | None:
        tower = self._tower
        if tower is not None and job.modality not in tower.modalities:
            kinds = " and ".join(f"{modality}s" for modality in tower.modalities)
            return UnsupportedModel(f"{tower.space.model} embeds {kinds} only.", model=tower.space.model)
        return harmful(job.item) if key in self._convicts else None

    def _admit(self, tower: Tower) -> None:
        if self._tower is not None and self._tower.fingerprint != tower.fingerprint:
            raise LoadFailed(
                f"The model has changed on disk since the service was started ({self._tower.space.id} is now "
                f"{tower.space.id}, or is made in another way): restart the service."
            )
        self._tower = tower

    def _cannot_load(self, lane: Lane) -> bool:
        return all(slot.cannot_load for slot in self._slots if slot.takes_bulk or lane == "interactive")

    def _on_change(self) -> None:
        with self._changed:
            self._changed.notify_all()
        hopeless: list[Lane] = [lane for lane in get_args(Lane) if self._cannot_load(lane)]
        if hopeless:
            reason = self.status().reason or LOADING
            self._queue.fail_all(lambda _: NotReady(reason), hopeless)

    def _keep_time(self) -> None:
        while not self._queue.stopped:
            self._queue.expire(most_s=1.0)
            for slot in self._slots:
                # Its thread can only have ended by a bug, or because the system had none to give: try again.
                with suppress(RuntimeError):
                    slot.start()
