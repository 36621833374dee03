"""Which slots a filter lets through, kept in memory and brought up to date with each commit."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.sql import statements
from lookalike.store.database import State
from lookalike.types import Filter
from lookalike.vectors import Slots

_SQL = statements("lookalike.store", "items.sql")

MAX_FILTERS = 64
"""Filters kept at a time; one over a million items takes 16 MB."""

Term = tuple[str, ...]
"""(project,) or (metadata name, value)."""


@dataclass(frozen=True, slots=True, eq=False)
class Posting:
    """The items that one filter lets through.

    Attributes:
        version: The store's version that it is true for.
        generation: The store's generation that its slots belong to.
        items: (n,) int64 row numbers of the items, ascending.
        item_slots: (n,) int64 slots of those items.
        slots: The distinct slots among them, ascending.
    """

    version: int
    generation: int
    items: NDArray[np.int64]
    item_slots: Slots
    slots: Slots


class Postings:
    """The postings of one store, least recently used first out."""

    def __init__(self) -> None:
        self._postings: OrderedDict[frozenset[Term], tuple[Posting, int]] = OrderedDict()
        self._lock = threading.Lock()

    def select(self, connection: sqlite3.Connection, state: State, where: Filter) -> Posting:
        """The items that `where` lets through, as the connection's transaction sees them."""
        terms = _terms(where)
        with self._lock:
            known, removal = self._postings.get(terms, (None, 0))
        if known is not None and known.version == state.version:
            return known
        if known is None or known.generation != state.generation or known.version > state.version:
            known, removal = None, 0
        posting, removal = _refreshed(connection, state, terms, known, removal)
        with self._lock:
            self._postings[terms] = (posting, removal)
            self._postings.move_to_end(terms)
            while len(self._postings) > MAX_FILTERS:
                self._postings.popitem(last=False)
        return posting


def _terms(where: Filter) -> frozenset[Term]:
    metadata = {(str(name), str(value)) for name, value in where.metadata.items()}
    return frozenset(metadata if where.project is None else {(where.project,), *metadata})


def _refreshed(
    connection: sqlite3.Connection, state: State, terms: frozenset[Term], known: Posting | None, removal: int
) -> tuple[Posting, int]:
    """`known` with what was added and removed since, and the last removal that it knows of."""
    empty = np.empty(0, np.int64)
    items, item_slots = (known.items, known.item_slots) if known else (empty, empty)
    last = int(items[-1]) if len(items) else 0
    new_items, new_slots = _matching(connection, terms, last)
    removed = connection.execute(_SQL["new_removals"], (removal,)).fetchall()
    if removed:
        removal = removed[-1][0]
        kept = ~np.isin(items, np.array([item for _, item in removed], dtype=np.int64))
        items, item_slots = items[kept], item_slots[kept]
    if known and not removed and not len(new_items):
        slots = known.slots
    else:
        items, item_slots = np.concatenate([items, new_items]), np.concatenate([item_slots, new_slots])
        slots = np.unique(item_slots)
    return Posting(state.version, state.generation, items, item_slots, slots), removal


def _matching(connection: sqlite3.Connection, terms: frozenset[Term], last: int) -> tuple[NDArray[np.int64], Slots]:
    """Row numbers and slots of the items after `last` that have every one of these terms."""
    parts = sorted((_one(connection, term, last) for term in terms), key=lambda part: len(part[0]))
    items, slots = parts[0]
    for other, _ in parts[1:]:
        kept = np.isin(items, other, assume_unique=True)
        items, slots = items[kept], slots[kept]
    return items, slots


def _one(connection: sqlite3.Connection, term: Term, last: int) -> tuple[NDArray[np.int64], Slots]:
    name, read = ("read_project", "new_items_of_project") if len(term) == 1 else ("read_tag", "new_items_of_tag")
    code = connection.execute(_SQL[name], term).fetchone()
    if code is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if len(term) == 1 and not last:
        pairs = connection.execute(_SQL["all_items_of_project"], code).fetchall()
    else:
        pairs = connection.execute(_SQL[read], (*code, last)).fetchall()
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    table = table[np.argsort(table[:, 0])]
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
