"""From a query to hits: where to look, and how sure the answer is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence import IMAGE_PRIOR, sample_confidence, text_confidence
from lookalike.errors import InputError
from lookalike.ports import Catalogue, VectorReader
from lookalike.query import Query
from lookalike.types import Filter, Hit, Hits, Rows, Scored

SAMPLE_SIZE = 1024
"""How many pictures of the collection stand for the rest: the mean's error is 3 % of a standard deviation."""


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
        self._sample: tuple[Rows | None, int] = (None, 0)

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
        kept, confidences = self._confidences(query, kept)
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

    def _confidences(self, query: Query, scored: list[Scored]) -> tuple[list[Scored], list[float]]:
        if not scored:
            return [], []
        rows, contents = self._store.vectors(list(dict.fromkeys(found.item.content for found in scored)))
        row_of = {content: row for row, content in enumerate(contents)}
        # A content may have been removed, and its vector given back, since it was found.
        alive = [found for found in scored if found.item.content in row_of]
        vectors, similarities = rows[[row_of[found.item.content] for found in alive]], _similarities(alive)
        if query.kind == "text":
            confidences = text_confidence(similarities, self._bank, vectors)
        else:
            sample, prior = self._background(), query.prior or IMAGE_PRIOR
            confidences = sample_confidence(similarities, vectors, query=query.vector, sample=sample, prior=prior)
        return alive, [float(value) for value in confidences]

    @cached_property
    def _bank(self) -> Rows:
        return self._make_bank()

    def _background(self) -> Rows:
        """A sample of the collection, drawn again when the collection has changed by more than a fifth."""
        n_items = self._store.n_items
        sample, drawn_of = self._sample
        if sample is None or abs(n_items - drawn_of) * 5 > drawn_of:
            _, sample = self._store.sample(SAMPLE_SIZE, seed=0)
            self._sample = (sample, n_items)
        return sample


def _similarities(scored: Sequence[Scored]) -> NDArray[np.float64]:
    return np.array([found.similarity for found in scored], np.float64)
