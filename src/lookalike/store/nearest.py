"""The nearest rows to one query: screen all of them by short codes, then compute the cosines that can matter.

The screen's error is measured on the query at hand. The cosines of a sample of rows, spread over the collection, show
how far the screened scores are off (mean and spread); every row whose screened score lies within a safe multiple of
that spread of the k-th best cosine is then computed. So the cut adapts to the query: a text, far from all pictures,
gets more rows computed than a picture among its like, and neither loses answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.store.scan import dots_float16, dots_int8
from lookalike.vectors import Codes, Scores, Screen, Slots, bound_of_best

FIRST = 512
"""Rows at the head of the screened order whose cosines are computed in any case."""

PROBES = 256
"""Rows on which the screen's error is measured."""

SPREADS = 4.0
"""How many standard deviations of that error an answer may be underrated by and still be found."""

ROUNDING = 3e-4
"""More than rounding query and rows to float16 can change a cosine."""

CHUNK = 8192
"""Rows gathered at a time, 8 MiB at 512 dimensions."""

GATHER = 8
"""A selection of less than one row in so many is gathered; a larger one is cut out of a scan of everything."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The rows that a search reads.

    Attributes:
        rows: (n, dim) float16, unit length, by slot.
        codes: (n, width) int8 of the same rows; None in a collection too small to be screened.
        screen: What wrote the codes.
        dead: Slots that no item uses.
    """

    rows: NDArray[np.float16]
    codes: Codes | None
    screen: Screen | None
    dead: Slots


def nearest(query: NDArray[np.float32], table: Table, *, limit: int, among: Slots | None) -> tuple[Slots, Scores]:
    """The slots nearest to a query, best first, and their cosines.

    Args:
        query: (dim,) float32 of unit length.
        table: Where to look.
        limit: How many to find; more are returned when they tie with the last.
        among: Only these slots, none of them dead; None for all that are alive.
    """
    n_rows = len(table.rows) if among is None else len(among)
    if table.codes is None or table.screen is None or n_rows <= max(FIRST, limit) + PROBES:
        slots = _alive(table) if among is None else among
        scores = _cosines(query, table, slots)
    else:
        slots, scores = _screened(query, table, limit=limit, among=among)
    return _best(query, table, slots=slots, scores=scores, limit=limit)


def _screened(query: NDArray[np.float32], table: Table, *, limit: int, among: Slots | None) -> tuple[Slots, Scores]:
    """Slots and cosines of every row that can be among the best `limit`."""
    assert table.codes is not None  # noqa: S101  # nearest() looked
    assert table.screen is not None  # noqa: S101
    code, unit = table.screen.encode_query(query)
    if among is None:
        screened = dots_int8(table.codes, code)
        screened[table.dead] = -np.inf
    elif len(among) * GATHER < len(table.rows):
        screened = dots_int8(table.codes[among], code)
    else:
        screened = dots_int8(table.codes, code)[among]

    def cosines(places: Slots) -> Scores:
        return _cosines(query, table, places if among is None else among[places])

    head_bound = bound_of_best(screened, max(FIRST, 4 * limit))
    head = np.flatnonzero(screened >= head_bound)
    head_cosines = cosines(head)
    probes = np.linspace(0, len(screened) - 1, PROBES).astype(np.int64)
    probes = probes[np.isfinite(screened[probes])]
    errors = cosines(probes) - unit * screened[probes]
    worst_answer = bound_of_best(head_cosines, limit)
    bound = (worst_answer - errors.mean() - SPREADS * errors.std() - ROUNDING) / unit
    tail = np.flatnonzero((screened >= bound) & (screened < head_bound)) if bound < head_bound else head[:0]
    places = np.concatenate([head, tail])
    return (places if among is None else among[places]), np.concatenate([head_cosines, cosines(tail)])


def _alive(table: Table) -> Slots:
    return np.delete(np.arange(len(table.rows)), table.dead)


def _cosines(query: NDArray[np.float32], table: Table, slots: Slots) -> Scores:
    parts = [dots_float16(table.rows[slots[i : i + CHUNK]], query) for i in range(0, len(slots), CHUNK)]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _best(
    query: NDArray[np.float32], table: Table, *, slots: Slots, scores: Scores, limit: int
) -> tuple[Slots, Scores]:
    """The best of these by their cosines in full float32, best first, those that tie with the last included."""
    if len(slots) > limit:
        kept = scores >= np.partition(scores, len(scores) - limit)[len(scores) - limit] - ROUNDING
        slots = slots[kept]
    exact = np.clip(table.rows[slots].astype(np.float32) @ query, -1, 1)
    order = np.argsort(-exact, kind="stable")
    return slots[order], exact[order]
