"""The worker pool with real processes: answers, errors, lanes, deadlines, and how it stops."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import (
    DeadlineExceeded,
    ImageError,
    LookalikeError,
    NotReady,
    TooLarge,
    UnsupportedMedia,
    UnsupportedModel,
)
from lookalike.policy import ImagePolicy
from lookalike.service import SLOW_IMPORTS
from lookalike.workers import WorkerPool
from lookalike.workers.pool import WorkerPlan
from tests.checkpoints import write_bert
from tests.faults import models
from tests.faults.pools import SOON_S, Figures, all_ready, assert_right, image, pid_of, running, text
from tests.pictures import noise


@pytest.fixture(scope="module")
def figures() -> Figures:
    return Figures()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, figures: Figures) -> Iterator[WorkerPool]:
    with running(models.good, tmp_path_factory.mktemp("canaries"), recorder=figures) as pool:
        assert pool.wait_ready(SOON_S).ready
        yield pool


class Held:
    """A pool whose bulk worker is busy until it is let go."""

    def __init__(self, pool: WorkerPool, notes: Path) -> None:
        self.pool = pool
        self._notes = notes
        all_ready(pool)
        (self.held,) = pool.submit([text("wait", lane="bulk")])
        pool.wait_until(lambda now: any(w.name == "bulk-1" and w.state == "busy" for w in now.workers), SOON_S)

    def let_go(self) -> None:
        self._notes.with_suffix(".go").touch()

    def texts(self) -> list[str]:
        """What the model has seen, the canary aside."""
        return [line for line in self._notes.read_text().splitlines() if "circle" not in line]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    with running(partial(models.noting, tmp_path / "notes.txt"), tmp_path) as pool:
        yield Held(pool, tmp_path / "notes.txt")


def test_answers_come_in_the_order_of_the_jobs(pool: WorkerPool) -> None:
    """Each future has the vector of its own job, as the embedder in this process makes it."""
    jobs = [image(noise(seed), lane="bulk" if seed % 3 else "interactive") for seed in range(40)]
    jobs += [text(f"a {colour} dress {'of silk ' * n}") for n in range(40) for colour in ("red", "blue")]
    assert_right(jobs, pool.submit(jobs))


def test_the_status_tells_who_is_there(pool: WorkerPool) -> None:
    """Ready, with the tower, and each worker under its name with its process and the age of its canary."""
    all_ready(pool)
    status = pool.status()
    assert (status.ready, status.reason, status.waiting) == (True, "", {"interactive": 0, "bulk": 0})
    assert status.tower == models.good(1).tower
    assert [worker.name for worker in status.workers] == ["query", "bulk-1"]
    assert all(worker.pid and worker.canary_age_s is not None for worker in status.workers)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="a policy of Linux")
def test_bulk_work_gives_way_at_once(pool: WorkerPool) -> None:
    """The worker for queries has the usual policy; the others have the one that whatever wakes up goes before."""
    all_ready(pool)
    assert os.sched_getscheduler(pid_of(pool, "query")) == os.SCHED_OTHER
    assert os.sched_getscheduler(pid_of(pool, "bulk-1")) == os.SCHED_IDLE


def test_a_bad_picture_gets_its_own_error(pool: WorkerPool) -> None:
    """Each bad item of a call gets the error that the image door has for it, with its name; the others go on."""
    good = noise(1, kind="JPEG")
    large = b"P6 20000 20000 255 "
    jobs = [image(good), image(good[:200], item="cut.jpg"), image(b"hello", item="a.txt"), image(large, item="huge")]
    futures = pool.submit(jobs)
    errors = [future.exception(SOON_S) for future in futures]
    assert [type(error) for error in errors] == [type(None), ImageError, UnsupportedMedia, TooLarge]
    assert [str(error).split(":")[0] for error in errors[1:]] == ["cut.jpg", "a.txt", "huge"]
    assert isinstance(errors[3], TooLarge)
    assert (errors[3].actual, errors[3].limit) == (400_000_000, ImagePolicy().max_pixels)
    assert_right(jobs[:1], futures[:1])


def test_a_text_that_was_cut_says_so(pool: WorkerPool) -> None:
    """The warning names the item, and comes with this text only."""
    futures = pool.submit([text("red " * 12, item="texts[0]"), text("red " * 3, item="texts[1]")])
    warnings = [future.result(SOON_S).warning for future in futures]
    assert warnings == ["texts[0]: It is longer than the model reads; its end was left out.", ""]


def test_any_string_is_a_text(pool: WorkerPool) -> None:
    """The empty one, control characters, and half a surrogate pair, which UTF-8 proper cannot carry."""
    jobs = [text(""), text("\0\x1b"), text("\ud800 half"), text("\N{SNOWMAN}" * 300)]
    assert_right(jobs, pool.submit(jobs))


def test_large_batches_fit_through_the_line(pool: WorkerPool) -> None:
    """Megabytes that no buffer of the system holds reach the worker whole."""
    jobs = [image(noise(seed, size=(600, 400)), lane="bulk") for seed in range(24)]
    assert sum(len(job.payload) for job in jobs) > 16 << 20
    assert_right(jobs, pool.submit(jobs))


def test_figures_are_recorded(pool: WorkerPool, figures: Figures) -> None:
    """Each stage has its seconds, of texts and of pictures, each batch and item is counted; no time is negative."""
    pool.submit([text("recorded")])[0].result(SOON_S)
    pool.submit([image(noise(99))])[0].result(SOON_S)
    assert figures.seconds.keys() == {f"{s}_{m}" for s in ("queue", "decode", "inference") for m in ("image", "text")}
    assert all(seconds >= 0 for values in figures.seconds.values() for seconds in values)
    assert figures.counts["item_text"] >= figures.counts["batch_text"] >= 1
    assert figures.counts["item_image"] >= figures.counts["batch_image"] >= 1


def test_a_query_does_not_wait_for_a_batch(held: Held) -> None:
    """While the bulk worker is busy and bulk jobs wait, an interactive one is answered."""
    waiting = held.pool.submit([text("later", lane="bulk")])
    assert_right([text("query")], held.pool.submit([text("query")]))
    assert not (held.held.done() or waiting[0].done())
    held.let_go()
    waiting[0].result(SOON_S)


def test_cancelled_jobs_never_reach_the_model(held: Held) -> None:
    """What is cancelled while it waits is not worked on; equal inputs are worked on once."""
    gone = held.pool.submit([text(f"gone {i}", lane="bulk") for i in range(3)])
    last = held.pool.submit([text("last", lane="bulk"), text("last", lane="bulk")])
    for future in gone:
        assert future.cancel()
    held.let_go()
    for future in last:
        future.result(SOON_S)
    assert held.texts() == ["wait", "last"]


def test_a_deadline_is_kept_while_the_workers_are_busy(held: Held) -> None:
    """DeadlineExceeded comes at the deadline, for what waits and for what is worked on, and not a second later."""
    started = time.monotonic()
    waiting = held.pool.submit([text("late", lane="bulk", timeout_s=0.2), text("wait", lane="bulk", timeout_s=0.3)])
    for future, deadline_s in zip(waiting, (0.2, 0.3), strict=True):
        assert isinstance(future.exception(SOON_S), DeadlineExceeded)
        assert deadline_s <= time.monotonic() - started < deadline_s + 1.0


def test_closing_finishes_what_was_accepted(tmp_path: Path) -> None:
    """Every accepted job is answered, later ones are refused, and no process is left."""
    with running(models.good, tmp_path) as pool:
        all_ready(pool)
        pids = [pid_of(pool, name) for name in ("query", "bulk-1")]
        jobs = [image(noise(seed), lane="bulk") for seed in range(200)]
        futures = pool.submit(jobs)
        pool.close(drain_s=SOON_S)
        assert all(future.done() for future in futures)
        assert_right(jobs[:5], futures[:5])
        with pytest.raises(NotReady, match="stopping"):
            pool.submit([text("late")])
        assert not any(exists(pid) for pid in pids)
        assert [worker.state for worker in pool.status().workers] == ["stopped", "stopped"]


def test_closing_does_not_wait_longer_than_it_is_told(held: Held) -> None:
    """What is not done by then gets NotReady, and its process is ended."""
    pid = pid_of(held.pool, "bulk-1")
    held.pool.close(drain_s=0.05)
    assert isinstance(held.held.exception(0), NotReady)
    assert not exists(pid)


def test_before_it_is_ready_it_says_so(tmp_path: Path) -> None:
    """`start` returns at once; until a model is loaded jobs are refused with the reason, then they are taken."""
    with running(partial(models.slow_until, tmp_path / "go"), tmp_path) as pool:
        status = pool.status()
        assert (status.ready, status.tower, status.reason) == (False, None, "The model is being loaded.")
        with pytest.raises(NotReady, match="being loaded"):
            pool.submit([text("early")])
        (tmp_path / "go").touch()
        assert pool.wait_ready(SOON_S).ready
        assert_right([text("now")], pool.submit([text("now")]))


def test_one_worker_does_both(tmp_path: Path) -> None:
    """With a single process, queries and batches are answered as well."""
    with running(models.good, tmp_path, WorkerPlan(workers=1, cores=1)) as pool:
        assert pool.wait_ready(SOON_S).ready
        jobs = [text("query"), image(noise(1), lane="bulk")]
        assert_right(jobs, pool.submit(jobs))


def test_a_model_of_texts_refuses_pictures(tmp_path: Path) -> None:
    """A picture gets UnsupportedModel at once; the model's texts are answered, the real engine's here."""
    folder = write_bert(tmp_path / "bert")
    with running(partial(models.local, folder), tmp_path / "canaries") as pool:
        assert pool.wait_ready(SOON_S).ready, pool.status()
        picture, words = pool.submit([image(noise(1)), text("a cat")])
        assert isinstance(picture.exception(0), UnsupportedModel)
        expected = models.local(folder, 1).embed_texts(["a cat"]).values[0]
        np.testing.assert_allclose(words.result(SOON_S).vector, expected, atol=1e-5)


def test_every_error_of_the_pool_is_ours(pool: WorkerPool) -> None:
    """What a future or a call raises derives from LookalikeError."""
    errors = [future.exception(SOON_S) for future in pool.submit([image(b""), image(b"\xff\xd8\xff")])]
    assert all(isinstance(error, LookalikeError) for error in errors)


def exists(pid: int) -> bool:
    """Whether there is such a process, a zombie included."""
    return _succeeds(lambda: os.kill(pid, 0))


def _succeeds(action: Callable[[], None]) -> bool:
    try:
        action()
    except ProcessLookupError:
        return False
    return True


def test_the_command_costs_its_workers_nothing() -> None:
    """A worker imports its parent's main script again: the command's has to leave the command line alone."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["lookalike"].partition(":")
    seen = f"import sys; from {module} import {function}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", seen], check=True, capture_output=True, text=True)
    assert module in done.stdout.split()
    assert {"click", "lookalike.cli"}.isdisjoint(done.stdout.split())


def test_what_workers_start_with_is_there() -> None:
    """The process that they are forked from passes over a module that does not exist, and every worker would pay."""
    assert [name for name in SLOW_IMPORTS if importlib.util.find_spec(name) is None] == []
