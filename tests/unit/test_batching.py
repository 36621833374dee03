"""The queue: what is taken when, who is let in, who gets an answer."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait

import numpy as np
import pytest

from lookalike.batching import SUSPICIOUS, Entry, Queue, QueueLimits
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import DeadlineExceeded, HarmfulInput, ImageError, NotReady, Overloaded
from lookalike.types import Embedded, Job

TOWER = FakeEncoder().tower
AT_ONCE = QueueLimits(max_wait_s=0.0)
NEVER = 1e9


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def text(words: str, *, deadline: float = NEVER, **fields: str) -> Job:
    return Job(modality="text", payload=words, deadline=deadline, **fields)  # type: ignore[arg-type]


def image(data: bytes, *, deadline: float = NEVER, **fields: str) -> Job:
    return Job(modality="image", payload=data, deadline=deadline, **fields)  # type: ignore[arg-type]


def taken(queue: Queue, *, interactive_only: bool = False) -> list[str | bytes]:
    """The payloads of the next batch that is there."""
    return [entry.payload for entry in queue.take(interactive_only=interactive_only, timeout_s=0.0)]


def take(queue: Queue) -> list[Entry]:
    return queue.take(interactive_only=False, timeout_s=0.0)


def answer(queue: Queue, entries: Sequence[Entry]) -> None:
    """Give each entry a vector that tells it from the others."""
    for entry in entries:
        queue.answer(entry, np.full(4, len(entry.payload), np.float32), TOWER)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_batch_is_of_one_kind() -> None:
    """Pictures, and texts of each length bucket, are never mixed; what came first goes first."""
    queue = Queue(AT_ONCE)
    queue.submit([text("a"), image(b"x"), text("b" * 65), text("c"), text("d" * 300), image(b"y"), text("e" * 66)])
    assert [taken(queue) for _ in range(5)] == [["a", "c"], [b"x", b"y"], ["b" * 65, "e" * 66], ["d" * 300], []]


def test_a_worker_of_low_priority_helps_where_queries_are_late() -> None:
    """It leaves a fresh query to the worker that is meant for it, goes on with bulk jobs, and takes the late one."""
    clock = Clock()
    queue = Queue(AT_ONCE, clock=clock)

    def helper() -> list[str | bytes]:
        batch = queue.take(interactive_only=False, timeout_s=0.0, help_after_s=0.1)
        return [entry.payload for entry in batch]

    queue.submit([text("query"), image(b"x", lane="bulk")])
    assert [helper(), helper()] == [[b"x"], []]
    clock.now += 0.1
    assert helper() == ["query"]
    queue.submit([text("another")])
    assert [helper(), taken(queue, interactive_only=True)] == [[], ["another"]]


def test_a_batch_has_a_size() -> None:
    """No batch holds more jobs, or more bytes, than the limits say; a single input may be larger."""
    limits = QueueLimits(batch_images=4, batch_bytes=10, max_wait_s=0.0)
    queue = Queue(limits)
    queue.submit([image(bytes([i]) * size, lane="bulk") for i, size in enumerate([1, 1, 1, 1, 1, 9, 5, 20, 1])])
    sizes = []
    while batch := taken(queue):
        sizes.append([len(data) for data in batch])
    assert sizes == [[1, 1, 1, 1], [1, 9], [5], [20], [1]]


def test_what_is_interactive_goes_first() -> None:
    """A job of the interactive lane passes everything that waits in the bulk lane, and is not mixed with it."""
    queue = Queue(AT_ONCE)
    queue.submit([text("bulk 1", lane="bulk"), text("bulk 2", lane="bulk"), text("query")])
    assert [taken(queue), taken(queue)] == [["query"], ["bulk 1", "bulk 2"]]


def test_a_worker_for_queries_takes_nothing_else() -> None:
    """With `interactive_only` the bulk lane is left alone."""
    queue = Queue(AT_ONCE)
    queue.submit([text("bulk", lane="bulk")])
    assert taken(queue, interactive_only=True) == []
    assert taken(queue) == ["bulk"]


def test_callers_take_turns() -> None:
    """A batch has a job of each caller in turn, so that one with many does not keep out one with few."""
    limits = QueueLimits(batch_texts=4, max_wait_s=0.0)
    queue = Queue(limits)
    queue.submit([text(f"many {i}", caller="many", lane="bulk") for i in range(20)])
    queue.submit([text(f"few {i}", caller="few", lane="bulk") for i in range(3)])
    queue.submit([text("one 0", caller="one", lane="bulk")])
    assert taken(queue) == ["many 0", "few 0", "one 0", "many 1"]
    assert taken(queue) == ["few 1", "many 2", "few 2", "many 3"]
    assert taken(queue) == ["many 4", "many 5", "many 6", "many 7"]


def test_a_batch_waits_a_little_to_become_full() -> None:
    """A bulk batch that is not full is handed out when its first job has waited for `max_wait_s`, a full one now."""
    clock = Clock()
    queue = Queue(QueueLimits(max_wait_s=0.002, batch_texts=3), clock=clock)
    queue.submit([text("a", lane="bulk"), text("b", lane="bulk")])
    assert taken(queue) == []
    queue.submit([text("c", lane="bulk")])
    assert taken(queue) == ["a", "b", "c"]
    queue.submit([text("d", lane="bulk")])
    assert taken(queue) == []
    clock.now += 0.003
    assert taken(queue) == ["d"]


def test_a_waiting_worker_is_woken() -> None:
    """`take` returns as soon as there is something, not when its time is over."""
    queue = Queue(AT_ONCE)
    found: list[list[Entry]] = []
    thread = in_thread(lambda: found.append(queue.take(interactive_only=True, timeout_s=30.0)))
    queue.submit([text("query")])
    thread.join(10.0)
    assert [entry.payload for batch in found for entry in batch] == ["query"]


def test_where_a_worker_is_idle_for_queries_no_other_is_woken() -> None:
    """A query costs the others nothing: they go on sleeping while the one that it is meant for takes it."""
    looks: Counter[str] = Counter()
    looked = threading.Condition()

    def clock() -> float:
        with looked:
            looks[threading.current_thread().name] += 1
            looked.notify_all()
        return 1000.0

    queue = Queue(AT_ONCE, clock=clock)

    def work(interactive_only: bool, help_after_s: float) -> None:
        while not queue.stopped:
            answer(queue, queue.take(interactive_only=interactive_only, timeout_s=1e6, help_after_s=help_after_s))

    threads = [in_thread(lambda: work(True, 0.0)), in_thread(lambda: work(False, 1e6))]
    for_queries, helper = (thread.name for thread in threads)
    with looked:  # having looked, each of them holds the lock until it sleeps
        assert looked.wait_for(lambda: looks[for_queries] >= 2 and looks[helper] >= 3, timeout=10)
        before = looks[helper]
    for number in range(50):
        seen = looks[for_queries]
        (future,) = queue.submit([text(f"words {number}")])
        future.result(timeout=10)
        with looked:  # of its next turn
            assert looked.wait_for(lambda n=seen: looks[for_queries] >= n + 4, timeout=10)
    assert looks[helper] == before
    queue.stop()
    for thread in threads:
        thread.join(10)


def test_equal_inputs_are_worked_on_once() -> None:
    """Jobs for the same input share one entry, while it waits and while it runs; each gets the answer."""
    queue = Queue(AT_ONCE)
    futures = queue.submit([text("same", item="a"), text("other"), text("same", item="b")])
    batch = take(queue)
    futures += queue.submit([text("same", item="c")])
    assert ([entry.payload for entry in batch], taken(queue)) == (["same", "other"], [])
    answer(queue, batch)
    assert [future.result(0).vector[0] for future in futures] == [4, 5, 4, 4]


def test_a_picture_and_a_text_of_the_same_bytes_are_two() -> None:
    """The modality is part of what makes two jobs one."""
    queue = Queue(AT_ONCE)
    queue.submit([text("same"), image(b"same")])
    assert [taken(queue), taken(queue)] == [["same"], [b"same"]]


def test_a_shared_entry_has_the_most_urgent_lane() -> None:
    """A bulk job that a query asks for as well goes with the queries."""
    queue = Queue(AT_ONCE)
    queue.submit([text("first", lane="bulk"), text("wanted", lane="bulk")])
    queue.submit([text("wanted")])
    assert [taken(queue, interactive_only=True), taken(queue), taken(queue)] == [["wanted"], ["first"], []]


def test_a_shared_entry_lives_as_long_as_somebody_waits() -> None:
    """Cancelling one of two leaves the other its answer; cancelling both takes the entry out before it is worked on."""
    queue = Queue(AT_ONCE)
    first, second = queue.submit([text("same"), text("same")])
    third, fourth = queue.submit([text("gone"), text("gone")])
    for future in (first, third, fourth):
        assert future.cancel()
    assert sum(queue.counts().values()) == 1
    batch = take(queue)
    assert [entry.payload for entry in batch] == ["same"]
    answer(queue, batch)
    assert second.result(0).vector[0] == 4
    with pytest.raises(CancelledError):
        first.result(0)


def test_a_job_that_is_cancelled_while_it_runs_harms_nobody() -> None:
    """Its answer is thrown away, and those beside it get theirs."""
    queue = Queue(AT_ONCE)
    gone, here = queue.submit([text("gone"), text("here!")])
    batch = take(queue)
    gone.cancel()
    answer(queue, batch)
    assert here.result(0).vector[0] == 5
    assert queue.wait_drained(0.0)


def test_a_deadline_is_kept_without_any_worker() -> None:
    """Each future gets DeadlineExceeded at its own deadline, waiting or running; who has time left goes on."""
    clock = Clock()
    queue = Queue(AT_ONCE, clock=clock)
    early, late = queue.submit([text("same", deadline=1001.0), text("same", deadline=1003.0)])
    running = take(queue)
    (waiting,) = queue.submit([text("waiting", deadline=1002.0)])
    clock.now = 1002.0
    queue.expire(most_s=0.0)
    for future in (early, waiting):
        assert isinstance(future.exception(0), DeadlineExceeded)
    assert (late.done(), taken(queue)) == (False, [])
    answer(queue, running)
    assert late.result(0).vector[0] == 4


def test_the_timer_wakes_for_an_earlier_deadline() -> None:
    """Who waits in `expire` is woken by a job whose deadline comes before all others."""
    queue = Queue(AT_ONCE)
    thread = in_thread(lambda: queue.expire(most_s=30.0))
    (future,) = queue.submit([text("too late already", deadline=0.0)])
    thread.join(10.0)
    queue.expire(most_s=0.0)
    assert isinstance(future.exception(10.0), DeadlineExceeded)


def test_a_lane_is_full_at_its_bound_and_takes_all_or_nothing() -> None:
    """Overloaded, with the seconds to wait; none of the jobs was queued, and the other lane is open."""
    queue = Queue(QueueLimits(interactive_jobs=16, bulk_jobs=16, max_wait_s=0.0))
    for caller in ("a", "b"):
        queue.submit([text(f"{caller} {i}", caller=caller) for i in range(8)])
    with pytest.raises(Overloaded) as full:
        queue.submit([text("one more", caller="c")])
    assert (full.value.own, queue.counts()["interactive"]) == (False, 16)
    assert 1.0 <= full.value.retry_after_s <= 30.0
    queue.submit([text("one more", caller="c", lane="bulk")])


def test_a_caller_has_half_of_a_lane_that_others_use() -> None:
    """Beyond it the caller is told that it is its own share; alone it gets seven eighths, the rest is for the next."""
    queue = Queue(QueueLimits(interactive_jobs=16, max_wait_s=0.0))
    queue.submit([text(f"a {i}", caller="a") for i in range(14)])
    with pytest.raises(Overloaded) as alone:
        queue.submit([text("a 14", caller="a")])
    queue.submit([text("b", caller="b")])
    with pytest.raises(Overloaded) as beside_others:
        queue.submit([text("a 14", caller="a")])
    assert (alone.value.own, beside_others.value.own) == (False, True)


def test_bytes_are_bounded() -> None:
    """What waits has a size, whatever its number; it is given back when the jobs are done."""
    queue = Queue(QueueLimits(n_bytes=100, max_wait_s=0.0))
    (first,) = queue.submit([image(b"x" * 90)])
    with pytest.raises(Overloaded):
        queue.submit([image(b"y" * 11)])
    first.cancel()
    queue.submit([image(b"y" * 11)])


def test_retry_after_follows_the_rate() -> None:
    """The more jobs were answered in the last seconds, the sooner a caller may come back."""
    clock = Clock()
    limits = QueueLimits(interactive_jobs=40, max_wait_s=0.0)

    def asked_to_wait_s(seconds_each: float) -> float:
        queue = Queue(limits, clock=clock)
        for i in range(8):
            queue.submit([text(f"before {i}")])
            answer(queue, take(queue))
            clock.now += seconds_each
        queue.submit([text(f"{caller} {i}", caller=caller) for i in range(20) for caller in "ab"])
        with pytest.raises(Overloaded) as full:
            queue.submit([text("one more", caller="c")])
        return full.value.retry_after_s

    assert asked_to_wait_s(0.1) < asked_to_wait_s(0.5) <= 30.0


def test_what_is_put_back_comes_first_and_as_it_was() -> None:
    """A group is handed out again by itself, before all that waits; those whose callers have gone are left out."""
    queue = Queue(AT_ONCE)
    futures = queue.submit([text(word) for word in ("a", "b", "c", "d")])
    batch = take(queue)
    queue.submit([text("new")])
    futures[1].cancel()
    queue.put_back([batch[:2], batch[2:]])
    assert [taken(queue), taken(queue), taken(queue)] == [["a"], ["c", "d"], ["new"]]


def suspected(queue: Queue, words: Sequence[str], *, lane: str = "bulk") -> list[Future[Embedded]]:
    """Texts that were taken, and put back one by one under suspicion."""
    futures = queue.submit([text(word, lane=lane) for word in words])
    batch = take(queue)
    for entry in batch:
        entry.guilt = SUSPICIOUS
    queue.put_back([[entry] for entry in batch])
    return futures


def trial(queue: Queue, *, interactive_only: bool = False) -> list[Entry]:
    return queue.take(interactive_only=interactive_only, timeout_s=0.0, suspects=True)


def payloads(batch: Sequence[Entry]) -> list[str | bytes]:
    return [entry.payload for entry in batch]


@pytest.mark.parametrize("lane", ["bulk", "interactive"])
def test_suspects_are_in_quarantine(lane: str) -> None:
    """One worker at a time has suspects, and only one that takes any; the others go on with everything else."""
    queue = Queue(AT_ONCE)
    suspected(queue, ["bad", "also bad"], lane=lane)
    assert take(queue) == []
    (first,) = trial(queue)
    queue.submit([text("query"), text("bulk", lane="bulk")])
    assert [payloads(trial(queue)) for _ in range(3)] == [["query"], ["bulk"], []]
    queue.put_back([[first]])
    assert payloads(trial(queue)) == ["also bad"]


@pytest.mark.parametrize("ending", ["answered", "failed", "cancelled", "put back"])
def test_a_trial_ends_with_what_the_worker_says(ending: str) -> None:
    """The next suspects wait until the worker has given back the last ones; that nobody waits for them is no end."""
    queue = Queue(AT_ONCE)
    future, _ = suspected(queue, ["bad", "also bad"])
    (first,) = trial(queue)
    if ending == "answered":
        answer(queue, [first])
    elif ending == "failed":
        queue.fail(first, lambda _: HarmfulInput("It does harm."))
    else:
        future.cancel()
        assert trial(queue) == []
        queue.put_back([[first]])
    assert payloads(trial(queue)) == ["also bad"]


def test_a_suspect_goes_behind_what_was_there() -> None:
    """What was waiting when a suspect came back goes first, and what came later does not."""
    queue = Queue(AT_ONCE)
    futures = queue.submit([text("bad", lane="bulk")])
    batch = take(queue)
    queue.submit([text("before", lane="bulk")])
    batch[0].guilt = SUSPICIOUS
    queue.put_back([batch])
    queue.submit([image(b"after", lane="bulk")])
    assert [payloads(trial(queue)) for _ in range(3)] == [["before"], ["bad"], [b"after"]]
    assert not futures[0].done()


def test_a_worker_for_queries_takes_suspects_of_its_lane_only() -> None:
    """Where it has to, since nobody else can."""
    queue = Queue(AT_ONCE)
    suspected(queue, ["bulk"])
    suspected(queue, ["query"], lane="interactive")
    assert payloads(trial(queue, interactive_only=True)) == ["query"]


def test_suspects_that_nobody_waits_for_are_dropped() -> None:
    """They are never handed out, and hold up nobody."""
    queue = Queue(AT_ONCE)
    for future in suspected(queue, ["bad", "worse"]):
        future.cancel()
    assert trial(queue) == []
    assert queue.wait_drained(0.0)


def left_and_lost(queue: Queue, words: str) -> None:
    """A text whose caller left while a worker had it, which then ended."""
    (future,) = queue.submit([text(words, lane="bulk")])
    (entry,) = queue.take(interactive_only=False, timeout_s=0.0, suspects=True)
    future.cancel()
    entry.guilt += SUSPICIOUS
    queue.put_back([[entry]])


def test_guilt_outlives_the_one_who_asked() -> None:
    """What ended a worker is suspected when it comes again, and each further time adds up; once answered it is not."""
    queue = Queue(AT_ONCE)
    left_and_lost(queue, "bad")
    left_and_lost(queue, "bad")
    queue.submit([text("bad", lane="bulk"), text("good", lane="bulk")])
    assert payloads(take(queue)) == ["good"]
    (entry,) = trial(queue)
    assert (entry.payload, entry.guilt) == ("bad", 2 * SUSPICIOUS)
    answer(queue, [entry])
    queue.submit([text("bad", lane="bulk")])
    assert payloads(take(queue)) == ["bad"]


def test_guilt_is_forgotten_after_an_hour() -> None:
    """What was suspected long ago is as good as any other."""
    clock = Clock()
    queue = Queue(AT_ONCE, clock=clock)
    left_and_lost(queue, "bad")
    clock.now += 3600.0
    queue.submit([text("bad", lane="bulk")])
    assert payloads(take(queue)) == ["bad"]


def again(queue: Queue) -> tuple[Entry, Future[Embedded]]:
    """A text that a worker has and nobody waits for, and the future of who asked for it then."""
    (future,) = queue.submit([text("it", lane="bulk")])
    (entry,) = take(queue)
    future.cancel()
    (waiting,) = queue.submit([text("it", lane="bulk")])
    return entry, waiting


def test_what_a_worker_has_when_it_is_asked_for_again_answers_both() -> None:
    """Nobody waits for a second run of what is known by then, be it a vector or an error."""
    queue = Queue(AT_ONCE)
    entry, waiting = again(queue)
    answer(queue, [entry])
    assert waiting.result(0).vector[0] == len("it")
    entry, waiting = again(queue)
    queue.fail(entry, lambda _: HarmfulInput("It does harm."))
    assert isinstance(waiting.exception(0), HarmfulInput)
    assert (take(queue), queue.counts()["bulk"], queue.wait_drained(0.0)) == ([], 0, True)


def test_what_waits_is_suspected_with_what_ended_a_worker() -> None:
    """The same input goes to quarantine with its guilt, though it was lined up before that was known."""
    queue = Queue(AT_ONCE)
    entry, waiting = again(queue)
    entry.guilt += SUSPICIOUS
    queue.put_back([[entry]])
    assert take(queue) == []
    (twin,) = trial(queue)
    assert (twin.payload, twin.guilt, waiting.done()) == ("it", SUSPICIOUS, False)


def test_the_end_of_a_trial_wakes_a_worker() -> None:
    """The next suspects are handed out at once, not when somebody's time is over."""
    queue = Queue(AT_ONCE)
    suspected(queue, ["bad", "also bad"])
    batch = trial(queue)
    found: list[list[Entry]] = []
    thread = in_thread(lambda: found.append(queue.take(interactive_only=False, timeout_s=30.0, suspects=True)))
    answer(queue, batch)
    thread.join(10.0)
    assert [payloads(each) for each in found] == [["also bad"]]


