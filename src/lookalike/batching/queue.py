"""The queue between those who ask and the workers: two lanes, fair shares, bounds, batches, deadlines.

Jobs for the same input share one *entry*, which is worked on once. An entry leaves the queue with an answer, with an
error, or because nobody waits for it any more. Entries that may end a worker are in quarantine: one worker at a time
has some, so that they never hold up all of them. Everything here may be called from any thread; a future is never
resolved while the queue's lock is held, since what waits for it may come straight back.
"""

from __future__ import annotations

import hashlib
import heapq
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from itertools import count
from threading import Condition, Lock
from typing import get_args

from lookalike.batching.guilt import Guilt
from lookalike.batching.lanes import TEXT_BUCKETS, Entry, Key, QueueLimits, Waiter, WaitingLine
from lookalike.batching.room import Room
from lookalike.errors import DeadlineExceeded, LookalikeError, NotReady
from lookalike.spaces import Tower
from lookalike.types import Embedded, Job, Lane, Rows

DONE_REMEMBERED = 256
"""So many deadlines may be those of answered jobs before they are thrown away."""

Clock = Callable[[], float]

Refuse = Callable[[Key, Job], LookalikeError | None]
"""Why a job will not be worked on at all; None if it will."""


def key_of(job: Job) -> Key:
    """What makes this job the same as another."""
    # A text may hold lone surrogates, which UTF-8 proper has no bytes for.
    data = job.payload.encode("utf-8", "surrogatepass") if isinstance(job.payload, str) else job.payload
    return job.modality, hashlib.sha256(data).digest()


