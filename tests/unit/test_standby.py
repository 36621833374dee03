"""A chain in the workers' place: who answers, what the answer says, and that every future ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import pytest

from lookalike.calls import Inputs
from lookalike.embed import LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import LookalikeError, NotReady, Overloaded, Unavailable, UnsupportedMedia
from lookalike.fallback import Chain, Standby
from lookalike.fallback.standby import MAX_CALLS
from lookalike.health import ServiceStatus, WorkerStatus
from lookalike.metrics import Metrics
from lookalike.policy import ImagePolicy
from lookalike.spaces import Tower
from lookalike.types import Embedded, Job, Vectors
from tests.pictures import noise

PATIENCE_S = 20.0
TOWER = FakeEncoder().tower
DOWN = NotReady("The model cannot be loaded.")


class Workers:
    """An EmbeddingService whose workers fail as `error` says, at once or, with `late`, after they took the jobs."""

    def __init__(self, error: LookalikeError | None = DOWN, *, late: bool = False, state: str = "failed") -> None:
        self.error = error
        self.late = late
        self.state = state
        self.taken: list[Future[Embedded]] = []

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        if self.error and not self.late:
            raise self.error
        futures: list[Future[Embedded]] = [Future() for _ in jobs]
        for future in futures if not self.late else ():
            future.set_result(Embedded(vector=np.zeros(TOWER.space.dim, np.float32), tower=TOWER))
        self.taken += futures
        return futures

    def status(self) -> ServiceStatus:
        is_down = self.error is not None
        worker = WorkerStatus(name="worker", state=self.state if is_down else "ready", pid=None, restarts=3)
        reason = str(self.error) if is_down else ""
        return ServiceStatus(ready=not is_down, reason=reason, tower=None, waiting={}, workers=(worker,))

    def close(self, *, drain_s: float) -> None:
        pass


class Held:
    """A vectorizer that answers once it is released, or fails."""

    def __init__(self, error: LookalikeError | None = None) -> None:
        self.released = threading.Event()
        self.asked: list[int] = []
        self._error = error
        self._local = LocalVectorizer(FakeEncoder())

    @property
    def tower(self) -> Tower:
        return self._local.tower

    @property
    def policy(self) -> ImagePolicy:
        return self._local.policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        self.asked.append(len(inputs))
        self.released.wait(max(0.0, until - time.monotonic()))
        if self._error:
            raise self._error
        yield from self._local.embed(inputs, until=until)


def jobs(*payloads: bytes | str, seconds: float = PATIENCE_S) -> list[Job]:
    deadline = time.monotonic() + seconds
    return [
        Job(modality="text" if isinstance(payload, str) else "image", payload=payload, item=f"{n}th", deadline=deadline)
        for n, payload in enumerate(payloads)
    ]


@pytest.fixture
def stand_in() -> Held:
    """Who stands in; answers at once."""
    found = Held()
    found.released.set()
    return found


def standby(workers: Workers, *members: Held, grace_s: float = 0.0) -> tuple[Standby, Metrics]:
    metrics = Metrics()
    return Standby(workers, Chain(members, recorder=metrics), recorder=metrics, grace_s=grace_s), metrics


def test_workers_that_answer_are_not_replaced(stand_in: Held) -> None:
    """As long as the workers take jobs, nobody else is asked, and the status is theirs."""
    service, metrics = standby(Workers(None), stand_in)
    (future,) = service.submit(jobs("red"))
    assert (future.result(PATIENCE_S).warning, stand_in.asked) == ("", [])
    assert (service.status().ready, service.status().reason) == (True, "")
    assert (metrics.events()["failover"], metrics.events()["standby"]) == (0, 0)


def test_where_the_workers_cannot_answer_a_stand_in_does_and_says_so(stand_in: Held) -> None:
    """Right vectors, each with a warning of who made it and why; the service stays ready, and events count it."""
    workers = Workers()
    service, metrics = standby(workers, stand_in)
    found = [future.result(PATIENCE_S) for future in service.submit(jobs("red", noise(1), "blue"))]
    assert np.array_equal(found[0].vector, FakeEncoder().encode_texts([FakeEncoder().prepare_text("red")])[0])
    assert {one.warning for one in found} == {
        f"The workers could not answer, and fake on fake did in their place: {DOWN}"
    }
    status = service.status()
    assert (status.ready, status.tower) == (True, TOWER)
    assert str(DOWN) in status.reason
    assert [(member.name, member.state) for member in status.members] == [("fake on fake", "ok")]
    assert (metrics.events()["failover"], metrics.events()["standby"]) == (1, 3)
    workers.error = None
    service.submit(jobs("red"))
    assert metrics.events()["failback"] == 1


def test_what_the_workers_took_and_gave_back_goes_on(stand_in: Held) -> None:
    """A job that was accepted and ends as NotReady is done by the stand-in; one that was cancelled by nobody."""
    workers = Workers(late=True)
    service, _ = standby(workers, stand_in)
    first, second = service.submit(jobs("red", "blue"))
    second.cancel()
    assert workers.taken[1].cancelled()
    workers.taken[0].set_exception(DOWN)
    assert "did in their place" in first.result(PATIENCE_S).warning


def test_an_error_of_an_input_is_its_own(stand_in: Held) -> None:
    """What cannot be used has its error, under its own name; the others of the request have vectors."""
    service, _ = standby(Workers(), stand_in)
    bad, good = service.submit(jobs(b"no picture", noise(1)))
    with pytest.raises(UnsupportedMedia, match="0th"):
        bad.result(PATIENCE_S)
    assert len(good.result(PATIENCE_S).vector) == TOWER.space.dim


def test_nobody_stands_in_before_the_workers_had_time_to_load(stand_in: Held) -> None:
    """While they are loading for the first time, nobody is paid; one that has failed ends the patience."""
    workers = Workers(state="loading")
    service, _ = standby(workers, stand_in, grace_s=PATIENCE_S)
    assert not service.status().ready
    with pytest.raises(NotReady):
        service.submit(jobs("red"))
    workers.state = "failed"
    assert service.submit(jobs("red"))[0].result(PATIENCE_S).warning


def test_where_the_stand_in_fails_too_both_reasons_are_told() -> None:
    """The error is the chain's, typed and retryable, and the service is closed without waiting for ever."""
    broken = Held(Unavailable("It is down as well.", provider="p"))
    broken.released.set()
    service, _ = standby(Workers(), broken)
    with pytest.raises(Unavailable, match="It is down as well"):
        service.submit(jobs("red"))[0].result(PATIENCE_S)
    service.close(drain_s=1.0)
    with pytest.raises(NotReady):
        service.submit(jobs("red"))


