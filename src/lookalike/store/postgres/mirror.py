"""The vectors of a database in the memory of this process, searched as the embedded store searches its own.

What changes in the database is seen before every search: whoever writes notes it, under a number that counts up, as
the last thing of the transaction, so that numbers become visible in their order.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.postgres import Database
from lookalike.sql import statements
from lookalike.store.nearest import Table, nearest
from lookalike.store.postgres.rows import rows_of
from lookalike.store.postgres.schema import Bound
from lookalike.store.table import REFIT_GROWTH, SAMPLE, SCREEN_FROM, SCREEN_WIDTH
from lookalike.types import Rows
from lookalike.vectors import Codes, Screen, Slots, normalise, to_fixed

PART = 5_000
"""Vectors read at a time."""

RESERVE = 1.02
"""Room for so many rows for each one that there is when all are read."""

GROWTH = 1.25
"""By how much the room grows when it is full: what is added is copied a few times, and little room lies empty."""

Number = TypeVar("Number", np.int8, np.int64)

_SQL = statements("lookalike.store.postgres", "mirror.sql")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The vectors as of one version.

    Attributes:
        version: The last change that is in it.
        contents: (n,) int64: the number of the content at each slot.
        order: (n,) int64: the slots by ascending number.
        table: What a search reads.
    """

    version: int
    contents: Slots
    order: Slots
    table: Table

    def nearest(self, query: Rows, *, limit: int, among: Slots | None) -> list[int]:
        """The numbers of about `limit` contents, those that are nearest to a (dim,) query.

        Args:
            query: A unit vector.
            limit: How many; all that are equal to the last come too.
            among: Only at these slots, ascending, none of them given up; None for all.
        """
        if not len(self.contents) or (among is not None and not len(among)):
            return []
        found, _ = nearest(query, self.table, limit=limit, among=among)
        numbers: list[int] = self.contents[found].tolist()
        return numbers

    def slots(self, numbers: Slots) -> Slots:
        """The slots of those contents that are here, ascending."""
        if not len(self.order):
            return self.order
        places = np.searchsorted(self.contents, numbers, sorter=self.order)
        slots = self.order[np.minimum(places, len(self.order) - 1)]
        return np.unique(slots[self.contents[slots] == numbers])


