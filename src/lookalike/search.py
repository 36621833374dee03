"""From a query to hits: where to look, and how sure the answer is."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

DRAWN_FOR_S = 60.0
"""A sample is drawn again after so long: as many other pictures may have come in the place of those that went."""

DRAWING_SHARE = 0.01
"""At most so much of the time goes into drawing samples for their age."""

MAX_SAMPLES = 32
"""Of as many projects a sample is kept, two megabytes each at 512 dimensions; the one not used for longest goes."""


class Searchable(VectorReader, Catalogue, Protocol):
    """A store that can be searched and walked."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """(m, dim) vectors, of how many items they were drawn, and until when they count."""

    rows: Rows
    drawn_of: int
    due_s: float


class Searcher:
    """Searches one store and says how sure it is.

    Args:
        store: Where to look.
        bank: Makes the (m, dim) unit vectors of `confidence.CAPTION_BANK`, in the store's space: a text's background.
            Called once, at the first text query.
        clock: A clock in seconds that only moves forward.
    """

    def __init__(
        self, store: Searchable, bank: Callable[[], Rows], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._make_bank = bank
        self._clock = clock
        self._samples: OrderedDict[str | None, _Sample] = OrderedDict()
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
        """(m, dim) a sample of the collection, drawn again when that changed by more than a fifth, or after a while.

        Of a project that is apart it is a sample of the project: enough confidences tell what the pictures are like
        that they were compared with. `considered` is how many items pass the filter, where that is known.
        """
        project = where.project if where.apart else None
        with self._lock:
            kept = self._samples.get(project)
            if kept is not None:
                self._samples.move_to_end(project)
        n_items = self._store.n_items if project is None else considered or 0
        if kept is not None and project is not None and (considered is None or where.metadata):
            n_items = kept.drawn_of  # what a filter lets through says nothing of the whole
        if kept is None or self._clock() >= kept.due_s or abs(n_items - kept.drawn_of) * 5 > kept.drawn_of:
            kept = self._drawn(project, n_items)
        return kept.rows

    def _drawn(self, project: str | None, n_items: int) -> _Sample:
        began_s = self._clock()
        _, rows = self._store.sample(SAMPLE_SIZE, seed=0, project=project)
        now_s = self._clock()
        sample = _Sample(rows, n_items, due_s=now_s + max(DRAWN_FOR_S, (now_s - began_s) / DRAWING_SHARE))
        with self._lock:
            self._samples[project] = sample
            self._samples.move_to_end(project)
            while len(self._samples) > MAX_SAMPLES:
                self._samples.popitem(last=False)
        return sample


def _similarities(scored: Sequence[Scored]) -> NDArray[np.float64]:
    return np.array([found.similarity for found in scored], np.float64)
