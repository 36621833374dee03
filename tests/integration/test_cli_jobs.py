"""`lookalike worker` as a process, and `lookalike jobs`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lookalike import Config, Index, app
from lookalike.cli import main
from lookalike.orders import IndexJob, JobState, Order
from lookalike.queues.feed import Ended
from lookalike.queues.patience import Patience
from lookalike.queues.sqlite_desk import SqliteDesk
from lookalike.queues.sqlite_file import QueueFile
from tests.pictures import picture, write

DEADLINE_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an empty index of the built-in model."""
    folder = tmp_path / "index"
    Index.create(folder, config=replace(Config.from_environ(), model="tiny")).close()
    return folder


def run(folder: Path, *arguments: str) -> Result:
    """One command, as the shell would run it."""
    return CliRunner().invoke(main, ["jobs", *arguments, "--index", str(folder)], obj=Config.from_environ())


def jobs_of(result: Result) -> list[dict[str, object]]:
    """What a command with --json says."""
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)
    return found


@contextmanager
def worker(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, running."""
    command = [sys.executable, "-m", "lookalike", "worker", "--index", str(folder), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(holds: Callable[[], bool]) -> None:
    """Fail if it does not come to hold."""
    until = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        threading.Event().wait(0.02)


def fail_all(folder: Path, reason: str) -> None:
    """Let all waiting orders be dead."""
    file = QueueFile(folder)
    desk = SqliteDesk(file, Patience())
    desk.beat()
    desk.settle([Ended(number=one.claim.number, state=JobState.DEAD, reason=reason) for one in desk.take(100)])
    desk.leave()


def test_a_worker_does_orders_and_ends_in_order(folder: Path, tmp_path: Path) -> None:
    """Ordered pictures become items that are found, bad ones are dead with a reason in jobs, ledger and log; SIGTERM
    ends the worker well."""
    write(tmp_path, {"red.png": picture("red"), "again.png": picture("red"), "bad.png": b"no picture"})
    names = ("red.png", "again.png", "bad.png")
    with closing(app.open_queue(folder)) as queue, worker(folder) as process:
        numbers = queue.submit([Order(id=name, uri=str(tmp_path / name), caption=name) for name in names])

        def found() -> list[IndexJob | None]:
            return queue.look_up(numbers)

        wait_until(lambda: all(job and job.state in (JobState.DONE, JobState.DEAD) for job in found()))
        assert [job.state for job in found() if job] == [JobState.DONE, JobState.DONE, JobState.DEAD]
        with Index.open(folder) as index:  # also for writing it would be free: nothing is being written
            assert [hit.item.id for hit in index.search(image=tmp_path / "red.png")] == ["again.png", "red.png"]
            assert index.stats().contents == 1
            assert [entry.item_id for entry in index.failures()] == ["bad.png"]
        Index.open(folder, write=True).close()
        process.send_signal(signal.SIGTERM)
        out, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert out.splitlines()[0].endswith(str(folder)) and out.splitlines()[-1] == "Stopped."
    lines = [line for line in map(json.loads, log.splitlines()) if line["logger"] == "lookalike.jobs"]
    assert {(line["item"], line["state"], line["level"]) for line in lines} == {
        ("red.png", "done", "info"),
        ("again.png", "done", "info"),
        ("bad.png", "dead", "warning"),
    }


def test_a_worker_without_an_index_says_so(tmp_path: Path) -> None:
    """Where there is nothing to work for the command ends with a sentence."""
    with worker(tmp_path / "none") as process:
        _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1 and "There is no index" in log


def test_jobs_are_listed(folder: Path) -> None:
    """What is not done is listed, as lines and as JSON, by state and project."""
    with closing(app.open_queue(folder)) as queue:
        dead = queue.submit([Order(id="1", uri="a.jpg", project="p", metadata={"k": "v"})])
        fail_all(folder, "a.jpg: is no\npicture.")
        waiting = queue.submit([Order(id="2", uri="b.jpg", project="q"), Order(id="3", uri="c.jpg", project="q")])
    listed = jobs_of(run(folder, "list", "--json"))
    assert [job["job"] for job in listed] == [*waiting, *dead]
    assert listed[-1]["metadata"] == {"k": "v"} and listed[-1]["state"] == "dead"
    assert [job["job"] for job in jobs_of(run(folder, "list", "--json", "--state", "waiting", "--limit", "1"))] == [
        waiting[0]
    ]
    assert jobs_of(run(folder, "dead", "--json", "--project", "q")) == []
    (line,) = run(folder, "dead").stdout.splitlines()
    assert line.split("\t")[:3] == [str(dead[0]), "dead", "1"]
    assert line.endswith("p/1\ta.jpg: is no\\x0apicture.")
    assert "There are none" in run(folder, "list", "--state", "done").stderr


def test_dead_jobs_are_replayed(folder: Path) -> None:
    """By number, or all of a project; what is not dead is told."""
    with closing(app.open_queue(folder)) as queue:
        numbers = queue.submit([Order(id=str(i), uri="a.jpg", project="pq"[i % 2]) for i in range(5)])
        fail_all(folder, "x")
        result = run(folder, "replay", str(numbers[0]), "999")
        assert "1 job begins anew" in result.stdout and "not dead" in result.stderr
        assert "2 jobs begin anew" in run(folder, "replay", "--all", "--project", "q").stdout
        assert "2 jobs begin anew" in run(folder, "replay", "--all").stdout
        assert {job.state for job in queue.look_up(numbers) if job} == {JobState.WAITING}
    for wrong in ([], ["--all", "1"], ["1", "--project", "p"]):
        result = run(folder, "replay", *wrong)
        assert result.exit_code == 1 and "--all" in result.output
