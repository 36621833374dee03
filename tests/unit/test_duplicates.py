"""Duplicates: equal bytes, and pictures that were saved again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lookalike import duplicates
from lookalike.duplicates import find_duplicates
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import InputError
from lookalike.store.memory import MemoryStore
from lookalike.types import Filter, Item
from lookalike.vectors import normalise

SPACE = FakeEncoder().tower.space


def fill(groups: list[list[str]], *, spread: float = 0.0) -> MemoryStore:
    """A store where the items of each group share a direction, `spread` apart."""
    rng = np.random.default_rng(0)
    store = MemoryStore(SPACE)
    number = 0
    for names in groups:
        centre = rng.normal(size=SPACE.dim)
        for name in names:
            row = centre + spread * rng.normal(size=SPACE.dim)
            content = f"{number:064x}"
            store.add([Item(id=name, content=content)], [content], (row / np.linalg.norm(row)).astype(np.float32)[None])
            number += 1
    return store


def names(store: MemoryStore, **options: float) -> list[list[str]]:
    return [[item.id for item in group.items] for group in find_duplicates(store, **options)]  # type: ignore[arg-type]


def test_equal_bytes_are_exact_duplicates() -> None:
    """Items of one content are a group, the largest first, whatever their project."""
    store = fill([["a"], ["b"], ["c"]])
    zero, one = f"{0:064x}", f"{1:064x}"
    store.add(
        [Item(id="a2", content=zero), Item(id="a3", content=zero, project="x"), Item(id="b2", content=one)],
        [],
        np.empty((0, SPACE.dim), np.float32),
    )
    groups = list(find_duplicates(store))
    assert [[item.id for item in group.items] for group in groups] == [["a", "a2", "a3"], ["b", "b2"]]
    assert {group.reason for group in groups} == {"exact"}
    assert [len(group.items) for group in find_duplicates(store, where=Filter(project="default"))] == [2, 2]


def test_near_duplicates_are_grouped_and_others_left_alone() -> None:
    """Pictures linked by a pair above the threshold are one group with its weakest link."""
    store = fill([["a1", "a2", "a3"], ["b"], ["c1", "c2"], ["d"]], spread=0.02)
    assert names(store) == []
    groups = list(find_duplicates(store, min_similarity=0.95))
    assert [[item.id for item in group.items] for group in groups] == [["a1", "a2", "a3"], ["c1", "c2"]]
    assert all(0.95 <= group.similarity < 1 for group in groups)
    assert {group.reason for group in groups} == {"near"}


def test_groups_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs across blocks are compared too, each once."""
    groups = [[f"{group}-{member}" for member in range(1 + group % 4)] for group in range(60)]
    store = fill(groups, spread=0.02)
    whole = names(store, min_similarity=0.95)
    assert sum(map(len, whole)) == sum(len(group) for group in groups if len(group) > 1)
    monkeypatch.setattr(duplicates, "BLOCK_ROWS", 7)
    shares: list[float] = []
    blocks = [
        [item.id for item in group.items]
        for group in find_duplicates(store, min_similarity=0.95, on_progress=shares.append)
    ]
    assert blocks == whole
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_what_is_linked_in_steps_is_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours along a line are near, its ends are not; however few pairs are linked at once, it is one group."""
    angles = np.linspace(0, 1, 50)
    line = np.zeros((50, SPACE.dim), np.float32)
    line[:, 0], line[:, 1] = np.cos(angles), np.sin(angles)
    order = np.random.default_rng(0).permutation(50)
    store = MemoryStore(SPACE)
    contents = [f"{n:064x}" for n in range(50)]
    store.add([Item(id=content, content=content) for content in contents], contents, line[order])
    monkeypatch.setattr(duplicates, "LINKED_AT_ONCE", 3)
    monkeypatch.setattr(duplicates, "BLOCK_ROWS", 16)
    (group,) = find_duplicates(store, min_similarity=0.9997)
    assert len(group.items) == 50
    assert group.similarity == pytest.approx(np.cos(1 / 49), abs=1e-5)


def test_equal_vectors_are_near_whatever_is_asked_for() -> None:
    """The cosine of a row with itself is rounded, and is 1 nevertheless."""
    space = replace(SPACE, dim=512)
    rows = normalise(np.random.default_rng(3).standard_normal((20, space.dim)))
    store, contents = MemoryStore(space), [f"{n:064x}" for n in range(40)]
    store.add([Item(id=content, content=content) for content in contents], contents, np.repeat(rows, 2, axis=0))
    groups = list(find_duplicates(store, min_similarity=1.0))
    assert [len(group.items) for group in groups] == [2] * 20
    assert all(0.999999 <= group.similarity <= 1 for group in groups)


def test_a_wrong_threshold_is_refused() -> None:
    """The sentence names the value."""
    with pytest.raises(InputError, match=r"1\.5"):
        list(find_duplicates(MemoryStore(SPACE), min_similarity=1.5))


def test_an_empty_store_has_none() -> None:
    """No items, no groups, no error."""
    assert list(find_duplicates(MemoryStore(SPACE), min_similarity=0.9)) == []
