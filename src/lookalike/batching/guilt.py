"""What is held against inputs, by what they are: an input is as guilty when it comes again, whoever brings it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from lookalike.batching.lanes import Key

REMEMBERED = 1024
REMEMBERED_S = 3600.0


class Guilt:
    """The guilt of inputs, for an hour. Not locked."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._noted: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    def note(self, key: Key, guilt: int) -> None:
        """Remember it from now on; the oldest is forgotten where they are too many."""
        self._noted[key] = guilt, self._clock()
        self._noted.move_to_end(key)
        if len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)

    def of(self, key: Key) -> int:
        """How guilty it is; 0 for one of which nothing is known."""
        guilt, since = self._noted.get(key, (0, self._clock()))
        if self._clock() - since < REMEMBERED_S:
            return guilt
        del self._noted[key]
        return 0

    def forget(self, key: Key) -> None:
        """Nothing is held against it any more."""
        self._noted.pop(key, None)
