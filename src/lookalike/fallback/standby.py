"""A chain in the place of a service's workers, for as long as these cannot answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace

from lookalike.calls import Inputs, error_of
from lookalike.errors import LookalikeError, NotReady, Overloaded, ProviderError
from lookalike.fallback.chain import Chain
from lookalike.health import ServiceStatus
from lookalike.ports import EmbeddingService, Recorder
from lookalike.spaces import Modality, Tower
from lookalike.types import Embedded, Job, Vectors

GRACE_S = 5.0
"""How long workers may take to load for the first time before somebody is paid to answer in their place."""

MAX_CALLS = 32
"""Requests that the chain works on at the same time, each with a thread of its own, so that none waits for one that
hangs. What workers give back of a request comes job by job: the first goes alone, the others together after it."""

_Key = tuple[Modality, float]
_log = logging.getLogger("lookalike.fallback")


@dataclass(slots=True)
class _Call:
    """Jobs of one modality and deadline that go to the chain together."""

    reason: str
    jobs: list[Job] = field(default_factory=list)
    futures: list[Future[Embedded]] = field(default_factory=list)


class Standby:
    """ports.EmbeddingService: the workers do what they can, and the chain what they cannot do now.

    What a stand-in made says so in its warning. Jobs that the workers have accepted and then give back, because none
    of them can load the model any more, go on to the chain with what is left of their time.

    Args:
        workers: Who answers as long as they can.
        chain: Who stands in; of the workers' space.
        recorder: Is told "failover", "failback" and "standby"; see ports.Recorder.
        grace_s: How long the workers may take to come up.
    """

    def __init__(
        self, workers: EmbeddingService, chain: Chain, *, recorder: Recorder, grace_s: float = GRACE_S
    ) -> None:
        self._workers = workers
        self._chain = chain
        self._recorder = recorder
        self._paid_from_s = time.monotonic() + grace_s
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="standby")
        self._waiting: dict[_Key, _Call] = {}
        self._running: dict[_Key, Future[None]] = {}
        self._is_away = False
        self._is_closed = False

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        """See `ports.EmbeddingService.submit`."""
        try:
            accepted = self._workers.submit(jobs)
        except NotReady as error:
            if self._stand_in(self._workers.status()) is None:
                raise
            promised: list[Future[Embedded]] = [Future() for _ in jobs]
            self._hand_over(jobs, promised, error)
            return promised
        if self._is_away:
            self._turn(is_away=False, reason="")
        return [self._backed(job, future) for job, future in zip(jobs, accepted, strict=True)]

    def status(self) -> ServiceStatus:
        """See `ports.EmbeddingService.status`."""
        status = replace(self._workers.status(), members=self._chain.status())
        tower = None if status.ready else self._stand_in(status)
        if tower is None:
            return status
        reason = f"A stand-in answers in the workers' place: {status.reason}"
        return replace(status, ready=True, reason=reason, tower=status.tower or tower)

    def close(self, *, drain_s: float) -> None:
        """See `ports.EmbeddingService.close`."""
        self._is_closed = True
        until = time.monotonic() + drain_s
        self._workers.close(drain_s=drain_s)
        with self._lock:
            running = set(self._running.values())
        wait(running, timeout=max(0.0, until - time.monotonic()))
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _stand_in(self, status: ServiceStatus) -> Tower | None:
        """The recipe of who would answer now in the workers' place; None if nobody would."""
        is_first = status.tower is None and all(worker.state != "failed" for worker in status.workers)
        if self._is_closed or (is_first and time.monotonic() < self._paid_from_s):
            return None
        if all(member.state == "out" for member in self._chain.status()):
            return None
        with suppress(ProviderError):  # none could be opened yet
            # By the name that the workers' model has, whoever the stand-in is.
            return replace(self._chain.tower, space=self._chain.space)
        return None

    def _backed(self, job: Job, accepted: Future[Embedded]) -> Future[Embedded]:
        """The future of a job that the workers have accepted, and may give back."""
        promised: Future[Embedded] = Future()
        promised.add_done_callback(lambda future: accepted.cancel() if future.cancelled() else None)

        def settle(done: Future[Embedded]) -> None:
            if done.cancelled():
                promised.cancel()
                return
            error = done.exception()
            if isinstance(error, NotReady) and self._stand_in(self._workers.status()) is not None:
                self._hand_over([job], [promised], error)
            elif promised.set_running_or_notify_cancel():
                _settle(promised, done.result() if error is None else error)

        accepted.add_done_callback(settle)
        return promised

    def _hand_over(self, jobs: Sequence[Job], promised: Sequence[Future[Embedded]], error: NotReady) -> None:
        """Give jobs to the chain: those of one request in one call, or in the next while one is on its way."""
        self._turn(is_away=True, reason=str(error))
        with self._lock:
            pairs = zip(jobs, promised, strict=True)
            refused = [future for job, future in pairs if not self._gather(job, future, error)]
            self._start_all()
        for future in refused:
            if future.set_running_or_notify_cancel():
                future.set_exception(Overloaded("All stand-ins are busy: try again.", retry_after_s=1.0))

    def _gather(self, job: Job, promised: Future[Embedded], error: NotReady) -> bool:
        """Whether there was room for a job: always, where the call that it belongs to is on its way or waits."""
        key = (job.modality, job.deadline)
        keys = self._running.keys() | self._waiting.keys()
        if key not in keys and len(keys) >= MAX_CALLS:
            return False
        call = self._waiting.setdefault(key, _Call(str(error)))
        call.jobs.append(job)
        call.futures.append(promised)
        return True

    def _start_all(self) -> None:
        for key in self._waiting.keys() - self._running.keys():
            self._running[key] = self._threads.submit(self._run, key)

    def _run(self, key: _Key) -> None:
        """Do what was gathered, and what comes meanwhile; runs in a thread."""
        try:
            while (call := self._next(key)) is not None:
                self._answer(call, key)
        except BaseException:  # a defect: what came meanwhile has its turn nevertheless
            with self._lock:
                del self._running[key]
                self._start_all()
            raise

    def _next(self, key: _Key) -> _Call | None:
        with self._lock:
            call = self._waiting.pop(key, None)
            if call is None:
                del self._running[key]
            return call

    def _answer(self, call: _Call, key: _Key) -> None:
        live = [place for place, future in enumerate(call.futures) if future.set_running_or_notify_cancel()]
        jobs, futures = [call.jobs[place] for place in live], [call.futures[place] for place in live]
        names = [str(place) for place in range(len(jobs))]
        inputs = Inputs(modality=key[0], payloads=[job.payload for job in jobs], names=names)
        error: BaseException = NotReady(call.reason)
        try:
            for name, part in self._chain.answers(inputs, until=key[1]):
                instead = f"The workers could not answer, and {name} did in their place: {call.reason}"
                _settle_part(replace(part, tower=replace(part.tower, space=self._chain.space)), jobs, futures, instead)
                self._recorder.count("standby", len(part))
        except LookalikeError as raised:
            error = raised
        finally:
            for future in futures:
                if not future.done():
                    _settle(future, error)

    def _turn(self, *, is_away: bool, reason: str) -> None:
        """Tell, once, that a stand-in answers from now on, or the workers again."""
        with self._lock:
            if self._is_away == is_away:
                return
            self._is_away = is_away
        if is_away:
            _log.warning("A stand-in answers in the workers' place: %s", reason)
        else:
            _log.info("The workers answer again.")
        self._recorder.count("failover" if is_away else "failback")


def _settle(future: Future[Embedded], outcome: Embedded | BaseException) -> None:
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _settle_part(part: Vectors, jobs: Sequence[Job], futures: Sequence[Future[Embedded]], instead: str) -> None:
    """Settle the futures of the jobs that a part is of; the jobs are named by their places."""
    about = [warning.partition(": ") for warning in part.warnings]
    for row, place in enumerate(part.positions.tolist()):
        own = [f"{jobs[place].item}: {said}".removeprefix(": ") for name, _, said in about if name == str(place)]
        whole = [warning for warning in part.warnings if not warning.partition(": ")[0].isdecimal()]
        warning = " ".join([*own, instead, *whole])
        n_tokens = int(part.n_tokens[row])
        _settle(futures[place], Embedded(vector=part.values[row], tower=part.tower, warning=warning, n_tokens=n_tokens))
    for failure in part.failures:
        _settle(futures[failure.position], error_of(replace(failure, item=jobs[failure.position].item)))