class Queue:
    """See the module.

    Args:
        limits: Its bounds.
        refuse: Asked about each job before it is queued.
        clock: Seconds that only move forward; what deadlines are told on.
    """

    def __init__(self, limits: QueueLimits, *, refuse: Refuse = lambda *_: None, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._refuse = refuse
        self._clock = clock
        self._lock = Lock()
        self._for_queries = Condition(self._lock)
        self._for_all = Condition(self._lock)
        self._timer = Condition(self._lock)
        self._drained = Condition(self._lock)
        self._n_idle_for_queries = 0
        self._lanes: dict[Lane, WaitingLine] = {lane: WaitingLine() for lane in get_args(Lane)}
        self._entries: dict[Key, Entry] = {}
        self._on_trial: set[Entry] = set()
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._numbers = count()
        self._room = Room(limits, clock)
        self._guilt = Guilt(clock)
        self._closed = False
        self._stopped = False

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        """Queue jobs; one future for each, in order.

        Raises:
            NotReady: The queue is closed.
            Overloaded: There is no room for all of them; none was queued.
        """
        keys = [key_of(job) for job in jobs]
        refused = [self._refuse(key, job) for key, job in zip(keys, jobs, strict=True)]
        waiters: list[Waiter | None] = []
        with self._lock:
            if self._closed:
                raise NotReady("The service is stopping.")
            self._room.require([job for job, error in zip(jobs, refused, strict=True) if error is None])
            for key, job, error in zip(keys, jobs, refused, strict=True):
                waiters.append(self._enqueue(key, job) if error is None else None)
            self._wake()
        for waiter in filter(None, waiters):
            # Not before: a callback of a future that is cancelled at once comes back for the lock.
            waiter.future.add_done_callback(partial(self._leave, waiter))
        return [waiter.future if waiter else _failed(error) for waiter, error in zip(waiters, refused, strict=True)]

    def take(
        self, *, interactive_only: bool, timeout_s: float, suspects: bool = False, help_after_s: float = 0.0
    ) -> list[Entry]:
        """The next batch, of one kind; nothing after `timeout_s`, or when the queue is stopped.

        Each entry has to come back: to `answer`, `fail` or `put_back`.

        Args:
            interactive_only: Whether it must be of the interactive lane.
            timeout_s: How long to wait for one.
            suspects: Whether it may be entries that are suspected of ending workers.
            help_after_s: How long interactive entries must have waited: a worker of low priority is slow with them, and
                has only to help where the one that they are meant for is late.
        """
        until = self._clock() + timeout_s
        condition = self._for_queries if interactive_only else self._for_all
        with self._lock:
            while not self._stopped:
                batch, wait_s = self._next_batch(interactive_only, suspects, help_after_s)
                left_s = until - self._clock()
                if batch or left_s <= 0:
                    if self._lanes["interactive"]:
                        self._wake()  # more than one batch was waiting, and perhaps only we were told
                    return batch
                self._n_idle_for_queries += interactive_only
                condition.wait(min(left_s, wait_s))
                self._n_idle_for_queries -= interactive_only
        return []

    def answer(self, entry: Entry, vector: Rows, tower: Tower, *, warning: str = "", n_tokens: int = 0) -> None:
        """Give all who wait for an entry its vector.

        Args:
            entry: What was taken.
            vector: (dim,) float32 of unit length.
            tower: The recipe that made it.
            warning: A sentence about the input, without its name.
            n_tokens: The length of a text as the model read it.
        """
        for waiter in self._finish(entry):
            named = f"{waiter.item}: {warning}" if warning and waiter.item else warning
            with suppress(InvalidStateError):  # cancelled, or its deadline has passed, at this moment
                waiter.future.set_result(Embedded(vector=vector, tower=tower, warning=named, n_tokens=n_tokens))

    def fail(self, entry: Entry, error: Callable[[str], LookalikeError]) -> None:
        """Give all who wait for an entry an error, made from the name of the item."""
        for waiter in self._finish(entry):
            _reject(waiter, error(waiter.item))

    def put_back(self, groups: Iterable[Sequence[Entry]]) -> None:
        """Return entries that were taken: each group is handed out again as it is.

        That is before anything else, or, if one of the group is suspected, after all that waits now.
        """
        with self._lock:
            for group in groups:
                self._on_trial.difference_update(group)
                for entry in group:
                    if entry.guilt:
                        self._hold_against(entry)
                wanted = [entry for entry in group if entry.waiters]
                if wanted:
                    line = self._lanes["interactive" if any(e.lane == "interactive" for e in wanted) else "bulk"]
                    if any(entry.is_suspect for entry in wanted):
                        line.suspects.append((next(self._numbers), wanted))
                    else:
                        line.again.append(wanted)
            self._wake()

    def expire(self, *, most_s: float) -> None:
        """Wait for the next deadline, at most so long, and answer those whose has passed."""
        with self._lock:
            due = self._deadlines[0][0] - self._clock() if self._deadlines else most_s
            if due > 0:
                self._timer.wait(min(due, most_s))
            late = list(self._pop_late())
        for waiter in late:
            _reject(waiter, DeadlineExceeded("The deadline passed before the vector was made: try again, or later."))

    def fail_all(self, error: Callable[[str], LookalikeError], lanes: Iterable[Lane] = get_args(Lane)) -> None:
        """Give all who wait in these lanes an error."""
        chosen = set(lanes)
        with self._lock:
            entries = [entry for entry in self._entries.values() if entry.lane in chosen]
        for entry in entries:
            self.fail(entry, error)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def counts(self) -> dict[Lane, int]:
        """Jobs that are accepted and not yet answered, by lane."""
        with self._lock:
            return {lane: self._room.n_jobs[lane] for lane in self._lanes}

    def close(self) -> None:
        """Take no more jobs; what is queued is still handed out."""
        with self._lock:
            self._closed = True

    def wait_drained(self, timeout_s: float) -> bool:
        """Whether everything has been answered; waits for that, at most so long."""
        with self._lock:
            return self._drained.wait_for(lambda: not self._entries, timeout_s)

    def stop(self) -> None:
        """Hand out nothing any more; those who wait in `take` and `expire` return."""
        with self._lock:
            self._closed = self._stopped = True
            for condition in (self._for_queries, self._for_all, self._timer):
                condition.notify_all()

    def _enqueue(self, key: Key, job: Job) -> Waiter:
        entry = self._entries.get(key)
        if entry is None:
            bucket = bisect_left(TEXT_BUCKETS, len(job.payload)) if job.modality == "text" else 0
            kind = (job.modality, bucket)
            number = next(self._numbers)
            entry = Entry(key, job.payload, kind, job.lane, job.caller, number, self._clock())
            entry.guilt = self._guilt.of(key)
            self._entries[key] = entry
            self._room.n_bytes += len(entry.payload)
            self._line_up(entry)
        elif job.lane == "interactive" and entry.lane == "bulk":
            waiting = self._lanes["bulk"].remove(entry)
            entry.lane, entry.caller = job.lane, job.caller
            if waiting:
                self._lanes["interactive"].add(entry)
        waiter = Waiter(job.item, job.lane, job.caller, Future(), entry)
        entry.waiters.append(waiter)
        self._room.enter(job.lane, job.caller)
        if len(self._deadlines) > 2 * self._room.n_jobs.total() + DONE_REMEMBERED:
            self._deadlines = [due for due in self._deadlines if not due[2].future.done()]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (job.deadline, next(self._numbers), waiter))
        if self._deadlines[0][2] is waiter:
            self._timer.notify()
        return waiter

    def _line_up(self, entry: Entry) -> None:
        line = self._lanes[entry.lane]
        if entry.is_suspect:
            line.suspects.append((next(self._numbers), [entry]))
        else:
            line.add(entry)

    def _hold_against(self, entry: Entry) -> None:
        """Note the guilt of one that comes back: also on the same input, where somebody else waits for it by now."""
        self._guilt.note(entry.key, entry.guilt)
        twin = self._entries.get(entry.key, entry)
        if twin is not entry:
            twin.guilt = max(twin.guilt, entry.guilt)
            if twin.is_suspect and self._lanes[twin.lane].remove(twin):
                self._line_up(twin)

    def _wake(self) -> None:
        """Tell those who should look."""
        has_suspects = not self._on_trial and any(line.suspects for line in self._lanes.values())
        has_queries = bool(self._lanes["interactive"])
        if has_queries or has_suspects:
            self._for_queries.notify()
        # Where somebody is idle for a query, the others would only wake to compete with it for the interpreter.
        if (has_queries and not self._n_idle_for_queries) or self._lanes["bulk"] or has_suspects:
            self._for_all.notify_all()

    def _next_batch(self, interactive_only: bool, suspects: bool, help_after_s: float) -> tuple[list[Entry], float]:
        """A batch; if there is none, how long to wait until there may be one without anybody telling."""
        queries = self._lanes["interactive"]
        help_in_s = queries.oldest_since() + help_after_s - self._clock() if help_after_s else 0.0
        if help_in_s <= 0 and queries:
            batch = queries.take("interactive", self._limits)
            if batch:
                return batch, 0.0
        if suspects and not self._on_trial:
            lines = [line for lane, line in self._lanes.items() if lane == "interactive" or not interactive_only]
            group = next(filter(None, (line.take_suspects() for line in lines)), [])
            self._on_trial.update(group)
            if group:
                return group, 0.0
        lane = self._lanes["bulk"]
        if interactive_only or not lane:
            return [], help_in_s if queries else float("inf")
        wait_s = 0.0 if self._closed else lane.worth_waiting_s(self._limits, self._clock())
        return ([], min(wait_s, help_in_s or wait_s)) if wait_s > 0 else (lane.take("bulk", self._limits), 0.0)

    def _finish(self, entry: Entry) -> list[Waiter]:
        """Take an entry out; those who wait for it, or for the same input that came when nobody waited any more."""
        with self._lock:
            twin = self._entries.get(entry.key, entry)
            waiters = twin.waiters if twin is entry else [*entry.waiters, *twin.waiters]
            entry.waiters, twin.waiters = [], []
            for waiter in waiters:
                self._room.leave(waiter.lane, waiter.caller)
            self._room.answered()
            self._guilt.forget(entry.key)
            self._drop(twin)
            if entry in self._on_trial:
                self._on_trial.remove(entry)
                self._wake()
        return waiters

    def _leave(self, waiter: Waiter, _: Future[Embedded]) -> None:
        """A future is done: if not by us, it was cancelled, and its entry may have lost its last friend."""
        if waiter.future.cancelled():
            waiter.future.set_running_or_notify_cancel()  # or `concurrent.futures.wait` would wait for ever
        with self._lock:
            if waiter in waiter.entry.waiters:
                waiter.entry.waiters.remove(waiter)
                self._room.leave(waiter.lane, waiter.caller)
                if not waiter.entry.waiters:
                    self._drop(waiter.entry)

    def _pop_late(self) -> Iterator[Waiter]:
        now = self._clock()
        while self._deadlines and (self._deadlines[0][2].future.done() or self._deadlines[0][0] <= now):
            waiter = heapq.heappop(self._deadlines)[2]
            if not waiter.future.done():
                yield waiter

    def _drop(self, entry: Entry) -> None:
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self._room.n_bytes -= len(entry.payload)
            self._lanes[entry.lane].remove(entry)
            for line in self._lanes.values() if entry.is_suspect else ():
                line.forget_suspects()
        if not self._entries:
            self._drained.notify_all()


def _failed(error: LookalikeError | None) -> Future[Embedded]:
    future: Future[Embedded] = Future()
    future.set_exception(error)
    return future


def _reject(waiter: Waiter, error: LookalikeError) -> None:
    with suppress(InvalidStateError):  # cancelled, or answered, at this moment
        waiter.future.set_exception(error)
