"""The in-memory twin of the embedded store: the same contract, nothing kept. For tests and throw-away searches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.contents import require_vectors, trust_in
from lookalike.errors import InputError
from lookalike.spaces import Space
from lookalike.store.pages import paged
from lookalike.types import Filter, Item, LedgerEntry, Rows, Scored, StoreStats
from lookalike.vectors import from_fixed, normalise, require_unit_rows, to_fixed


class MemoryLedger:
    """ports.Ledger in a dictionary."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], LedgerEntry] = {}

    def known(self, project: str, uris: Sequence[str]) -> Mapping[str, LedgerEntry]:
        """The entries of these objects, by uri."""
        return {uri: self._entries[project, uri] for uri in uris if (project, uri) in self._entries}

    def under(self, project: str | None, prefix: str) -> Iterator[LedgerEntry]:
        """Every entry whose uri starts with `prefix`, by project and uri; of all projects if `project` is None."""
        for key in sorted(self._entries):
            if project in (None, key[0]) and key[1].startswith(prefix) and key in self._entries:
                yield self._entries[key]

    def record(self, entries: Iterable[LedgerEntry]) -> None:
        """Insert or replace entries by (project, uri)."""
        self._entries |= {(entry.project, entry.uri): entry for entry in entries}

    def forget(self, project: str, uris: Sequence[str]) -> None:
        """Drop these entries."""
        for uri in uris:
            self._entries.pop((project, uri), None)


class MemoryStore:
    """VectorReader, VectorWriter and Catalogue in dictionaries.

    Attributes:
        space: The space that every vector belongs to.
        ledger: What became of each source object.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.ledger = MemoryLedger()
        self._items: dict[tuple[str, str], Item] = {}
        # Rounded as the embedded store rounds, so that similarities are equal.
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._version = 0

    def __enter__(self) -> MemoryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to close."""

    @property
    def n_items(self) -> int:
        """How many items it holds."""
        return len(self._items)

    def search(self, query: Rows, *, limit: int, where: Filter) -> tuple[list[Scored], int]:
        """The items nearest to a (dim,) float32 unit vector; see ports.VectorReader."""
        if limit < 1:
            raise InputError(f"A search must ask for at least one answer; limit is {limit}.")
        require_unit_rows(query[None, :], dim=self.space.dim, names=["query"])
        passed = list(self.items(where))
        rows = self._rows([item.content for item in passed])
        scores = np.clip(np.einsum("ij,j->i", rows, query), -1, 1).tolist()
        found = [Scored(item, score) for item, score in zip(passed, scores, strict=True)]
        found.sort(key=lambda scored: (-scored.similarity, scored.item.project, scored.item.id))
        return found[:limit], len(passed)

    def get(self, keys: Sequence[tuple[str, str]]) -> list[Item | None]:
        """The items of these (project, id) pairs, in order; None where there is none."""
        return [self._items.get(key) for key in keys]

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        """The stored vectors of these contents, (m, dim) unit rows, and the m contents that were found, in order."""
        found = [content for content in contents if content in self._vectors]
        return normalise(self._rows(found)), found

    def stats(self) -> StoreStats:
        """What the store holds."""
        projects: dict[str, int] = {}
        for project, _ in sorted(self._items):
            projects[project] = projects.get(project, 0) + 1
        used = self._used()
        return StoreStats(
            items=len(self._items),
            contents=len(used),
            dead_slots=len(self._vectors) - len(used),
            n_bytes=sum(vector.nbytes for vector in self._vectors.values()),
            projects=projects,
            space=self.space,
            unchecked=sum(trust_in(content) == 0 for content in used),
            version=self._version,
        )

    def items(self, where: Filter, *, after: tuple[str, str] | None = None) -> Iterator[Item]:
        """Every item that passes, by (project, id); see ports.Catalogue."""
        for key in sorted(self._items):
            if (after is None or key > after) and where.admits(self._items[key]):
                yield self._items[key]

    def newest(self, where: Filter, *, limit: int, after: str = "") -> tuple[list[Item], str]:
        """Items that pass, the last added first; see ports.Catalogue."""
        passed = (item for item in reversed(self._items.values()) if where.admits(item))
        return paged(passed, limit=limit, after=after)

    def sample(self, n: int, *, seed: int, project: str | None = None) -> tuple[list[str], Rows]:
        """At most n contents in use, drawn evenly, and their vectors; see ports.Catalogue."""
        used = sorted({item.content for item in self.items(Filter(project=project))})
        drawn = np.sort(np.random.default_rng(seed).choice(len(used), min(n, len(used)), replace=False))
        contents = [used[position] for position in drawn]
        return contents, self.vectors(contents)[0]

    def add(self, items: Sequence[Item], contents: Sequence[str], vectors: Rows) -> None:
        """Store items and the vectors of new contents, all or nothing; see ports.VectorWriter."""
        require_unit_rows(vectors, dim=self.space.dim, names=contents)
        if len(set(contents)) != len(contents):
            raise InputError("The contents of one call must be distinct.")
        require_vectors(items, self._vectors.keys() | set(contents))
        new = dict(zip(contents, from_fixed(*to_fixed(vectors)), strict=True))
        self._vectors = new | self._vectors
        self._items |= {(item.project, item.id): item for item in items}
        self._version += 1

    def delete(self, keys: Sequence[tuple[str, str]]) -> int:
        """Delete these (project, id) pairs; the number that existed. Vectors stay until `compact`."""
        self._version += 1
        return sum(self._items.pop(key, None) is not None for key in keys)

    def compact(self) -> int:
        """Forget vectors that no item uses; the number freed."""
        used = self._used()
        before = len(self._vectors)
        self._vectors = {content: vector for content, vector in self._vectors.items() if content in used}
        return before - len(self._vectors)

    def _used(self) -> set[str]:
        return {item.content for item in self._items.values()}

    def _rows(self, contents: Sequence[str]) -> Rows:
        rows = [self._vectors[content] for content in contents]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.space.dim)
