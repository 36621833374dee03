"""From a query to hits: where to look, and how sure the answer is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence import IMAGE_PRIOR, sample_confidence, text_confidence
from lookalike.errors import InputError
from lookalike.ports import Catalogue, VectorReader
from lookalike.query import Query, no_such_item
from lookalike.types import Filter, Hit, Hits, Item, Rows, Scored

SAMPLE_SIZE = 1024
"""How many pictures of the collection stand for the rest: the mean's error is 3 % of a standard deviation."""

MAX_SAMPLES = 32
"""Of as many projects a sample is kept, two megabytes each at 512 dimensions; the one not used for longest goes."""


class Searchable(VectorReader, Catalogue, Protocol):
    """A store that can be searched and walked."""


class Searcher:
    """Searches one store and says how sure it is.

    Args:
        store: Where to look.
        bank: Makes the (m, dim) unit vectors of `confidence.CAPTION_BANK`, in the store's space: a text's background.
            Called once, at the first text query.
    """

    def __init__(self, store: Searchable, bank: Callable[[], Rows]) -> None:
        self._store = store
        self._make_bank = bank
        self._samples: OrderedDict[str | None, tuple[Rows, int]] = OrderedDict()
        self._lock = threading.Lock()

    def search(
        self, query: Query, *, limit: int = 10, where: Filter | None = None, min_confidence: float = 0.0
    ) -> Hits:
        """The items nearest to a query.

        Args:
            query: What to look for.
            limit: At most so many hits.
            where: Which items count.
            min_confidence: Leave out hits below, 0 to 1; 0.5 is where "related" begins.

        Returns:
            Hits by falling similarity; none if nothing in the collection matches.

        Raises:
            SpaceMismatch: The query was made by a model of another space.
            InputError: `limit` or `min_confidence` is out of range.
        """
        if limit < 1:
            raise InputError(f"limit is {limit}; ask for at least one hit.")
        if not 0 <= min_confidence <= 1:
            raise InputError(f"min_confidence is {min_confidence}; it must lie between 0 and 1.")
        self._store.space.require(query.space, doing="Searching")
        where = where or Filter()
        scored, considered = self._store.search(query.vector, limit=limit + len(query.exclude), where=where)
        kept = [found for found in scored if (found.item.project, found.item.id) not in query.exclude][:limit]
        kept, confidences = self._confidences(query, kept, lambda: self.background(where, considered))
        hits = tuple(
            Hit(item=found.item, similarity=found.similarity, confidence=confidence)
            for found, confidence in zip(kept, confidences, strict=True)
            if confidence >= min_confidence
        )
        return Hits(
            hits=hits,
            space=self._store.space,
            considered=considered,
            warnings=query.warnings,
            approximation=query.approximation,
        )

    def judge(self, queries: Sequence[Query], item: Item, *, where: Filter) -> list[Hit]:
        """One item against each of several queries, as a search among `where` would tell of it.

        Raises:
            SpaceMismatch: A query is of another space.
            ItemNotFound: Its vector has been given back in the meantime.
        """
        rows, _ = self._store.vectors([item.content])
        if not len(rows):
            raise no_such_item(item.project, item.id)
        hits = []
        for query in queries:
            self._store.space.require(query.space, doing="Explaining")
            similarity = float(np.einsum("d,d->", rows[0], query.vector))
            sure = self._sure(query, np.array([similarity]), rows, lambda: self.background(where))
            hits.append(Hit(item=item, similarity=similarity, confidence=float(sure[0])))
        return hits

    def _confidences(
        self, query: Query, scored: list[Scored], background: Callable[[], Rows]
    ) -> tuple[list[Scored], list[float]]:
        if not scored:
            return [], []
        rows, contents = self._store.vectors(list(dict.fromkeys(found.item.content for found in scored)))
        row_of = {content: row for row, content in enumerate(contents)}
        # A content may have been removed, and its vector given back, since it was found.
        alive = [found for found in scored if found.item.content in row_of]
        vectors, similarities = rows[[row_of[found.item.content] for found in alive]], _similarities(alive)
        return alive, self._sure(query, similarities, vectors, background).tolist()

    def _sure(
        self, query: Query, similarities: NDArray[np.float64], vectors: Rows, background: Callable[[], Rows]
    ) -> NDArray[np.float64]:
        if query.kind == "text":
            return text_confidence(similarities, self.bank, vectors)
        sample, prior = background(), query.prior or IMAGE_PRIOR
        return sample_confidence(similarities, vectors, query=query.vector, sample=sample, prior=prior)

    @cached_property
    def bank(self) -> Rows:
        """(m, dim) unit vectors of `confidence.CAPTION_BANK`; made when they are first asked for."""
        return self._make_bank()

    def background(self, where: Filter, considered: int | None = None) -> Rows:
        """(m, dim) a sample of the collection, drawn again when that has changed by more than a fifth.

        Of a project that is apart it is a sample of the project: enough confidences tell what the pictures are like
        that they were compared with. `considered` is how many items pass the filter, where that is known.
        """
        project = where.project if where.apart else None
        with self._lock:
            sample, drawn_of = self._samples.get(project, (None, 0))
            if sample is not None:
                self._samples.move_to_end(project)
        n_items = self._store.n_items if project is None else drawn_of if considered is None else considered
        is_known = project is None or not where.metadata  # what a filter lets through says nothing of the whole
        if sample is None or (is_known and abs(n_items - drawn_of) * 5 > drawn_of):
            _, sample = self._store.sample(SAMPLE_SIZE, seed=0, project=project)
            self._keep(project, sample, n_items)
        return sample

    def _keep(self, project: str | None, sample: Rows, drawn_of: int) -> None:
        with self._lock:
            self._samples[project] = (sample, drawn_of)
            self._samples.move_to_end(project)
            while len(self._samples) > MAX_SAMPLES:
                self._samples.popitem(last=False)


def _similarities(scored: Sequence[Scored]) -> NDArray[np.float64]:
    return np.array([found.similarity for found in scored], np.float64)
