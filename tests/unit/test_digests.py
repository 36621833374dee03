"""Contents are found by their digests, whatever came when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.spaces import Space
from lookalike.store.embedded import EmbeddedStore, create, open_store
from lookalike.types import Filter, Item, Rows
from lookalike.vectors import normalise

SPACE = Space(model="m", weights="0" * 64, preprocessing="", pooling="p", dim=8, modalities=("text",))


def rows(n: int, *, seed: int) -> Rows:
    """Random unit rows."""
    return normalise(np.random.default_rng(seed).standard_normal((n, SPACE.dim)))


def sha(number: int) -> str:
    """A content."""
    return hashlib.sha256(b"%d" % number).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """An empty store."""
    with create(tmp_path / "s", SPACE) as store:
        yield store


def test_each_of_many_batches_is_found(store: EmbeddedStore) -> None:
    """Batches of all sizes, with some contents that were there before: each has the vector that came with it first."""
    sizes = np.random.default_rng(3).integers(1, 60, 40).tolist()
    first, kept = 0, dict[str, Rows]()
    for batch, size in enumerate(sizes):
        contents = [sha(number) for number in range(max(0, first - 5), first + size)]
        vectors = rows(len(contents), seed=batch)
        store.add([], contents, vectors)
        kept |= {content: row for content, row in zip(contents, vectors, strict=True) if content not in kept}
        first += size
        found, names = store.vectors(list(kept))
        assert names == list(kept)
        assert np.allclose(found, np.stack(list(kept.values())), atol=1e-3)
    assert store.vectors([sha(first)])[1] == []


def test_digests_that_begin_alike_are_told_apart(store: EmbeddedStore) -> None:
    """Within a batch and across batches: eight equal bytes are not thirty-two."""
    alike = [f"{'ab' * 8}{number:048x}" for number in range(4)]
    vectors = rows(4, seed=1)
    store.add([], alike[:2], vectors[:2])
    store.add([], alike[1:3], vectors[1:3])
    found, names = store.vectors([alike[3], *alike[:3]])
    assert names == alike[:3]
    assert np.allclose(found, vectors[:3], atol=1e-3)
    assert store.stats().dead_slots == 3


def test_a_reader_follows_a_writer_and_a_compaction(store: EmbeddedStore, tmp_path: Path) -> None:
    """What another store object wrote is found, and after a compaction where it is then."""
    contents = [sha(number) for number in range(50)]
    items = [Item(id=f"{number}", content=content) for number, content in enumerate(contents)]
    vectors = rows(50, seed=2)
    with open_store(tmp_path / "s") as reader:
        for start in range(0, 50, 10):
            part = slice(start, start + 10)
            store.add(items[part], contents[part], vectors[part])
            assert reader.vectors(contents)[1] == contents[: start + 10]
        store.delete([("default", f"{number}") for number in range(0, 50, 2)])
        assert store.compact() == 25
        found, names = reader.vectors(contents)
        assert names == contents[1::2]
        assert np.allclose(found, vectors[1::2], atol=1e-3)
        assert {scored.item.content for scored in reader.search(vectors[1], limit=50, where=Filter())[0]} == set(names)
