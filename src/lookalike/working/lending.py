"""A store that is open for writing only while somebody writes, so that other processes get their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Generic, TypeVar

from lookalike.errors import StoreLocked
from lookalike.working.indexing import Writable

Store = TypeVar("Store", bound=Writable)

PATIENCE_S = 600.0
LOOK_S = 0.25


class Lending(Generic[Store]):
    """Opens a store for the first who asks, and closes it after the last.

    Args:
        open_store: Opens it for writing. While others write (StoreLocked), it is tried again.
        stopping: Set when waiting makes no sense any more.
    """

    def __init__(self, open_store: Callable[[], Store], stopping: Event) -> None:
        self._open = open_store
        self._stopping = stopping
        self._lock = Lock()
        self._store: Store | None = None
        self._n_users = 0

    @contextmanager
    def __call__(self, *, patience_s: float = PATIENCE_S) -> Iterator[Store]:
        """The store, while the block runs; StoreLocked if others have written to it for so many seconds."""
        store = self._borrow(patience_s)
        try:
            yield store
        finally:
            with self._lock:
                self._n_users -= 1
                if self._n_users == 0:
                    self._store = None
                    store.close()

    def _borrow(self, patience_s: float) -> Store:
        n_looks = max(0, int(patience_s / LOOK_S))
        while True:
            with self._lock:  # held while it is opened: the others need it as well
                try:
                    self._store = self._store or self._open()
                except StoreLocked:
                    if n_looks == 0 or self._stopping.is_set():
                        raise
                else:
                    self._n_users += 1
                    return self._store
            n_looks -= 1
            self._stopping.wait(LOOK_S)
