"""A map of a collection: every picture at a place, near those that look like it, in clusters with names.

A cluster is named by the concepts that its pictures are nearer to than the collection is: what sets it apart, not what
it shows. Pictures that came since are put between those that they are most similar to, until the map is made anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from itertools import islice
from typing import Any
from zipfile import BadZipFile
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lookalike.bank import concept_names
from lookalike.search import Searchable
from lookalike.spaces import digest_of
from lookalike.types import Filter, Rows

MAX_POINTS = 100_000
"""Of larger collections the map shows so many pictures, drawn evenly."""

MAX_ADDED = 0.1
"""The share of pictures that may have been put between others before the map is made anew."""

SIDE = 65_535
"""Places are whole numbers from 0 to this."""

N_EXAMPLES = 6
MAX_NAMES = 2
ALSO = 0.75
"""A second concept is named where it sets the cluster apart at least so much as the first does."""

N_WEIGHED = 4096
"""How many pictures tell how much a concept varies."""

N_NEIGHBOURS = 5
N_REFERENCES = 20_000
"""A new picture is compared with so many of those that have a place."""

Arrange = Callable[[Rows], tuple[NDArray[np.float32], NDArray[np.uint8]]]
"""(n, dim) unit rows to (n, 2) places of any scale and (n,) numbers of groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Pictures that look alike.

    Attributes:
        names: What sets them apart, the most telling first.
        n_items: How many there are on the map.
        x: Where the middle one lies, 0 to SIDE.
        y: The same, from the top.
        examples: Contents of those nearest to their mean.
    """

    names: tuple[str, ...]
    n_items: int
    x: int
    y: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """What a map is of.

    Attributes:
        keys: (project, id) of each item, in the store's order.
        contents: The content of each.
        total: How many items the collection has; more than there are keys if it is too large.
    """

    keys: tuple[tuple[str, str], ...]
    contents: tuple[str, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Landscape:
    """A map.

    Attributes:
        points: What it is of.
        places: (n, 2) uint16: where each item lies, 0 to SIDE, from the left and from the top.
        groups: (n,) uint8: the cluster of each item.
        clusters: By number, the largest first.
        n_added: How many contents were put between others since it was made.
        version: Names this map: numbers of items count in it alone.
    """

    points: Points
    places: NDArray[np.uint16]
    groups: NDArray[np.uint8]
    clusters: tuple[Cluster, ...]
    n_added: int = 0
    version: str = ""

    @property
    def is_worn(self) -> bool:
        """Whether so much was added that it should be made anew."""
        return self.n_added > MAX_ADDED * len(self.points.keys)

    def to_bytes(self) -> bytes:
        """The map as a file's content."""
        points = {"keys": self.points.keys, "contents": self.points.contents, "total": self.points.total}
        document = {
            **points,
            "clusters": [asdict(one) for one in self.clusters],
            "n_added": self.n_added,
            "version": self.version,
        }
        text = np.frombuffer(json.dumps(document).encode(), np.uint8)
        buffer = BytesIO()
        np.savez_compressed(buffer, places=self.places, groups=self.groups, text=text)
        return buffer.getvalue()

    @classmethod
    def empty(cls) -> Landscape:
        """The map of nothing."""
        nowhere, none = np.empty((0, 2), np.uint16), np.empty(0, np.uint8)
        return cls(
            points=Points(keys=(), contents=(), total=0), places=nowhere, groups=none, clusters=(), version="empty"
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Landscape | None:
        """The map in a file's content; None if it is damaged."""
        try:
            with np.load(BytesIO(data), allow_pickle=False) as file:
                places, groups, document = file["places"], file["groups"], json.loads(file["text"].tobytes())
            points = Points(
                keys=tuple((project, item) for project, item in document["keys"]),
                contents=tuple(document["contents"]),
                total=document["total"],
            )
            clusters = tuple(_cluster_of(one) for one in document["clusters"])
            n_added, version = int(document["n_added"]), str(document["version"])
        except (OSError, ValueError, KeyError, TypeError, BadZipFile):
            return None
        return cls(points=points, places=places, groups=groups, clusters=clusters, n_added=n_added, version=version)


def points_of(store: Searchable, where: Filter, *, n_items: int) -> Points:
    """The items that a map shall show: all of them, or of more than MAX_POINTS an even draw, the same each time."""
    limit = (1 << 32) if n_items <= MAX_POINTS else int((1 << 32) * MAX_POINTS / n_items)
    total, keys, contents = 0, [], []
    for item in store.items(where):
        total += 1
        if crc32(item.content.encode()) < limit:
            keys.append((item.project, item.id))
            contents.append(item.content)
    return Points(keys=tuple(keys[:MAX_POINTS]), contents=tuple(contents[:MAX_POINTS]), total=total)


def survey(store: Searchable, points: Points, bank: Rows, arrange: Arrange) -> Landscape:
    """Make a map anew.

    Args:
        store: Where the vectors are.
        points: What it shall be of.
        bank: (m, dim) unit vectors of `bank.concept_names`.
        arrange: Finds places and groups; takes minutes where there are many.
    """
    rows, contents = _vectors(store, points.contents)
    if not contents:
        return Landscape.empty()
    places, groups = arrange(rows)
    scaled = _scaled(places)
    points, at = _found(points, {content: row for row, content in enumerate(contents)})
    weighed = _weighed(bank, rows)
    clusters = tuple(
        _described(rows, contents, np.nonzero(groups == number)[0], weighed, scaled)
        for number in range(int(groups.max()) + 1)
    )
    return _counted(Landscape(points=points, places=scaled[at], groups=groups[at], clusters=clusters))


def extended(landscape: Landscape, store: Searchable, points: Points) -> Landscape:
    """The map with what was removed taken away, and what is new put between what it is most similar to."""
    old = dict(zip(landscape.points.contents, range(len(landscape.points.contents)), strict=True))
    rows, contents = _vectors(store, [content for content in points.contents if content not in old])
    step = max(1, len(old) // N_REFERENCES)
    near, references = _vectors(store, list(islice(old, 0, None, step)))
    n_new = len(contents)
    if not references:  # there is nothing to put them beside; they count all the same, so that the map is made anew
        contents = []
    places, groups = landscape.places, landscape.groups
    if contents:
        at = np.array([old[content] for content in references])
        nearest = _nearest(rows, near)
        between = places[at[nearest]].astype(np.float64).mean(axis=1).round().astype(np.uint16)
        places, groups = np.concatenate([places, between]), np.concatenate([groups, groups[at[nearest[:, 0]]]])
        old |= {content: len(landscape.places) + row for row, content in enumerate(contents)}
    points, chosen = _found(points, old)
    made = Landscape(
        points=points,
        places=places[chosen],
        groups=groups[chosen],
        clusters=landscape.clusters,
        n_added=landscape.n_added + n_new,
    )
    return _counted(made)


def _vectors(store: Searchable, contents: Sequence[str]) -> tuple[Rows, list[str]]:
    return store.vectors(list(dict.fromkeys(contents)))


def _found(points: Points, at: dict[str, int]) -> tuple[Points, NDArray[np.int64]]:
    """The points whose content has a row, and that row of each."""
    kept = [n for n, content in enumerate(points.contents) if content in at]
    keys, contents = tuple(points.keys[n] for n in kept), tuple(points.contents[n] for n in kept)
    return replace(points, keys=keys, contents=contents), np.array([at[content] for content in contents], np.int64)


def _scaled(places: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Whole numbers from 0 to SIDE, one scale for both directions, the smaller one in the middle."""
    low, high = places.min(axis=0).astype(np.float64), places.max(axis=0).astype(np.float64)
    extent = max(float((high - low).max()), 1e-9)
    scaled: NDArray[np.uint16] = ((places - (low + high) / 2) / extent * SIDE + SIDE / 2).round().astype(np.uint16)
    return scaled


def _weighed(bank: Rows, rows: Rows) -> Rows:
    """The bank with concepts that vary much among the rows counting less: the loudest need not be the most telling."""
    some = rows[:: max(1, len(rows) // N_WEIGHED)]
    weighed: Rows = bank / np.sqrt(np.maximum((some @ bank.T).std(axis=0), 1e-6))[:, None]
    return weighed


def _described(
    rows: Rows, contents: list[str], members: NDArray[np.int64], bank: Rows, places: NDArray[np.uint16]
) -> Cluster:
    """A cluster of these rows; `bank` as `_weighed` made it."""
    mean = rows[members].mean(axis=0)
    apart = bank @ (mean - rows.mean(axis=0))
    order = np.argsort(-apart)[: 2 * MAX_NAMES].tolist()
    telling = [n for n in order if n == order[0] or apart[n] >= ALSO * apart[order[0]] > 0]
    names = tuple(dict.fromkeys(concept_names()[n] for n in telling))[:MAX_NAMES]
    nearest = members[np.argsort(-(rows[members] @ mean))[:N_EXAMPLES]]
    x, y = np.median(places[members], axis=0).round().astype(int).tolist()
    return Cluster(names=names, n_items=0, x=x, y=y, examples=tuple(contents[n] for n in nearest))


def _counted(made: Landscape) -> Landscape:
    """With the sizes of its clusters, and its name."""
    names = (f"{project}\0{item}" for project, item in made.points.keys)
    version = digest_of([*names, made.places.tobytes().hex()])[:16]
    n_items = np.bincount(made.groups, minlength=len(made.clusters)).tolist()
    clusters = tuple(replace(one, n_items=n) for one, n in zip(made.clusters, n_items, strict=True))
    return replace(made, clusters=clusters, version=version)


def _nearest(rows: Rows, references: Rows) -> NDArray[np.int64]:
    """(n, N_NEIGHBOURS) the references most similar to each row, the most similar first."""
    found = [
        np.argsort(-(rows[at : at + 256] @ references.T), axis=1)[:, :N_NEIGHBOURS] for at in range(0, len(rows), 256)
    ]
    return np.concatenate(found)


def _cluster_of(document: dict[str, Any]) -> Cluster:
    return Cluster(**{**document, "names": tuple(document["names"]), "examples": tuple(document["examples"])})
