"""A copy that is killed, with real processes and real stores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lookalike.app import open_store
from lookalike.copying import compare
from lookalike.places import place_of
from lookalike.types import LedgerEntry, Outcome
from tests.faults.store_child import ALL, BATCH, SPACE, add_batch
from tests.postgres import NewDatabase

N_BATCHES, N_KILLS = 6, 3

CHILD = """
import sys
from lookalike.app import create_store, open_store
from lookalike.copying import run
from lookalike.errors import StoreNotFound
from lookalike.places import place_of

run.BATCH = 50
with open_store(place_of(sys.argv[1])) as source:
    try:
        target = open_store(place_of(sys.argv[2]), write=True)
    except StoreNotFound:
        target = create_store(place_of(sys.argv[2]), source.space)
    with target:
        print("open", flush=True)
        report = run.copy(source, target, on_progress=lambda progress: print(progress.done, flush=True))
        print("done", report.new, report.replaced, report.unchanged, flush=True)
"""


@pytest.mark.parametrize("kind", ["folder", "postgres"])
def test_killed_again_and_again_nothing_is_lost_and_nothing_twice(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """kill -9 after more and more batches: what was acknowledged is there, and the last run completes it."""
    from lookalike.store.embedded import create

    target = str(tmp_path / "target")
    if kind == "postgres":
        new_database: NewDatabase = request.getfixturevalue("new_database")
        target = new_database().reveal()
    with create(tmp_path / "source", SPACE) as source:
        for number in range(N_BATCHES):
            add_batch(source, number)
        source.ledger.record(
            LedgerEntry(project="p", item_id=f"{n}", uri=f"{n}", stamp="", outcome=Outcome.STORED) for n in range(120)
        )
        for kill in range(N_KILLS):
            acknowledged = killed(tmp_path / "source", target, at=150 * kill + 70)
            with open_store(place_of(target)) as store:
                assert store.n_items >= acknowledged
        last = copying(tmp_path / "source", target).communicate(timeout=60)[0]
        assert "done" in last
        with open_store(place_of(target)) as store:
            store.check()
            assert list(store.items(ALL)) == list(source.items(ALL))
            assert (store.n_items, store.stats().contents, store.stats().dead_slots) == (600, N_BATCHES * BATCH, 0)
            assert compare(source, store).is_equal


def copying(source: Path, target: str) -> subprocess.Popen[str]:
    """A process that copies, and tells how far it is."""
    command = [sys.executable, "-c", CHILD, str(source), target]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed(source: Path, target: str, *, at: int) -> int:
    """Kill a copy once it has so many items; how many it had."""
    child, done = copying(source, target), 0
    assert child.stdout is not None
    for line in child.stdout:
        done = int(line) if line.strip().isdigit() else done
        if done >= at:
            child.kill()
            break
    child.stdout.close()
    child.wait()
    return done
