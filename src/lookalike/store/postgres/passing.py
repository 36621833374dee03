"""Which contents pass a filter: asked of the database once, and kept for as long as nothing there changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.postgres import Database
from lookalike.sql import statements
from lookalike.store.postgres.mirror import View
from lookalike.types import Filter
from lookalike.vectors import Slots

KEPT_BYTES = 64 << 20
"""Of slots, 8 bytes each, of the filters that were used last: eight million."""

KEPT_FILTERS = 256
"""At most so many: what nothing passes takes no slots, and anybody may ask for it under ever new values."""

_SQL = statements("lookalike.store.postgres", "mirror.sql")

Key = tuple[str | None, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """What passes a filter.

    Attributes:
        n_items: How many items.
        slots: (n,) int64: where the vectors of their contents are in the view, ascending; none that is given up.
    """

    n_items: int
    slots: Slots


class Passing:
    """Asks, and keeps the answers of one version. May be used from several threads at once.

    Args:
        database: Where the items are.
        kept_bytes: How much to keep, beyond the last answer.
    """

    def __init__(self, database: Database, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._database = database
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._version = -1
        self._kept: OrderedDict[Key, Passed] = OrderedDict()

    def of(self, view: View, where: Filter, asked: dict[str, Any]) -> Passed:
        """What passes, at least as of this view. StoreError if the database cannot be asked.

        Args:
            view: Read from the database before.
            where: The filter.
            asked: The same as the database has it: the number of the project, the metadata as JSON.
        """
        key = (where.project, frozenset(where.metadata.items()))
        with self._lock:
            found = self._kept.get(key) if self._version == view.version else None
            if found:
                self._kept.move_to_end(key)
                return found
        query = _SQL["passing"]
        ((n_items, numbers),) = self._database.run(lambda c: c.cursor(binary=True).execute(query, asked).fetchall())
        slots = view.slots(np.frombuffer(numbers, ">i8").astype(np.int64))
        found = Passed(n_items, np.setdiff1d(slots, view.table.dead, assume_unique=True))
        self._keep(view.version, key, found)
        return found

    def _keep(self, version: int, key: Key, found: Passed) -> None:
        with self._lock:
            if version > self._version:
                self._version = version
                self._kept.clear()
            if version == self._version:
                self._kept[key] = found
            while len(self._kept) > 1 and self._is_full():
                self._kept.popitem(last=False)

    def _is_full(self) -> bool:
        n_bytes = sum(each.slots.nbytes for each in self._kept.values())
        return len(self._kept) > KEPT_FILTERS or n_bytes > self._kept_bytes
