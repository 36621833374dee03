"""One place for a worker: a thread that starts a process, hands it batches, and replaces it when it is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerContext
from threading import Event, Thread

import numpy as np

from lookalike import canary
from lookalike.batching import Entry, Queue
from lookalike.errors import InputError
from lookalike.health import WorkerStatus
from lookalike.ports import Recorder
from lookalike.spaces import Tower
from lookalike.types import Rows
from lookalike.workers.answers import harmful, settle
from lookalike.workers.blame import Convicts, judge
from lookalike.workers.canary import Canary
from lookalike.workers.child import ChildPlan, OpenEmbedder
from lookalike.workers.damping import Damping
from lookalike.workers.process import LoadFailed, WorkerLost, WorkerProcess
from lookalike.workers.procfs import private_bytes
from lookalike.workers.progress import Marks

HELP_AFTER_S, HELP_LATE_S = 0.1, 1.0
"""A worker of low priority takes interactive jobs that have waited for so long: the first where no worker that is meant
for them moves, the second where one does. That one is then busy with others, and beside it low priority gets next to
nothing of a core: what it took would come later still."""

PING_S = 0.25
"""How often a worker with nothing to do is asked whether it is there."""

DOUBTFUL_S = 3.0
"""A worker that has stood still for so long is not called ready any more, and is ended a little later."""

GROWTH_BYTES = 512 << 20
"""A worker whose private memory has grown by this since it was ready is replaced between two batches."""

MEASURE_S = 0.5
"""How often its memory is looked at."""

LOADING = "The model is being loaded."
STOPPING = "The service is stopping."

_log = logging.getLogger("lookalike.workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient a slot is; see WorkerPlan."""

    stall_s: float
    load_timeout_s: float
    canary_every_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the slots of one pool have in common.

    Attributes:
        queue: Where batches come from.
        open_embedder: Opens the model in a worker.
        canary: What a worker has to know.
        convicts: Inputs that ended workers.
        recorder: Where figures go.
        context: How processes are started.
        timing: How patient a slot is.
        admit: Told the tower of a new worker; raises LoadFailed if it is not the pool's.
        changed: Told that a status has changed.
        only_queries: Whether no worker that takes bulk jobs can come up.
        queries_move: Whether a worker that takes queries only is there, and moves.
    """

    queue: Queue
    open_embedder: OpenEmbedder
    canary: Canary
    convicts: Convicts
    recorder: Recorder
    context: ForkServerContext
    timing: Timing
    admit: Callable[[Tower], None]
    changed: Callable[[], None]
    only_queries: Callable[[], bool]
    queries_move: Callable[[], bool]


class Slot:
    """See the module.

    Args:
        name: What it is called in logs and in the status.
        takes_bulk: Whether it takes jobs of the bulk lane, or the interactive ones only.
        plan: How its process runs.
        shared: What it shares with the others.
        after: Set when its first worker may be started; at once if left out.

    Attributes:
        has_tried: Set when its first worker is ready, or has failed to be.
    """

    def __init__(
        self, name: str, *, takes_bulk: bool, plan: ChildPlan, shared: Shared, after: Event | None = None
    ) -> None:
        self.takes_bulk = takes_bulk
        self.cannot_load = False
        self.has_tried = Event()
        self._after = after
        self._plan = plan
        self._shared = shared
        self._marks = Marks(shared.context)
        self._damping = Damping()
        self._stopping = Event()
        self._worker: WorkerProcess | None = None
        self._status = WorkerStatus(name=name, state="loading", pid=None, restarts=0, reason=LOADING)
        self._canary_at: float | None = None
        self._ready_bytes = 0
        self._measured_at = 0.0
        self._restarts = 0
        self._thread = Thread()

    def start(self) -> None:
        """Bring up a worker, and keep one up; nothing happens if somebody does already."""
        if not self._thread.is_alive() and not self._stopping.is_set():
            self._thread = Thread(target=self._run, name=f"lookalike-{self._status.name}", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the worker at once and start no other."""
        self._stopping.set()
        self.has_tried.set()
        if self._worker is not None:
            self._worker.kill()

    def join(self, timeout_s: float) -> None:
        """Wait until nothing of it is left."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def status(self) -> WorkerStatus:
        """How it is at this moment."""
        status, worker = self._status, self._worker
        age_s = None if self._canary_at is None else time.monotonic() - self._canary_at
        if worker is not None and status.state == "busy" and worker.stuck_s >= DOUBTFUL_S:
            status = replace(status, reason=f"It has not moved for {worker.stuck_s:.1f} s.")
        return replace(status, canary_age_s=age_s)

    def moves(self) -> bool:
        """Whether it has a worker that answers, or is about to."""
        status = self.status()
        return status.state in ("ready", "busy") and not status.reason

    def _run(self) -> None:
        reason = ""
        if self._after is not None:
            self._after.wait()
        while not self._stopping.is_set():
            self._say("loading", reason=f"{LOADING} {reason}".rstrip())
            reason, pause_s = self._one_life()
            self.has_tried.set()
            if reason and not self._stopping.is_set():
                self._restarts += 1
                self._count("restart")
                self._say("failed", reason=reason)
                self._stopping.wait(pause_s)
        self._say("stopped", reason=STOPPING)

    def _one_life(self) -> tuple[str, float]:
        """From a worker's start to its end: why it ended, and the seconds to wait before the next one."""
        worker = None
        try:
            worker = self._worker = self._start()
            if self._stopping.is_set():  # said while there was nobody to be ended
                return "", 0.0
            self._serve(worker, self._bring_up(worker))
        except LoadFailed as error:
            self.cannot_load = True
            return self._told(worker, error), self._damping.lost()
        except WorkerLost as error:
            self._count(error.event)
            if self._canary_at is None and not error.outside:
                self.cannot_load = True  # it says nothing of why, but the next one will hardly fare better
            return self._told(worker, error), self._damping.lost()
        finally:
            self._worker = self._canary_at = None
            if worker is not None:
                worker.end()
        return "", 0.0

    def _told(self, worker: WorkerProcess | None, error: LoadFailed | WorkerLost) -> str:
        if not self._stopping.is_set():
            _log.warning("%s: process %s is replaced: %s", self._status.name, worker.pid if worker else "-", error)
        return str(error)

    def _start(self) -> WorkerProcess:
        shared = self._shared
        return WorkerProcess(
            shared.context, self._marks, shared.open_embedder, plan=self._plan, stall_s=shared.timing.stall_s
        )

    def _bring_up(self, worker: WorkerProcess) -> Tower:
        started = time.monotonic()
        self._say("loading", reason=self._status.reason)
        _log.info("%s: process %d started", self._status.name, worker.pid)
        tower, known = worker.load(self._shared.timing.load_timeout_s, lambda note: self._say("loading", reason=note))
        self._compare(tower, known)
        self._shared.admit(tower)
        self._ready_bytes = private_bytes(worker.pid)
        self._damping.ready()
        self.cannot_load = False
        _log.info("%s: process %d ready after %.2f s", self._status.name, worker.pid, time.monotonic() - started)
        self._say("ready")
        self.has_tried.set()
        return tower

    def _serve(self, worker: WorkerProcess, tower: Tower) -> None:
        while not self._stopping.is_set():
            batch = self._shared.queue.take(
                interactive_only=not self.takes_bulk,
                suspects=self.takes_bulk or self._shared.only_queries(),
                help_after_s=self._help_after_s(),
                timeout_s=PING_S,
            )
            if self._stopping.is_set():
                self._shared.queue.put_back([batch])
                return
            if batch:
                self._work(worker, tower, batch)
                self._say("ready")
            else:
                worker.ping()
            if time.monotonic() - (self._canary_at or 0.0) >= self._shared.timing.canary_every_s:
                self._check_canary(worker, tower)
            if self._has_grown(worker):
                _log.info("%s: process %d is replaced: its memory has grown", self._status.name, worker.pid)
                self._count("recycled")
                return

    def _help_after_s(self) -> float:
        if not self._plan.niceness:
            return 0.0
        return HELP_LATE_S if self._shared.queries_move() else HELP_AFTER_S

    def _has_grown(self, worker: WorkerProcess) -> bool:
        """Whether it has too much memory; looks now and then only, since looking takes as long as a short text."""
        if time.monotonic() - self._measured_at < MEASURE_S:
            return False
        self._measured_at = time.monotonic()
        return private_bytes(worker.pid) > self._ready_bytes + GROWTH_BYTES

    def _check_canary(self, worker: WorkerProcess, tower: Tower) -> None:
        rows = [worker.embed(modality, [canary.INPUTS[modality]]).rows for modality in tower.modalities]
        self._compare(tower, np.concatenate(rows))

    def _compare(self, tower: Tower, rows: Rows) -> None:
        fault = self._shared.canary.fault(tower, rows)
        if fault:
            raise WorkerLost(fault, event="canary")
        self._canary_at = time.monotonic()

    def _work(self, worker: WorkerProcess, tower: Tower, batch: Sequence[Entry]) -> None:
        groups: Sequence[Sequence[Entry]] = [batch]
        try:
            self._say("busy")
            self._note(batch)
            try:
                reply = worker.embed(batch[0].modality, [entry.payload for entry in batch])
            except WorkerLost as lost:
                groups = self._judge(batch, lost)
                raise
            if any(fault.kind == InputError.__name__ for fault in reply.faults):
                # Not a file was bad, but a vector: the input's fault, or the worker's?
                self._check_canary(worker, tower)
            for stage, seconds in reply.seconds.items():
                self._shared.recorder.observe(stage, seconds, modality=batch[0].modality)
            settle(self._shared.queue, batch, reply, tower)
        except BaseException:
            self._shared.queue.put_back(groups)
            raise

    def _note(self, batch: Sequence[Entry]) -> None:
        now = time.monotonic()
        for entry in batch:
            self._shared.recorder.observe("queue", now - entry.since, modality=entry.modality)
        self._count(f"batch_{batch[0].modality}")
        self._count(f"item_{batch[0].modality}", len(batch))

    def _judge(self, batch: Sequence[Entry], lost: WorkerLost) -> Sequence[Sequence[Entry]]:
        """What is to be tried again, in groups; whoever is guilty gets an error."""
        if self._stopping.is_set():
            return [batch]
        verdict = judge(batch, lost.place, outside=lost.outside)
        for entry in verdict.convicted:
            self._shared.convicts.add(entry.key)
            self._shared.queue.fail(entry, harmful)
            self._count("harmful")
            _log.warning("%s: an input ended the worker again and is refused (%s)", self._status.name, entry.modality)
        return verdict.groups

    def _say(self, state: str, *, reason: str = "") -> None:
        worker = self._worker
        self._status = replace(
            self._status, state=state, reason=reason, pid=worker.pid if worker else None, restarts=self._restarts
        )
        self._shared.changed()

    def _count(self, event: str, n: int = 1) -> None:
        self._shared.recorder.count(event, n)
