"""Where contents are: the beginnings of all digests, in memory and in order, brought up to date with each commit.

An index of them in the database would cost more than everything else that is written: digests are random, so each new
one lands on a page of its own, and at three million pictures 27 KB went to the disk for the 1.4 KB that one takes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.contents import digest_of
from lookalike.store import items
from lookalike.store.database import State
from lookalike.vectors import Slots

BEGIN_BYTES = 8
"""Of a digest, kept in memory: 16 bytes for a content, with its slot. What begins alike is told apart in the table."""

Begins = NDArray[np.uint64]
"""(n,) uint64: the first bytes of digests, as numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Contents that came one after another.

    Attributes:
        begins: (n,) the beginnings of their digests, ascending.
        slots: (n,) their slots.
    """

    begins: Begins
    slots: Slots


class Digests:
    """Finds the contents of one store. The first question takes 0.4 s for a million; later ones, microseconds each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generation = 0
        self._n_slots = 0
        self._runs: tuple[_Run, ...] = ()

    def slots_of(self, connection: sqlite3.Connection, state: State, contents: Iterable[str]) -> dict[str, int]:
        """The slots of those contents that are stored, as the connection's transaction sees them."""
        digests = [(digest_of(content), content) for content in contents]
        wanted = _begins(digest[:BEGIN_BYTES] for digest, _ in digests)
        order = np.argsort(wanted)  # so that neighbours are looked for one after the other
        wanted = wanted[order]
        found = {}
        for run in self._known(connection, state):
            first, last = (np.searchsorted(run.begins, wanted, side=side) for side in ("left", "right"))
            for place in np.flatnonzero(first < last).tolist():
                digest, content = digests[order[place]]
                for slot in run.slots[first[place] : last[place]].tolist():
                    # Another thread may have seen a later state already.
                    if slot < state.slots and items.digest_at(connection, slot) == digest:
                        found[content] = slot
        return found

    def _known(self, connection: sqlite3.Connection, state: State) -> tuple[_Run, ...]:
        with self._lock:
            if self._generation != state.generation:
                self._generation, self._n_slots, self._runs = state.generation, 0, ()
            if self._n_slots < state.slots:
                begins = _begins([items.beginnings(connection, BEGIN_BYTES, self._n_slots, state.slots)])
                order = np.argsort(begins)
                self._runs = _merged([*self._runs, _Run(begins[order], order + self._n_slots)])
                self._n_slots = state.slots
            return self._runs


def _begins(beginnings: Iterable[bytes]) -> Begins:
    return np.frombuffer(b"".join(beginnings), np.uint64)


def _merged(runs: Sequence[_Run]) -> tuple[_Run, ...]:
    """The same in a few runs, each more than twice as long as the next: a new batch seldom touches the long ones."""
    *before, last = runs
    while before and len(before[-1].begins) <= 2 * len(last.begins):
        other = before.pop()
        begins = np.concatenate([other.begins, last.begins])
        order = np.argsort(begins, kind="stable")  # which merges what is in order already
        last = _Run(begins[order], np.concatenate([other.slots, last.slots])[order])
    return (*before, last)