def test_an_error_names_each_jobs_own_item() -> None:
    """Two jobs for the same bad input get the error under the name that each of them gave it."""
    queue = Queue(AT_ONCE)
    futures = queue.submit([image(b"bad", item="images[3]"), image(b"bad", item="photo.jpg")])
    for entry in take(queue):
        queue.fail(entry, lambda item: ImageError("is no picture.", item=item))
    assert [str(future.exception(0)) for future in futures] == [
        "images[3]: is no picture.",
        "photo.jpg: is no picture.",
    ]


def test_a_refused_job_is_never_queued() -> None:
    """What `refuse` has an error for gets it at once, and the others of the same call are queued."""
    queue = Queue(AT_ONCE, refuse=lambda _, job: HarmfulInput("no.", item=job.item) if job.payload == "bad" else None)
    bad, good = queue.submit([text("bad", item="x"), text("good")])
    assert isinstance(bad.exception(0), HarmfulInput)
    assert (taken(queue), good.done()) == (["good"], False)


def test_closing_finishes_what_was_accepted() -> None:
    """A closed queue takes nothing more and hands out what it has; then it is drained."""
    queue = Queue(AT_ONCE)
    (future,) = queue.submit([text("accepted")])
    queue.close()
    with pytest.raises(NotReady):
        queue.submit([text("late")])
    assert not queue.wait_drained(0.0)
    answer(queue, take(queue))
    assert (queue.wait_drained(0.0), future.done()) == (True, True)


