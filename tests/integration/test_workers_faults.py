"""The worker pool when workers crash, hang, lie or are killed: good jobs are answered, harmful ones refused."""

from __future__ import annotations

import multiprocessing.forkserver
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lookalike.config import Config, ServeSettings
from lookalike.errors import HarmfulInput, InputError, ModelError, NotReady
from lookalike.service import open_service
from lookalike.spaces import Modality
from lookalike.workers import WorkerPool, damping, process, slot
from tests.faults import models
from tests.faults.models import poison
from tests.faults.pools import PLAN, SOON_S, Figures, all_ready, assert_right, image, pid_of, running, text
from tests.integration.hub_server import Fault, Hub
from tests.pictures import noise

QUICK = replace(PLAN, stall_s=0.4, max_memory_bytes=400 << 20)

DEADLY = [
    ("segfault", "decode", "image"),
    ("segfault", "inference", "image"),
    ("segfault", "decode", "text"),
    ("segfault", "inference", "text"),
    ("exit", "inference", "image"),
    ("exit", "decode", "text"),
    ("sleep", "decode", "image"),
    ("sleep", "inference", "text"),
    ("hold", "decode", "image"),
    ("hold", "inference", "text"),
    ("stop", "decode", "text"),
]
"""What ends a worker or holds it up, where, and in which modality."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses and patience that suit a test."""
    monkeypatch.setattr(damping, "PAUSE_S", 0.02)
    monkeypatch.setattr(damping, "FIRST_LOAD_S", 0.02)
    monkeypatch.setattr(process, "ANSWER_S", 0.4)
    monkeypatch.setattr(slot, "PING_S", 0.05)


def good_jobs(n: int, *, seed: int = 0) -> list[models.Any]:
    """Pictures and texts, in both lanes."""
    return [
        *(image(noise(seed + i), lane="bulk" if i % 3 else "interactive") for i in range(n)),
        *(text(f"a red dress, number {seed + i}", lane="bulk" if i % 2 else "interactive") for i in range(n)),
    ]


@pytest.mark.parametrize(("harm", "stage", "modality"), DEADLY)
def test_a_harmful_input_is_refused_and_the_others_are_answered(
    tmp_path: Path, harm: str, stage: models.Stage, modality: str
) -> None:
    """What ends or holds up a worker gets HarmfulInput with its name; every good job around it is answered."""
    figures = Figures()
    with running(partial(models.harmful, harm, stage), tmp_path, QUICK, recorder=figures) as pool:
        all_ready(pool)
        job = image(poison(image=True), item="it", lane="bulk") if modality == "image" else text("poison", item="it")
        jobs = good_jobs(12)
        futures = pool.submit([*jobs[:12], job, *jobs[12:]])
        error = futures.pop(12).exception(SOON_S)
        assert isinstance(error, HarmfulInput)
        assert str(error).startswith("it: ")
        assert_right(jobs, futures)
        assert figures.counts["harmful"] == 1
        event = "stall" if harm in {"sleep", "hold", "stop"} else "crash"
        pool.wait_until(lambda _: figures.counts[event] >= 2, SOON_S)
        assert figures.counts[event] >= 2


@pytest.mark.parametrize(
    ("harm", "stage", "modality", "kind"),
    [
        ("memory", "decode", "image", ModelError),
        ("memory", "inference", "text", ModelError),
        ("raise", "decode", "text", ModelError),
        ("raise", "inference", "image", ModelError),
        ("nan", "inference", "image", InputError),
        ("nan", "inference", "text", InputError),
    ],
)
def test_an_input_that_fails_gets_its_error_and_ends_nobody(
    tmp_path: Path, harm: str, stage: models.Stage, modality: str, kind: type[Exception]
) -> None:
    """Out of memory, an engine that raises, vectors that are not finite: an error of this input, and no restart."""
    figures = Figures()
    plan = replace(QUICK, stall_s=PLAN.stall_s)
    with running(partial(models.harmful, harm, stage), tmp_path, plan, recorder=figures) as pool:
        all_ready(pool)
        job = image(poison(image=True), item="it") if modality == "image" else text("poison", item="it")
        jobs = good_jobs(12)
        futures = pool.submit([*jobs[:12], job, *jobs[12:]])
        error = futures.pop(12).exception(SOON_S)
        assert type(error) is kind
        assert str(error).startswith("it: ")
        assert_right(jobs, futures)
        assert figures.counts["restart"] == 0