def test_a_stand_in_that_hangs_holds_nothing_up_beyond_its_deadline() -> None:
    """Every future ends by its deadline, and a closed service waits for what it has accepted."""
    held = Held(Unavailable("It hangs.", provider="p"))
    service, _ = standby(Workers(), held)
    (future,) = service.submit(jobs("red", seconds=0.2))
    with pytest.raises(LookalikeError):
        future.result(PATIENCE_S)


def test_more_than_can_be_done_at_once_is_refused() -> None:
    """So many requests run side by side; the next is told to come back, and none waits behind one that hangs."""
    held = Held()
    service, _ = standby(Workers(), held)
    accepted = [service.submit(jobs("red", seconds=PATIENCE_S + n))[0] for n in range(MAX_CALLS)]
    with pytest.raises(Overloaded):
        service.submit(jobs("blue"))[0].result(PATIENCE_S)
    held.released.set()
    assert all(len(future.result(PATIENCE_S).vector) for future in accepted)


def test_a_request_is_one_call_however_many_jobs_it_has(stand_in: Held) -> None:
    """Its jobs go to the stand-in together, and none is refused for want of room while nothing else is going on."""
    service, _ = standby(Workers(), stand_in)
    found = [future.result(PATIENCE_S) for future in service.submit(jobs(*map(str, range(300))))]
    assert (len(found), stand_in.asked) == (300, [300])


def test_jobs_that_are_given_back_one_by_one_are_not_refused() -> None:
    """They are one request still: what comes while a call of it is on its way goes with the next one."""
    workers, held = Workers(late=True), Held()
    service, _ = standby(workers, held)
    accepted = service.submit(jobs(*map(str, range(300))))
    for future in workers.taken:
        future.set_exception(DOWN)
    held.released.set()
    assert all(len(future.result(PATIENCE_S).vector) for future in accepted)
    assert (len(held.asked) <= 2, sum(held.asked)) == (True, 300)


def test_what_is_given_back_while_all_stand_ins_are_busy_is_refused_unless_one_is_its_own() -> None:
    """Jobs of a request that a stand-in works on wait for it; those of another are told to come back."""
    workers, held = Workers(late=True), Held()
    service, _ = standby(workers, held)
    requests = [service.submit(jobs("red", "blue", seconds=PATIENCE_S + n)) for n in range(MAX_CALLS + 1)]
    for future in workers.taken:
        future.set_exception(DOWN)
    with pytest.raises(Overloaded):
        requests[-1][0].result(PATIENCE_S)
    held.released.set()
    assert all(len(future.result(PATIENCE_S).vector) for request in requests[:-1] for future in request)
