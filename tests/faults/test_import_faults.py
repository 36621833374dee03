"""An import that is killed, with real processes and a real store."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.ingest import Ingest, Target
from lookalike.sources.folder import FolderSource
from lookalike.store.embedded import open_store
from lookalike.types import Filter, Outcome
from tests.faults.processes import kill_after, start_child
from tests.pictures import noise, write

CHILD = "import_child.py"
N, N_KILLS = 600, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 pictures, a third of them copies of others."""
    return write(tmp_path_factory.mktemp("photos"), {f"{n:04}.png": noise(n % 400, size=(9, 7)) for n in range(N)})


def test_killed_again_and_again_nothing_is_lost_and_nothing_twice(folder: Path, tmp_path: Path) -> None:
    """kill -9 at random moments: what was acknowledged is there, the last run completes, an ingest finds all of it."""
    index, moments, promised = tmp_path / "index.lookalike", random.Random(3), 0
    for _ in range(N_KILLS):
        promised += kill_after(start_child(CHILD, folder, index), items=moments.randint(1, 120))
        with open_store(index) as store:
            assert store.stats().items >= promised
    output, _ = start_child(CHILD, folder, index).communicate()
    assert "done" in output
    again, _ = start_child(CHILD, folder, index).communicate()
    assert "done {'unchanged': 599, 'failed': 1}" in again
    with open_store(index, write=True) as store:
        store.check()
        assert (store.stats().items, store.stats().unchecked) == (N - 1, 0)
        assert {item.caption for item in store.items(Filter())} == {f"picture {n:04}" for n in range(N) if n != 30}
        target = Target(store=store, ledger=store.ledger, embedder=Embedder(LocalVectorizer(FakeEncoder())))
        report = Ingest(target).run([FolderSource(folder)])
        assert report.counts == {Outcome.UNCHANGED: N - 1, Outcome.DUPLICATE: 1}