def test_one_of_32_is_found(tmp_path: Path) -> None:
    """Among 32 of a queue whose worker ends without saying where, halving finds the one; the other 31 are answered."""
    figures = Figures()
    with running(partial(models.harmful, "segfault", "inference"), tmp_path, QUICK, recorder=figures) as pool:
        all_ready(pool)
        jobs = [image(noise(i), lane="bulk") for i in range(31)]
        futures = pool.submit([*jobs[:20], image(poison(image=True), item="it", lane="bulk"), *jobs[20:]])
        assert isinstance(futures.pop(20).exception(SOON_S), HarmfulInput)
        assert_right(jobs, futures)
        # One worker for the batch, then for halves of the eight that the model had: 4, 2, 1.
        pool.wait_until(lambda _: figures.counts["crash"] >= 4, SOON_S)
        assert figures.counts["crash"] == 4


def test_several_harmful_inputs_among_many(tmp_path: Path) -> None:
    """Each of them is found, and nobody else is refused."""
    with running(partial(models.harmful, "exit", "decode"), tmp_path, QUICK) as pool:
        all_ready(pool)
        jobs = [image(noise(i), lane="bulk") for i in range(60)]
        bad = pool.submit([image(poison(i, image=True), item=str(i), lane="bulk") for i in range(5)])
        futures = pool.submit(jobs)
        assert_right(jobs, futures)
        assert all(isinstance(future.exception(SOON_S), HarmfulInput) for future in bad)


def test_a_conviction_is_remembered(tmp_path: Path) -> None:
    """The same bytes are refused at once the next time, under the name that they have then, and end nobody."""
    figures = Figures()
    with running(partial(models.harmful, "exit", "decode"), tmp_path, QUICK, recorder=figures) as pool:
        all_ready(pool)
        pool.submit([text("poison")])[0].exception(SOON_S)
        pool.wait_until(lambda _: figures.counts["crash"] >= 2, SOON_S)
        ended = figures.counts["crash"]
        (again,) = pool.submit([text("poison", item="again")])
        assert isinstance(again.exception(0), HarmfulInput)
        assert (str(again.exception(0))[:6], figures.counts["crash"]) == ("again:", ended)


def test_an_input_is_convicted_though_nobody_waits_for_long(tmp_path: Path) -> None:
    """Whoever leaves before a worker is given up costs two workers, as anybody else, and not one at every try."""
    figures = Figures()
    with running(partial(models.harmful, "sleep", "decode"), tmp_path, QUICK, recorder=figures) as pool:
        for n_lost in (1, 2):
            all_ready(pool)
            (future,) = pool.submit([text("poison", lane="bulk")])
            pool.wait_until(lambda now: any(worker.state == "busy" for worker in now.workers), SOON_S)
            future.cancel()
            pool.wait_until(lambda _, n=n_lost: figures.counts["stall"] >= n, SOON_S)
        all_ready(pool)
        (again,) = pool.submit([text("poison", item="again", lane="bulk")])
        assert isinstance(again.exception(0), HarmfulInput)
        assert (figures.counts["stall"], figures.counts["harmful"]) == (2, 1)


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    """Workers are killed again and again in the middle of a stream: every job is answered right, none is convicted."""
    moments = random.Random(3)
    figures = Figures()
    with running(models.good, tmp_path, QUICK, recorder=figures) as pool:
        all_ready(pool)
        for turn in range(12):
            jobs = good_jobs(30, seed=1000 * turn)
            futures = pool.submit(jobs)
            futures[moments.randrange(len(futures))].result(SOON_S)
            victim = moments.choice([worker.pid for worker in pool.status().workers if worker.pid] or [None])
            if victim:
                with suppress(ProcessLookupError):  # it was just being replaced
                    os.kill(victim, signal.SIGKILL)
            assert_right(jobs, futures)
        assert (figures.counts["harmful"], figures.counts["restart"] > 0) == (0, True)


def test_the_dead_are_replaced_without_a_job(tmp_path: Path) -> None:
    """A worker that is killed while it has nothing to do is noticed and replaced; the service stays ready."""
    with running(models.good, tmp_path, QUICK) as pool:
        all_ready(pool)
        old = pid_of(pool, "query")
        os.kill(old, signal.SIGKILL)
        status = pool.wait_until(lambda now: now.workers[0].restarts == 1 and now.workers[0].state == "ready", SOON_S)
        assert status.workers[0].pid != old
        assert status.ready