def test_stopping_wakes_everybody() -> None:
    """Who waits for work or for deadlines returns at once."""
    queue = Queue(AT_ONCE)
    threads = [
        in_thread(lambda: queue.take(interactive_only=True, timeout_s=60.0)),
        in_thread(lambda: queue.take(interactive_only=False, timeout_s=60.0)),
        in_thread(lambda: queue.expire(most_s=60.0)),
    ]
    queue.stop()
    for thread in threads:
        thread.join(10.0)
    assert not any(thread.is_alive() for thread in threads)


def test_nothing_is_left_of_jobs_that_are_done() -> None:
    """Answered, failed, cancelled or late: the counts, the bytes and the list of deadlines go back to nothing."""
    clock = Clock()
    queue = Queue(QueueLimits(max_wait_s=0.0, n_bytes=1000), clock=clock)
    for turn in range(2000):
        futures = queue.submit([text(f"{turn} {i}" + "x" * 150, deadline=clock.now + 100) for i in range(4)])
        futures[0].cancel()
        batch = take(queue)
        queue.fail(batch[0], lambda item: ImageError("no.", item=item))
        answer(queue, batch[1:])
    assert queue.counts() == {"interactive": 0, "bulk": 0}
    assert len(queue._deadlines) < 1000


def test_threads_lose_nothing() -> None:
    """Many submitting, cancelling and answering at once: every future ends, and those not cancelled with their own."""
    queue = Queue(QueueLimits(interactive_jobs=100_000, bulk_jobs=100_000))
    futures: list[tuple[int, Future[Embedded]]] = []
    stop = threading.Event()

    def serve(interactive_only: bool) -> None:
        while not stop.is_set():
            answer(queue, queue.take(interactive_only=interactive_only, timeout_s=0.05))

    def ask(seed: int) -> None:
        for i in range(200):
            lane = "bulk" if i % 2 else "interactive"
            (future,) = queue.submit([text("x" * (1 + (seed * 7 + i) % 90), lane=lane, caller=str(seed))])
            futures.append((1 + (seed * 7 + i) % 90, future))
            if i % 5 == 0:
                future.cancel()

    servers = [in_thread(lambda only=only: serve(only)) for only in (True, False, False)]  # type: ignore[misc]
    for asker in [in_thread(lambda seed=seed: ask(seed)) for seed in range(4)]:  # type: ignore[misc]
        asker.join(30.0)
    assert not wait([future for _, future in futures], 30.0).not_done
    stop.set()
    for server in servers:
        server.join(10.0)
    assert all(future.cancelled() or future.result(0).vector[0] == length for length, future in futures)
    assert queue.counts() == {"interactive": 0, "bulk": 0}