class Mirror:
    """Keeps a View of one space. Every method may be called from several threads at once."""

    def __init__(self, database: Database, bound: Bound) -> None:
        self._database = database
        self._bound = bound
        self._lock = threading.Lock()
        self._room = _Room(bound.space.dim)
        self._view: View | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the vectors have been read."""
        return self._view is not None

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return self._room.n_bytes

    def load(self) -> None:
        """Read every vector. StoreError if that fails; what was read before still serves."""
        with self._lock:
            self._load()

    def view(self) -> View:
        """The vectors as the database has them now. StoreError if it cannot be asked."""
        version = self._version()
        view = self._view
        if view is not None and view.version == version:
            return view
        with self._lock:
            caught_up = self._catch_up(self._view) if self._view else None
            return caught_up or self._load()

    def _load(self) -> View:
        version, room = self._version(), _Room(self._bound.space.dim)
        ((n_rows,),) = self._database.run(lambda c: c.execute(_SQL["count"], {"space": self._bound.number}).fetchall())
        room.reserve(int(n_rows * RESERVE))
        query = _SQL["all_vectors"].format(space=self._bound.number).encode()
        for part in self._database.stream(query, n_rows=PART):
            room.append(part)
        self._room = room
        return self._show(version, np.empty(0, np.int64))

    def _catch_up(self, view: View) -> View | None:
        """Apply what has changed since; None if the notes of it do not reach back so far."""
        asked = {"space": self._bound.number, "after": view.version}
        changes = self._database.run(lambda c: c.cursor(binary=True).execute(_SQL["changes"], asked).fetchall())
        if [version for version, _, _ in changes] != list(range(view.version + 1, view.version + 1 + len(changes))):
            return None
        if not changes:  # another thread was quicker, or the notes are gone
            return view if view.version == self._version() else None
        if not any(added or gone for _, added, gone in changes):  # items alone were written
            self._view = replace(view, version=changes[-1][0])
            return self._view
        added = np.unique(np.array([number for _, numbers, _ in changes for number in numbers], np.int64))
        added = np.setdiff1d(added, view.contents[view.slots(added)])
        self._room.rewind(len(view.contents))  # to before an attempt that failed
        for first in range(0, len(added), PART):
            self._room.append(self._vectors(added[first : first + PART].tolist()))
        gone = np.array([number for *_, numbers in changes for number in numbers], np.int64)
        return self._show(changes[-1][0], np.union1d(view.table.dead, view.slots(gone)))

    def _show(self, version: int, dead: Slots) -> View:
        contents, table = self._room.shown()
        order = np.argsort(contents, kind="stable")  # quick for what is nearly in order, as it usually is
        self._view = View(version, contents, order, replace(table, dead=dead))
        return self._view

    def _version(self) -> int:
        asked = {"space": self._bound.number}
        row = self._database.run(lambda connection: connection.execute(_SQL["version"], asked).fetchone())
        return int(row[0]) if row else 0

    def _vectors(self, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        asked = {"space": self._bound.number, "numbers": numbers}
        return self._database.run(lambda c: c.cursor(binary=True).execute(_SQL["these_vectors"], asked).fetchall())


class _Room:
    """Rows in fixed point with room for more. What was shown is never written again."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._n = 0
        self._contents = np.empty(0, np.int64)
        self._high: Codes = np.empty((0, dim), np.int8)
        self._low: Codes = np.empty((0, dim), np.int8)
        self._codes: Codes | None = None
        self._screen: Screen | None = None
        self._screened = 0

    @property
    def n_bytes(self) -> int:
        codes = 0 if self._codes is None else self._codes.nbytes
        return self._high.nbytes + self._low.nbytes + 2 * self._contents.nbytes + codes

    def append(self, part: Sequence[tuple[int, bytes]]) -> None:
        """Write contents and their vectors behind the others."""
        if not part:
            return
        end = self._n + len(part)
        if end > len(self._contents):
            self.reserve(max(end, int(len(self._contents) * GROWTH)))
        new = slice(self._n, end)
        rows = normalise(rows_of((vector for _, vector in part), dim=self._dim))
        self._contents[new] = [number for number, _ in part]
        self._high[new], self._low[new] = to_fixed(rows)
        if self._codes is not None and self._screen is not None:
            self._codes[new] = self._screen.encode(rows)
        self._n = end

    def rewind(self, n: int) -> None:
        """Forget what was written behind the first n rows, and not shown."""
        self._n = n

    def shown(self) -> tuple[Slots, Table]:
        """The contents and rows so far."""
        table = Table(self._high[: self._n], self._low[: self._n], None, None, np.empty(0, np.int64))
        if self._n >= max(SCREEN_FROM, REFIT_GROWTH * self._screened):
            self._fit(table)
        codes = None if self._codes is None else self._codes[: self._n]
        return self._contents[: self._n], replace(table, codes=codes, screen=self._screen)

    def _fit(self, table: Table) -> None:
        places = np.linspace(0, self._n - 1, min(SAMPLE, self._n)).astype(np.int64)
        self._screen = Screen.fit(table.rows(places), width=min(SCREEN_WIDTH, self._dim))
        self._codes = np.empty((len(self._contents), self._screen.width), np.int8)
        for first in range(0, self._n, PART):
            part = slice(first, min(first + PART, self._n))
            self._codes[part] = self._screen.encode(table.rows(part))
        self._screened = self._n

    def reserve(self, n_rows: int) -> None:
        """Have room for so many rows."""
        self._contents = _grown(self._contents, n_rows)
        self._high, self._low = _grown(self._high, n_rows), _grown(self._low, n_rows)
        self._codes = None if self._codes is None else _grown(self._codes, n_rows)


def _grown(values: NDArray[Number], n_rows: int) -> NDArray[Number]:
    """A copy with room for so many rows."""
    larger = np.empty((n_rows, *values.shape[1:]), values.dtype)
    larger[: len(values)] = values
    return larger
