"""A map of a collection: places, clusters, names, and how it follows what comes and goes."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike import landscape as module
from lookalike.bank import LOOKS, concept_names
from lookalike.confidence import CAPTION_BANK
from lookalike.landscape import SIDE, Landscape, extended, points_of, survey
from lookalike.projection.arranging import Arranger
from lookalike.store.memory import MemoryStore
from lookalike.types import Filter, Item, Rows
from tests.catalogued import EMBEDDER
from tests.pictures import picture

BANK = (
    EMBEDDER.embed_texts((*CAPTION_BANK, *LOOKS)).values * np.isin(concept_names(), ("red", "green", "blue"))[:, None]
)
"""A bank that knows these colours only: what the fake model makes of other words means nothing."""

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220)}


def by_colour(rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A place and a group for each distinct vector, instead of a projection."""
    _, groups = np.unique(rows.round(2), axis=0, return_inverse=True)
    places = np.stack([groups * 10.0, groups * 1.0], axis=1).astype(np.float32)
    return places, groups.astype(np.uint8)


def filled(names: Sequence[str], project: str = "default") -> MemoryStore:
    """A store with a picture of each name's colour: "red-1"."""
    made = MemoryStore(EMBEDDER.space)
    add(made, names, project)
    return made


def add(store: MemoryStore, names: Sequence[str], project: str = "default") -> None:
    """Put pictures into it; each is a content of its own."""
    items = [Item(id=name, content=name, project=project) for name in names]
    rows = EMBEDDER.embed_images([picture(COLOURS[name.split("-")[0]]) for name in names]).values
    store.add(items, [item.content for item in items], rows)


def mapped(store: MemoryStore) -> Landscape:
    """Its map."""
    return survey(store, points_of(store, Filter(), n_items=store.n_items), BANK, by_colour)


def test_every_item_has_a_place_beside_its_likes() -> None:
    """Items of one look share place and cluster; places fill the square in their wider direction."""
    found = mapped(filled(["red-1", "red-2", "green-1", "blue-1"]))
    at = dict(zip([item for _, item in found.points.keys], found.places.tolist(), strict=True))
    assert at["red-1"] == at["red-2"] != at["blue-1"]
    assert (found.places[:, 0].min(), found.places[:, 0].max()) == (0, SIDE)
    assert sorted(one.n_items for one in found.clusters) == [1, 1, 2]


def test_clusters_are_named_by_what_sets_them_apart() -> None:
    """Among red, green and blue pictures each cluster has its colour for its first name."""
    found = mapped(filled([f"{name}-{n}" for name in COLOURS for n in range(3)]))
    first = {one.examples[0].split("-")[0]: one.names[0] for one in found.clusters}
    assert first == {"red": "red", "green": "green", "blue": "blue"}
    assert all(name in concept_names() for one in found.clusters for name in one.names)


def test_what_comes_is_put_beside_its_likes_and_what_goes_is_gone() -> None:
    """A new picture takes the place and the cluster of what it looks like; the map says how much was added."""
    store = filled([f"{name}-{n}" for name in COLOURS for n in range(6)])
    before = mapped(store)
    add(store, ["green-new"])
    store.delete([("default", "red-0")])
    after = extended(before, store, points_of(store, Filter(), n_items=store.n_items))
    at = dict(zip([item for _, item in after.points.keys], after.places.tolist(), strict=True))
    assert at["green-new"] == at["green-1"]
    assert "red-0" not in at
    assert sum(one.n_items for one in after.clusters) == len(at) == 18
    assert (after.n_added, after.is_worn, before.version != after.version) == (1, False, True)


def test_much_that_is_new_wears_a_map_out() -> None:
    """With more than a tenth put between others it is to be made anew."""
    store = filled(["red-1", "green-1", "blue-1"])
    before = mapped(store)
    add(store, ["red-2"])
    assert extended(before, store, points_of(store, Filter(), n_items=4)).is_worn


def test_a_map_of_nothing_is_worn_out_by_the_first_pictures() -> None:
    """There is nothing to put them beside: so too where all that was on the map is gone."""
    store = MemoryStore(EMBEDDER.space)
    empty = mapped(store)
    add(store, ["red-1"])
    assert extended(empty, store, points_of(store, Filter(), n_items=1)).is_worn
    other = filled(["green-1"])
    assert extended(mapped(store), other, points_of(other, Filter(), n_items=1)).is_worn


def test_a_map_is_kept_as_it_is() -> None:
    """Written and read it is the same; damaged or foreign bytes are no map."""
    made = mapped(filled(["red-1", "green-1"]))
    data = made.to_bytes()
    read = Landscape.from_bytes(data)
    assert read is not None
    assert (read.points, read.clusters, read.version) == (made.points, made.clusters, made.version)
    assert np.array_equal(read.places, made.places)
    assert Landscape.from_bytes(data[:-40]) is None
    assert Landscape.from_bytes(b"something else") is None


def test_nothing_has_an_empty_map() -> None:
    """An empty store, or an empty project, has a map without points, and nothing is arranged."""
    assert len(mapped(MemoryStore(EMBEDDER.space)).points.keys) == 0


def test_a_large_collection_is_drawn_from_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than MAX_POINTS items are not shown; the same ones are each time, and the total is told."""
    monkeypatch.setattr(module, "MAX_POINTS", 20)
    store = filled([f"red-{n}" for n in range(200)])
    first, again = (points_of(store, Filter(), n_items=200) for _ in range(2))
    assert first == again
    assert 5 <= len(first.keys) <= 20
    assert first.total == 200


def test_points_are_arranged_in_a_process_of_their_own() -> None:
    """Two heaps of vectors come out as two heaps of points, and the share that is done rises to the end."""
    pytest.importorskip("openTSNE", reason="the extra 'map' is not installed")
    rng = np.random.default_rng(0)
    heaps = np.repeat(np.eye(8, dtype=np.float32)[:2], 40, axis=0) + rng.normal(0, 0.05, (80, 8)).astype(np.float32)
    shares: list[float] = []
    rows = heaps / np.linalg.norm(heaps, axis=1, keepdims=True)
    places, groups = Arranger(threads=1, stopping=Event()).arrange(rows, on_progress=shares.append)
    one, other = places[:40], places[40:]
    assert np.linalg.norm(one.mean(0) - other.mean(0)) > 2 * max(one.std(axis=0).max(), other.std(axis=0).max())
    assert not set(groups[:40]) & set(groups[40:])
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
