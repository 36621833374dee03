"""How a search is made: by looking at every vector that may be an answer, or through the index on vectors.

The index (HNSW) finds most of the nearest vectors, not all; how many depends on the collection, on the setting
`ef_search`, and above all on the query: words lie outside the cone that the pictures fill, and there it misses many.
So it is asked only for kinds of queries for which its recall has been measured here and is good enough. Everything else
is exact. Kinds are told apart by where the query lies, since a vector does not say whether it was made of words.

With a filter, what the index gives is mostly not what passes it, and all that passes is soon looked at. Only where one
project is a large part of the collection the index is scanned on and on until enough of it was met, if that was
measured to find enough, in less time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lookalike.types import Filter, Rows

Kind = Literal["near", "far"]
"""Of a query: within the cone that the collection fills, as pictures are, or outside, as words are."""

WANTED_RECALL: Mapping[Kind, float] = {"near": 0.992, "far": 0.99}
"""Of the ten best that an exact search finds, on average over what it is measured with, so that 0.98 of what float32
would find is kept for what it is asked for. A hundred queries of ten answers leave it uncertain by 0.005, and rounding
to half precision, which exact searches share, takes 0.01 among pictures that lie close together, 0.001 of words'."""

WANTED_RECALL_IN_PROJECT = 0.998
"""The same for searches of one project, where 0.99 is to be kept."""

MAX_EF_SEARCH = 1000
"""What pgvector allows."""

MEASURED_LIMIT = 10
"""Answers that recall was measured with; for more, ef_search grows with them."""

SPARE = 16
"""Contents that the index is asked for beyond the limit: some may have no item any more, or be equal to the last."""

MAX_GROWTH = 1.5
"""Items now, for each when it was measured, beyond which a measurement counts no more: recall falls with size."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What was measured for one kind of query.

    Attributes:
        ef_search: The index's setting; 0 if none was good enough, and quicker.
        recall: The share of the true ten best that it, or the last one that was tried, found.
        p50_ms: Its median time, in milliseconds.
        exact_p50_ms: That of looking at every vector.
    """

    ef_search: int
    recall: float
    p50_ms: float
    exact_p50_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Tuning:
    """What was measured on a collection.

    Attributes:
        centre: (dim,) float32: where the collection lies.
        boundary: Cosine to the centre from which a query is "near".
        measured_items: How many items there were.
        items: How many there are now.
        settings: By kind of query.
        projects: The same for searches of one project, by its name, where it is large.
    """

    centre: Rows
    boundary: float
    measured_items: int
    items: int
    settings: Mapping[Kind, Setting]
    projects: Mapping[str, Mapping[Kind, Setting]] = field(default_factory=dict)

    def kind_of(self, query: Rows) -> Kind:
        """Where a (dim,) query lies."""
        return "near" if float(np.dot(self.centre, query)) >= self.boundary else "far"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one search is made.

    Attributes:
        ef_search: The index's setting; 0 for a search without it.
        reason: A sentence that says why.
        in_memory: Whether this process searches the vectors that it keeps.
    """

    ef_search: int
    reason: str
    in_memory: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether every vector that passes the filter is looked at."""
        return self.ef_search == 0

    @property
    def way(self) -> Literal["memory", "exact", "index"]:
        """A word for it."""
        return "memory" if self.in_memory else "exact" if self.is_exact else "index"


EXACT = Plan(0, "Exact: asked for.")
IN_MEMORY = Plan(0, "In memory: this process keeps the vectors, and looks at every one.", in_memory=True)


def plan(query: Rows, *, limit: int, where: Filter, tuning: Tuning | None) -> Plan:
    """How to search for a (dim,) query.

    Args:
        query: A unit vector.
        limit: How many answers are wanted.
        where: Which items count.
        tuning: What was measured; None if nothing was.
    """
    settings = _settings(where, tuning)
    if settings is None:
        return Plan(0, "Exact: with a filter every item that passes is looked at, since an index loses most of them.")
    if tuning is None:
        return Plan(0, "Exact: there is no index on vectors that was measured; `lookalike db index` makes one.")
    if tuning.items > MAX_GROWTH * tuning.measured_items:
        return Plan(
            0,
            f"Exact: the index was measured with {tuning.measured_items:,} items and there are {tuning.items:,} now; "
            "run `lookalike db index` again.",
        )
    kind = tuning.kind_of(query)
    setting = settings.get(kind)
    if setting is None or setting.ef_search == 0:
        reached = f" (at most {setting.recall:.3f})" if setting else ""
        return Plan(0, f"Exact: no setting of the index finds enough in less time for queries {_place(kind)}{reached}.")
    ef_search = max(setting.ef_search * max(limit, MEASURED_LIMIT) // MEASURED_LIMIT, limit + SPARE)
    if ef_search > MAX_EF_SEARCH:
        return Plan(0, f"Exact: {limit:,} answers are more than the index finds well.")
    return Plan(
        ef_search,
        f"Index with ef_search {ef_search}: a query {_place(kind)}, for which a recall of {setting.recall:.3f} was "
        f"measured, {setting.p50_ms:.1f} ms instead of {setting.exact_p50_ms:.1f}.",
    )


def wanted_recall(kind: Kind, where: Filter) -> float:
    """What the index has to find of the ten best before it is asked for them."""
    return WANTED_RECALL[kind] if where.is_empty else WANTED_RECALL_IN_PROJECT


def _settings(where: Filter, tuning: Tuning | None) -> Mapping[Kind, Setting] | None:
    """What was measured for searches with this filter; None if nothing ever is."""
    if where.is_empty:
        return tuning.settings if tuning else {}
    return tuning.projects.get(where.project) if tuning and where.project and not where.metadata else None


def _place(kind: Kind) -> str:
    return "among the pictures" if kind == "near" else "apart from the pictures, as words are"
