"""Indexing under faults, with real processes and a real store: killed, out of space, full of broken files."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.ingest import Ingest, Target
from lookalike.sources.folder import FolderSource
from lookalike.store.embedded import create, open_store
from lookalike.types import Filter, Outcome
from tests.faults.processes import kill_after, start_child
from tests.pictures import noise, write

CHILD = "ingest_child.py"
N_KILLS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """960 pictures, a third of them copies of others, in three folders."""
    files = {f"{place % 3}/{place:04}.png": noise(place % 640, size=(9, 7)) for place in range(960)}
    return write(tmp_path_factory.mktemp("photos"), files)


def test_killed_at_20_moments_nothing_is_lost_and_nothing_twice(folder: Path, tmp_path: Path) -> None:
    """kill -9, again and again: every acknowledged item is there, the last run completes, searches are right."""
    index = tmp_path / "index.lookalike"
    moments = random.Random(7)
    promised = 0
    for _ in range(N_KILLS):
        promised += kill_after(start_child(CHILD, folder, index), lines=moments.randint(1, 4))
        with open_store(index) as store:
            assert store.stats().items >= promised
    child = start_child(CHILD, folder, index)
    output, _ = child.communicate()
    assert child.returncode == 0
    assert "done" in output
    with open_store(index) as store:
        assert (store.stats().items, store.stats().contents) == (960, 640)
        items = list(store.items(Filter()))
        assert len({item.id for item in items}) == 960
        rows, contents = store.vectors(sorted({item.content for item in items}))
        first = {item.content: item.uri for item in reversed(items)}
        expected = (
            Embedder(LocalVectorizer(FakeEncoder())).embed_images([first[content] for content in contents]).values
        )
        np.testing.assert_allclose(rows, expected, atol=2e-3)
        for row in range(0, 640, 40):
            found, _ = store.search(expected[row], limit=3, where=Filter())
            assert found[0].item.content == contents[row]


def test_500_broken_files_among_500_good(tmp_path: Path) -> None:
    """500 are indexed and 500 are listed with a reason each; the list can be asked for later."""
    good = {f"good{seed:03}.png": noise(seed) for seed in range(500)}
    cut = np.random.default_rng(0).integers(0, 150, 500)
    bad = {f"bad{seed:03}.jpg": noise(1000 + seed, kind="JPEG")[: cut[seed]] for seed in range(500)}
    folder = write(tmp_path / "photos", good | bad)
    embedder = Embedder(LocalVectorizer(FakeEncoder()))
    with create(tmp_path / "index.lookalike", embedder.space) as store:
        report = Ingest(Target(store=store, ledger=store.ledger, embedder=embedder)).run([FolderSource(folder)])
        assert report.counts == {Outcome.STORED: 500, Outcome.FAILED: 500}
    with open_store(tmp_path / "index.lookalike") as store:
        assert store.stats().items == 500
        failed = [entry for entry in store.ledger.under(None, "") if entry.outcome is Outcome.FAILED]
        assert {Path(entry.uri).name for entry in failed} == set(bad)
        assert all(len(entry.reason) > 10 for entry in failed)
