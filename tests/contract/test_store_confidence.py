"""Every store gives the same confidence for the same collection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.confidence import CAPTION_BANK
from lookalike.query import Query, compose
from lookalike.search import SAMPLE_SIZE, Searcher
from lookalike.spaces import Space
from lookalike.store.embedded import create
from lookalike.store.memory import MemoryStore
from lookalike.store.postgres import store as postgres
from lookalike.types import Item, Rows
from lookalike.vectors import normalise
from tests.postgres import NewDatabase

DIM = 32
SPACE = Space(model="toy", weights="0" * 64, preprocessing="", pooling="mean", dim=DIM, modalities=("image", "text"))


def rows_of(n: int, *, seed: int, cone: int) -> Rows:
    """n unit rows around one direction, as pictures or as words lie around theirs."""
    values = np.random.default_rng(seed).standard_normal((n, DIM))
    values[:, cone] += 6
    return normalise(values)


@pytest.mark.parametrize(("n", "tolerance"), [(200, 0.01), (SAMPLE_SIZE + 500, 0.1)])
def test_a_confidence_is_the_same_wherever_the_collection_is(
    n: int, tolerance: float, tmp_path: Path, new_database: NewDatabase
) -> None:
    """For words, an example and both: but for rounding and, beyond the size of a sample, for which ones are drawn."""
    rows, contents = rows_of(n, seed=0, cone=0), [f"{number:064x}" for number in range(n)]
    items = [Item(id=content, content=content) for content in contents]
    words = Query(rows_of(1, seed=1, cone=1)[0], SPACE, "text")
    example = Query(rows[7], SPACE, "image")
    queries = [words, example, compose([(words, 1), (example, 1)])]
    found: list[list[dict[str, float]]] = []
    with (
        MemoryStore(SPACE) as memory,
        create(tmp_path / "s", SPACE) as embedded,
        postgres.create(new_database(), SPACE) as production,
    ):
        for store in (memory, embedded, production):
            store.add(items, contents, rows)
            searcher = Searcher(store, lambda: rows_of(len(CAPTION_BANK), seed=2, cone=1))
            answers = [searcher.search(query, limit=50) for query in queries]
            found.append([{hit.item.id: hit.confidence for hit in hits} for hits in answers])
    for number in range(len(queries)):
        first, *others = (confidences[number] for confidences in found)
        assert max(first.values()) - min(first.values()) > 0.1
        for other in others:
            common = first.keys() & other.keys()
            assert len(common) >= 48
            assert {name: other[name] for name in common} == pytest.approx(
                {name: first[name] for name in common}, abs=tolerance
            )