@pytest.mark.parametrize("name", ["query", "bulk-1"])
def test_a_stopped_worker_is_replaced(tmp_path: Path, name: str) -> None:
    """SIGSTOP: a worker that does not move is ended, be it idle or in the middle of a batch that no buffer holds."""
    with running(models.good, tmp_path, QUICK) as pool:
        all_ready(pool)
        old = pid_of(pool, name)
        os.kill(old, signal.SIGSTOP)
        jobs = [image(noise(i, size=(700, 700)), lane="bulk") for i in range(12)]
        assert_right(jobs, pool.submit(jobs))
        status = pool.wait_until(lambda now: all(w.pid != old and w.state == "ready" for w in now.workers), SOON_S)
        assert status.ready, status


def test_signals_for_the_whole_service_do_not_end_its_workers(tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM reach every process of a group or of a service; what was accepted is finished all the same."""
    figures = Figures()
    with running(models.good, tmp_path, QUICK, recorder=figures) as pool:
        all_ready(pool)
        for name in ("query", "bulk-1"):
            os.kill(pid_of(pool, name), signal.SIGINT)
            os.kill(pid_of(pool, name), signal.SIGTERM)
        jobs = good_jobs(5)
        assert_right(jobs, pool.submit(jobs))
        assert figures.counts["restart"] == 0


def test_the_end_of_the_fork_server_is_survived(tmp_path: Path) -> None:
    """Workers outlive the process that they were forked from, and the next one is forked from a new one."""
    with running(models.good, tmp_path, QUICK) as pool:
        all_ready(pool)
        os.kill(multiprocessing.forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
        jobs = good_jobs(5)
        assert_right(jobs, pool.submit(jobs))
        os.kill(pid_of(pool, "query"), signal.SIGKILL)
        status = pool.wait_until(lambda now: now.workers[0].restarts > 0 and now.workers[0].state == "ready", SOON_S)
        assert status.ready, status


def test_a_model_that_cannot_be_loaded_says_why_and_is_tried_again(tmp_path: Path) -> None:
    """Jobs are refused with the model's own sentence; as soon as the model is there, the service is ready."""
    with running(partial(models.missing_until, tmp_path / "model"), tmp_path, QUICK) as pool:
        status = pool.wait_ready(SOON_S)
        assert not status.ready
        assert "The model 'nowhere' was not found: put it there." in status.reason
        with pytest.raises(NotReady, match="put it there"):
            pool.submit([text("early")])
        (tmp_path / "model").touch()
        assert pool.wait_until(lambda now: now.ready, SOON_S).ready
        assert_right([text("now")], pool.submit([text("now")]))


def test_jobs_that_wait_for_a_model_that_is_gone_are_told(tmp_path: Path) -> None:
    """When the last worker cannot load its model any more, what was accepted gets NotReady before its deadline."""
    model = tmp_path / "model"
    model.touch()
    with running(partial(models.missing_until, model), tmp_path, replace(QUICK, workers=1)) as pool:
        all_ready(pool)
        model.unlink()
        os.kill(pid_of(pool, "worker"), signal.SIGSTOP)
        (future,) = pool.submit([text("waits")])
        error = future.exception(SOON_S)
        assert isinstance(error, NotReady)
        assert "was not found" in str(error)


@pytest.mark.parametrize(
    ("open_embedder", "told"),
    [(models.crashing, "status 7"), (partial(models.slow_until, Path("/nowhere")), "did not move for 0.3 s")],
)
def test_a_model_that_ends_or_holds_up_its_loading(tmp_path: Path, open_embedder: models.Any, told: str) -> None:
    """The service starts all the same, and says what happened."""
    with running(open_embedder, tmp_path, replace(QUICK, load_timeout_s=0.3)) as pool:
        status = pool.wait_until(lambda now: told in now.reason, SOON_S)
        assert (status.ready, told in status.reason) == (False, True), status
        with pytest.raises(NotReady):
            pool.submit([text("early")])


def test_what_is_fetched_may_take_its_time_but_not_fall_silent(tmp_path: Path) -> None:
    """A worker that says how far it is is never ended, and its sentence is the reason; one that falls silent is."""
    plan = replace(QUICK, load_timeout_s=0.3, fetch=partial(models.fetched_slowly, tmp_path))
    figures = Figures()
    with running(models.good, tmp_path, plan, recorder=figures) as pool:
        status = pool.wait_until(lambda now: "on its way" in now.reason, SOON_S)
        assert status.reason == "The model is on its way."
        assert pool.wait_until(lambda now: now.workers[0].restarts > 0, 1.0).workers[0].restarts == 0
        (tmp_path / "mute").touch()
        assert pool.wait_until(lambda now: now.workers[0].restarts > 0, SOON_S).workers[0].restarts > 0
        (tmp_path / "go").touch()
        assert pool.wait_until(lambda now: now.ready, SOON_S).ready


def test_a_service_says_that_its_model_is_being_downloaded(tmp_path: Path) -> None:
    """From the first moment on; what the hub then says is the next reason, and the worker keeps trying."""
    files = {"config.json": b"{}", "tokenizer.json": b"{}", "preprocessor_config.json": b"{}"}
    with Hub({"acme/clip": {**files, "model.safetensors": bytes(400_000)}}) as hub:
        hub.faults["model.safetensors"] = [Fault(kind="pause", at=200_000)]
        environ = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": str(tmp_path / "hub")}
        config = Config.from_environ({**environ, "LOOKALIKE_CACHE_DIR": str(tmp_path), "LOOKALIKE_MODEL": "acme/clip"})
        pool = open_service(replace(config, serve=ServeSettings(workers=1)), Figures())
        try:
            status = pool.wait_until(lambda now: "downloaded" in now.reason, SOON_S)
            assert "downloaded" in status.reason
            assert "acme/clip" in status.reason or "model.safetensors" in status.reason
            hub.released.set()
            assert "config.json" in pool.wait_until(lambda now: "config.json" in now.reason, SOON_S).reason
        finally:
            pool.close(drain_s=0)


def test_a_model_that_answers_differently_is_never_ready(tmp_path: Path) -> None:
    """The vectors that a tower gave first are kept; a later process that gives others is not believed."""
    turned = tmp_path / "turned"
    with running(partial(models.turned_when, turned), tmp_path) as pool:
        assert pool.wait_ready(SOON_S).ready
    turned.touch()
    with running(partial(models.turned_when, turned), tmp_path) as pool:
        status = pool.wait_ready(SOON_S)
        assert not status.ready
        assert "answers the canary differently" in status.reason


def test_a_model_that_goes_bad_is_found_out(tmp_path: Path) -> None:
    """The canary is asked again and again; a worker that has begun to answer otherwise is replaced."""
    turned = tmp_path / "turned"
    with running(partial(models.turned_when, turned), tmp_path, replace(QUICK, canary_every_s=0.05)) as pool:
        all_ready(pool)
        turned.touch()
        status = pool.wait_until(lambda now: not now.ready and all(w.restarts for w in now.workers), SOON_S)
        assert "answers the canary differently" in status.reason
        turned.unlink()
        assert pool.wait_until(lambda now: now.ready, SOON_S).ready


def test_a_damaged_canary_is_made_again(tmp_path: Path) -> None:
    """What is kept of the canary is a cache: a cut file there does no harm, nor does a folder that cannot be."""
    with running(models.good, tmp_path) as pool:
        assert pool.wait_ready(SOON_S).ready
    whole = {kept: kept.read_bytes() for kept in tmp_path.glob("*.npy")}
    assert whole
    for kept, data in whole.items():
        kept.write_bytes(data[:50])
    with running(models.good, tmp_path) as pool:
        assert pool.wait_ready(SOON_S).ready
    assert {kept: kept.read_bytes() for kept in whole} == whole
    with running(models.good, next(iter(whole))) as pool:
        assert pool.wait_ready(SOON_S).ready


def test_a_model_that_has_become_another_is_refused(tmp_path: Path) -> None:
    """A worker that finds another model on disk is not let in: its vectors must not mix with the others'."""
    changed = tmp_path / "changed"
    with running(partial(models.other_when, changed), tmp_path, QUICK) as pool:
        all_ready(pool)
        changed.touch()
        os.kill(pid_of(pool, "query"), signal.SIGKILL)
        status = pool.wait_until(lambda now: "has changed on disk" in now.workers[0].reason, SOON_S)
        assert "has changed on disk" in status.workers[0].reason
        assert status.ready
        assert_right([text("old one")], pool.submit([text("old one")]))


def test_the_end_of_the_service_ends_its_workers(tmp_path: Path) -> None:
    """kill -9 of the process that has the pool: its workers end by themselves, even while their model hangs."""
    script = (
        "import sys, pathlib, functools\n"
        "from tests.faults import models, pools\n"
        "opener = functools.partial(models.harmful, 'sleep', 'decode')\n"
        "with pools.running(opener, pathlib.Path(sys.argv[1])) as pool:\n"
        "    pools.all_ready(pool)\n"
        "    pool.submit([pools.text('poison')])\n"
        "    print(*[worker.pid for worker in pool.status().workers], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        handles = [os.pidfd_open(pid) for pid in pids]
        parent.kill()
        for handle in handles:
            assert multiprocessing.connection.wait([handle], SOON_S)
            os.close(handle)


def test_forgetting_to_close_does_not_hang(tmp_path: Path) -> None:
    """A script that ends with its pool open ends at once, and with status 0."""
    script = (
        "import sys, pathlib\n"
        "from lookalike.workers import WorkerPool\n"
        "from tests.faults import models, pools\n"
        "pool = WorkerPool(models.good, pools.PLAN, canaries=pathlib.Path(sys.argv[1]), recorder=pools.Figures())\n"
        "pool.start()\n"
        "pools.all_ready(pool)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(tmp_path)]
    ended = subprocess.run(command, cwd=root, timeout=SOON_S, capture_output=True, check=True)
    assert ended.stderr == b""


def test_file_descriptors_used_up(tmp_path: Path) -> None:
    """A worker that cannot be started for want of descriptors is started as soon as there are some."""
    with running(models.good, tmp_path, QUICK) as pool:
        all_ready(pool)
        with no_descriptors():
            os.kill(pid_of(pool, "query"), signal.SIGKILL)
            status = pool.wait_until(lambda now: "could not be started" in now.workers[0].reason, SOON_S)
            pool.submit([text("meanwhile")])[0].result(SOON_S)
        assert "could not be started" in status.workers[0].reason
        all_ready(pool)


def test_a_worker_whose_memory_has_grown_is_replaced_between_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What made it grow is answered, the next worker answers the rest, and that is no loss."""
    monkeypatch.setattr(slot, "GROWTH_BYTES", 32 << 20)
    monkeypatch.setattr(slot, "MEASURE_S", 0.0)
    figures = Figures()
    with running(models.hoarding, tmp_path, replace(QUICK, workers=1), recorder=figures) as pool:
        all_ready(pool)
        old = pid_of(pool, "worker")
        assert_right([text("keep")], pool.submit([text("keep")]))
        assert pool.wait_until(lambda now: now.workers[0].pid not in (old, None), SOON_S).workers[0].pid != old
        assert_right([text("a red dress")], pool.submit([text("a red dress")]))
        assert (figures.counts["recycled"], figures.counts["restart"]) == (1, 0)


def test_many_restarts_leave_nothing_behind(tmp_path: Path) -> None:
    """No file descriptor, no zombie and no thread is left of workers that have come and gone."""
    with running(models.good, tmp_path, QUICK) as pool:
        restart(pool, times=3)
        before = n_descriptors()
        restart(pool, times=50)
        assert n_descriptors() <= before
        server = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        assert n_children(server) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_parent_costs_one_try(tmp_path: Path) -> None:
    """A thread of the pool that dies of an error is replaced, and the jobs that it had are tried again."""

    class Broken(Figures):
        def observe(self, stage: str, seconds: float, *, modality: Modality | None = None) -> None:
            super().observe(stage, seconds, modality=modality)
            if sum(map(len, self.seconds.values())) == 1:
                raise RuntimeError("a bug")

    with running(models.good, tmp_path, QUICK, recorder=Broken()) as pool:
        all_ready(pool)
        jobs = good_jobs(3)
        assert_right(jobs, pool.submit(jobs))


def restart(pool: WorkerPool, *, times: int) -> None:
    """Kill a worker and wait for the next one, so many times."""
    for _ in range(times):
        all_ready(pool)
        n = pool.status().workers[0].restarts
        os.kill(pid_of(pool, "query"), signal.SIGKILL)
        assert pool.wait_until(lambda now, n=n: now.workers[0].restarts > n, SOON_S).workers[0].restarts > n  # type: ignore[misc]
    all_ready(pool)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process can open nothing more while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    hoard = []
    try:
        with suppress(OSError):
            while True:
                hoard.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for handle in hoard:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def n_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def n_children(pid: int) -> int:
    """Processes whose parent this is, zombies included, as soon as they are no more than two, or after a while."""
    until = time.monotonic() + SOON_S
    while True:
        found = len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        if found <= 2 or time.monotonic() > until:
            return found
