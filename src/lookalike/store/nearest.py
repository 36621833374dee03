"""The nearest rows to one query, in three steps: short codes of all rows, high bytes of some, whole values of few.

Each step scores more precisely what the step before let through, and measures by how much that one was off, on the
rows that now lead. Every row that its earlier score, corrected so, could still bring among the best is scored too.
So the cut adapts to the query: a text, far from all pictures, gets more rows computed than a picture among its like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.store.scan import dots_int8
from lookalike.vectors import FIXED_ONE, LOWEST, Codes, Scores, Screen, Slots, bound_of_best, from_fixed, to_int8

SCREENED_SHARE = 150
SCREENED = 512
"""One row in so many, and at least so many: rows, the best by their codes, of which high bytes are read in any case."""

UNSCREENED = 2048
"""Rows up to which codes are not worth the detour."""

RESCORED = 64
"""Rows, by their high bytes, of which whole values are read in any case."""

LEADERS = 64
"""Rows on which a step measures the error of the step before."""

SPREADS = 3.5
"""Standard deviations of that error, beyond its mean, by which an answer may have been underrated and is still found.
On 624,000 vectors shaped like CLIP's (benchmarks/store.py) recall@10 is .998 for texts and 1.0 for pictures; with 4.5
it is .9987, and one query in twenty takes twice as long."""

CHUNK = 8192
"""Rows gathered at a time, 4 MiB at 512 dimensions."""

SPARSE = 8
"""A selection of less than one row in so many is gathered; a larger one is cut out of a scan of everything."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The rows that a search reads.

    Attributes:
        high: (n, dim) int8: the high bytes of unit rows in fixed point, by slot.
        low: (n, dim) int8: their low bytes.
        codes: (n, width) int8 short codes of the same rows; None in a collection too small to need them.
        screen: What wrote the codes.
        dead: Slots that no item uses.
    """

    high: Codes
    low: Codes
    codes: Codes | None
    screen: Screen | None
    dead: Slots

    def rows(self, slots: Slots | slice) -> NDArray[np.float32]:
        """(n, dim) float32 rows at these slots, unit length but for rounding."""
        return from_fixed(self.high[slots], self.low[slots])


def nearest(query: NDArray[np.float32], table: Table, *, limit: int, among: Slots | None) -> tuple[Slots, Scores]:
    """The slots nearest to a query, best first, and their cosines.

    Args:
        query: (dim,) float32 of unit length.
        table: Where to look.
        limit: How many to find; more are returned, those that come close and all that tie with the last.
        among: Only these slots, none of them dead; None for all that are alive.
    """
    n_rows = len(table.high) if among is None else len(among)
    high_query, unit = to_int8(query)
    unit *= 256 / FIXED_ONE

    def rough(slots: Slots) -> Scores:
        return dots_int8(table.high[slots], high_query)

    def exact(slots: Slots) -> Scores:
        # einsum, because a matrix product may round equal rows differently, and ties must stay ties.
        cosines: Scores = np.einsum("ij,j->i", table.rows(slots), query)
        return np.clip(cosines, -1, 1, out=cosines)

    if table.codes is None or table.screen is None or n_rows <= UNSCREENED:
        slots, scores = _everything(table.high, high_query, among, table.dead)
    else:
        code_query, code_unit = to_int8(table.screen.weights(query))
        slots, scores = _everything(table.codes, code_query, among, table.dead)
        keep = max(SCREENED, n_rows // SCREENED_SHARE, 8 * limit)
        slots, scores = _narrowed(slots, scores, rough, scale=code_unit / unit, keep=keep, limit=limit)
    slots, scores = _narrowed(slots, scores, exact, scale=unit, keep=max(RESCORED, 2 * limit), limit=limit)
    order = np.argsort(-scores, kind="stable")
    return slots[order], scores[order]


def _everything(rows: Codes, query: NDArray[np.int8], among: Slots | None, dead: Slots) -> tuple[Slots | None, Scores]:
    """The slots that count, None for all, and the dot product of each; -inf for dead ones."""
    if among is None:
        scores = dots_int8(rows, query)
        scores[dead] = -np.inf
        return None, scores
    if len(among) * SPARSE < len(rows):
        return among, _in_chunks(lambda slots: dots_int8(rows[slots], query), among)
    return among, dots_int8(rows, query)[among]


def _narrowed(
    slots: Slots | None, scores: Scores, precise: Callable[[Slots], Scores], *, scale: float, keep: int, limit: int
) -> tuple[Slots, Scores]:
    """Those slots that can be among the best `limit`, and their precise scores.

    Args:
        slots: The slot of each score; None if its place is its slot.
        scores: The scores so far; those of -inf do not count.
        precise: Scores slots better.
        scale: Precise scores are about `scale` times the scores so far, and a constant.
        keep: About how many to score better in any case.
        limit: How many answers are wanted.
    """

    def at(places: Slots) -> Slots:
        return places if slots is None else slots[places]

    bound = bound_of_best(scores, keep)
    leading = np.flatnonzero(scores >= bound)
    if len(leading) < keep // 2 and len(scores) > keep:  # the sample misled; rare, and worth the exact bound then
        bound = max(float(np.partition(scores, len(scores) - keep)[len(scores) - keep]), LOWEST)
        leading = np.flatnonzero(scores >= bound)
    better = _in_chunks(precise, at(leading))
    if len(leading) <= limit:
        return at(leading), better
    best = np.argpartition(-better, min(LEADERS, len(better) - 1))[:LEADERS]
    errors = better[best] - scores[leading[best]] * np.float32(scale)
    worst_answer = np.partition(better, len(better) - limit)[len(better) - limit]
    floor = (worst_answer - errors.mean() - SPREADS * errors.std()) / scale
    if floor >= bound:
        return at(leading), better
    late = np.flatnonzero((scores >= floor) & (scores < bound))
    return at(np.concatenate([leading, late])), np.concatenate([better, _in_chunks(precise, at(late))])


def _in_chunks(score: Callable[[Slots], Scores], slots: Slots) -> Scores:
    parts = [score(slots[first : first + CHUNK]) for first in range(0, len(slots), CHUNK)]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
